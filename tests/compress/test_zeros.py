"""Zeros in training: they stay, or they change places and no unit dies or comes to life."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn

from sparsify.compress.recovery import Recovery
from sparsify.compress.zeros import Zeros
from sparsify.data import Split
from sparsify.losses import cross_entropy
from sparsify.settings import InputError
from sparsify.training import TrainSettings, fit

SETTINGS = TrainSettings(epochs=8, batch_size=16, lr=0.01)
TRAIN = Split(torch.randn(64, 6, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 4)


def sparse(zeros=0.6):
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4))
    for layer, seed in ((network[0], 2), (network[2], 3)):
        layer.weight.data[torch.rand(layer.weight.shape, generator=torch.Generator().manual_seed(seed)) < zeros] = 0
    return network


def places(network):
    return [layer.weight != 0 for layer in (network[0], network[2])]


def recovered(network, regrow, state=None, epochs=8):
    recovery = Recovery(TRAIN, partial(cross_entropy, settings=SETTINGS), lambda small: {}, SETTINGS, 0, regrow)
    recovery(network, "test", epochs, state=state)
    return network


@pytest.mark.parametrize("make_optimizer", [
    lambda parameters: torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.5),
    lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)], ids=["adamw", "sgd"])
def test_zeros_are_held_in_training_and_the_rest_moves(make_optimizer):
    network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    zero = torch.rand(5, 6) < 0.5
    optimizer = make_optimizer(network.parameters())
    network(torch.randn(8, 6)).square().sum().backward()  # momentum from before the zeros
    optimizer.step()
    network[0].weight.data[zero] = 0
    before, zeros = copy.deepcopy(network), Zeros(network)
    for _ in range(5):
        optimizer.zero_grad()
        network(torch.randn(8, 6)).square().sum().backward()
        optimizer.step()
        zeros.hold()
        assert torch.equal(network[0].weight == 0, zero)
    for layer, old in zip((network[0], network[2]), (before[0], before[2]), strict=True):
        assert ((layer.weight != old.weight) | (old.weight == 0)).all() and (layer.bias != old.bias).all()


def test_the_smallest_weights_go_and_the_zeros_that_pull_most_come():
    layer = nn.Linear(4, 3, bias=False)
    layer.weight.data = torch.tensor([[9.0, 1.0, 8.0, 0.0], [7.0, 6.0, 0.0, 3.0], [2.0, 0.0, 0.5, 5.0]])
    layer.weight.grad = torch.tensor([[9.0, 9.0, 9.0, 0.1], [9.0, 9.0, -0.3, 9.0], [9.0, 0.2, 9.0, 9.0]])
    zeros = Zeros(layer, moving=0.25)  # of nine weights, two
    zeros.move(0.0)
    assert layer.weight.tolist() == [[9, 0, 8, 0], [7, 6, 0, 3], [2, 0, 0, 5]]
    layer.weight.grad = None
    layer.weight.data.fill_(1)  # as a step would fill all places
    zeros.hold()
    assert layer.weight.tolist() == [[1, 0, 1, 0], [1, 1, 1, 1], [1, 1, 0, 1]]


def test_the_share_that_moves_falls_to_nothing():
    moved = []
    for done in (0.0, 0.25, 0.375, 0.74, 0.75, 1.0):
        layer = nn.Linear(100, 50, bias=False)
        layer.weight.data[torch.rand(50, 100) < 0.5] = 0
        layer.weight.grad = torch.randn(50, 100)
        before, zeros = layer.weight != 0, Zeros(layer, moving=0.4)
        zeros.move(done)
        after = next(zeros.buffers())
        assert after.sum() == before.sum() and (layer.weight[~after] == 0).all()
        moved.append((after & ~before).sum().item() / before.sum().item())
    assert moved == pytest.approx([0.4, 0.3, 0.2, 0.0, 0.0, 0.0], abs=1e-3)


@pytest.mark.parametrize("layer", [
    nn.Linear(9, 6, bias=False), nn.Conv2d(9, 6, 3, bias=False).to(memory_format=torch.channels_last),
    nn.ConvTranspose1d(6, 9, 2, bias=False)], ids=["linear", "convolution", "transposed"])
def test_no_unit_dies_or_comes_to_life(layer):
    shape = layer.weight.shape
    with torch.no_grad():
        layer.weight[torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.7] = 0
        layer.weight[4], layer.weight[:, 2] = 0, 0
    alive = [layer.weight.abs().transpose(0, dim).flatten(1).sum(1) > 0 for dim in (0, 1)]
    zeros, count = Zeros(layer, moving=1.0), int(layer.weight.count_nonzero())
    for _ in range(20):
        layer.weight.data += torch.rand(shape)
        zeros.hold()
        layer.weight.grad = torch.randn_like(layer.weight)
        before = next(zeros.buffers()).clone()
        zeros.move(0.0)
        kept = next(zeros.buffers())
        assert kept.sum() == count and not torch.equal(kept, before)
        assert all(torch.equal(kept.transpose(0, dim).flatten(1).any(1), alive[dim]) for dim in (0, 1))


class Table(nn.Module):
    """Its units are the last dim, as those of a table of positions are."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, 8, 6))


@pytest.mark.parametrize("layer", [nn.Conv1d(4, 8, 3, groups=2), nn.Conv1d(8, 8, 3, groups=8), nn.Embedding(8, 6), Table(),
                                   nn.Linear(8, 6).requires_grad_(False)], ids=["groups", "depthwise", "embedding", "table", "frozen"])
def test_what_takes_no_part_keeps_its_zeros(layer):
    layer.weight.data[torch.rand(layer.weight.shape, generator=torch.Generator().manual_seed(0)) < 0.5] = 0
    before, zeros = layer.weight != 0, Zeros(layer, moving=0.5)
    if layer.weight.requires_grad:
        layer.weight.grad = torch.randn_like(layer.weight)
    zeros.move(0.0)
    layer.weight.data += 1
    zeros.hold()
    assert torch.equal(layer.weight != 0, before)


@pytest.mark.parametrize("nothing", [0.0, math.nan])
def test_nothing_grows_where_nothing_pulls(nothing):
    layer = nn.Linear(20, 10, bias=False)
    layer.weight.data[torch.rand(10, 20, generator=torch.Generator().manual_seed(0)) < 0.5] = 0
    before, zeros = layer.weight != 0, Zeros(layer, moving=0.5)
    layer.weight.grad = torch.full((10, 20), nothing)
    zeros.move(0.0)
    assert torch.equal(layer.weight != 0, before)
    layer.weight.grad[3] = 1.0  # one output alone
    zeros.move(0.0)
    kept = next(zeros.buffers())
    assert kept.sum() == before.sum() and kept[3].sum() > before[3].sum() and not (kept & ~before)[[0, 1, 2, 4]].any()


def test_a_recovery_moves_zeros_or_not():
    before = places(sparse())
    assert all(map(torch.equal, places(recovered(sparse(), 0.0)), before))
    after = places(recovered(sparse(), 0.5))
    assert not any(map(torch.equal, after, before))
    assert [kept.sum() for kept in after] == [kept.sum() for kept in before]


def test_an_interrupted_recovery_remembers_where_its_zeros_were(tmp_path, monkeypatch):
    whole, stopped, state = recovered(sparse(), 0.5), sparse(), tmp_path / "state.pt"
    move = Zeros.move

    def interrupt(zeros, done):
        move(zeros, done)
        if done > 0.5:
            raise KeyboardInterrupt
    monkeypatch.setattr(Zeros, "move", interrupt)
    with pytest.raises(KeyboardInterrupt):
        recovered(stopped, 0.5, state)
    monkeypatch.setattr(Zeros, "move", move)
    resumed = recovered(sparse(), 0.5, state)
    assert all(map(torch.equal, resumed.parameters(), whole.parameters()))


def test_a_state_of_other_zeros_is_refused(tmp_path):
    state = tmp_path / "state.pt"
    recovered(sparse(), 0.5, state)
    dense = sparse(zeros=0.0)
    with pytest.raises(InputError, match="zeros has other keys"):
        recovered(dense, 0.5, state)


def test_the_share_that_is_done_is_told_after_each_epoch():
    told, network = [], sparse()
    fit(network, TRAIN, cross_entropy(network, SETTINGS), SETTINGS, dict, "test", total_steps=10, after_epoch=told.append)
    assert told == [0.4, 0.8, 1.0]
