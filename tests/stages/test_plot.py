"""Each picture of a run says what the tables and metrics say: a pair that is swapped in the drawing shows here."""

import pandas as pd
import pytest
from legible import legible, lines, named
from matplotlib.colors import to_hex

from stages import plot, style

PRUNED = {"threshold": 1.0, "hidden_removed_percent": 75.0, "compression_nonzeros": 5.0, "accuracy_compact": 91.0,
          "accuracy_finetuned": 93.0, "hidden_left": 100, "hidden_total": 400}
METRICS = {"baseline": {"accuracy": 95.0}, "bayesian": {"accuracy": 94.0}, "prune": PRUNED,
           "controls": {"magnitude": {"accuracy": 92.0}, "scratch": {"accuracy": 90.0}}}
SCAN = pd.DataFrame({"threshold": [3.0, 2.0, 1.0, 0.0], "hidden_removed_percent": [0.0, 50.0, 75.0, 90.0],
                     "weights_removed_percent": [0.0, 60.0, 80.0, 95.0], "validation_accuracy": [96.0, 95.9, 95.5, 88.0]})


def test_every_network_stands_at_its_own_test_accuracy_under_its_own_name():
    _, results = legible(plot.accuracy_against_sparsity(METRICS, SCAN, "a title")).axes
    values = {"dense": (95, style.DENSE), "Bayesian": (94, style.BAYESIAN), "compact, as cut": (91, style.COMPACT),
              "compact, fine-tuned": (93, style.COMPACT), "magnitude, same size": (92, style.MAGNITUDE),
              "scratch, same size": (90, style.SCRATCH)}
    names = [label.get_text() for label in results.get_yticklabels()]
    points = {names[int(line.get_ydata()[0])]: (line.get_xdata()[0], to_hex(line.get_color()).upper()) for line in results.get_lines()}
    assert points == {name: (value, look.color) for name, (value, look) in values.items()}
    written = {names[int(text.xy[1])]: text.get_text() for text in results.texts}
    assert written == {name: f"{value:.2f}" for name, (value, _) in values.items()}
    assert results.get_title(loc="right") == "What came out: 100 of 400 hidden units,\n1 of 5 weights"


def test_the_scan_is_drawn_against_what_is_left_and_the_cut_is_marked_on_it():
    choice, _ = plot.accuracy_against_sparsity(METRICS, SCAN, "a title").axes
    for name, color, left, cut in (("hidden units", style.BLUE, [100, 50, 25, 10], 25), ("weights", style.VERMILION, [100, 40, 20, 5], 20)):
        curve, triangle = lines(choice, color)
        assert curve == [pytest.approx(left), [96.0, 95.9, 95.5, 88.0]]
        assert triangle == [[pytest.approx(cut)], [95.5]]
        assert named(choice)[name] == (pytest.approx(left[-1]), 88.0, color.lower())
    assert choice.get_xlim()[0] > choice.get_xlim()[1]


def test_controls_that_were_not_run_are_left_out():
    figure = legible(plot.accuracy_against_sparsity(METRICS | {"controls": {}}, SCAN, ""))
    assert len(figure.axes[1].get_yticklabels()) == 4


def curve(accuracy, epochs=3, **terms):
    return pd.DataFrame({"epoch": range(1, epochs + 1), **{name: [value] * epochs for name, value in terms.items()},
                         "validation_accuracy": [accuracy - 1.0] * (epochs - 1) + [accuracy], "seconds": 1.0})


@pytest.mark.parametrize("target", [{}, {"beta": 0.02, "expected_size_percent": 30.0}])
def test_training_curves_are_those_of_their_phase_and_terms_are_named_at_their_ends(target):
    curves = {"baseline": curve(95, nll=0.1), "bayesian": curve(94, 6, nll=0.2, kl=0.7, **target),
              "finetune": curve(93, 4, nll=0.03, distillation=0.4)}
    figure = legible(plot.training_curves(curves, "a title"))
    panels = {axes.get_label(): axes for axes in figure.axes}
    for phase, title in (("baseline", "dense"), ("bayesian", "Bayesian"), ("finetune", "fine-tuning")):
        accuracy, terms = panels[f"accuracy {phase}"], panels[f"terms {phase}"]
        assert accuracy.get_title(loc="left") == title
        [drawn] = lines(accuracy)
        assert drawn == [list(curves[phase]["epoch"]), list(curves[phase]["validation_accuracy"])]
        ends = {name: end[:2] for name, end in named(terms).items()}
        assert ends == {term: (len(curves[phase]), curves[phase][term].iloc[-1]) for term in plot.TERMS if term in curves[phase]}
    for column, value in target.items():
        assert lines(panels[column]) == [[[1, 2, 3, 4, 5, 6], [value] * 6]]


@pytest.mark.filterwarnings("error")  # of a layout that cannot be made
def test_trainings_of_one_epoch_are_dots_and_a_kl_of_nothing_has_no_name():
    curves = {"baseline": curve(95, 1, nll=0.1), "bayesian": curve(94, 1, nll=0.2, kl=0.0), "finetune": curve(93, 1, nll=0.03)}
    figure = legible(plot.training_curves(curves, "a title"))
    assert all(line.get_marker() == "." for axes in figure.axes for line in axes.get_lines())
    [terms] = [axes for axes in figure.axes if axes.get_label() == "terms bayesian"]
    assert named(terms).keys() == {"nll"}


def test_the_bars_of_units_are_as_long_as_what_was_kept():
    figure = legible(plot.units_kept(pd.DataFrame({"layer": ["fc1", "fc2"], "total": [300, 1000], "kept": [30, 900]}), "a title"))
    axes, = figure.axes
    kept = [bar.get_width() for bar in axes.patches if to_hex(bar.get_facecolor()).upper() == style.COMPACT.color]
    assert kept == [10, 90]
    assert [text.get_text() for text in axes.texts] == ["30 of 300", "900 of 1,000"]


def test_latency_has_the_times_of_each_network_and_how_many_times_as_fast_the_compact_one_is():
    rows = [{"engine": engine, "network": network, "batch": batch, "threads": 1, "median": ms, "q25": ms - 0.2, "q75": ms + 0.4}
            for batch, scale in ((1, 1.0), (100, 10.0)) for engine, dense, compact in (("eager", 8.0, 2.0), ("int8", 3.0, 6.0))
            for network, ms in (("dense", dense * scale), ("compact", compact * scale))]
    figure = legible(plot.latency(pd.DataFrame(rows), "a title"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["batch of 1", "batch of 100"]
    for axes, scale in zip(figure.axes, (1, 10), strict=True):
        assert lines(axes, style.DENSE.color)[0] == [[8 * scale, 3 * scale], [0, 1]]
        assert lines(axes, style.COMPACT.color)[0] == [[2 * scale, 6 * scale], [0, 1]]
        assert [text.get_text() for text in axes.texts] == ["4x", "0.5x"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["eager, 1 thread", "int8, 1 thread"]
    named_so = {text.get_text(): to_hex(handle.lines[0].get_color()).upper() for handle, text in zip(
        figure.axes[0].get_legend_handles_labels()[0], figure.legends[0].get_texts(), strict=True)}
    assert named_so == {"dense": style.DENSE.color, "compact, and how many times as fast": style.COMPACT.color}


def test_curves_of_rejection_are_those_of_their_network():
    table = pd.DataFrame({"rejected_percent": [0, 50, 90], "dense": [95.0, 98.0, 99.0], "bayesian_mean": [94.0, 97.0, 98.5],
                          "bayesian_samples": [94.5, 98.5, 99.5], "compact": [93.0, 96.0, 98.0]})
    axes, = legible(plot.rejection(table, "a title")).axes
    for name, column, look, line in (("dense", "dense", style.DENSE, "-"), ("Bayesian, sampled", "bayesian_samples", style.BAYESIAN, "-"),
                                     ("Bayesian, mean weights\n(dashed)", "bayesian_mean", style.BAYESIAN, "--"),
                                     ("compact, fine-tuned", "compact", style.COMPACT, "-")):
        assert lines(axes, look.color, line) == [[[0, 50, 90], list(table[column])]]
        assert named(axes)[name] == (90, table[column].iloc[-1], look.color.lower())


def test_where_nothing_is_wrong_any_more_the_curves_end():
    table = pd.DataFrame({"rejected_percent": [0, 50, 90], **{name: [90.0, 100.0, 100.0] for name in plot.REJECTION}})
    axes, = legible(plot.rejection(table, "a title")).axes
    assert all(x == [0, 50] for x, _ in lines(axes))
