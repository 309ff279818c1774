"""From experiments to rows, from rows to tables: every figure against one that was worked out by hand."""

import pandas as pd
import pytest
import yaml

from experiments import collect, headlines, recipes, results, sweeps, tables
from sparsify.settings import InputError

COUNTS = dict(zip(collect.COUNTS, (60, 400, 784, 100, 1000, 50, 90, 900), strict=True))


def experiment():
    params = recipes.composed("recipe=smoke", "seed=2", "prior.kind=gate", "baseline.epochs=10", "bayesian.train.epochs=20",
                              "finetune.train.epochs=30")
    metrics = {"baseline": {"accuracy": 98.5, "seconds": 1.0}, "bayesian": {"seconds": 2.0},
               "prune": {**COUNTS, "accuracy_finetuned": 98.0, "seconds": 4.0, "device": "cpu", "torch": "2"},
               "controls": {"magnitude": {**COUNTS, "hidden_left": 61, "accuracy": 97.0, "epochs": 30, "seconds": 8.0},
                            "scratch": {**COUNTS, "accuracy": 97.5, "epochs": 60, "seconds": 16.0}}}
    return params, metrics


def table(**columns):
    rows = max(len(value) for value in columns.values() if isinstance(value, list))
    base = dict.fromkeys(collect.COLUMNS, 0) | COUNTS | {"recipe": "r", "overrides": "", "method": "gate", "accuracy_dense": 98.5} | columns
    return pd.DataFrame({key: value if isinstance(value, list) else [value] * rows for key, value in base.items()})


def test_an_experiment_gives_its_prior_and_both_controls_with_all_their_epochs_and_seconds():
    rows = list(collect.rows(*experiment(), "", "abc"))
    assert [(row["method"], row["accuracy"], row["epochs"], row["seconds"], row["hidden_left"]) for row in rows] == [
        ("gate", 98.0, 60, 7.0, 60), ("magnitude", 97.0, 40, 9.0, 61), ("scratch", 97.5, 60, 16.0, 60)]
    assert all(set(row) == set(collect.COLUMNS) for row in rows)
    assert {(row["recipe"], row["seed"], row["accuracy_dense"], row["commit"]) for row in rows} == {("smoke", 2, 98.5, "abc")}


def test_an_experiment_of_other_code_has_no_rows():
    params, metrics = experiment()
    del params["prior"]["beta"]
    with pytest.raises(InputError, match=r"prior\.beta is missing"):
        list(collect.rows(params, metrics, "", "abc"))


def test_an_experiment_from_before_a_key_came_is_one_with_the_key_at_rest():
    params, _ = experiment()
    params["bayesian"]["distill"] = 0.0  # the smoke recipe has it on
    before = params | {"bayesian": {key: value for key, value in params["bayesian"].items() if key not in ("distill", "temperature")}}
    assert collect.brought_up(before) == collect.brought_up(params)
    assert collect.fingerprint(before) == collect.fingerprint(params)
    assert collect.fingerprint(before) != collect.fingerprint(params | {"bayesian": params["bayesian"] | {"distill": 0.5}})


def test_an_experiment_that_augmented_is_one_that_shifted_and_flipped():
    params = recipes.composed("recipe=cifar10-vgg16")
    def before(train):
        return {key: value for key, value in train.items() if key not in ("shift", "flip")} | {"augment": train["flip"]}
    old = params | {"baseline": before(params["baseline"])} | {
        section: params[section] | {"train": before(params[section]["train"])} for section in ("bayesian", "finetune", "sweep")}
    assert old["baseline"]["augment"] is True
    assert collect.brought_up(old) == collect.brought_up(params)


def test_where_a_teacher_lay_leaves_no_trace_and_its_name_does():
    params, _ = experiment()
    def taught(path):
        return params | {"finetune": params["finetune"] | {"teacher": path}}
    assert collect.brought_up(taught("/a/teacher.safetensors")) == collect.brought_up(taught("models/teacher.safetensors"))
    assert collect.fingerprint(taught("models/teacher.safetensors")) != collect.fingerprint(params)
    before = params | {"finetune": {key: value for key, value in params["finetune"].items() if key not in ("teacher", "regrow")}}
    assert collect.fingerprint(before) == collect.fingerprint(params)


def test_a_mirror_of_a_named_data_set_leaves_no_trace_and_a_folder_of_ones_own_does():
    params, _ = experiment()
    elsewhere = params | {"data": params["data"] | {"path": "/a/mirror"}}
    assert collect.brought_up(elsewhere) == collect.brought_up(params)
    assert collect.fingerprint(elsewhere) == collect.fingerprint(params)
    one, other = (collect.fingerprint(params | {"data": params["data"] | {"name": "folder", "path": path}}) for path in ("a", "b"))
    assert one != other


def test_overrides_are_what_differs_from_the_recipe_and_decides_its_figures():
    recipe = {"seed": 1, "prior": {"kind": "gate", "beta": 0.5}, "sweep": {"shares": [0]}, "bayesian": {"train": {"epochs": 3, "lr": 1}}}
    params = {"seed": 2, "prior": {"kind": "mixture", "beta": 0.5}, "sweep": {"shares": [1]}, "bayesian": {"train": {"epochs": 4}},
              "new": 1}
    assert collect.overrides(params, recipe) == ["prior.kind=mixture", "bayesian.train.epochs=4", "bayesian.train.lr=null", "new=1"]
    assert collect.overrides(recipe, recipe) == []


def test_a_fingerprint_is_of_what_decides_the_figures_but_for_the_seed():
    params, _ = experiment()
    assert collect.fingerprint(params) == collect.fingerprint(params | {"seed": 3, "sweep": {"shares": [1]}})
    assert collect.fingerprint(params) != collect.fingerprint(params | {"prior": {"kind": "gate", "beta": 2}})


def test_an_experiment_counts_if_all_its_stages_ran_with_its_parameters():
    params = {"seed": 2, "prune": {"inputs": False}, "controls": {"methods": []}}
    def stage(**ran):
        return {"params": {"params.yaml": ran}}
    stages = {"train_baseline": stage(seed=2), "train_bayesian": stage(**{"prune.inputs": False}), "prune": stage(prune={"inputs": False}),
              "controls": stage(controls={"methods": []})}
    assert collect.was_run(params, {"stages": stages})
    assert not collect.was_run(params, {"stages": stages | {"controls": stage(seed=1)}})
    assert not collect.was_run(params, {"stages": {name: stage for name, stage in stages.items() if name != "prune"}})


def test_a_newer_row_takes_the_place_of_its_like_and_all_others_stay():
    old, new = table(seed=[1, 2], accuracy=[97.0, 97.5]), table(seed=[2, 3], accuracy=[98.0, 98.5])
    assert collect.merged(old, new)[["seed", "accuracy"]].to_numpy().tolist() == [[1, 97.0], [2, 98.0], [3, 98.5]]
    assert len(collect.merged(old, new.assign(settings="others"))) == 4
    assert collect.merged(pd.DataFrame(columns=collect.COLUMNS), new)["seed"].tolist() == [2, 3]


def test_rows_of_a_recipe_that_has_changed_or_gone_are_no_longer_current():
    assert collect._settings("smoke", "prior.beta=2") == collect.fingerprint(recipes.composed("recipe=smoke", "prior.beta=2"))
    assert collect._settings("smoke", "") != collect._settings("smoke", "prior.beta=2")
    assert collect._settings("never was", "") == "none"


@pytest.mark.parametrize(("target", "expected"), [
    ({"accuracy": 98.0}, True), ({"accuracy": 98.01}, False), ({"drop": 0.5}, True), ({"drop": 0.49}, False),
    ({"hidden_removed": 85}, True), ({"hidden_removed": 85.1}, False), ({"weights_left": 100}, True), ({"weights_left": 99}, False),
    ({"macs_left": 90}, True), ({"macs_left": 89}, False),
    ({"compression": 20}, True), ({"compression": 20.1}, False), ({"accuracy": 98.0, "weights_left": 99}, False)])
def test_a_target_is_reached_by_the_mean_over_the_seeds(target, expected):
    assert results.reached(table(accuracy=[97.9, 98.1]), target) is expected


def test_headlines_count_the_prior_of_the_recipe_itself_alone():
    others = [table(accuracy=[99.0], method="scratch"), table(accuracy=[99.0], overrides="prior.beta=1")]
    rows = pd.concat([table(accuracy=[98.0, 98.2]), *others])
    row = {"recipe": "r", "left": "nonzeros_left", "points": [["A*", 1200, 98.0], ["B", 70, 97.5], ["C", 1, 1]],
           "reach": {"hidden_removed": 80, "accuracy": 98.1}, "aim": {"accuracy": 99}}
    _, ours, missing = results.headlines(rows, [row, row | {"recipe": "never run", "reach": {"accuracy": 99}, "points": []}])
    assert ours == ["`r`", "50 non-zeros of 1,000", "98.10 ± 0.14", "98.50", "2", "A* 1,200 at 98.0; B 70 at 97.5",
                    "≥ 80 % of units gone, ≥ 98.1 %: **yes**"]
    assert missing == ["`never run`", "not run", "", "", "0", "", "≥ 99 %"]
    _, short = results.headlines(rows, [row | {"reach": {"accuracy": 98.2}}])
    assert short[6] == "≥ 98.2 %: **no**"


def test_a_taught_recipe_stands_below_its_own_with_the_same_figures_asked_for():
    rows = pd.concat([table(accuracy=[98.0]), table(accuracy=[97.3, 99.3], recipe="r-taught")])
    row = {"recipe": "r", "taught": "r-taught", "panel": "A network", "left": "nonzeros_left", "points": [["A", 1200, 98.0]],
           "reach": {"accuracy": 98.1}}
    _, own, taught = results.headlines(rows, [row])
    assert (own[0], own[2], own[5:]) == ("`r`", "98.00", ["A 1,200 at 98.0", "≥ 98.1 %: **no**"])
    assert (taught[0], taught[2], taught[5:]) == ("`r-taught`", "98.30 ± 1.41", ["A 1,200 at 98.0", "≥ 98.1 %: **yes**"])
    drawn = headlines.picture({name: results.of_recipe(rows, name) for name in headlines.recipes(row)}, [row])
    low, high = drawn.axes[0].get_ylim()
    assert low < 98.3 - 1.42 and high > 98.3 + 1.42  # the bar of the deviation is whole
    names = {text.get_text() for text in drawn.axes[0].texts}
    assert {"ours, taught", "A"} <= names and any(name.startswith("ours (") for name in names)


def test_comparison_has_a_line_a_method_with_the_controls_last():
    rows = pd.concat([table(accuracy=[97.0], method="scratch", seconds=120), table(accuracy=[98.0], method="gate", seconds=60)])
    lines = results.comparison(rows)[1:]
    assert [(line[1], line[4], line[5], line[11]) for line in lines] == [
        ("gate", "98.00", "60 of 400", "1.0"), ("scratch at gate's size", "97.00", "60 of 400", "2.0")]


def test_a_text_takes_the_place_of_the_one_between_its_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- made: a -->\nold\n<!-- end -->\nafter")
    tables.filled(page, {"a": tables.markdown([["x", "y"], ["1", "2"]])})
    assert page.read_text() == "before\n<!-- made: a -->\n\n| x | y |\n| --- | --- |\n| 1 | 2 |\n\n<!-- end -->\nafter"
    with pytest.raises(InputError, match="made: b"):
        tables.filled(page, {"b": "text"})


def test_sentences_of_a_sweep_say_where_the_plateaus_end_and_what_validation_and_the_prior_choose():
    point = {"share": 80.0, "accuracy": 97.123, "accuracy_std": 0.05, "speedup": 4.24}
    curves = {"pruned": {"plateau_percent": None}, "recovered": {"plateau_percent": 70.0, "within_drop": point, "lossless": {}}}
    sweep = {"dense": {"accuracy": 98.5}, "weights": curves, "units": curves, "seeds": 3, "threads": 1, "device": "cpu", "torch": "2",
             "seconds": 90}
    others = {"prune": {"hidden_removed_percent": 94.12, "accuracy_finetuned": 98.4},
              "benchmark": {"speedup": {"batch_1000": {"median": 12.34}, "batch_64": {"median": 99.0}}}}
    text = sweeps.sentences("r", "there", {"sweep": sweep, **others})
    for claim in ("Dense 98.50 %", "nowhere as pruned and 70 %", "lost 80 % of its units: 97.12 ± 0.05 %", "runs 4.2 times", " 90 s.",
                  "loses nothing on validation: there is none", "](there/sweep.png)", "lost 94.1 %, and ends at 98.40 %",
                  "in batches of 1,000, it is 12.3 times"):
        assert claim in text
    lossless = {**curves, "recovered": curves["recovered"] | {"lossless": point | {"share": 25.0}}}
    text = sweeps.sentences("r", "there", {"sweep": sweep | {"units": lossless}, **others})
    assert "loses nothing on validation has lost 25 %" in text


def test_a_run_that_is_not_the_recipe_itself_is_not_kept_as_its():
    with pytest.raises(InputError, match=r"params.yaml is of default, .* run dvc exp run -S recipe=smoke first"):
        recipes.keep("smoke", "metrics/prune.json")


def test_a_file_whose_stage_did_not_run_with_the_present_parameters_is_not_kept(monkeypatch):
    monkeypatch.setattr(recipes, "composed", lambda *_: recipes._params() | {"seed": 7})  # another seed is no other recipe
    monkeypatch.setattr(recipes.Repo, "status", lambda self, targets: {"prune": [targets]})
    with pytest.raises(InputError, match="prune did not run with the present parameters"):
        recipes.keep("default", "metrics/prune.json")


def test_every_published_row_names_a_recipe_and_measures_that_are_known():
    for row in yaml.safe_load(results.PUBLISHED.read_text()):
        assert all((collect.TOP / "conf" / "recipe" / f"{name}.yaml").is_file() for name in headlines.recipes(row))
        assert set(row["reach"]) | set(row["aim"]) <= set(results.MEASURES)
