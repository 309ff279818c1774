"""Which batch size, precision and length of training reach a target soonest: the training stages of a recipe, run in each setting.

    python -m benchmarks.schedule --recipe mnist-lenet-300-100 --target-accuracy 97.9 --target-hidden 80

Works on the data that `download` last wrote. The target is the accuracy, on validation, of the compact network, and how many hidden
units it may have left. The learning rates grow with the square root of the batch."""

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks import report
from sparsify.settings import build
from stages import compose, params, reading, runtime

TOP = Path(__file__).parent.parent
SECTIONS = {"baseline": "baseline", "bayesian": "bayesian.train", "finetune": "finetune.train"}
STAGES = {"train_baseline": "baseline", "train_bayesian": "bayesian", "prune": "prune"}


def setting(recipe: params.Params, batch_size: int, length: float, precision: str) -> list[str]:
    """The overrides that train the networks so."""
    overrides = [f"bayesian.kl_warmup_epochs={recipe.bayesian.kl_warmup_epochs * length:g}"]
    for key, train in zip(SECTIONS.values(), (recipe.baseline, recipe.bayesian.train, recipe.finetune.train), strict=True):
        rate = train.lr * math.sqrt(batch_size / train.batch_size)
        overrides += [f"{key}.batch_size={batch_size}", f"{key}.lr={rate:.4g}", f"{key}.epochs={max(1, round(train.epochs * length))}"]
    return [*overrides, *(f"{SECTIONS[name]}.precision={precision}" for name in ("baseline", "bayesian"))]  # recovery stays as it is


def trial(*overrides: str) -> dict[str, dict[str, Any]]:
    """The metrics of the training stages, run one after another in a folder of their own.  by stage"""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "params.yaml").write_text(reading.written(compose.composed(*overrides, conf=TOP / "conf")))
        (folder / "data").symlink_to((TOP / "data").resolve())
        for stage in STAGES:
            done = subprocess.run([sys.executable, "-m", f"stages.{stage}"], cwd=folder, env=os.environ | {"PYTHONPATH": str(TOP)},
                                  stderr=subprocess.PIPE, text=True)
            if done.returncode:
                sys.exit(f"error: {stage} failed with {' '.join(overrides)}:\n{done.stderr}")
        return {key: json.loads((folder / runtime.METRICS / f"{key}.json").read_text())[key] for key in STAGES.values()}


def row(metrics: dict[str, dict[str, Any]], target_accuracy: float, target_hidden: int) -> report.Row:
    pruned = metrics["prune"]
    accuracy, hidden = pruned["validation_accuracy_finetuned"], pruned["hidden_left"]
    return {**{f"{key} s": metrics[key]["seconds"] for key in STAGES.values()},
            "seconds": sum(metrics[key]["seconds"] for key in STAGES.values()),
            "dense %": metrics["baseline"]["validation_accuracy"], "compact %": accuracy, "hidden left": hidden,
            "weights left": pruned["weights_left"], "target": "reached" if accuracy >= target_accuracy and hidden <= target_hidden else ""}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="mnist-lenet-300-100")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--lengths", type=float, nargs="+", default=[0.5, 1.0], help="of all three trainings, times the recipe's")
    parser.add_argument("--precisions", nargs="+", default=["bfloat16"])
    parser.add_argument("--target-accuracy", type=float, required=True, help="percent, on validation")
    parser.add_argument("--target-hidden", type=int, required=True, help="hidden units left, at most")
    arguments = parser.parse_args()
    recipe = build(params.Params, compose.composed(f"recipe={arguments.recipe}", conf=TOP / "conf"))
    about = report.provenance(recipe=arguments.recipe, seed=recipe.seed, target_accuracy=arguments.target_accuracy,
                              target_hidden=arguments.target_hidden)
    rows = []
    for length, batch_size, precision in itertools.product(arguments.lengths, arguments.batch_sizes, arguments.precisions):
        metrics = trial(f"recipe={arguments.recipe}", *setting(recipe, batch_size, length, precision))
        rows.append({"batch": batch_size, "length": length, "precision": precision,
                     **row(metrics, arguments.target_accuracy, arguments.target_hidden)})
        print(yaml.safe_dump([dict(rows[-1])], default_flow_style=True, width=1000).strip(), flush=True)
    print(about, report.table(rows), sep="\n")
    report.write(f"schedule-{arguments.recipe}", about, rows)


if __name__ == "__main__":
    main()
