"""Numbers at their ends, for every prior: the loss and every gradient stay finite, a step later too. Where what the network computes is
more than float32 holds, training stops with the term and the layer."""

import warnings
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import sparsify
from sparsify.bayes.groups import groups_of
from sparsify.bayes.objective import negative_elbo
from sparsify.bayes.priors import KINDS
from sparsify.data import Split
from sparsify.losses import cross_entropy
from sparsify.settings import InputError
from sparsify.structure import analyse
from sparsify.training import descend, fit

every_kind = pytest.mark.parametrize("kind", KINDS)
EXAMPLE = torch.randn(2, 1, 4, 4)
WIDTHS = {"wide": (6, 5), "one unit": (1, 1)}


def network(widths):
    first, second = WIDTHS[widths]
    return nn.Sequential(nn.Conv2d(1, first, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * first, second), nn.ReLU(), nn.Linear(second, 3))


@cache
def structure(widths):
    return analyse(network(widths), EXAMPLE)


@torch.no_grad()
def put(twin, mean=None, log_var=None):
    """The same number for every mean, every log variance."""
    for group in groups_of(twin):
        for parameter in group.noise():
            if log_var is not None and parameter is not getattr(group, "mean", None):
                parameter.fill_(log_var)
        for parameter in ([group.mean] if hasattr(group, "mean") else [layer.weight for layer in group.layers]):
            if mean is not None:
                parameter.fill_(mean)


def two_steps(twin, images, weight=1.0):
    optimizer = torch.optim.SGD(twin.parameters(), lr=1e-12)
    for _ in range(2):
        labels = torch.arange(len(images)) % 3
        terms = {"nll": F.cross_entropy(twin(images), labels), "kl": weight * sparsify.kl(twin)}
        descend(optimizer, terms)
        assert all(term.isfinite() for term in terms.values()), terms
        assert [name for name, each in twin.named_parameters() if each.grad is not None and not each.grad.isfinite().all()] == []
        sparsify.update_priors(twin)
    assert all(each.isfinite().all() for each in twin.state_dict().values())
    assert all(group.log_alpha().isfinite().all() for group in groups_of(twin))


@pytest.fixture
def make_twin(prior_settings):
    def make(kind, widths="wide", **changes):
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of layers that a prior of units leaves alone
            return sparsify.bayesianize(network(widths), EXAMPLE, prior_settings(kind=kind, **changes), structure=structure(widths)).train()
    return make


@every_kind
@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("log_var", [-80.0, -40.0, 0.0, 15.0])
@pytest.mark.parametrize("mean", [None, 0.0, 1e-30, 100.0])
def test_log_alpha_at_both_ends(make_twin, kind, widths, log_var, mean):
    twin = make_twin(kind, widths)
    put(twin, mean, log_var)
    two_steps(twin, torch.randn(4, 1, 4, 4))


@every_kind
@pytest.mark.parametrize("images", [torch.randn(1, 1, 4, 4), torch.zeros(4, 1, 4, 4), torch.ones(4, 1, 4, 4)],
                         ids=["a batch of one", "dark", "constant"])
def test_a_batch_of_one_and_constant_pixels(make_twin, kind, images):
    two_steps(make_twin(kind), images)


@every_kind
@pytest.mark.parametrize("weight", [1e-30, 1e10])
def test_a_kl_of_any_weight(make_twin, kind, weight):
    two_steps(make_twin(kind), torch.randn(4, 1, 4, 4), weight)


@every_kind
@pytest.mark.parametrize(("mean", "log_var", "beta"), [(1e15, None, 1.0), (None, 60.0, 1.0), (None, 88.0, 1.0), (None, None, 1e30)])
def test_what_float32_cannot_hold_stops_with_the_term_and_the_layer(make_twin, train_settings, kind, mean, log_var, beta):
    twin = make_twin(kind)
    put(twin, mean, log_var)
    train = Split(torch.randn(40, 1, 4, 4), torch.arange(40) % 3)
    settings = train_settings(epochs=3, batch_size=4, optimizer="sgd", lr=1.0)
    loss = negative_elbo(twin, cross_entropy(twin, settings), 40, beta, 0)
    with pytest.raises(InputError, match=r"broken stopped: the term (nll|kl) became (inf|nan|-inf) at step \d+; "
                                         r"(the largest number stands in|\d+ of \d+ tensors are not finite,) [0-9a-z_.]+"):
        fit(twin, train, loss, settings, dict, "broken", lambda: sparsify.update_priors(twin))


@every_kind
@pytest.mark.parametrize("changes", [{"initial_alpha": 1e-30}, {"initial_alpha": 1e6}, {"variance_floor": 1e-30}, {"variance_floor": 1e30},
                                     {"indicator": "neuron", "variance_floor": 1e-30}], ids=str)
def test_settings_at_their_ends(make_twin, kind, changes):
    twin = make_twin(kind, **changes)
    if kind == "mixture":
        put(twin, 0.0)  # all variances at the floor
    two_steps(twin, torch.randn(4, 1, 4, 4))


@every_kind
def test_a_network_of_zeros(prior_settings, kind):
    model = network("wide")
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twin = sparsify.bayesianize(model, EXAMPLE, prior_settings(kind=kind), structure=structure("wide")).train()
    two_steps(twin, torch.randn(4, 1, 4, 4))


def test_float16_is_refused_before_anyone_trains():
    with pytest.raises(InputError, match=r"0\.weight is float16, which has no number as small as a variance"):
        sparsify.bayesianize(network("wide").half(), torch.randn(2, 1, 4, 4).half())
