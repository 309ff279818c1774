"""From a twin to a small network: what lies above the threshold goes, and all else answers as the twin does in evaluation."""

import copy
import warnings

import pytest
import torch
from torch import nn

import sparsify
from sparsify.bayes.convert import Scores
from sparsify.bayes.priors import KINDS
from sparsify.compaction import relevant
from sparsify.compress.masks import EmptyLayer

every_kind = pytest.mark.parametrize("kind", KINDS)


class Residual(nn.Module):
    """A block beside its input, in a class.  (N, 5) -> (N, 3)"""

    def __init__(self):
        super().__init__()
        self.stem, self.into, self.out, self.fc = nn.Linear(5, 8), nn.Linear(8, 6), nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = self.stem(x).relu()
        return self.fc(x + self.out(self.into(x).relu()))


def five(n=4):
    return torch.randn(n, 5, dtype=torch.float64)


@pytest.fixture
def make_twin(hostile, prior_settings):
    @torch.no_grad()
    def make(kind):
        """With every parameter at random."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the layers that a prior of neurons leaves alone
            twin = sparsify.bayesianize(hostile(Residual()), five(), prior_settings(kind=kind))
        for parameter in twin.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        return twin.train()
    return make


def middle(scores):
    """A threshold that half of them are above."""
    return torch.cat([score.flatten() for score in {**scores.units, **scores.weights}.values()]).median().item()


@every_kind
@torch.no_grad()
def test_a_compact_network_answers_as_the_twin_with_what_is_irrelevant_at_zero(make_twin, kind):
    twin, x = make_twin(kind), five()
    scores = sparsify.log_alphas(twin)
    small, report = sparsify.compact(twin, x, middle(scores))
    assert type(small) is Residual and not report.kept
    units, weights = relevant(scores, middle(scores))
    assert any(not mask.all() for mask in (*units.values(), *weights.values()))
    reference = sparsify.bake(twin).eval()
    for name, mask in weights.items():
        reference.get_parameter(name).mul_(mask)
    for name, readers in (("stem", (reference.into, reference.fc)), ("into", (reference.out,))):
        alive = report.alive[name]
        assert not (alive & ~units.get(name, alive)).any()
        for reader in readers:
            reader.register_forward_pre_hook(lambda _, args, alive=alive: (args[0] * alive,))
    torch.testing.assert_close(small.eval()(x), reference(x), rtol=0, atol=1e-10)


@every_kind
@torch.no_grad()
def test_above_all_scores_nothing_goes(make_twin, kind):
    twin, x = make_twin(kind), five()
    small, report = sparsify.compact(twin, x, 1e6)
    assert report.before == report.after
    torch.testing.assert_close(small.eval()(x), twin.eval()(x), rtol=0, atol=1e-12)


@every_kind
def test_below_all_scores_there_is_no_network(make_twin, kind):
    with pytest.raises(EmptyLayer, match=r"leaves? no(thing|ne) of"):
        sparsify.compact(make_twin(kind), five(), -1e6)


def test_masks_may_be_given_in_place_of_a_threshold(make_twin):
    twin, kept = make_twin("gate"), torch.arange(6) < 2
    small, report = sparsify.compact(twin, five(), keep={"into": kept})
    assert small.into.out_features == 2 and small.stem.out_features == 8
    assert report.alive["into"].tolist() == kept.tolist()


def test_the_twin_stays_as_it_was(make_twin):
    twin = make_twin("mixture")
    before, x = copy.deepcopy(twin.state_dict()), five()
    sparsify.compact(twin, x, 1e6)
    assert twin.training and all(torch.equal(value, before[key]) for key, value in twin.state_dict().items())
    assert sparsify.kl(twin) > 0


def test_a_threshold_keeps_what_is_at_it():
    scores = Scores(units={"a": torch.tensor([1.0, 3.0, 3.5])}, weights={"w": torch.tensor([[3.0, 3.1]])})
    assert [mask.tolist() for masks in relevant(scores, 3.0) for mask in masks.values()] == [[True, True, False], [[True, False]]]


def test_of_a_stream_that_is_irrelevant_as_a_whole_as_many_units_stay_as_are_asked_for():
    scores = Scores(units={"a": torch.tensor([1.0, 8.0]), "b": torch.tensor([8.0, 8.0, 8.0]), "c": torch.tensor([7.0, 5.0])}, weights={})
    with pytest.raises(EmptyLayer, match=r"leaves nothing of b, c; the lowest that leaves a unit of each stream is 8 "):
        relevant(scores, 3.0)
    keep, _ = relevant(scores, 3.0, 1)
    assert {name: kept.tolist() for name, kept in keep.items()} == {"a": [True, False], "b": [True, False, False], "c": [False, True]}
    with pytest.raises(EmptyLayer, match=r"leaves nothing of a, b, c; the lowest that leaves a unit of each stream is 1 "):
        relevant(scores, 0.0, 1)
    assert sum(kept.sum() for kept in relevant(scores, 1.0, 1)[0].values()) == 3


@torch.no_grad()
def test_a_network_goes_from_a_class_to_a_file_and_back(make_twin, tmp_path):
    twin, x = make_twin("gate"), five()
    small, _ = sparsify.compact(twin, x, middle(sparsify.log_alphas(twin)), protect=["into"], multiple_of=2)
    assert small.into.out_features == 6 and small.stem.out_features % 2 == 0
    sparsify.save(small, tmp_path / "small.safetensors")
    assert torch.equal(sparsify.load(tmp_path / "small.safetensors", Residual().double())(x), small.eval()(x))


@every_kind
@pytest.mark.parametrize("call", [sparsify.mask, sparsify.remove])
def test_a_twin_is_not_taken_for_a_plain_network(make_twin, kind, call):
    with pytest.raises(sparsify.InputError, match=r"the network is a Bayesian twin; give bake\(twin\)"):
        call(make_twin(kind), five(), keep={"into": torch.arange(6) < 3})
