"""Networks as files: what is saved comes back into the user's own class; what cannot be used is one line that names the file."""

import os

import pytest
import torch
from torch import nn

from sparsify import models
from sparsify.artifacts import FileError, read_tensors, write_tensors
from sparsify.compress.remove import remove
from sparsify.compress.store import load, save
from sparsify.settings import InputError
from sparsify.structure import analyse

KEPT = torch.tensor([True, False, True, True, False, True])


class Tied(nn.Module):
    """Tied tensors, a norm, a convolution and a layer under two names.  (N, T) -> (N, T, 11)"""

    def __init__(self, width=6):
        super().__init__()
        self.embedding, self.first, self.norm = nn.Embedding(11, width), nn.Linear(width, width), nn.LayerNorm(width)
        self.second, self.out, self.conv = self.first, nn.Linear(width, 11, bias=False), nn.Conv1d(width, width, 3, padding=1)
        self.out.weight = self.embedding.weight

    def forward(self, tokens):
        x = self.first(self.embedding(tokens)).relu()
        x = x + self.conv(x.transpose(1, 2)).transpose(1, 2)
        return self.out(self.second(self.norm(x)))


class Mlp(nn.Sequential):
    def __init__(self, norm=nn.BatchNorm1d, width=6):
        super().__init__(nn.Linear(5, width), norm(width), nn.ReLU(), nn.Linear(width, 4), nn.GELU(), nn.Linear(4, 3))


def five():
    return torch.randn(7, 5, dtype=torch.float64)


@pytest.fixture
def tied(hostile):
    network, tokens = hostile(Tied()), torch.randint(11, (3, 4))
    name, = [name for name, stream in analyse(network, tokens).shrinkable().items() if stream.size == 6]
    small, report = remove(network, tokens, {name: KEPT})
    assert not report.kept
    return small, tokens


@torch.no_grad()
def test_a_small_network_comes_back_into_its_class_with_tied_tensors_tied(tied, tmp_path):
    small, tokens = tied
    save(small, tmp_path / "small.pt")
    given = Tied().double().train()
    before = [value.clone() for value in given.state_dict().values()]
    loaded = load(tmp_path / "small.pt", given)
    assert type(loaded) is Tied and not loaded.training
    assert loaded.first is loaded.second and loaded.out.weight is loaded.embedding.weight and loaded.out.weight.shape == (11, 4)
    assert torch.equal(loaded(tokens), small(tokens))
    assert given.training and all(torch.equal(value, old) for value, old in zip(given.state_dict().values(), before, strict=True))


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm, nn.RMSNorm])
@torch.no_grad()
def test_a_network_that_was_cut_twice_and_reads_some_features_comes_back(hostile, norm, tmp_path):
    network, x = hostile(Mlp(norm)), five()
    once, _ = remove(network, x, {"0": KEPT, "input": torch.tensor([True, True, False, True, True])})
    twice, _ = remove(once, x, {"3": torch.tensor([True, False, True, True]), "input": torch.tensor([True, False, True, True])})
    save(twice, tmp_path / "small.pt")
    loaded = load(tmp_path / "small.pt", Mlp(norm).double())
    assert [layer.weight.shape for layer in (loaded[0], loaded[3], loaded[5])] == [(4, 3), (3, 4), (3, 3)]
    assert torch.equal(loaded(x), twice(x))


@torch.no_grad()
def test_a_loaded_network_can_be_cut_and_saved_again(hostile, tmp_path):
    path, x = tmp_path / "small.pt", five()
    save(remove(hostile(Mlp()), x, {"0": KEPT})[0], path)
    again, _ = remove(load(path, Mlp().double()), x, {"0": torch.tensor([False, True, True, False])})
    save(again, path)
    assert torch.equal(load(path, Mlp().double())(x), again(x)) and load(path, Mlp())[0].out_features == 2


@pytest.mark.parametrize("cut", [False, True])
@torch.no_grad()
def test_a_built_in_network_needs_no_class(hostile, cut, tmp_path):
    for name, shape in {"lenet-300-100": (1, 9, 7), "lenet5": (1, 28, 28), "mlp": (3, 4, 4), "vgg16": (3, 32, 32)}.items():
        architecture, images = models.Architecture(name, shape, 10, 0.05), torch.randn(2, *shape, dtype=torch.float64)
        network = hostile(architecture.build())
        if cut:
            shrinkable = analyse(network, images).shrinkable()
            network, report = remove(network, images, {name: torch.arange(stream.size) < 2 for name, stream in shrinkable.items()})
            assert not report.kept
        save(network, tmp_path / "network.pt", architecture=architecture)
        network.float()  # as the class is built
        assert torch.equal(load(tmp_path / "network.pt")(images.float()), network(images.float()))


def test_what_is_saved_beside_a_network_is_kept(tmp_path):
    save(Mlp(), tmp_path / "a.pt", epochs=3, note="text")
    assert read_tensors(tmp_path / "a.pt")["about"] == {"epochs": 3, "note": "text"}


def test_equal_networks_give_equal_bytes_whatever_the_name(tied, tmp_path):
    for name in ("a.pt", "another name.pt"):
        save(tied[0], tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "another name.pt").read_bytes()


class Code:
    """Unpickling it makes the directory `path`."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_file_with_code_in_it_is_refused_and_the_code_does_not_run(tmp_path):
    save(Mlp(), tmp_path / "a.pt")
    torch.save(read_tensors(tmp_path / "a.pt") | {"about": Code(tmp_path / "ran")}, tmp_path / "a.pt")
    with pytest.raises(FileError, match=r"a\.pt"):
        load(tmp_path / "a.pt", Mlp())
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "a.pt", weights_only=False)
    assert (tmp_path / "ran").exists(), "the code would not have run anyhow"


@pytest.mark.parametrize("damage", [
    lambda content: content[:len(content) // 2], lambda content: content[:-10], lambda content: b"", lambda content: b"not a model",
], ids=["half", "last bytes", "empty", "text"])
def test_a_damaged_file_is_named(damage, tmp_path):
    path = tmp_path / "model.pt"
    save(Mlp(), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FileError, match="it has to be whole") as caught:
        load(path, Mlp())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileError, match=r"nowhere\.pt does not exist"):
        load(tmp_path / "nowhere.pt")


def test_a_file_of_something_else_is_refused_with_what_it_lacks(tmp_path):
    write_tensors(tmp_path / "tensors.pt", {"images": torch.zeros(3)})
    with pytest.raises(FileError, match=r"tensors\.pt is no network of this kind: it lacks class, architecture"):
        load(tmp_path / "tensors.pt", Mlp())


def test_a_network_of_a_class_that_is_not_given_is_asked_for(tmp_path):
    save(Mlp(), tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"a\.pt holds a Mlp; give load one at full size"):
        load(tmp_path / "a.pt")


@pytest.mark.parametrize("other", [lambda: Mlp(width=5), Tied, lambda: nn.Linear(5, 3)])
def test_a_network_of_another_class_or_too_small_a_size_is_refused_in_one_line(hostile, other, tmp_path):
    save(remove(hostile(Mlp()), five(), {"0": KEPT})[0], tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"a\.pt holds a Mlp that does not fit the .* at hand .*; it has to be of the same class and size"):
        load(tmp_path / "a.pt", other())


@pytest.mark.parametrize(("changes", "words"), [
    ({"architecture": {"name": "transformer", "input_shape": [1, 28, 28], "n_classes": 10, "width": 1.0}}, "not known here"),
    ({"architecture": {"name": "mlp", "depth": 3}}, "not known here"), ({"architecture": "mlp"}, "not known here"),
    ({"keep": {"fc9.weight": {0: torch.tensor([0])}}}, "does not fit"), ({"keep": []}, "does not fit"),
    ({"state": {"odd": torch.zeros(1)}}, "does not fit")])
def test_a_file_whose_parts_do_not_fit_together_is_refused(changes, words, tmp_path):
    architecture = models.Architecture("mlp", (1, 2, 2), 3, 0.01)
    save(architecture.build(), tmp_path / "a.pt", architecture=architecture)
    write_tensors(tmp_path / "a.pt", read_tensors(tmp_path / "a.pt") | changes)
    with pytest.raises(InputError, match=rf"a\.pt .*{words}"):
        load(tmp_path / "a.pt")
