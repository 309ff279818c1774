"""Layers of fewer units against torch's own, given zeros for those that are not there."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from sparsify.compress.exact import NarrowLayerNorm, NarrowRMSNorm, PickingLinear
from sparsify.compress.remove import remove

NORMS = {"layer": nn.LayerNorm, "layer, no bias": partial(nn.LayerNorm, bias=False), "layer, eps": partial(nn.LayerNorm, eps=0.3),
         "rms": nn.RMSNorm, "rms, eps": partial(nn.RMSNorm, eps=0.3)}
every_norm = pytest.mark.parametrize("norm", NORMS)


def narrow(full, kept):
    """`full` cut to the units that are kept."""
    small = copy.deepcopy(full)
    small.weight = nn.Parameter(full.weight.detach()[kept])
    if getattr(full, "bias", None) is not None:
        small.bias = nn.Parameter(full.bias.detach()[kept])
    return (NarrowLayerNorm if isinstance(full, nn.LayerNorm) else NarrowRMSNorm)(small, len(kept))


@every_norm
@pytest.mark.parametrize("left", [1, 2, 6, 7])
@torch.no_grad()
def test_a_narrow_norm_equals_the_full_one_on_zeros(hostile, norm, left):
    full, kept = hostile(NORMS[norm](7)), torch.randperm(7) < left
    for size in (1e-9, 1e-3, 1.0, 1e3):  # eps counts, or does not
        x = size * torch.randn(5, 3, 7, dtype=torch.float64) * kept
        torch.testing.assert_close(narrow(full, kept)(x[..., kept]), full(x)[..., kept], rtol=1e-12, atol=1e-12)


@every_norm
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@torch.no_grad()
def test_a_narrow_norm_is_as_good_as_the_full_one_in_the_dtype_that_it_runs_in(norm, dtype):
    full, kept = NORMS[norm](64).to(dtype), torch.arange(64) % 3 > 0
    for size in (3e-4, 1.0, 300.0):  # the square root of torch's default eps of RMSNorm; and large enough for float16 squares to overflow
        x = (size * torch.randn(5, 64)).to(dtype) * kept
        expected, found = full(x)[..., kept], narrow(full, kept)(x[..., kept])
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=0, atol=2 * torch.finfo(dtype).eps * expected.abs().max().item())


@every_norm
def test_a_narrow_norm_has_the_parameters_of_the_full_one_so_that_training_is_the_same(hostile, norm):
    full, kept = hostile(NORMS[norm](7)), torch.arange(7) % 2 == 0
    small, x = narrow(full, kept), torch.randn(5, 7, dtype=torch.float64) * kept
    (small(x[:, kept]) ** 3).sum().backward()
    (full(x)[:, kept] ** 3).sum().backward()
    for name, parameter in small.named_parameters():
        assert torch.equal(parameter, full.get_parameter(name)[kept])
        torch.testing.assert_close(parameter.grad, full.get_parameter(name).grad[kept])


class Tokens(nn.Module):
    """Two blocks on one stream under norms, as in a transformer.  (N, T, 5) -> (N, T, 3)"""

    def __init__(self, norm):
        super().__init__()
        self.stem, self.out = nn.Linear(5, 7), nn.Linear(7, 3)
        self.norms = nn.ModuleList(norm(7) for _ in range(3))
        self.into, self.back = nn.ModuleList(nn.Linear(7, 9) for _ in range(2)), nn.ModuleList(nn.Linear(9, 7) for _ in range(2))

    def forward(self, x):
        x = self.stem(x)
        for norm, into, back in zip(self.norms, self.into, self.back, strict=False):
            x = x + back(into(norm(x)).relu())
        return self.out(self.norms[2](x))


@every_norm
@torch.no_grad()
def test_a_stream_under_norms_shrinks_exactly(hostile, norm):
    network, x = hostile(Tokens(NORMS[norm])), torch.randn(2, 4, 5, dtype=torch.float64)
    kept = torch.tensor([True, False, True, True, False, True, True])
    small, report = remove(network, x, {"stem": kept})
    assert not report.kept and small.stem.out_features == 5
    reference = copy.deepcopy(network)
    for module in (*reference.norms, *reference.into, reference.out):
        module.register_forward_pre_hook(lambda _, args: args[0] * kept)
    torch.testing.assert_close(small(x), reference(x), rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_picking_layer_equals_one_that_is_given_zeros(hostile):
    linear, index = hostile(nn.Linear(6, 4)), torch.tensor([0, 2, 5])
    x = torch.randn(3, 2, 6, dtype=torch.float64)
    picking = PickingLinear(linear, index)
    expected = linear(x * torch.isin(torch.arange(6), index))
    torch.testing.assert_close(picking(x), expected, rtol=0, atol=1e-12)
    again = PickingLinear(picking, torch.tensor([0, 2]))
    torch.testing.assert_close(again(x), linear(x * torch.isin(torch.arange(6), torch.tensor([0, 5]))), rtol=0, atol=1e-12)


class TwoReaders(nn.Module):
    """Features 0 to 3 of the input are read twice.  (N, 10) -> (N, 3)"""

    def __init__(self):
        super().__init__()
        self.all, self.some, self.out = nn.Linear(10, 6), nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.out((self.all(x) + self.some(x[:, :4])).relu())


@torch.no_grad()
def test_an_input_of_several_streams_leaves_each_layer_that_reads_it(hostile):
    network, x = hostile(TwoReaders()), torch.randn(5, 10, dtype=torch.float64)
    kept = torch.tensor([True, False, True, True, True, False, False, True, True, True])
    small, report = remove(network, x, {"input": kept[:4], "input#2": kept[4:]})
    assert (small.all.in_features, small.some.in_features) == (7, 3)
    assert (report.after["input"], report.after["input#2"]) == (3, 4) and not report.kept
    torch.testing.assert_close(small(x), network(x * kept), rtol=0, atol=1e-12)
    again, _ = remove(small, x, {"input": torch.tensor([True, False, True])})
    kept[2] = False
    torch.testing.assert_close(again(x), network(x * kept), rtol=0, atol=1e-12)
