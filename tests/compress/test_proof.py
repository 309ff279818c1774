"""What the proof sees, against gaps that are known; and what it does not let pass stays, silent and named."""

import copy

import pytest
import torch
from chains import close
from torch import nn

from sparsify.compress.masks import mask
from sparsify.compress.proof import EXACT, ROUNDED, Proof
from sparsify.compress.remove import remove
from sparsify.settings import InputError


def constant(*values):
    """A network that answers these, whatever it is given."""
    network = nn.Linear(4, len(values))
    nn.init.zeros_(network.weight)
    network.bias.data = torch.tensor(values)
    return network


@pytest.mark.parametrize(("values", "largest"), [((3.0, -20.0), 20.0), ((0.1, 0.2), 0.2)])
def test_the_gap_is_the_largest_difference_as_a_share_of_the_largest_output(values, largest):
    proof, other = Proof(constant(*values), torch.randn(3, 4)), constant(values[0] + 0.5, values[1] + 0.25)
    assert proof.gap(other) == pytest.approx(0.5 / largest)
    assert proof.gap(constant(*values)) == 0


def test_a_gap_that_float32_would_round_away_is_seen():
    network = constant(1.0, 2.0).double()
    other, proof = copy.deepcopy(network), Proof(network, torch.randn(3, 4))
    with torch.no_grad():
        other.bias[0] += 1e-8
    assert proof.gap(other) == pytest.approx(0.5e-8, rel=1e-3) and proof.allowed == EXACT < 1e-8


class Forward(nn.Module):
    """Any function as a network of a linear layer, which it is given."""

    def __init__(self, function, layer=None):
        super().__init__()
        self.function, self.fc = function, layer or nn.Linear(4, 3)

    def forward(self, *given):
        return self.function(self.fc, *given)


@pytest.mark.parametrize("examples", [1, 2, 5])
def test_a_difference_in_batches_of_one_alone_is_seen(examples):
    plain = Forward(lambda fc, x: fc(x))
    other = Forward(lambda fc, x: fc(x) + 0.1 * (len(x) == 1), plain.fc)
    assert Proof(plain, torch.randn(examples, 4)).gap(other) > 1e-3


@pytest.mark.parametrize("kind", [lambda y: {"a": y, "b": [y + 1, "text"]}, lambda y: (y, (y.long(), y + 1))])
def test_outputs_of_any_form_are_compared_leaf_by_leaf(kind):
    plain = Forward(lambda fc, x: kind(fc(x)))
    proof = Proof(plain, torch.randn(2, 4))
    assert proof.gap(copy.deepcopy(plain)) == 0
    shifted = Forward(lambda fc, x: kind(fc(x) + torch.tensor([0, 0, 1e-3], dtype=x.dtype)), plain.fc)
    assert proof.gap(shifted) > 1e-5


def test_what_is_no_number_is_no_proof():
    proof = Proof(constant(1.0, 2.0), torch.randn(2, 4))
    assert proof.gap(constant(1.0, float("nan"))) == proof.gap(constant(1.0, float("inf"))) == float("inf")


def test_outputs_of_another_shape_are_an_error():
    with pytest.raises(RuntimeError, match=r"shape \(2, 3\) in place of \(2, 2\)"):
        Proof(constant(1.0, 2.0), torch.randn(2, 4)).gap(constant(1.0, 2.0, 3.0))


def test_a_network_that_float64_does_not_run_is_compared_in_its_own_precision():
    network = Forward(lambda fc, x: fc(x.float()))
    proof = Proof(network, torch.randn(2, 4))
    assert proof.allowed == ROUNDED and proof.gap(network) == 0


def test_the_proof_draws_nothing_from_torchs_generator_and_leaves_the_network_alone():
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).train()
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    Proof(network, torch.randn(2, 4, generator=torch.Generator())).gap(network)
    assert torch.equal(torch.get_rng_state(), state) and network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


# What cannot be cut stays

KEPT = torch.tensor([True, False, True, True, False, True, True, True])


class Two(nn.Module):
    """Something between two layers of eight units.  (N, 4) -> (N, 3)"""

    def __init__(self, between):
        super().__init__()
        self.fc1, self.between, self.fc2 = nn.Linear(4, 8), between if isinstance(between, nn.Module) else None, nn.Linear(8, 3)
        self.function = None if isinstance(between, nn.Module) else between

    def forward(self, x):
        x = self.fc1(x)
        return self.fc2(self.between(x) if self.function is None else self.function(x))


@pytest.mark.parametrize(("between", "reason"), [
    (lambda x: x.reshape(-1, 8).relu(), "cut, it fails"),  # a view that fixes the width
    (nn.Sequential(nn.Sigmoid(), nn.LayerNorm(8)), "cut, its outputs would differ"),  # masked units are 0.5 in the norm's mean
    (nn.LayerNorm(8, elementwise_affine=False), "cut, it fails")], ids=["view", "sigmoid, norm", "norm without vectors"])
@torch.no_grad()
def test_what_cannot_be_cut_stays_silent_and_is_named(hostile, between, reason):
    network, x = hostile(Two(between)), torch.randn(5, 4, dtype=torch.float64)
    small, report = remove(network, x, {"fc1": KEPT})
    assert small.fc1.out_features == report.after["fc1"] == 8
    assert report.kept["fc1"].startswith(reason) and f"kept: {reason}" in str(report)
    assert not small.fc1.weight[~KEPT].any() and small.fc1.weight[KEPT].any(1).all()
    close(small(x), mask(network, x, {"fc1": KEPT})(x), 1e-12)


class Halves(nn.Module):
    """A layer whose halves go different ways, then one more stream.  (N, 4) -> (N, 3)"""

    def __init__(self):
        super().__init__()
        self.fc1, self.left, self.right, self.fc2 = nn.Linear(4, 8), nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        left, right = self.fc1(x).relu().chunk(2, 1)
        return self.fc2((self.left(left) + self.right(right)).relu())


@torch.no_grad()
def test_halves_of_a_chunk_stay_as_wide_as_one_another(hostile):
    network, x = hostile(Halves()), torch.randn(5, 4, dtype=torch.float64)
    keep = {"fc1": torch.tensor([True, False, False, False]), "fc1#2": torch.tensor([False, True, True, False]),
            "left": torch.tensor([True, False, True, True, True, False])}
    small, report = remove(network, x, keep)
    close(small(x), mask(network, x, keep)(x), 1e-12)
    assert (small.left.in_features, small.right.in_features, small.fc2.in_features) == (2, 2, 4)
    assert int(report.alive["fc1"].sum()) == 1 and not report.kept


@torch.no_grad()
def test_one_stream_that_cannot_be_cut_keeps_no_other_from_it(hostile):
    refuses = Two(lambda x: x.reshape(-1, 8).relu())
    refuses.fc1 = nn.Linear(8, 8)
    network = hostile(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), refuses, nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)))
    x = torch.randn(5, 4, dtype=torch.float64)
    keep = {name: KEPT for name in ("0", "2.fc1", "3")}
    small, report = remove(network, x, keep)
    assert list(report.kept) == ["2.fc1"]
    assert (small[0].out_features, small[2].fc1.out_features, small[3].out_features) == (6, 8, 6)
    close(small(x), mask(network, x, keep)(x), 1e-12)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.fc = nn.Parameter(torch.randn(6, 4)), nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(nn.functional.linear(x, self.weight).relu())


def doubled(layer, args, output):
    return 2 * output


@pytest.mark.parametrize(("network", "reason"), [
    (Functional(), "weight is no linear layer of torch's own, and reads all of it"), (Two(nn.ReLU()), "cut, its outputs would differ")])
@torch.no_grad()
def test_input_features_whose_reader_cannot_leave_them_out_stay_silent_and_are_named(hostile, network, reason):
    hostile(network)
    if isinstance(network, Two):
        network.fc1.register_forward_hook(doubled)
    x, pixels = torch.randn(5, 4, dtype=torch.float64), torch.tensor([True, False, True, True])
    small, report = remove(network, x, {"input": pixels})
    assert report.kept["input"].startswith(reason) and report.after["input"] == 4
    close(small(x), network(x * pixels), 1e-12)


def test_a_network_that_never_answers_the_same_is_refused():
    network = Two(lambda x: nn.functional.dropout(x.relu(), 0.5, training=True))
    with pytest.raises(InputError, match="does not give the same outputs twice"):
        remove(network, torch.randn(5, 4), {"fc1": KEPT})
