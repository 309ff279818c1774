"""The recovery that params.yaml asks for: whether zeros move, and who teaches, which may be another network than the dense one, if it has
learnt from the same examples."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from test_recipes import compose
from torch import nn

import sparsify
from sparsify import data, models
from sparsify.settings import InputError
from stages import controls, networks, params, prune, recovery, runtime, train_baseline, train_bayesian

REPO, PARAMS, TEACHER = Path(__file__).parents[2], Path("params.yaml"), Path("teacher.safetensors")
QUICK = ("recipe=smoke", "finetune.distill=0.9", "finetune.train.shift=1", "controls.methods=[magnitude]", "prune.threshold=9")


def prepare(*overrides: str, split_seed: int = 0) -> None:
    compose(PARAMS, *QUICK, *overrides)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (120, 1, 28, 28), dtype=torch.uint8, generator=generator)
    data.save(runtime.DATASET, data.Raw(images, torch.arange(120) % 10), data.Raw(images, torch.arange(120) % 10), 20, split_seed)


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def taught(*overrides: str) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The network that prune makes, and the figures of its control by magnitude."""
    prepare(*overrides)
    runtime.main(prune.prune)
    runtime.main(controls.controls)
    return sparsify.load(runtime.COMPACT).state_dict(), json.loads((runtime.METRICS / "controls.json").read_text())["controls"]["magnitude"]


def loaded() -> nn.Module:
    chosen, dataset = params.load(), data.load(runtime.DATASET)
    return recovery.teacher_of(chosen, networks.load(runtime.BASELINE, networks.architecture(chosen, dataset)), dataset)


def test_another_network_teaches_what_prune_and_controls_make(monkeypatch):
    prepare("model.name=lenet5", "model.width=0.1", "baseline.shift=2")
    runtime.main(train_baseline.train_baseline)
    shutil.move(runtime.BASELINE, TEACHER)
    prepare()
    runtime.main(train_baseline.train_baseline)
    runtime.main(train_bayesian.train_bayesian)
    shutil.copy(runtime.BASELINE, "same.safetensors")
    state, states = runtime.training_state, []
    monkeypatch.setattr(runtime, "training_state", lambda *given: states.append(given) or state(*given))
    own, same, other = (taught(*teacher) for teacher in ((), ("finetune.teacher=same.safetensors",), (f"finetune.teacher={TEACHER}",)))
    assert all(torch.equal(own[0][name], same[0][name]) for name in own[0])
    assert not torch.equal(own[0]["fc1.weight"], other[0]["fc1.weight"])
    assert own[1]["nll"] == same[1]["nll"] != other[1]["nll"]
    assert hasattr(loaded(), "conv1")  # of LeNet-5
    assert all(Path(given[1].finetune.teacher) in given for given in states) and len(states) == 9  # no state outlives its teacher


def test_what_recovers_depends_on_the_teacher():
    recovering = [stage for stage in yaml.safe_load((REPO / "dvc.yaml").read_text())["stages"].values()
                  if "stages/recovery.py" in stage["deps"]]
    assert len(recovering) == 3
    for stage in recovering:
        assert "${finetune.teacher}" in stage["deps"] and {"finetune", "finetune.teacher"} & set(stage["params"])


def test_zeros_move_in_the_recovery_of_what_is_left_and_of_the_controls_and_stay_in_the_sweeps():
    prepare("finetune.regrow=0.3")
    chosen, dataset = params.load(), data.load(runtime.DATASET)
    dense = networks.architecture(chosen, dataset).build()
    assert recovery.recovery_of(chosen, dense, dataset).regrow == 0.3
    assert recovery.recovery_of(chosen, dense, dataset, chosen.sweep.train).regrow == 0.0


def test_a_teacher_may_be_of_the_network_that_model_name_names_and_of_no_other_code(monkeypatch):
    Path("own.py").write_text("from torch.nn import *\ndef network(n_classes):\n    return Sequential(Flatten(), Linear(784, n_classes))\n")
    Path("other.py").write_text("raise SystemExit('it was imported')\n")
    monkeypatch.syspath_prepend(Path.cwd())
    mine = ("model.name=own:network", "model.width=1", "model.path=own.py", f"finetune.teacher={TEACHER}")
    prepare(*mine)
    runtime.main(train_baseline.train_baseline)
    shutil.copy(runtime.BASELINE, TEACHER)
    assert torch.equal(loaded()[1].weight, sparsify.load(TEACHER, models.Architecture("own:network", (1, 28, 28), 10).build())[1].weight)
    save(loaded(), architecture=models.Architecture("other:network", (1, 28, 28), 10))
    with pytest.raises(InputError, match="holds a Sequential, which is no built-in network"):
        loaded()


def save(network: nn.Module, **about) -> None:
    sparsify.save(network, TEACHER, **about)


def built(name: str, shape: tuple[int, ...], n_classes: int) -> None:
    architecture = models.Architecture(name, shape, n_classes)
    save(architecture.build(), architecture=architecture)


def broken() -> None:
    architecture = models.Architecture("lenet5", (1, 28, 28), 10)
    network = architecture.build()
    network.state_dict()["fc2.bias"].fill_(torch.nan)
    save(network, architecture=architecture)


@pytest.mark.parametrize(("make", "words"), [
    (lambda: TEACHER.write_text("no network"), "and a safetensors file"),
    (lambda: None, "is no file"),
    (TEACHER.mkdir, "is no file"),
    (lambda: built("lenet5", (1, 28, 28), 7), r"the teacher answers with \(7,\) to an input, and the model with \(10,\)"),
    (broken, "answers about the training inputs with NaN"),
    (lambda: built("resnet20", (3, 32, 32), 10), "the teacher cannot answer about the training inputs"),
    (lambda: save(nn.Sequential(nn.Flatten(), nn.Linear(784, 10))), "holds a Sequential, which is no built-in network"),
], ids=["no network", "no file", "a folder", "other classes", "not a number", "other inputs", "a class of one's own"])
def test_what_cannot_teach_is_refused(make, words):
    prepare()
    runtime.main(train_baseline.train_baseline)
    make()
    prepare(f"finetune.teacher={TEACHER}")
    said = rf"^finetune\.teacher, teacher\.safetensors: .*{words}.*; name the file of a network that a stage or sparsify"
    with pytest.raises(InputError, match=said):
        loaded()


def test_a_teacher_that_may_have_seen_the_validation_examples_is_refused():
    prepare(split_seed=1)
    runtime.main(train_baseline.train_baseline)
    shutil.move(runtime.BASELINE, TEACHER)
    prepare(f"finetune.teacher={TEACHER}")
    runtime.main(train_baseline.train_baseline)
    with pytest.raises(InputError, match=r"was trained on other data \(std differ\), not with the same `data`"):
        loaded()
