"""Every rule of the structure against brute force: the units of `streams` are those that one NaN after another shows."""

import copy

import pytest
import torch
from torch import Tensor, nn

import sparsify
from tests.structure import taint
from tests.structure.masking import units_found
from tests.structure.operations import LAYERS, OPERATIONS, STATISTICS, Between, around, linear
from tests.structure.zoo import CASES, cast, hostile

OF_LAYERS = ("unet", "cifar_resnet", "squeeze_excite", "dict_output", "layer_used_twice", "conv1d", "conv3d", "two_inputs",
             "nested_sequential", "mlp", "flip", "glu", "slice_constant", "split_constant", "chunk_branches", "grouped", "channel_shuffle")


def assert_as_by_brute_force(model: nn.Module, example: tuple[Tensor, ...]) -> None:
    hostile(model, example)
    example = cast(example, torch.float64)
    assert units_found(model, example) == taint.units(model, tuple(value[:1] for value in example))


@pytest.mark.parametrize("name", OPERATIONS)
def test_units_after_an_operation_are_those_that_one_row_moves(name):
    op, reader = OPERATIONS[name]
    assert_as_by_brute_force(Between(nn.Conv2d(2, 6, 1), op, reader, 2, 4, 4), (torch.randn(2, 2, 4, 4),))


@pytest.mark.parametrize("name", LAYERS)
def test_units_before_and_behind_a_layer_are_those_that_one_row_moves(name):
    model, shape = around(name)
    assert_as_by_brute_force(model, (torch.randn(2, *shape),))


@pytest.mark.parametrize("name", OF_LAYERS)
def test_units_of_a_network_are_those_that_one_row_moves(name):
    assert_as_by_brute_force(CASES[name].build(), CASES[name].inputs(2))


@pytest.mark.parametrize("name", STATISTICS)
def test_units_under_statistics_over_them_stay_and_the_statistics_are_named(name):
    op, word = STATISTICS[name]
    model = Between(nn.Linear(4, 6), op, linear, 4)
    assert word in sparsify.streams(model, torch.randn(2, 4))["first"].fixed


@torch.no_grad()
def test_products_of_activations_tie_what_can_be_scaled_against_each_other():
    """Twice a unit of q and half of a unit of k leave the output as it is where the two are one unit, and nowhere else."""
    case = CASES["attention_of_one_head"]
    model, inputs = hostile(case.build(), case.inputs(2)), cast(case.inputs(2), torch.float64)
    stream, expected = sparsify.streams(model, inputs)["q"], model(*inputs)
    index = {slot.tensor: slot.index[:, 0].tolist() for slot in stream.writers}
    tied = set(zip(index["q.weight"], index["k.weight"], strict=True))
    for one in range(8):
        for other in range(8):
            scaled = copy.deepcopy(model)
            for layer, row, factor in ((scaled.q, one, 2), (scaled.k, other, 0.5)):
                layer.weight[row] *= factor
                layer.bias[row] *= factor
            assert torch.allclose(scaled(*inputs), expected, rtol=0, atol=1e-12) == ((one, other) in tied)
