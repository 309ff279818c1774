"""Networks as files: what is saved comes back into the user's own class; what cannot be used is one line that names the file."""

import json

import pytest
import safetensors.torch
import torch
from torch import nn

from sparsify import models, tensorfile
from sparsify.artifacts import FileError
from sparsify.compress.remove import remove
from sparsify.compress.store import header, load, save
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


def by_hand(network, **changes):
    """A header for a network of which all has stayed."""
    return {"class": type(network).__name__, "architecture": None, "widths": {}, "norms": {}, "data": None, "provenance": {}} | changes


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
    save(small, tmp_path / "small.safetensors")
    given = Tied().double().train()
    before = [value.clone() for value in given.state_dict().values()]
    loaded = load(tmp_path / "small.safetensors", given)
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
    save(twice, tmp_path / "small.safetensors")
    loaded = load(tmp_path / "small.safetensors", Mlp(norm).double())
    assert [layer.weight.shape for layer in (loaded[0], loaded[3], loaded[5])] == [(4, 3), (3, 4), (3, 3)]
    assert torch.equal(loaded(x), twice(x))


@torch.no_grad()
def test_a_loaded_network_can_be_cut_and_saved_again(hostile, tmp_path):
    path, x = tmp_path / "small.safetensors", five()
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
        save(network, tmp_path / "network.safetensors", architecture=architecture)
        network.float()  # as the class is built
        assert torch.equal(load(tmp_path / "network.safetensors")(images.float()), network(images.float()))


def test_the_header_says_what_a_network_is_without_its_tensors(hostile, tmp_path):
    data = {"mean": [0.1], "std": [0.5], "input_shape": [5], "classes": ["cat", "dog", "Möwe"]}
    small, _ = remove(hostile(Mlp(nn.LayerNorm)), five(), {"0": KEPT})
    save(small, tmp_path / "a.safetensors", data=data, seed=3, recipe="text")
    said = header(tmp_path / "a.safetensors")
    assert (said["class"], said["architecture"], said["data"]) == ("Mlp", None, data)
    assert (said["widths"], said["norms"]) == ({"0": 4, "3": 4, "5": 3}, {"1": 6})
    assert said["provenance"] == {"torch": torch.__version__, "seed": 3, "recipe": "text"}


def test_other_programs_find_the_tensors_under_their_own_names(tmp_path):
    network = Mlp()
    save(network, tmp_path / "a.safetensors")
    state, found = network.state_dict(), safetensors.torch.load_file(tmp_path / "a.safetensors")
    assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)


def test_a_tied_tensor_is_written_once(tied, tmp_path):
    save(tied[0], tmp_path / "a.safetensors")
    names = safetensors.torch.load_file(tmp_path / "a.safetensors")
    assert "embedding.weight" in names and not {"out.weight", "second.weight"} & set(names)


class Laid(nn.Module):
    """Tensors that lie in memory in odd ways: channels last, transposed, parts of one storage, of no entries."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        both = torch.randn(4, 6)
        for name, tensor in {"left": both[:, :3], "right": both[:, 3:], "turned": both.t(), "none": torch.zeros(0, 3)}.items():
            self.register_buffer(name, tensor)


def test_tensors_come_back_however_they_lie_in_memory(tmp_path):
    network, given = Laid(), Laid()
    assert not network.conv.weight.is_contiguous() and not torch.equal(network.turned, given.turned)
    save(network, tmp_path / "a.safetensors")
    loaded = load(tmp_path / "a.safetensors", given).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(("spoil", "words"), [
    (lambda network: network.register_buffer("odd", torch.eye(3).to_sparse()), "cannot be written"),
    (lambda network: network.append(nn.LazyLinear(3)), "cannot be written"),
    (lambda network: network.append(nn.Linear(3, 3, device="meta")), "cannot be written"),
    (lambda network: network.add_module("sparsify/keep", nn.Linear(3, 3)), "the file's own")])
def test_a_network_that_cannot_be_saved_is_refused_in_one_line_and_leaves_the_file_of_before(spoil, words, tmp_path):
    network, path = Mlp(), tmp_path / "a.safetensors"
    save(network, path)
    before = path.read_bytes()
    spoil(network)
    with pytest.raises(InputError, match=words) as raised:
        save(network, path)
    assert "\n" not in str(raised.value) and path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("odd", [float("nan"), nn.Linear(1, 1)])
def test_what_is_no_plain_data_is_refused(odd, tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        save(Mlp(), tmp_path / "a.safetensors", note=odd)


def test_equal_networks_give_equal_bytes_whatever_the_name(tied, tmp_path):
    for name in ("a.safetensors", "another name.safetensors"):
        save(tied[0], tmp_path / name)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "another name.safetensors").read_bytes()


def test_a_file_of_torch_save_is_refused_before_its_code_could_run(tmp_path):
    torch.save(Mlp(), tmp_path / "a.safetensors")
    with pytest.raises(FileError, match=r"a\.safetensors is a file of torch\.save"):
        load(tmp_path / "a.safetensors", Mlp())


def test_a_file_decides_no_import(tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('the code ran')")
    monkeypatch.syspath_prepend(tmp_path)
    architecture = {"name": "evil:build", "input_shape": [5], "n_classes": 3, "width": 1.0}
    tensorfile.write(tmp_path / "a.safetensors", by_hand(Mlp(), architecture=architecture), Mlp().state_dict())
    with pytest.raises(InputError, match=r"holds a Mlp; give load one at full size"):
        load(tmp_path / "a.safetensors")
    assert isinstance(load(tmp_path / "a.safetensors", Mlp()), Mlp)


@pytest.mark.parametrize("damage", [
    lambda content: content[:len(content) // 2], lambda content: content[:-10], lambda content: content[:300], lambda content: b"",
    lambda content: b"not a model", lambda content: content.replace(b"F32", b"F99"), lambda content: b"\xff" * 8 + content[8:],
], ids=["half", "last bytes", "in the header", "empty", "text", "unknown dtype", "endless header"])
def test_a_damaged_file_is_named(damage, tmp_path):
    path = tmp_path / "model.safetensors"
    save(Mlp(), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FileError, match="it has to be whole") as caught:
        load(path, Mlp())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(FileError, match=r"nowhere\.safetensors does not exist"):
        load(tmp_path / "nowhere.safetensors")
    with pytest.raises(FileError, match=f"{tmp_path} cannot be read"):
        load(tmp_path)


def test_tensors_of_another_program_are_no_network(tmp_path):
    safetensors.torch.save_file({"images": torch.zeros(3)}, tmp_path / "a.safetensors", {"format": "pt"})
    with pytest.raises(FileError, match=r"a\.safetensors holds tensors without a header of this library"):
        load(tmp_path / "a.safetensors", Mlp())


@pytest.mark.parametrize(("text", "words"), [
    ("{", "a header that is not JSON"), ("[" * 100_000, "a header that is not JSON"), ("[]", r"of format \[\]"),
    (json.dumps({"format": 3}), "of format 3; this version of the library reads format 1 and 2"),
    (json.dumps({"format": 1, "tied": {}}), "no network of this kind: it lacks class, architecture"),
    (json.dumps({"format": 2, "tied": {}}), "its checksum is not that"),
    (json.dumps({"format": 2, "tied": {}, "checksum": ""}), "its checksum is not that"),
    (json.dumps({"format": 1, "tied": {"a": "b"}}), "tied is")])
def test_a_header_made_by_hand_is_refused_in_one_line(text, words, tmp_path):
    safetensors.torch.save_file({"images": torch.zeros(3)}, tmp_path / "a.safetensors", {"sparsify": text})
    with pytest.raises(FileError, match=rf"a\.safetensors .*{words}") as raised:
        load(tmp_path / "a.safetensors", Mlp())
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


def test_a_network_of_a_class_that_is_not_given_is_asked_for(tmp_path):
    save(Mlp(), tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"a\.safetensors holds a Mlp; give load one at full size"):
        load(tmp_path / "a.safetensors")


@pytest.mark.parametrize("other", [lambda: Mlp(width=5), Tied, lambda: nn.Linear(5, 3)])
def test_a_network_of_another_class_or_too_small_a_size_is_refused_in_one_line(hostile, other, tmp_path):
    save(remove(hostile(Mlp()), five(), {"0": KEPT})[0], tmp_path / "a.safetensors")
    said = r"a\.safetensors holds a Mlp that does not fit the .* at hand .*; it has to be of the same class and size"
    with pytest.raises(InputError, match=said):
        load(tmp_path / "a.safetensors", other())


ONE = torch.tensor([0])


@pytest.mark.parametrize(("header", "tensors", "words"), [
    ({"architecture": {"name": "transformer", "input_shape": [1, 28, 28], "n_classes": 10, "width": 1.0}}, {}, "not known here"),
    ({"architecture": {"name": "mlp", "depth": 3}}, {}, "not known here"),
    ({"architecture": "mlp"}, {}, "its architecture is 'mlp'"), ({"class": 3}, {}, "its class is '3'"),
    ({"architecture": {"name": "mlp", "input_shape": [1, 2, 2], "n_classes": 3, "width": 1e15}}, {}, "is not known here"),
    ({"architecture": {"name": "mlp", "input_shape": [10**9, 10**9, 10**9], "n_classes": 3, "width": 1.0}}, {}, "cannot be made"),
    ({"norms": {"fc1": "wide"}}, {}, "'wide' as the full width of fc1"), ({"norms": {"fc9": 3}}, {}, "does not fit"),
    ({}, {"sparsify/keep/0/fc9.weight": ONE}, "does not fit"), ({}, {"sparsify/keep/0/fc1.weight": ONE + 99}, "does not fit"),
    ({}, {"sparsify/keep/7/fc1.weight": ONE}, "does not fit"), ({}, {"sparsify/keep/0/fc1.weight": ONE - 1}, "does not fit"),
    ({}, {"sparsify/keep/0/fc1.weight": torch.zeros(1)}, "float32 of shape"), ({}, {"sparsify/keep/x": ONE}, "says nothing here"),
    ({}, {"sparsify/picks/fc9": ONE}, "does not fit"), ({}, {"odd": ONE}, "does not fit"),
    ({}, {"fc1.weight": torch.zeros(10, 4, dtype=torch.int32)}, "int32 in fc1.weight, where a Sequential has float32"),
    ({}, {"fc1.weight": torch.zeros(10, 4, dtype=torch.complex64)}, "complex64 in fc1.weight")])
def test_a_file_whose_parts_do_not_fit_together_is_refused_in_one_line(header, tensors, words, tmp_path):
    architecture = models.Architecture("mlp", (1, 2, 2), 3, 0.01)
    network = architecture.build()
    content = by_hand(network, architecture=architecture.as_data())
    tensorfile.write(tmp_path / "a.safetensors", content, network.state_dict())
    load(tmp_path / "a.safetensors")
    tensorfile.write(tmp_path / "a.safetensors", content | header, network.state_dict() | tensors)
    with pytest.raises(InputError, match=rf"a\.safetensors .*{words}") as raised:
        load(tmp_path / "a.safetensors")
    assert "\n" not in str(raised.value)
