"""Removal: compact networks against masked ones, with every bias and statistic at random; and what it may not change."""

import copy

import pytest
import torch
from chains import CHAINS, close, half, hidden, images, layers, middle, with_zeros_read
from torch import nn

from sparsify.compress.exact import PickingLinear
from sparsify.compress.masks import EmptyLayer, mask, silenced
from sparsify.compress.remove import draft, remove
from sparsify.settings import InputError
from sparsify.structure import analyse

every_chain = pytest.mark.parametrize("name", CHAINS)


def random_weights(chain):
    """By weight tensor, a mask of single weights, dense enough that some path is left."""
    return {f"{key}.weight": torch.rand(layer.weight.shape) < max(0.2, 6 / layer.weight[0].numel()) for key, layer in layers(chain).items()}


@pytest.mark.parametrize("kept", [half, middle])
@every_chain
@torch.no_grad()
def test_compacted_equals_masked_and_has_the_widths_of_the_masks(hostile, name, kept):
    chain, x = hostile(CHAINS[name][0]()), images(name)
    keep = {layer: kept(n) for layer, n in hidden(chain).items()}
    small, report = remove(chain, x[:2], keep)
    assert not report.kept and hidden(small) == {layer: int(units.sum()) for layer, units in keep.items()}
    reference = with_zeros_read(copy.deepcopy(chain), keep)
    close(small(x), reference(x), 1e-10)
    close(small.float()(x.float()), reference.float()(x.float()), 1e-5)


@pytest.mark.parametrize("inputs", [True, False])
@every_chain
@torch.no_grad()
def test_compacted_equals_masked_where_single_weights_go(hostile, name, inputs):
    chain, x = hostile(CHAINS[name][0]()), images(name)
    weights, structure = random_weights(chain), analyse(chain, x)
    small, report = remove(chain, x, weights=weights, inputs=inputs, structure=structure)
    masked, alive = silenced(chain, structure, {}, weights, inputs)
    assert not report.kept and hidden(small) == {layer: int(alive[layer].sum()) for layer in hidden(chain)}
    first = next(iter(layers(small).values()))
    assert isinstance(first, PickingLinear) == (inputs and "input" in alive and not alive["input"].all())
    close(small(x), masked(x), 1e-10)
    count = [sum(int(layer.weight.count_nonzero()) for layer in layers(network).values()) for network in (small, masked)]
    assert count[0] == count[1]


@every_chain
@torch.no_grad()
def test_a_compact_network_can_be_cut_again(hostile, name):
    chain, x = hostile(CHAINS[name][0]()), images(name)
    once, _ = remove(chain, x, {layer: half(n) for layer, n in hidden(chain).items()})
    keep = {layer: half(n) for layer, n in hidden(once).items()}
    twice, _ = remove(once, x, keep)
    assert hidden(twice) == {layer: int(units.sum()) for layer, units in keep.items()}
    close(twice(x), with_zeros_read(copy.deepcopy(once), keep)(x), 1e-10)


@every_chain
def test_removal_without_anything_to_remove_changes_nothing(hostile, name):
    chain, x = hostile(CHAINS[name][0]()), images(name)
    small, report = remove(chain, x)
    assert [(key, type(layer)) for key, layer in small.named_modules()] == [(key, type(layer)) for key, layer in chain.named_modules()]
    assert report.before == report.after and report.gap == 0 and not report.kept
    assert torch.equal(small(x), chain(x))


@every_chain
def test_the_argument_is_never_changed_and_shares_nothing(hostile, name):
    chain, x = hostile(CHAINS[name][0]()), images(name)
    before, described = copy.deepcopy(chain.state_dict()), repr(chain)
    small, _ = remove(chain, x, {layer: half(n) for layer, n in hidden(chain).items()})
    for tensor in small.state_dict().values():
        tensor.zero_()
    assert repr(chain) == described and all(torch.equal(value, before[key]) for key, value in chain.state_dict().items())


def test_a_draft_is_what_remove_gives(hostile):
    chain, x = hostile(CHAINS["mlp"][0]()), images("mlp")
    structure, weights = analyse(chain, x), random_weights(chain)
    keep = {"fc1": half(hidden(chain)["fc1"])}
    proven, _ = remove(chain, x, keep, weights=weights, inputs=True)
    drafted = draft(chain, structure, keep, weights, inputs=True)
    assert repr(drafted) == repr(proven)
    assert all(torch.equal(value, proven.state_dict()[key]) for key, value in drafted.state_dict().items())


class Net(nn.Module):
    """A class of a user's own.  (N, 5) -> (N, 3)"""

    def __init__(self, between=None, width=8):
        super().__init__()
        self.fc1, self.norm, self.between, self.fc2 = nn.Linear(5, width), nn.BatchNorm1d(width), between or nn.ReLU(), nn.Linear(width, 3)

    def forward(self, x):
        return self.fc2(self.between(self.norm(self.fc1(x))))


def five(n=4, **how):
    return torch.randn(n, 5, **how)


CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))
UNITS = torch.tensor([True, False, True, True, False, True, True, False])


def test_what_comes_is_of_the_users_own_class_in_its_modes():
    net = Net()
    net.train()
    net.norm.eval()  # as in fine-tuning with frozen statistics
    net.fc2.weight.requires_grad_(False)
    for small in (remove(net, five(), {"fc1": UNITS})[0], draft(net, analyse(net, five()), {"fc1": UNITS}, {})):
        assert type(small) is Net and (small.fc1.out_features, small.norm.num_features, small.fc2.in_features) == (5, 5, 5)
        assert small.training and not small.norm.training and small.fc1.training
        assert small.fc1.weight.requires_grad and not small.fc2.weight.requires_grad
        assert isinstance(small.fc1.weight, nn.Parameter) and "running_mean" in dict(small.norm.named_buffers())
    assert net.training and not net.norm.training


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_device_and_dtype_stay(device, dtype):
    net = Net().to(device, dtype).eval()
    small, report = remove(net, five(device=device, dtype=dtype), {"fc1": UNITS.to(device)})
    assert {(value.device.type, value.dtype) for value in small.parameters()} == {(device, dtype)}
    assert report.gap < 1e-9


@pytest.mark.parametrize(("multiple_of", "left"), [(1, 5), (2, 6), (4, 8), (5, 5), (7, 7), (16, 8)])
def test_widths_are_rounded_up_with_silent_units(hostile, multiple_of, left):
    net, x = hostile(Net()), five(dtype=torch.float64)
    small, report = remove(net, x, {"fc1": UNITS}, multiple_of=multiple_of)
    assert small.fc1.out_features == left == report.after["fc1"]
    assert int((small.fc1.weight == 0).all(1).sum()) == left - 5
    close(small(x), mask(net, x, {"fc1": UNITS})(x), 1e-12)


@pytest.mark.parametrize("name", ["conv1", "fc1"])
def test_what_is_protected_keeps_its_width_and_its_silence(hostile, name):
    chain, x = hostile(CHAINS["lenet5"][0]()), images("lenet5")
    keep = {layer: middle(n) for layer, n in hidden(chain).items()}
    small, report = remove(chain, x, keep, protect=[name])
    assert hidden(small) == {layer: hidden(chain)[layer] if layer == name else 1 for layer in keep}
    assert report.kept == {name: "protected"}
    close(small(x), with_zeros_read(copy.deepcopy(chain), keep)(x), 1e-12)


def test_features_of_a_protected_input_stay_silent():
    small, report = remove(Net(), five(), {"input": torch.arange(5) > 1}, protect=["input"])
    assert small.fc1.in_features == report.after["input"] == 5 and report.kept == {"input": "protected"}
    assert not small.fc1.weight[:, :2].any() and small.fc1.weight[:, 2:].all()


def test_a_layer_that_writes_a_stream_protects_it(hostile):
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other, self.out = nn.Linear(5, 8), nn.Linear(5, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.out((self.one(x) + self.other(x)).relu())
    small, report = remove(Sum(), five(), {"one": UNITS}, protect=["other"])
    assert small.one.out_features == 8 and report.kept == {"one": "protected"}


@pytest.mark.parametrize(("given", "words"), [
    ({"protect": ["fc9"]}, "protect names 'fc9', which is neither a stream nor a module whose layers write one; choose from input, fc1"),
    ({"multiple_of": 0}, "multiple_of is 0"),
    ({"keep": {"fc1": UNITS[1:]}}, "it has to be bool of shape"),
    ({"keep": {"fc2": torch.tensor([True, True, False])}}, "network output")])
def test_what_cannot_be_used_is_refused(given, words):
    with pytest.raises(InputError, match=words):
        remove(Net(), five(), **given)


def test_masks_that_empty_a_stream_are_refused():
    with pytest.raises(EmptyLayer, match="none of the 8 units of fc1"):
        remove(Net(), five(), {"fc1": torch.zeros(8, dtype=torch.bool)})
