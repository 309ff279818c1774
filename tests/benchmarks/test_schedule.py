"""What a trial changes in a recipe, and when it has reached its target."""

import math

import pytest

from benchmarks import schedule
from sparsify.settings import build
from stages import compose
from stages.params import Params


def smoke(*overrides):
    return build(Params, compose.composed("recipe=smoke", *overrides, conf=schedule.TOP / "conf"))


def test_a_setting_changes_batch_length_and_rate_of_all_trainings_and_precision_of_two():
    recipe = smoke("bayesian.kl_warmup_epochs=3", "finetune.train.epochs=1")
    changed = smoke(*schedule.setting(recipe, 512, 0.5, "bfloat16"))
    for before, after in ((recipe.baseline, changed.baseline), (recipe.bayesian.train, changed.bayesian.train),
                          (recipe.finetune.train, changed.finetune.train)):
        assert (after.batch_size, after.epochs) == (512, max(1, round(before.epochs / 2)))
        assert after.lr == pytest.approx(before.lr * math.sqrt(512 / before.batch_size), rel=1e-3)
    assert changed.bayesian.kl_warmup_epochs == pytest.approx(recipe.bayesian.kl_warmup_epochs / 2)
    precisions = [changed.baseline.precision, changed.bayesian.train.precision, changed.finetune.train.precision]
    assert precisions == ["bfloat16", "bfloat16", "float32"]


@pytest.mark.parametrize(("accuracy", "hidden", "expected"), [(98.0, 80, "reached"), (97.9, 80, ""), (98.0, 81, "")])
def test_a_target_needs_the_accuracy_and_the_size(accuracy, hidden, expected):
    metrics = {"baseline": {"seconds": 1.0, "validation_accuracy": 98.5}, "bayesian": {"seconds": 2.0},
               "prune": {"seconds": 4.0, "validation_accuracy_finetuned": accuracy, "hidden_left": hidden, "weights_left": 9}}
    row = schedule.row(metrics, 98.0, 80)
    assert (row["seconds"], row["target"]) == (7.0, expected)
