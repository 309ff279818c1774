"""The pictures of the page, drawn by matplotlib as SVG: in the reader's text colour, each with words for who does not see it."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from stages import style
from stages.page.facts import Facts, Method, rows
from stages.page.render import short

INK = "#010203"  # becomes currentColor
LOOKS = {"dense": style.DENSE._replace(color=INK), "bayesian": style.BAYESIAN, "compact": style.COMPACT._replace(marker="1"),
         "finetuned": style.COMPACT, "magnitude": style.MAGNITUDE, "scratch": style.SCRATCH}
COLORS, MARKERS = ({key: look[number] for key, look in LOOKS.items()} for number in (0, 1))
STYLE: Any = {"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9, "axes.edgecolor": INK, "axes.labelcolor": INK,
         "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
         "grid.color": INK, "grid.alpha": 0.15, "lines.linewidth": 1.6, "axes.titlesize": 10, "axes.titlelocation": "left",
         "savefig.transparent": True, "figure.constrained_layout.use": True}
ENGINES = {"eager": "torch", "compile": "torch.compile", "int8": "onnxruntime int8"}  # by the benchmark's names, where those say less
TERMS = {"nll": ("-", "negative log likelihood"), "distillation": ("--", "distillation"), "kl": (":", "KL")}
PHASES = {"baseline": ("dense", "dense"), "bayesian": ("Bayesian", "bayesian"), "finetune": ("fine-tuning", "finetuned")}
styled = matplotlib.rc_context(STYLE)
WIDTH = 4.6  # inches: 331 points, which a telephone shows at their size


@dataclass(frozen=True)
class Picture:
    title: str
    svg: str
    words: str  # what it shows, for who does not see it


@styled
def curves(facts: Facts) -> list[Picture]:
    """Accuracy and losses over the epochs of the three trainings, end to end; beta and the expected size where a target set them."""
    accuracy, losses = blank(2.7), blank(2.7)
    start, ends, terms, names = 0, {}, {}, {}
    for name, (label, key) in PHASES.items():
        curve = facts.tables[f"{name}_curve"]
        epochs, reached = start + curve["epoch"], curve["validation_accuracy"]
        axes_of(accuracy).plot(epochs, reached, color=COLORS[key])
        ends[label] = float(reached.iloc[-1])
        for term, (line, name) in TERMS.items():
            if term in curve:
                axes_of(losses).plot(epochs, curve[term].clip(lower=1e-9), line, color=COLORS[key])
                terms[name] = line
        names[label] = start + len(curve) / 2
        start += len(curve)
    low = min(float(facts.tables[f"{name}_curve"]["validation_accuracy"].quantile(0.1)) for name in PHASES)
    axes_of(accuracy).set(xlabel="epoch, all trainings", ylabel="validation accuracy (%)", ylim=(low - 1, None))
    axes_of(losses).set(xlabel="epoch, all trainings", ylabel="loss, training", yscale="log")
    plain_numbers(axes_of(losses).yaxis)
    for figure in (accuracy, losses):
        _above(axes_of(figure), names)
    for name, line in terms.items():
        axes_of(losses).plot([], [], line, color=INK, label=name)
    found = [picture("Accuracy while training", accuracy, "Validation accuracy by epoch. " + _said(ends, "ends at {:.1f} %"), legend=False),
             picture("Losses while training", losses, "Terms of the training loss by epoch, on a logarithmic scale: "
                      "the negative log likelihood of each training, the KL of the Bayesian one, and distillation where it is used.")]
    bayesian = facts.tables["bayesian_curve"]
    for column, title, label in (("beta", "Beta", "beta, the weight of the KL"),
                                 ("expected_size_percent", "Expected size", "of the whole (%)")):
        if column in bayesian:
            figure = blank(2.3)
            axes_of(figure).plot(bayesian["epoch"], bayesian[column], color=COLORS["bayesian"])
            axes_of(figure).set(xlabel="epoch of the Bayesian training", ylabel=label, yscale="log")
            plain_numbers(axes_of(figure).yaxis)
            values = bayesian[column]
            found.append(picture(title, figure, f"{title} by epoch, from {values.iloc[0]:.3g} to {values.iloc[-1]:.3g}.", legend=False))
    return found


@styled
def what_is_left(facts: Facts) -> list[Picture]:
    """Accuracy against the weights that are left: on validation by threshold, and on test with every method."""
    scan, total = facts.tables["threshold_scan"], facts.methods["dense"].weights
    figure = blank(2.9)
    axes = axes_of(figure)
    left = (100 - scan["weights_removed_percent"]).clip(lower=100 / total)
    axes.plot(left, scan["validation_accuracy"], ".-", color=COLORS["bayesian"], label="Bayesian, cut by threshold")
    for key in ("dense", "finetuned", "magnitude", "scratch"):
        if key in facts.methods and facts.methods[key].validation_accuracy is not None:
            _point(axes, facts.methods[key], total, validation=True)
    _left_axis(axes, "validation accuracy (%)")
    _from(axes, [each.validation_accuracy for each in facts.methods.values() if each.validation_accuracy is not None])
    found = [picture("By threshold, on validation", figure,
                      "Validation accuracy against the share of weights left as the threshold falls, and the networks that were kept.")]
    figure = blank(2.9)
    axes, methods = axes_of(figure), facts.methods.values()
    for method in ("weights", "units") if "sweep" in facts.tables else ():
        by_share = facts.tables["sweep"].query("method == @method and recovered == 1").groupby("share")
        x = 100 * by_share["nonzeros_left"].mean() / total
        middle, low, high = (getattr(by_share["accuracy"], name)() for name in ("mean", "min", "max"))
        axes.plot(x, middle, "--" if method == "units" else "-.", color=COLORS["magnitude"], label=f"magnitude, single {method}"
                  if method == "weights" else "magnitude, units")
        axes.fill_between(x, low, high, color=COLORS["magnitude"], alpha=0.2, linewidth=0)
    for each in methods:
        _point(axes, each, total)
    _left_axis(axes, "test accuracy (%)")
    _from(axes, [method.accuracy for method in methods])
    found.append(picture("Every method, on test", figure, "Test accuracy against the share of weights left. "
                          + _said({method.label: method.accuracy for method in methods}, "{:.1f} %")))
    return found


@styled
def units(facts: Facts) -> Picture:
    table = facts.tables["units"]
    figure = blank(0.7 + 0.26 * len(table))
    axes, share = axes_of(figure), 100 * table["kept"] / table["total"]
    axes.barh(table["layer"], 100, 0.7, color=INK, alpha=0.12)
    axes.barh(table["layer"], share, 0.7, color=COLORS["finetuned"])
    for row, (kept, total) in enumerate(zip(table["kept"], table["total"], strict=True)):
        axes.text(102, row, f"{kept:,} of {total:,}", va="center")
    axes.invert_yaxis()
    axes.set(xlabel="kept (%)", xlim=(0, 140), xticks=range(0, 101, 25))
    axes.grid(visible=False, axis="y")
    said = "; ".join(f"{row['layer']} {row['kept']} of {row['total']}" for row in rows(table))
    return picture("What stayed of each", figure, f"Units kept in each layer: {said}.", legend=False)


@styled
def latency(facts: Facts) -> list[Picture]:
    """Median and quartiles by engine, at the smallest and the largest batch."""
    timed = [{**row, "way": way(row["engine"], row["threads"])} for row in rows(facts.tables["latency"])]
    batches, found = [row["batch"] for row in timed], []
    for batch in sorted({min(batches), max(batches)}):
        shown = [row for row in timed if row["batch"] == batch]
        ways = list(dict.fromkeys(row["way"] for row in shown))
        figure = blank(0.9 + 0.3 * len(ways))
        axes = axes_of(figure)
        for network, key, shift in (("dense", "dense", -0.14), ("compact", "finetuned", 0.14)):
            mine = [row for row in shown if row["network"] == network]
            spread = [[row["median"] - row["q25"] for row in mine], [row["q75"] - row["median"] for row in mine]]
            axes.errorbar([row["median"] for row in mine], [ways.index(row["way"]) + shift for row in mine], xerr=spread,
                          fmt=MARKERS[key], color=COLORS[key], capsize=2, label=network)
        axes.set(xscale="log", xlabel="milliseconds a batch; bars: quartiles", ylim=(len(ways) - 0.5, -0.5))
        axes.set_yticks(range(len(ways)), ways)
        plain_numbers(axes.xaxis)
        medians = {f"{row['network']}, {row['way']}": row["median"] for row in shown}
        found.append(picture(f"A batch of {batch:,}", figure, f"Milliseconds for a batch of {batch}: " + _said(medians)))
    return found


def way(engine: str, threads: int) -> str:
    return f"{ENGINES.get(engine, engine)}, {threads} thread{'s' * (threads != 1)}"


@styled
def uncertainty(facts: Facts) -> list[Picture]:
    """The calibration error, and accuracy when the least confident answers are turned away."""
    names = {"dense": ("dense", "dense", "-"), "bayesian_mean": ("Bayesian, mean", "bayesian", "--"),
             "bayesian_samples": ("Bayesian, sampled", "bayesian", "-"), "compact": ("compact", "finetuned", "-")}
    errors: dict[str, Any] = {label: facts.metrics["uncertainty"][name].get("calibration_error") for name, (label, _, _) in names.items()}
    found = []
    if all(value is not None for value in errors.values()):
        figure = blank(1.9)
        axes = axes_of(figure)
        bars = axes.barh(list(errors), list(errors.values()), 0.65, color=[COLORS[key] for _, key, _ in names.values()])
        axes.bar_label(bars, fmt="{:.1f}", padding=3)
        axes.invert_yaxis()
        axes.set(xlabel="calibration error (points; less is better)", xlim=(0, 1.15 * max(errors.values())))
        axes.grid(visible=False, axis="y")
        found.append(picture("Confidence against truth", figure, "Calibration error: " + _said(errors, "{:.1f} points"), legend=False))
    figure, table = blank(2.7), facts.tables["rejection"]
    for name, (label, key, line) in names.items():
        axes_of(figure).plot(table["rejected_percent"], table[name], line, color=COLORS[key], label=label)
    axes_of(figure).set(xlabel="turned away, the least confident first (%)", ylabel="test accuracy on the rest (%)")
    at = min(rows(table), key=lambda row: abs(row["rejected_percent"] - 10))
    found.append(picture("Accuracy when it may decline", figure, "Test accuracy on the rest when the least confident tenth is turned "
                          "away: " + _said({label: at[name] for name, (label, _, _) in names.items()}, "{:.1f} %")))
    return found


def _point(axes: Axes, method: Method, total: int, validation: bool = False) -> None:
    value: Any = method.validation_accuracy if validation else method.accuracy
    ours = method.key == "finetuned"
    axes.plot(100 * method.weights / total, value, MARKERS[method.key], color=COLORS[method.key], label=method.label, linestyle="none",
              markersize=9 if ours else 7, markeredgewidth=1.5, fillstyle="full" if ours else "none", zorder=4 if ours else 3)


def _from(axes: Axes, accuracies: Sequence[float]) -> None:
    """The part of the axis where networks are that anyone would use."""
    axes.set_ylim(max(0, min(accuracies) - 10), min(100.5, max(accuracies) + 1.5))


def _above(axes: Axes, names: Mapping[str, float]) -> None:
    """Each name above the panel, over its place along the x axis or as near as there is room."""
    (low, high), width = axes.get_xlim(), 72 * (WIDTH - 0.9)  # of the panel, in points
    places = style.apart([(x - low) / (high - low) for x in names.values()], [0.65 * style.SMALL * len(name) / width for name in names])
    for name, place in zip(names, places, strict=True):
        axes.text(place, 1.01, name, transform=axes.transAxes, ha="center", va="bottom", fontsize=style.SMALL)


def _left_axis(axes: Axes, label: str) -> None:
    axes.set(xscale="log", xlabel="weights left (%)", ylabel=label)
    axes.invert_xaxis()
    plain_numbers(axes.xaxis)


def plain_numbers(axis: Axis) -> None:
    """1, 2, 5, 10 along a logarithmic axis, not powers."""
    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    axis.set_major_formatter("{x:,g}")
    axis.set_minor_formatter(NullFormatter())


def _said(values: Mapping[str, Any], form: str = "{}") -> str:
    return ", ".join(f"{name} {form.format(short(value) if form == '{}' else value)}" for name, value in values.items()) + "."


def blank(height: float, width: float = WIDTH) -> Figure:
    figure = Figure(figsize=(width, height))
    figure.subplots()
    return figure


def axes_of(figure: Figure) -> Axes:
    return figure.axes[0]


def picture(title: str, figure: Figure, words: str, legend: bool = True) -> Picture:
    content = io.StringIO()
    if legend:  # below the curves, never over them
        handles, labels = axes_of(figure).get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    with matplotlib.rc_context({"svg.hashsalt": title}):  # names inside one picture are no other's
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return Picture(title, _inline(content.getvalue(), words), words)


def _inline(svg: str, words: str) -> str:
    """What stands in a page: without the head of a file, its names, and a style that would be the whole page's."""
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg).replace(INK, "currentColor").replace("#0072b2", "var(--blue)")
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    width, height = (round(float(size)) for size in re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg).groups())  # type: ignore[union-attr]
    box = re.search(r'viewBox="[^"]*"', svg)[0]  # type: ignore[index]
    label = words.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return f'<svg role="img" aria-label="{label}" width="{width}" height="{height}" {box}>' + svg[svg.index(">") + 1:]

