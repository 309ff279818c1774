"""Scores of irrelevance against marginal likelihoods, sampling, and what a removal saves."""

import math

import pytest
import torch
from networks import Residual, example
from torch import nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal

from sparsify.bayes.convert import bayesianize, log_alphas
from sparsify.bayes.groups import groups_of
from sparsify.bayes.orders import evidence, signal_per_mac
from sparsify.bayes.priors import PriorSettings
from sparsify.compaction import ORDERS, compact, scores
from sparsify.compress.remove import draft
from sparsify.measure.size import macs
from sparsify.settings import InputError
from sparsify.structure import analyse


def chain():
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)).double()


@torch.no_grad()
def twin_of(network, kind, x, **settings):
    """With every parameter at random."""
    twin = bayesianize(network, x, PriorSettings(kind=kind, initial_alpha=0.5, **settings))
    for parameter in twin.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    return twin.eval()


def fitted(x, y):
    """The posterior of y = x w + noise, w ~ N(0, variance), at the variance of the largest evidence, and that variance.  (N, J), (N,)"""
    squares, variance = x.square().sum(0), torch.tensor(1.0, dtype=x.dtype)
    for _ in range(2000):  # EM
        s2 = 1 / (1 / variance + squares)
        m = s2 * (x.T @ y)
        variance = (m.square() + s2).mean()
    return m, s2, variance


@pytest.mark.filterwarnings("ignore:1 of")
def test_evidence_of_linear_models_is_the_ratio_of_their_marginal_likelihoods():
    x = torch.linalg.qr(torch.randn(12, 4, dtype=torch.float64))[0] * torch.tensor([3.0, 2.0, 5.0, 1.0])  # orthogonal
    strengths, expected = (0.5, 1.0, 3.0), []
    twin = bayesianize(chain(), torch.randn(2, 4, dtype=torch.float64), "gaussian")
    for row, strength in enumerate(strengths):
        y = strength * x.sum(1) + torch.randn(12, dtype=torch.float64)
        m, s2, variance = fitted(x, y)
        twin[0].weight.data[row], twin[0].log_var.data[row] = m, s2.log()
        none, some = (MultivariateNormal(torch.zeros_like(y), torch.eye(12).double() + each * x @ x.T) for each in (0.0, variance))
        expected.append(none.log_prob(y) - some.log_prob(y))
    torch.testing.assert_close(evidence(twin).units["0"], torch.stack(expected), rtol=1e-6, atol=1e-6)
    assert expected[2] < -50


def prior_of(group, mean, log_var):
    """log p of draws of a group's weights.  -> function of (n, O, J), to (n, O), or (n, O, J) where values are alone"""
    second = mean.square() + log_var.exp()
    if group.prior.groups != "neurons":
        return Normal(0, second.mean().sqrt()).log_prob
    if not group.prior.fitted:
        return lambda w: Normal(0, second.mean(1, keepdim=True).sqrt()).log_prob(w).sum(2)
    share, scale = group.prior.log_share.squeeze(-1), (group.prior.component_log_var.squeeze(-1) / 2).exp()  # (2, G)
    if group.prior.indicator == "weight":
        law = MixtureSameFamily(Categorical(logits=share.T[:, None]), Normal(torch.zeros_like(scale.T[:, None]), scale.T[:, None]))
        return lambda w: law.log_prob(w).sum(2)
    return lambda w: torch.stack([share[k, 0] + Normal(0, scale[k, 0]).log_prob(w).sum(2) for k in range(2)]).logsumexp(0)


@pytest.mark.filterwarnings("ignore:1 of")
@pytest.mark.parametrize(("kind", "settings"), [("gaussian", {}), ("gate", {}), ("ard", {}), ("mixture", {"indicator": "weight"}),
                                                ("mixture", {"indicator": "neuron"})])
def test_evidence_is_that_of_a_prior_narrow_around_zero(kind, settings):
    """log of the mean of q / p over draws from the reduced prior: arXiv:2406.01345 eq. (5), whatever the prior's family."""
    twin = twin_of(chain(), kind, torch.randn(2, 4, dtype=torch.float64), **settings)
    found = evidence(twin)
    for group in groups_of(twin):
        mean, log_var = (part.detach() for part in group.posterior())
        draws = 1e-3 * torch.randn(4000, *mean.shape, dtype=torch.float64)
        posterior = Normal(mean, (log_var / 2).exp()).log_prob(draws)
        ratio = (posterior.sum(2) if group.prior.groups == "neurons" else posterior) - prior_of(group, mean, log_var)(draws)
        expected = ratio.logsumexp(0) - math.log(len(draws))
        torch.testing.assert_close({**found.units, **found.weights}[group.name].flatten(), expected.flatten(), rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings("ignore:1 of")
def test_a_neuron_without_a_signal_is_better_gone_and_one_with_much_stays():
    twin = twin_of(chain(), "gaussian", torch.randn(2, 4, dtype=torch.float64))
    with torch.no_grad():
        twin[2].weight[1] = 0
        twin[2].weight[3] = 20
    found = evidence(twin).units["2"]
    assert found[1] > 0 > found[3]
    _, report = compact(twin, torch.randn(2, 4, dtype=torch.float64), order="evidence")
    assert report.alive["2"].tolist() == (found <= 0).tolist()


def convolutions():
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 9, 3))


@pytest.mark.filterwarnings("ignore:1 of")
@pytest.mark.parametrize("kind", ["gaussian", "gate"])
def test_signal_is_divided_by_the_multiply_accumulates_that_a_removal_saves(kind):
    network, x = convolutions(), torch.randn(2, 2, 7, 7)
    structure, whole, offsets = analyse(network, x), macs(network, x), []
    twin = twin_of(network, kind, x)
    for name, group in ((group.name, group) for group in groups_of(twin)):
        gone = torch.arange(structure.streams[name].size) > 0
        saved = whole - macs(draft(network, structure, {name: gone}, {}), x)
        mean, log_var = (part.detach().reshape(len(gone), -1) for part in group.posterior())
        signal = sum((mean[:, j].square() / (2 * log_var[:, j].exp()) for j in range(mean.shape[1])), torch.zeros(len(gone)))
        offsets.append(signal_per_mac(twin, structure).units[name] + (signal / saved).log())
    offsets = torch.cat(offsets)
    torch.testing.assert_close(offsets, offsets[:1].expand_as(offsets), rtol=0, atol=1e-4)  # one unit of cost for all layers


def test_signal_of_a_single_weight_is_divided_by_how_often_it_is_used():
    network, x = convolutions(), torch.randn(2, 2, 7, 7)
    twin = twin_of(network, "ard", x)
    found, alphas = signal_per_mac(twin, analyse(network, x)).weights, log_alphas(twin).weights
    first, second, last = ((found[name] - alphas[name]).median() for name in ("0.weight", "2.weight", "5.weight"))
    assert (first - second).exp().item() == pytest.approx(25 / 9, rel=1e-4)
    assert (second - last).exp().item() == pytest.approx(9, rel=1e-4)


@pytest.mark.filterwarnings("ignore:1 of")
def test_magnitude_is_the_norm_of_all_that_comes_into_a_unit():
    network, x = Residual(), torch.randn(2, 3, 6, 6)
    structure = analyse(network, x)
    twin = twin_of(network, "gaussian", x)
    for group in groups_of(twin):
        expected = -group.posterior()[0].norm(dim=1).log()
        torch.testing.assert_close(scores(twin, structure, "magnitude").units[group.name], expected)
    twin = twin_of(network, "ard", x)
    for name, score in scores(twin, structure, "magnitude").weights.items():
        torch.testing.assert_close(score, -twin.get_parameter(name).abs().log())


def test_magnitude_of_a_unit_does_not_change_as_its_row_hands_its_scale_to_its_gate():
    network, x = chain(), torch.randn(2, 4, dtype=torch.float64)
    structure, twin = analyse(network, x), twin_of(network, "gate", x)
    before, gate = scores(twin, structure, "magnitude").units, groups_of(twin)[0]
    with torch.no_grad():
        gate.mean *= 2
        twin[0].weight /= 2
    torch.testing.assert_close(scores(twin, structure, "magnitude").units["0"], before["0"])


def test_magnitude_of_a_feature_of_the_input_is_that_of_the_weights_that_read_it():
    network, x = chain(), torch.randn(2, 4, dtype=torch.float64)
    twin = bayesianize(network, x, "gate", inputs=True)
    with torch.no_grad():
        twin[0].weight[:, 2] = 0
        twin[0].weight[:, 1] = 9
    found = scores(twin, analyse(network, x), "magnitude").units["input"]
    assert found.argmax() == 2 and found.argmin() == 1 and found.isfinite().all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["gaussian", "mixture", "gate", "ard"])
def test_every_order_has_a_finite_score_for_all_that_log_alpha_has(kind, order):
    network = Residual()
    twin, structure = twin_of(network, kind, example(network)), analyse(network, example(network))
    alphas, found = log_alphas(twin), scores(twin, structure, order)
    for has, expected in ((found.units, alphas.units), (found.weights, alphas.weights)):
        assert {name: score.shape for name, score in has.items()} == {name: score.shape for name, score in expected.items()}
        assert all(score.isfinite().all() for score in has.values())


@pytest.mark.parametrize("order", ORDERS)
def test_a_plain_network_has_no_scores(order):
    network, x = chain(), torch.randn(2, 4, dtype=torch.float64)
    with pytest.raises(InputError, match="the network has no prior"):
        scores(network, analyse(network, x), order)


def test_what_has_no_score_is_refused_in_one_line():
    network, x = chain(), torch.randn(2, 4, dtype=torch.float64)
    twin = bayesianize(network, x, "log_uniform")
    with pytest.raises(InputError, match="the prior log_uniform has no density at zero, and so no evidence to compare"):
        scores(twin, analyse(network, x), "evidence")
    with pytest.raises(InputError, match="order is 'alpha'; choose one of log_alpha, evidence, signal_per_mac, magnitude"):
        compact(twin, x, order="alpha")
