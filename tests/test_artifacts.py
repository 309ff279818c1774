"""Files are whole or not there, models are data without code, and damage is an InputError that names the file."""

import csv
import errno
import json
import os
import resource

import pytest
import torch
from torch import nn

from sparsify import artifacts, models
from sparsify.artifacts import FileError
from sparsify.settings import InputError

IMAGES = torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return models.build("lenet5", (1, 28, 28), 10, width=0.2).eval()


class Code:
    """Unpickling it makes the directory `path`."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def write_with_failing_move(path, monkeypatch, error):
    def fail(*_):
        raise error
    monkeypatch.setattr(os, "replace", fail)
    artifacts.write_bytes(path, b"new")


def write_to_full_disk(path, monkeypatch, error):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # the kernel stops the write after 1,000 bytes
    try:
        artifacts.write_bytes(path, b"n" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("write", "error"), [
    (write_with_failing_move, OSError(errno.EIO, "input/output error")),
    (write_with_failing_move, KeyboardInterrupt()),
    (write_to_full_disk, OSError(errno.EFBIG, "file too large")),
], ids=["failing move", "interruption", "full disk"])
def test_interrupted_write_leaves_the_old_file_and_nothing_else(write, error, tmp_path, monkeypatch):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        write(path, monkeypatch, error)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"file.bin": b"old"}


def test_written_file_replaces_the_old_one_and_makes_its_folder(tmp_path):
    path = tmp_path / "new" / "folder" / "file.bin"
    artifacts.write_bytes(path, b"old")
    artifacts.write_bytes(path, b"new")
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == {"file.bin": b"new"}


def test_json_and_csv_read_back_with_the_standard_library(tmp_path):
    artifacts.write_json(tmp_path / "a.json", {"a": {"b": 0.1, "c": "text"}})
    artifacts.write_csv(tmp_path / "a.csv", [{"epoch": 1, "name": "a, b"}, {"epoch": 2, "name": 'c "d"'}])
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": {"b": 0.1, "c": "text"}}
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"epoch": "1", "name": "a, b"}, {"epoch": "2", "name": 'c "d"'}]


def test_saved_model_gives_the_same_logits_after_loading(model, tmp_path):
    artifacts.save_model(tmp_path / "model.pt", model)
    loaded = artifacts.load_model(tmp_path / "model.pt", models.describe(model)).eval()
    assert [type(layer) for layer in loaded] == [type(layer) for layer in model]
    torch.testing.assert_close(loaded(IMAGES), model(IMAGES), rtol=0, atol=0)


def test_saved_bayesian_network_comes_back_with_its_tensors_and_prior(model, tmp_path):
    prior = {"kind": "gaussian", "beta": 0.5, "inputs": False}
    artifacts.save_bayesian(tmp_path / "model.pt", models.describe(model), model, prior)
    plain, loaded_prior, state = artifacts.load_bayesian(tmp_path / "model.pt")
    plain.load_state_dict(state)
    assert loaded_prior == prior
    torch.testing.assert_close(plain.eval()(IMAGES), model(IMAGES), rtol=0, atol=0)


def test_equal_models_give_equal_bytes_whatever_the_name(model, tmp_path):
    for name in ("a.pt", "another name.pt"):
        artifacts.save_model(tmp_path / name, model, epochs=3)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "another name.pt").read_bytes()


@pytest.mark.parametrize("load", [artifacts.load_model, artifacts.load_bayesian, artifacts.read_tensors])
def test_model_file_with_code_in_it_is_refused_and_the_code_does_not_run(load, tmp_path):
    torch.save({"layers": [], "state": {}, "prior": {}, "extra": Code(tmp_path / "ran")}, tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt"):
        load(tmp_path / "model.pt")
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "model.pt", weights_only=False)
    assert (tmp_path / "ran").exists(), "the code would not have run anyhow"


@pytest.mark.parametrize("damage", [
    lambda content: content[:len(content) // 2], lambda content: content[:-10], lambda content: b"", lambda content: b"not a model",
], ids=["half", "last bytes", "empty", "text"])
def test_damaged_model_file_is_named(damage, model, tmp_path):
    path = tmp_path / "model.pt"
    artifacts.save_model(path, model)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="it has to be whole") as caught:
        artifacts.load_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_model_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.pt does not exist"):
        artifacts.load_model(tmp_path / "nowhere.pt")


def test_file_of_something_without_names_is_refused(tmp_path):
    torch.save(IMAGES, tmp_path / "images.pt")
    with pytest.raises(FileError, match=r"images\.pt holds a Tensor; .* by name"):
        artifacts.read_tensors(tmp_path / "images.pt")


def test_file_without_a_model_is_refused(model, tmp_path):
    artifacts.write_tensors(tmp_path / "tensors.pt", {"images": IMAGES})
    artifacts.save_model(tmp_path / "plain.pt", model)
    with pytest.raises(InputError, match="layers, state"):
        artifacts.load_model(tmp_path / "tensors.pt")
    with pytest.raises(InputError, match="prior"):
        artifacts.load_bayesian(tmp_path / "plain.pt")


def test_file_of_another_architecture_is_refused_with_both_widths(tmp_path):
    small, large = (nn.Sequential(nn.Flatten(), nn.Linear(4, units), nn.ReLU(), nn.Linear(units, 2)) for units in (3, 30))
    artifacts.save_model(tmp_path / "model.pt", small)
    with pytest.raises(InputError, match=r"model\.pt holds another architecture .*3-2.*30-2"):
        artifacts.load_model(tmp_path / "model.pt", models.describe(large))


def test_bayesian_file_in_place_of_a_plain_one_is_refused(model, tmp_path):
    artifacts.save_bayesian(tmp_path / "b.pt", models.describe(model), model, {"kind": "gate"})
    with pytest.raises(InputError, match=r"b\.pt is not a model file"):
        artifacts.load_model(tmp_path / "b.pt")


def test_tensors_that_do_not_fit_their_layers_are_refused(model, tmp_path):
    state = {**model.state_dict(), "odd": torch.zeros(1)}
    artifacts.write_tensors(tmp_path / "m.pt", {"layers": models.describe(model), "state": state, "extra": {}})
    with pytest.raises(InputError, match=r"m\.pt: its tensors do not fit"):
        artifacts.load_model(tmp_path / "m.pt")


def test_layers_that_are_not_known_are_refused(tmp_path):
    artifacts.write_tensors(tmp_path / "m.pt", {"layers": [("a", "Transformer", {})], "state": {}, "extra": {}})
    with pytest.raises(InputError, match=r"m\.pt describes layers"):
        artifacts.load_model(tmp_path / "m.pt")
