"""Frames of the training: how many, how large, of what; and that an interruption loses none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from test_recipes import compose
from torch import nn

from sparsify import data
from sparsify.artifacts import FileError
from sparsify.bayes.convert import bayesianize, log_alphas
from sparsify.structure import analyse
from stages import film, params, runtime, snapshots, train_baseline, train_bayesian
from stages.snapshots import Snapshots

MLP = ("recipe=smoke", "model.name=lenet-300-100", "model.width=0.1", "bayesian.train.epochs=6", "prior.kind=gate", "prune.inputs=true")


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    images, labels = torch.randint(0, 256, (120, 1, 28, 28), dtype=torch.uint8), torch.arange(120) % 10
    data.save(runtime.DATASET, data.Raw(images, labels), data.Raw(images, labels), 20, 0)
    return tmp_path


def trained(*overrides):
    compose(Path("params.yaml"), *MLP, *overrides)
    if not runtime.BASELINE.exists():
        train_baseline.train_baseline(params.load())
    train_bayesian.train_bayesian(params.load())
    return film.read(runtime.SNAPSHOTS)


def test_without_the_key_the_file_has_no_frames(workspace):
    assert "epoch" not in trained()


@pytest.mark.parametrize(("count", "epochs"), [(3, [0, 1, 4, 6]), (6, [0, 1, 2, 3, 4, 5, 6]), (99, [0, 1, 2, 3, 4, 5, 6])])
def test_frames_are_spread_over_the_epochs_from_before_the_first_to_the_last(count, epochs, workspace):
    found = trained(f"bayesian.snapshots={count}")
    assert found["epoch"].tolist() == epochs
    assert all(len(values) == len(epochs) for name, values in found.items() if name != "image")
    assert found["units/fc1"].shape == (len(epochs), 30) and found["units/input"].shape == (len(epochs), 784)
    assert found["pixels"].shape[1:] == found["image"].shape == found["filters"].shape[2:] == (28, 28)
    assert found["pixels_leave"].all()


def test_taking_frames_changes_nothing_of_the_training(workspace):
    trained()
    without = runtime.BAYESIAN.read_bytes()
    trained("bayesian.snapshots=4")
    assert runtime.BAYESIAN.read_bytes() == without


def test_an_interruption_loses_no_frame(workspace, monkeypatch):
    trained("bayesian.snapshots=4")
    through = runtime.SNAPSHOTS.read_bytes()
    runtime.SNAPSHOTS.unlink()
    with monkeypatch.context() as patch:
        real, calls = Snapshots.after_epoch, []

        def stops(self):
            calls.append(0)
            if len(calls) == 4:
                raise KeyboardInterrupt
            real(self)
        patch.setattr(Snapshots, "after_epoch", stops)
        with pytest.raises(KeyboardInterrupt):
            trained("bayesian.snapshots=4")
    assert not runtime.SNAPSHOTS.exists()
    trained("bayesian.snapshots=4")
    assert runtime.SNAPSHOTS.read_bytes() == through


class Images:
    """As a training set answers."""

    def __init__(self, *shape):
        self.shape = shape

    def __getitem__(self, some):
        return torch.ones(8, *self.shape)


def frames(network, shape, prior, tmp_path, inputs=False):
    example = torch.randn(2, *shape)
    structure = analyse(network, example)
    twin = bayesianize(network, example, prior, inputs=inputs, structure=structure)
    for parameter in twin.parameters():
        nn.init.normal_(parameter)
    taken = Snapshots(twin, structure, 2, 2, Images(*shape))
    taken.after_epoch()
    taken.write(tmp_path / "frames.npz")
    return film.read(tmp_path / "frames.npz"), log_alphas(twin)


@pytest.mark.parametrize("kind", ["gate", "gaussian", "log_uniform"])
def test_an_entry_is_as_irrelevant_as_the_worst_of_its_row_its_column_and_itself(kind, prior_settings, tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    found, scores = frames(network, (1, 4, 4), prior_settings(kind=kind), tmp_path)
    if kind == "log_uniform":
        expected = scores.weights["3.weight"]
        assert found["weights/3.weight"][-1] == pytest.approx(expected.flatten().half().numpy())
    else:
        expected = torch.maximum(scores.units["3"][:, None], scores.units["1"][None])
        assert found["units/1"][-1] == pytest.approx(scores.units["1"].half().numpy())
    assert found["matrix_alpha"][-1] == pytest.approx(expected.half().numpy())
    assert found["matrix"].shape == (2, 5, 6) and found["filters"].shape == (2, 6, 4, 4)
    assert not found["pixels_leave"].any() and (found["pixels"] >= 0).all()


def test_a_large_convolutional_network_gives_small_frames(prior_settings, tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 300, 3), nn.ReLU(), nn.Conv2d(300, 2000, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                            nn.Linear(2000, 3))
    for kind in ("gate", "log_uniform"):
        found, _ = frames(network, (3, 8, 8), prior_settings(kind=kind), tmp_path)
        assert found["filters"].shape == (2, snapshots.FILTERS, 3, 3)
        assert found["matrix"].shape == found["matrix_alpha"].shape == (2, snapshots.SIDE, snapshots.SIDE)
        assert all(values[0].size <= snapshots.UNITS for name, values in found.items() if name.startswith(("units/", "weights/")))
        assert "pixels" not in found


def test_the_filters_that_are_shown_have_those_that_stay_and_others():
    alpha = np.arange(100.0)[::-1]
    shown = snapshots._telling(alpha, snapshots.FILTERS)
    assert len(shown) == len(set(shown)) == snapshots.FILTERS and (np.diff(shown) > 0).all()
    assert set(range(88, 100)) <= set(shown)
    assert snapshots._telling(np.array([3.0, 1.0]), 25).tolist() == [0, 1]


@pytest.mark.parametrize("content", [None, b"", b"no zip"])
def test_a_file_that_is_none_is_named(content, tmp_path):
    if content is not None:
        (tmp_path / "frames.npz").write_bytes(content)
    with pytest.raises(FileError, match=r"frames\.npz (does not exist|cannot be read)"):
        film.read(tmp_path / "frames.npz")
