"""Small networks at random: what is removed changes nothing, and where no step counts channels every unit can be."""

import torch
from hypothesis import HealthCheck, given, settings

import sparsify
from tests.structure import programs, taint
from tests.structure.masking import assert_equal_logits, masked_by_hand, quarter, units_found
from tests.structure.programs import BOUND, FREE, SHAPE, Drawn
from tests.structure.zoo import hostile

drawn = settings(max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


def network(program):
    torch.manual_seed(0)
    return hostile(Drawn(*program), (torch.randn(4, *SHAPE),))


def assert_removal_changes_nothing(model):
    example = torch.randn(2, *SHAPE, dtype=torch.float64)
    streams = sparsify.streams(model, example)
    keep = quarter(streams)
    small, report = sparsify.remove(model, example, keep=keep)
    assert_equal_logits(small, masked_by_hand(model, streams, keep), (torch.randn(5, *SHAPE, dtype=torch.float64),), 1e-9)
    return keep, report


@drawn
@given(programs.programs(FREE))
def test_every_unit_of_a_network_that_counts_no_channels_can_leave(program):
    model = network(program)
    assert units_found(model, (torch.randn(2, *SHAPE).double(),)) == taint.units(model, (torch.randn(1, *SHAPE),))
    keep, report = assert_removal_changes_nothing(model)
    assert keep and not report.kept


@drawn
@given(programs.programs(FREE + BOUND))
def test_a_network_that_counts_channels_is_never_different(program):
    _, report = assert_removal_changes_nothing(network(program))
    assert all(report.kept.values())
