"""The rows of benchmarks.inference for a reader: tables, of the first number of threads or of all, and a picture."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from benchmarks.report import Row
from stages import style

SHOWN = {"compact": style.COMPACT, "onnxruntime compact": style.Look(style.BLUE, "o")}  # beside their own dense networks
OF_THE_BOUND = ("dense", "compact", "onnxruntime compact")


def all_of(rows: Sequence[Row]) -> list[list[Row]]:
    few_threads = [row for row in rows if row["threads"] == rows[0]["threads"]]
    largest = {row["network"]: max(other["batch"] for other in rows if other["network"] == row["network"]) for row in rows}
    return [overview(few_threads, largest), overview(few_threads, dict.fromkeys(largest, 1)), against_hardware(rows)]


def overview(rows: Sequence[Row], batches: dict[str, int]) -> list[Row]:
    """A row a contender, a column a network, at its batch: milliseconds, and the speed-up over torch's dense network."""
    cells = {(row["contender"], row["network"]): f"{row['ms']:.3g} ms, {row['speed-up']:.3g}x" for row in rows
             if row["batch"] == batches[row["network"]]}
    contenders = dict.fromkeys(contender for contender, _ in cells)
    return [{"contender": contender, **{network: cells.get((contender, network)) for network in batches}} for contender in contenders]


def against_hardware(rows: Sequence[Row]) -> list[Row]:
    """A row a network, threads and batch: what MACs and roofline promise, what removal brings in each engine, and shares of the bound."""
    table = []
    for place in dict.fromkeys((row["network"], row["threads"], row["batch"]) for row in rows):
        found = {row["contender"]: row for row in rows if (row["network"], row["threads"], row["batch"]) == place}
        in_parts = next((name for name in found if name.startswith("compact in ")), "none")
        table.append({
            **dict(zip(("network", "threads", "batch"), place, strict=True)),
            "MACs promise": found["compact"]["by MACs"], "roofline promises": found["compact"]["by roofline"],
            "torch": found["compact"]["over its dense"], "torch in parts": _of(found, in_parts, "over its dense"),
            "onnxruntime": _of(found, "onnxruntime compact", "over its dense"),
            **{f"bound %, {name}": _of(found, name, "share of bound %") for name in OF_THE_BOUND}})
    return table


def picture(rows: Sequence[Row]) -> Figure:
    """By network what fewer MACs promise, what removal brings in each engine, and what zeros bring; largest batch, and one image."""
    few_threads = [row for row in rows if row["threads"] == rows[0]["threads"]]
    networks = list(dict.fromkeys(row["network"] for row in rows))
    figure = style.figure(1.5 + 0.32 * len(networks), "How many times as fast a network is without its removed units")
    for axes, which, name in zip(figure.subplots(1, 2, sharey=True), (max, min), ("the largest batch", "one image"), strict=True):
        for place, network in enumerate(networks):
            batch = which(row["batch"] for row in few_threads if row["network"] == network)
            found = {row["contender"]: row for row in few_threads if (row["network"], row["batch"]) == (network, batch)}
            axes.barh(place, found["compact"]["by MACs"] - 1, left=1, color=style.PALE, label="as its MACs promise")
            for contender, look in SHOWN.items():
                axes.plot(found[contender]["over its dense"], place, look.marker, color=look.color, markersize=7,
                          label="onnxruntime" if "onnx" in contender else "torch")
            axes.plot(found["masked dense"]["speed-up"], place, "|", color=style.BLACK, markersize=11, markeredgewidth=2,
                      label="zeros alone, in torch")
        axes.set(xscale="log", xlabel="times as fast as dense, in the same engine", title=name)
        style.log_ticks(axes.xaxis)
        axes.grid(visible=False, axis="y")
    figure.axes[0].set_yticks(range(len(networks)), networks)
    figure.axes[0].invert_yaxis()
    handles, names = figure.axes[0].get_legend_handles_labels()
    shown = dict(zip(names, handles, strict=True))
    figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=4)
    return figure


def _of(found: dict[str, Row], contender: str, column: str) -> float | None:
    return found[contender][column] if contender in found else None
