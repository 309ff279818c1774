"""Each figure of the page is that of its own network."""

import pytest

from stages.page import facts


def test_the_headline_names_what_went_what_it_brought_and_what_the_controls_lose(found):
    assert facts.sentence(found) == (
        "89 % of the hidden units went (400 to 45), a batch of 1,000 runs 8.2 times as fast, and 1.1 points of accuracy were lost; "
        "magnitude pruning to the same size loses 0.9 points, the same small network from scratch loses 2.2 points.")


def test_every_method_has_its_own_figures(found):
    of = found.methods
    assert {key: method.accuracy for key, method in of.items()} == {
        "dense": 95.6, "bayesian": 94.9, "compact": 94.0, "finetuned": 94.5, "magnitude": 94.7, "scratch": 93.4}
    assert {key: method.calibration_error for key, method in of.items() if method.calibration_error} == {
        "dense": 2.9, "bayesian": 1.6, "finetuned": 3.6}
    assert {key: (method.units, method.weights, method.macs) for key, method in of.items()} == {
        **dict.fromkeys(("dense", "bayesian"), (400, 266200, 266201)),
        **dict.fromkeys(("compact", "finetuned", "magnitude", "scratch"), (45, 17984, 17986))}
    assert (of["dense"].latency_ms[1000]["median"], of["finetuned"].latency_ms[1000]["median"]) == (3.7, 0.46)
    assert (of["dense"].kilobytes, of["finetuned"].kilobytes) == (1066.44, 72.156)
    assert [of[key].seconds for key in ("dense", "bayesian", "finetuned", "magnitude", "scratch")] == [2.5, 11.5, 3.5, 1.9, 7.1]


def test_the_headline_metrics_are_few_and_right(found):
    said = facts.headline(found)
    assert len(said) <= 15  # as dvc exp show and dvc metrics diff are read
    assert said == pytest.approx({
        "accuracy_dense": 95.6, "accuracy_bayesian": 94.9, "accuracy_cut": 94.0, "accuracy": 94.5, "validation_accuracy": 96.1,
        "accuracy_magnitude": 94.7, "accuracy_scratch": 93.4, "units_left": 45, "weights_left": 17984, "macs_left": 17986,
        "speedup": 8.2, "latency_ms": 0.46,
        "calibration_error": 3.6})


def test_points_gained_are_not_lost(run):
    run("prune", "accuracy_finetuned", 96.0)
    run("benchmark", "compact", {"accuracy": 96.0, "bytes": 1, "latency_ms_batch_1": {"median": 1}})
    assert ", and 0.4 points of accuracy were gained; magnitude" in facts.sentence(facts.read())


@pytest.mark.parametrize(("speedup", "said"), [
    (1.34, "runs 1.3 times as fast"),
    (1.02, "takes as long as before"), (0.98, "takes as long as before"), (0.5, "takes 2.0 times as long")])
def test_a_removal_that_does_not_pay_is_not_called_fast(run, speedup, said):
    run("benchmark", "speedup", {"batch_1000": {"median": speedup}})
    assert f"a batch of 1,000 {said}, and" in facts.sentence(facts.read())


def test_equal_accuracies_are_neither_lost_nor_gained(run):
    run("prune", "accuracy_finetuned", 95.58)
    run("benchmark", "compact", {"accuracy": 95.58, "bytes": 1, "latency_ms_batch_1": {"median": 1}})
    run("controls", "magnitude", {**facts.read().metrics["controls"]["magnitude"], "accuracy": 95.6})
    run("controls", "scratch", {**facts.read().metrics["controls"]["scratch"], "accuracy": 96.1})
    assert facts.sentence(facts.read()).endswith(
        "and no accuracy was lost; magnitude pruning to the same size loses none, the same small network from scratch gains 0.5 points.")


def test_a_network_that_lost_nothing_is_said_to_be_whole(run):
    run("prune", "hidden_left", 400)
    run("prune", "nonzeros_left", 266200)
    assert facts.sentence(facts.read()).startswith("Nothing went: all 400 hidden units and 266,200 weights stay, ")


def test_inputs_that_left_are_in_the_headline(run):
    run("prune", "inputs_removed_percent", 61.2)
    assert "(400 to 45), 61 % of the inputs are not read any more, a batch" in facts.sentence(facts.read())


def test_single_weights_are_the_headline_where_no_unit_went(run):
    run("prune", "hidden_left", 400)
    assert facts.sentence(facts.read()).startswith("93.2 % of the weights went (266,200 to 17,984), ")


@pytest.mark.parametrize(("stage", "key", "value"), [
    ("sweep", "dense", {"accuracy": 98.0}), ("uncertainty", "compact", {"accuracy": 90.0}),
    ("controls", "scratch", {"accuracy": 93.4, "weights_left": 5})])
def test_what_another_run_left_behind_is_left_out_with_a_line(run, capsys, stage, key, value):
    run(stage, key, value)
    assert stage not in facts.read().metrics
    assert capsys.readouterr().err.startswith(f"left out: metrics/{stage}.json is of another run (")


def test_what_was_not_run_is_left_out(run, tmp_path):
    for name in ("controls", "benchmark", "uncertainty", "sweep"):
        (tmp_path / "metrics" / f"{name}.json").unlink()
    found = facts.read()
    assert facts.sentence(found) == "89 % of the hidden units went (400 to 45), and 1.1 points of accuracy were lost."
    assert "speedup" not in facts.headline(found)


def test_a_file_that_is_missing_or_damaged_is_named(run, tmp_path):
    (tmp_path / "plots" / "units.csv").unlink()
    with pytest.raises(facts.FileError, match=r"plots/units.csv does not exist"):
        facts.read()
    (tmp_path / "metrics" / "prune.json").write_text("{")
    with pytest.raises(facts.FileError, match=r"metrics/prune.json holds no figures of prune"):
        facts.read()
