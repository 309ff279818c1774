"""Slicing: the numbers that layers keep about their shapes, tied tensors, and several cuts as one."""

import copy

import pytest
import torch
from torch import nn

from sparsify.compress.cut import Cut, alive_in, cut_of, sliced
from sparsify.compress.remove import remove
from sparsify.structure import analyse

FOUR_OF_SIX = torch.tensor([True, False, True, True, False, True])


class Chain(nn.Sequential):
    pass


@pytest.mark.parametrize(("layers", "shape", "numbers"), [
    ([nn.Conv1d(2, 6, 3), nn.BatchNorm1d(6), nn.Conv1d(6, 3, 2)], (2, 9),
     [{"out_channels": 4}, {"num_features": 4}, {"in_channels": 4}]),
    ([nn.Conv3d(2, 6, 2), nn.BatchNorm3d(6), nn.Conv3d(6, 3, 2)], (2, 5, 5, 5),
     [{"out_channels": 4}, {"num_features": 4}, {"in_channels": 4}]),
    ([nn.Conv2d(2, 6, 1), nn.InstanceNorm2d(6, affine=True, track_running_stats=True), nn.Conv2d(6, 3, 1)], (2, 4, 4),
     [{}, {"num_features": 4}]),
    ([nn.ConvTranspose2d(2, 6, 2), nn.PReLU(6), nn.ConvTranspose2d(6, 3, 2)], (2, 4, 4),
     [{"out_channels": 4}, {"num_parameters": 4}, {"in_channels": 4}]),
    ([nn.Conv2d(2, 6, 1), nn.Conv2d(6, 6, 3, groups=6, bias=False), nn.Conv2d(6, 3, 1)], (2, 5, 5),
     [{"out_channels": 4}, {"in_channels": 4, "out_channels": 4, "groups": 4}, {"in_channels": 4}]),
    ([nn.Conv2d(2, 6, 1), nn.Conv2d(6, 12, 3, groups=6), nn.Flatten(), nn.Linear(108, 3)], (2, 5, 5),
     [{"out_channels": 4}, {"in_channels": 4, "out_channels": 8, "groups": 4}, {}, {"in_features": 72}]),
    ([nn.Conv2d(2, 6, 1), nn.ConvTranspose2d(6, 6, 2, groups=6), nn.Conv2d(6, 3, 1)], (2, 4, 4),
     [{}, {"in_channels": 4, "out_channels": 4, "groups": 4}, {}]),
    ([nn.Linear(5, 6), nn.LayerNorm(6), nn.Linear(6, 3)], (5,),
     [{"out_features": 4}, {"normalized_shape": (4,), "full": 6}, {"in_features": 4}])],
    ids=["1d", "3d", "instance norm", "transposed", "depthwise", "depthwise of two", "depthwise transposed", "layer norm"])
@torch.no_grad()
def test_a_cut_layer_knows_its_numbers_and_the_network_answers_as_before(hostile, layers, shape, numbers):
    network, x = hostile(Chain(*layers)), torch.randn(3, *shape, dtype=torch.float64)
    small, report = remove(network, x, {"0": FOUR_OF_SIX})
    assert type(small) is Chain and not report.kept
    for layer, expected in zip(small, numbers, strict=False):
        assert {key: getattr(layer, key) for key in expected} == expected
    reference = copy.deepcopy(network)
    for layer in reference[1:]:  # norms too: what they make of a constant, no one reads
        layer.register_forward_pre_hook(lambda _, args: (
            args[0] * FOUR_OF_SIX.repeat_interleave(args[0].shape[1] // 6).reshape(-1, *[1] * (args[0].ndim - 2)),))
    torch.testing.assert_close(small(x), reference(x), rtol=0, atol=1e-10)


class Tied(nn.Module):
    """A layer that is used under two names, and an embedding whose table is also the last layer's weight.  (N, T) -> (N, T, 11)"""

    def __init__(self):
        super().__init__()
        self.embedding, self.first = nn.Embedding(11, 6), nn.Linear(6, 6)
        self.second, self.out = self.first, nn.Linear(6, 11)
        self.out.weight = self.embedding.weight

    def forward(self, tokens):
        return self.out(self.second(self.first(self.embedding(tokens)).relu()).relu())


@torch.no_grad()
def test_tied_tensors_stay_tied_and_all_their_layers_know_their_widths(hostile):
    network, tokens = hostile(Tied()), torch.randint(11, (3, 4))
    structure = analyse(network, tokens)
    name, = [name for name, stream in structure.shrinkable().items() if stream.size == 6]
    small, report = remove(network, tokens, {name: FOUR_OF_SIX})
    assert not report.kept
    assert small.first is small.second and small.out.weight is small.embedding.weight and small.out.weight.shape == (11, 4)
    assert (small.embedding.embedding_dim, small.out.in_features, small.first.in_features, small.first.out_features) == (4, 4, 4, 4)
    reference = copy.deepcopy(network)
    for layer in (reference.first, reference.out):
        layer.register_forward_pre_hook(lambda _, args: (args[0] * FOUR_OF_SIX,))
    torch.testing.assert_close(small(tokens), reference(tokens), rtol=0, atol=1e-12)


def mlp():
    return nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))


def test_cuts_one_after_the_other_are_one_cut_of_the_full_network(hostile):
    network, x = hostile(mlp()), torch.randn(3, 5, dtype=torch.float64)
    inputs = torch.tensor([True, True, False, True, True])
    once, _ = remove(network, x, {"0": FOUR_OF_SIX, "input": inputs})
    keep = {"0": torch.tensor([True, True, False, True]), "2": FOUR_OF_SIX, "input": torch.tensor([False, True, True, True])}
    twice, _ = remove(once, x, keep)
    cut = cut_of(twice)
    assert cut.keep["0.weight"][0].tolist() == cut.keep["2.weight"][1].tolist() == [0, 2, 5]
    assert cut.keep["2.weight"][0].tolist() == [0, 2, 3, 5] and cut.picks["0"].tolist() == [1, 3, 4]
    for key, value in sliced(network, cut).state_dict().items():
        assert torch.equal(value, twice.state_dict()[key]), key


def test_a_small_network_says_which_units_of_the_full_one_are_alive(hostile):
    network, x = hostile(mlp()), torch.randn(3, 5, dtype=torch.float64)
    pixels = torch.tensor([True, False, True, True, True])
    small, _ = remove(network, x, {"2": FOUR_OF_SIX, "input": pixels})
    alive = alive_in(analyse(network, x), small)
    assert torch.equal(alive["2"], FOUR_OF_SIX) and torch.equal(alive["input"], pixels)
    assert alive["0"].all() and alive["4"].all()


def test_what_a_network_lacks_goes_along_with_its_copies(hostile):
    network, x = hostile(mlp()), torch.randn(3, 5, dtype=torch.float64)
    small, _ = remove(network, x, {"2": FOUR_OF_SIX})
    assert cut_of(copy.deepcopy(small)).keep["2.weight"][0].tolist() == [0, 2, 3, 5]
    assert cut_of(network) == Cut()
