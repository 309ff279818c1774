"""Dense weights from a file: every form that people have them in, and one line that names what does not fit."""

import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sparsify.models import weights
from sparsify.settings import InputError


def network(n_classes=4, hidden=5):
    return nn.Sequential(nn.Linear(6, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, n_classes))


def equal(one, other, but=()):
    return all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items() if name not in but)


@pytest.fixture
def trained():
    torch.manual_seed(1)
    model = network()
    model(torch.randn(9, 6))  # statistics that are not those of a fresh norm
    return model


@pytest.mark.parametrize("form", [
    lambda state: state, lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}}, lambda state: {"model": state},
    lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    lambda state: {"model": {f"module._orig_mod.{name}": tensor for name, tensor in state.items()}},
    lambda state: {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}],
    ids=["plain", "state_dict", "model", "DataParallel", "compiled", "old norms"])
def test_every_form_of_a_state_dict_fills_the_network(trained, tmp_path, form):
    torch.save(form(trained.state_dict()), tmp_path / "weights.pt")
    fresh = network()
    assert not equal(fresh, trained)
    assert weights.load(fresh, tmp_path / "weights.pt", 4) == []
    assert equal(fresh, trained, ["1.num_batches_tracked"])


def test_safetensors_of_another_precision(trained, tmp_path):
    save_file({name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in trained.state_dict().items()},
              tmp_path / "weights.safetensors")
    fresh = network()
    weights.load(fresh, tmp_path / "weights.safetensors", 4)
    assert equal(fresh, trained) and fresh[0].weight.dtype == torch.float32


def test_the_last_layer_may_be_of_other_classes_and_then_stays_fresh(trained, tmp_path):
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    fresh = network(n_classes=7)
    head = fresh[3].weight.clone()
    assert weights.load(fresh, tmp_path / "weights.pt", 7) == ["3.weight", "3.bias"]
    assert torch.equal(fresh[3].weight, head) and torch.equal(fresh[0].weight, trained[0].weight)


@pytest.mark.parametrize(("model", "words"), [
    (lambda: network(hidden=8), r"of other shapes are 0.weight \(5, 6\) in place of \(8, 6\), .*, 3.weight \(4, 5\) in place of \(4, 8\)$"),
    (lambda: network(7, 8), "of other shapes are 0.weight"),
    (lambda: nn.Sequential(nn.Linear(6, 5)), r"it has 1.weight, .*, 3.weight, 3.bias, which the network has not$"),
    (lambda: nn.Sequential(*network(), nn.Linear(4, 4)), "it lacks 4.weight, 4.bias$"),
    (lambda: nn.ModuleDict({str(n): nn.Linear(2, 2) for n in range(8, 20)}), r"it lacks 8.weight, .*12.bias and 14 more; it has 0.weight")])
def test_weights_of_another_network_leave_it_as_it_was_and_are_named(trained, tmp_path, model, words):
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    given = model()
    before = {name: tensor.clone() for name, tensor in given.state_dict().items()}
    with pytest.raises(InputError, match=words) as caught:
        weights.load(given, tmp_path / "weights.pt", 7)
    assert "\n" not in str(caught.value) and "weights.pt holds weights of another network" in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in given.state_dict().items())


class Code:
    """Unpickling it makes a directory."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(("name", "content"), [
    ("a.pt", b"weights"), ("a.safetensors", b"weights"), ("a.pt", b""), ("a.safetensors", b""), ("a.pt", [1, 2]), ("a.pt", {}),
    ("a.pt", {"epoch": 3}), ("a.pt", {"a": {"b": 1}}), ("a.pt", Code)])
def test_what_is_no_file_of_weights_is_one_line_and_no_code_is_run(tmp_path, name, content):
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        torch.save(content(tmp_path / "ran") if content is Code else content, tmp_path / name)
    with pytest.raises(InputError, match=r"it has to (be|hold) a") as caught:
        weights.load(network(), tmp_path / name, 4)
    assert "\n" not in str(caught.value) and name in str(caught.value)
    assert "weights_only" not in str(caught.value)  # torch's advice to run the code
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_a_pipe_is_no_file_of_weights(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="is not a file"):
        weights.read(tmp_path / name)


def test_sparse_weights_are_one_line(tmp_path):
    torch.save({name: tensor.to_sparse() for name, tensor in network().state_dict().items() if tensor.ndim}, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"tensors that cannot be copied into the network \(torch.sparse_coo\)") as caught:
        weights.load(network(), tmp_path / "a.pt", 4)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.safetensors does not exist"):
        weights.read(tmp_path / "nowhere.safetensors")
