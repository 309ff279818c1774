"""What a user can mend is one line and exit status 1, whichever stage meets it, and nothing is left half-written."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from test_recipes import compose

from sparsify import data
from sparsify.data import Raw
from stages import benchmark, controls, download, export, plot, prune, runtime, sweep, train_baseline, train_bayesian, uncertainty

REPO = Path(__file__).parents[2]
PARAMS = Path("params.yaml")
QUICK = ("recipe=smoke", "model.name=lenet-300-100", "model.width=0.2", "prior.kind=gaussian",
         "baseline.epochs=1", "bayesian.train.epochs=1", "finetune.train.epochs=1")


def prepare(*overrides: str) -> None:
    """params.yaml and a small data set in the working directory."""
    compose(PARAMS, *QUICK, *overrides)
    train, test = (Raw(torch.randint(0, 256, (n, 1, 28, 28), dtype=torch.uint8), torch.arange(n) % 10) for n in (120, 30))
    data.save(runtime.DATASET, train, test, 20, seed=0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A working directory in which a baseline and a Bayesian network have been trained."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare()
        runtime.main(train_baseline.train_baseline)
        runtime.main(train_bayesian.train_bayesian)
    return folder


@pytest.fixture(autouse=True)
def workspace(trained, tmp_path, monkeypatch):
    """A copy of it to work in."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARSIFY_MIRROR", raising=False)
    return tmp_path


def files() -> dict[str, bytes]:
    """All of the working directory."""
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def program(stage: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", f"stages.{stage}"], capture_output=True, text=True, timeout=120,
                          env=os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"})


def error_of(stage) -> str:
    """The line that a stage ends with, which Python prints on stderr with exit status 1."""
    before = files()
    with pytest.raises(SystemExit) as caught:
        runtime.main(stage)
    assert isinstance(caught.value.code, str)
    assert caught.value.code.startswith("error: ")
    assert "\n" not in caught.value.code
    assert files() == before
    return caught.value.code


@pytest.mark.parametrize(("stage", "overrides", "words"), [
    ("train_bayesian", ["prior.kind=mixtur"], "prior.kind is 'mixtur'; it has to be one of log_uniform"),
    ("train_baseline", ["baseline.lr=1.0e+30", "baseline.batch_size=20"], "baseline stopped: the term nll became"),
    ("download", ["data.name=mnist", "data.path='/nowhere/at all'"], "/nowhere/at all"),
    ("download", ["data.name=folder", "data.path=/nowhere"], "data.path is /nowhere, which does not exist"),
    ("download", ["data.name=folder"], "data.path is sparsify/data/named.py, which"),
    ("download", ["data.name='nowhere:digits'", "data.path=/nowhere"], "nowhere cannot be imported from here (ModuleNotFoundError"),
    ("download", ["data.name=folders"], "one of mnist-5k, mnist, fashion-mnist, cifar10, folder, or package.module:function"),
    ("download", ["data.size=32"], "mnist-5k is taken as it is"),
    ("download", ["data.channels=2"], "data.channels is 2; it has to be 1 or 3"),
], ids=["unknown prior", "loss is not a number", "no mirror", "no folder", "folder not named", "no function", "unknown data set",
        "size of a named data set", "two channels"])
def test_program_ends_with_status_1_and_one_line_and_writes_nothing(stage, overrides, words):
    prepare(*overrides)
    before = files()
    done = program(stage)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert files() == before


@pytest.mark.parametrize(("override", "words"), [
    ("+sed=1", "sed is not a key"), ("baseline.lr='1e-3'", "baseline.lr is '1e-3', text"), ("baseline.epochs=-1", "baseline.epochs is -1"),
])
def test_stage_refuses_bad_parameters_by_name(override, words):
    prepare(override)
    assert words in error_of(train_baseline.train_baseline)


def test_missing_parameters_are_named():
    PARAMS.unlink()
    assert "params.yaml does not exist" in error_of(download.download)


def test_validation_larger_than_the_data_is_refused(workspace, monkeypatch):
    for part in ("train", "test"):
        for number in range(4):
            path = workspace / "mirror" / "mnist" / part / ("zero", "one")[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (28, 28)).save(path)
    monkeypatch.setenv("SPARSIFY_MIRROR", str(workspace / "mirror"))  # composed into data.path
    prepare("data.name=mnist", "data.validation=4")
    shutil.rmtree(runtime.DATASET)
    assert "data.validation is 4; it has to be from 1 to 3" in error_of(download.download)


def test_data_file_that_is_cut_short_is_named():
    inputs = runtime.DATASET / "inputs.npy"
    inputs.write_bytes(inputs.read_bytes()[:5000])
    said = error_of(train_baseline.train_baseline)
    assert "data/dataset/inputs.npy cannot be read" in said
    assert "run dvc repro" in said


def test_baseline_of_another_architecture_is_refused():
    prepare("model.width=0.1")
    assert "models/baseline.safetensors holds another architecture" in error_of(train_bayesian.train_bayesian)


def test_plain_network_in_place_of_the_bayesian_one_is_refused():
    shutil.copy(runtime.BASELINE, runtime.BAYESIAN)
    assert "models/bayesian.safetensors is no network of this kind: it lacks prior, inputs" in error_of(prune.prune)


def test_threshold_that_empties_a_layer_is_refused():
    prepare("prune.threshold=-1000.0")
    assert "threshold is -1000, which leaves nothing of fc1, fc2; the lowest that leaves a unit of each stream is" in error_of(prune.prune)


def test_folder_that_cannot_be_written_is_named():
    Path("scratch").rmdir()
    Path("scratch").write_text("a file")
    assert "'scratch'; mend that" in error_of(train_baseline.train_baseline)


def test_device_without_enough_memory_is_told_what_to_lower(monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nGPU 0 has 1 GiB.")
    monkeypatch.setattr(train_baseline, "fit", full)
    assert "Tried to allocate 2 GiB. Lower the batch_size" in error_of(train_baseline.train_baseline)


@pytest.mark.parametrize("error", [MemoryError("Unable to allocate 7 TiB"), RuntimeError("DefaultCPUAllocator: can't allocate memory: x")])
def test_a_cpu_without_enough_memory_too(error, monkeypatch):
    def full(*_, **__):
        raise error
    monkeypatch.setattr(train_baseline, "fit", full)
    assert "Lower the batch_size of this stage's section in params.yaml, or model.width" in error_of(train_baseline.train_baseline)


def test_a_defect_is_not_taken_for_a_lack_of_memory(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a defect")
    monkeypatch.setattr(train_baseline, "fit", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        runtime.main(train_baseline.train_baseline)


@pytest.mark.parametrize(("override", "stage", "words"), [
    ("model.width=90.0", train_baseline.train_baseline, "model.width is 90, with which lenet-300-100 takes"),
    ("benchmark.batch_sizes=[1,1000000]", benchmark.benchmark, "benchmark.batch_sizes has 1,000,000, which takes 9.41 GB")])
def test_what_the_memory_cannot_hold_is_refused_before_it_is_taken(override, stage, words, monkeypatch):
    shutil.copy(runtime.BASELINE, runtime.COMPACT)
    monkeypatch.setattr("sparsify.data.memory.free", lambda _: 3 << 30)
    prepare(override)
    assert words in error_of(stage)


def test_a_collapse_is_told_while_it_happens(capsys):
    prepare("prior.beta=1.0e+6", "bayesian.kl_warmup_epochs=0", "bayesian.train.epochs=6", "bayesian.noise_lr_factor=1000.0")
    runtime.main(train_bayesian.train_bayesian)
    said = [line for line in capsys.readouterr().err.splitlines() if "about to lose" in line]
    assert len({line.partition(":")[0] for line in said}) == len(said) >= 1
    assert said[0].endswith("left with less noise than signal; lower prior.beta or raise bayesian.kl_warmup_epochs, or lower "
                            "bayesian.train.lr")
    assert json.loads((runtime.METRICS / "bayesian.json").read_text())["bayesian"]["layers_at_their_last_unit"] > 0


def test_network_that_breaks_in_its_last_step_is_refused():
    prepare("baseline.lr=1.0e+30", "baseline.epochs=1")  # of one step, whose loss is still that of the first weights
    assert "learning rate" in error_of(train_baseline.train_baseline)


@pytest.mark.parametrize(("stage", "missing"), [
    (train_baseline.train_baseline, "data/dataset"), (train_bayesian.train_bayesian, "models/baseline.safetensors"),
    (prune.prune, "models/bayesian.safetensors"), (export.export_networks, "models/compact.safetensors"),
    (benchmark.benchmark, "models/compact.safetensors"),
    (sweep.sweep, "models/baseline.safetensors"), (plot.plot, "metrics/baseline.json")])
def test_stage_without_its_inputs_names_the_file_that_is_missing(stage, missing):
    shutil.rmtree(missing) if Path(missing).is_dir() else Path(missing).unlink(missing_ok=True)
    assert error_of(stage) == f"error: {missing} does not exist; delete the file if it is there, and run dvc repro, which makes it"


def test_no_epochs_of_fine_tuning_leave_the_compact_network_as_it_was():
    prepare("finetune.train.epochs=0")
    runtime.main(prune.prune)
    metrics = json.loads((runtime.METRICS / "prune.json").read_text())["prune"]
    assert metrics["accuracy_finetuned"] == metrics["accuracy_compact"]
    for stage in (controls.controls, benchmark.benchmark, uncertainty.uncertainty, sweep.sweep, plot.plot):  # draws a curve without epochs
        runtime.main(stage)
    assert Path("plots/training_curves.png").is_file()


def test_interrupted_stage_ends_with_status_130():
    def interrupted(_):
        raise KeyboardInterrupt
    with pytest.raises(SystemExit) as caught:
        runtime.main(interrupted)
    assert caught.value.code == 130
