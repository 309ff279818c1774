"""The negative ELBO against its definition, written out."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal, kl_divergence

from sparsify.bayes.convert import bayesianize, coverage, log_alphas
from sparsify.bayes.objective import kl, negative_elbo, update_priors
from sparsify.losses import cross_entropy
from sparsify.settings import InputError
from sparsify.training import Batch

IMAGES, LABELS = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
BATCH = Batch(IMAGES, IMAGES, LABELS, torch.arange(6), epochs_done=0.0)


@pytest.fixture
def model(prior_settings):
    plain = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    return bayesianize(plain, IMAGES, prior_settings(kind="ard", kl_weight="weights")).eval()  # without noise


@pytest.fixture
def elbo(train_settings):
    """elbo(model, n_data, beta, warmup_epochs, smoothing) -> the negative ELBO of the labels"""
    def make(model, n_data, beta, warmup_epochs=0.0, smoothing=0.0):
        return negative_elbo(model, cross_entropy(model, train_settings(label_smoothing=smoothing)), n_data, beta, warmup_epochs)
    return make


def ard_kl(layer):
    posterior = Normal(layer.weight, (layer.log_var / 2).exp())
    return kl_divergence(posterior, Normal(0, (layer.weight.square() + layer.log_var.exp()).sqrt())).sum()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("n_data", "beta"), [(1, 1.0), (50, 1.0), (50, 0.3)])
def test_terms_are_nll_and_kl_per_example(model, elbo, n_data, beta, smoothing):
    terms = elbo(model, n_data, beta, smoothing=smoothing)(BATCH)
    logp = model(IMAGES).log_softmax(1)
    nll = -((1 - smoothing) * logp[range(6), LABELS] + smoothing * logp.mean(1)).mean()
    expected = beta * (ard_kl(model[0]) + ard_kl(model[2])) / n_data
    assert terms.keys() == {"nll", "kl"}
    torch.testing.assert_close(terms["nll"], nll)
    torch.testing.assert_close(terms["kl"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("epochs_done", "warmth"), [(0.0, 0.0), (1.0, 0.25), (3.5, 0.875), (4.0, 1.0), (99.0, 1.0)])
def test_the_kl_warms_up_linearly(model, elbo, epochs_done, warmth):
    full = elbo(model, 10, 2.0)(BATCH)
    warm = elbo(model, 10, 2.0, 4.0)(BATCH._replace(epochs_done=epochs_done))
    torch.testing.assert_close(warm["kl"], warmth * full["kl"])
    torch.testing.assert_close(warm["nll"], full["nll"])


def test_training_nll_is_the_mean_over_the_posteriors_weights(prior_settings, elbo):
    model = bayesianize(nn.Sequential(nn.Linear(4, 3)), IMAGES, prior_settings(kind="ard", initial_alpha=1.0)).train()
    layer, labels = model[0], LABELS.repeat(20_000)
    with torch.no_grad():
        found = elbo(model, 10, 1.0)(BATCH._replace(images=IMAGES.repeat(20_000, 1), labels=labels))["nll"]
        weights = layer.weight + (layer.log_var / 2).exp() * torch.randn(20_000, *layer.weight.shape)
        logits = (torch.einsum("ni,soi->sno", IMAGES, weights) + layer.bias).flatten(0, 1)
        expected = F.cross_entropy(logits, labels, reduction="none")  # those of one draw are correlated: 20,000 draws count
    assert (found - expected.mean()).abs() < 4 * (2 * expected.var() / 20_000).sqrt()


def test_other_data_terms_stand_beside_the_kl_as_they_are(model, elbo):
    terms = negative_elbo(model, lambda batch: {"nll": batch.images.sum(), "distillation": batch.images.mean()}, 10, 2.0, 0.0)(BATCH)
    assert terms == {"nll": IMAGES.sum(), "distillation": IMAGES.mean(), "kl": elbo(model, 10, 2.0)(BATCH)["kl"]}


def test_update_priors_takes_one_em_step_in_every_layer(prior_settings):
    plain = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    model, reference = (bayesianize(plain, IMAGES, prior_settings(kind="mixture")) for _ in range(2))
    update_priors(model)
    for index in (0, 2):
        prior = reference[index].group.prior
        before = prior.component_log_var.clone()
        prior.update(reference[index].weight, reference[index].log_var)
        assert torch.equal(model[index].group.prior.component_log_var, prior.component_log_var)
        assert not torch.equal(before, prior.component_log_var)


@pytest.mark.parametrize("ask", [kl, log_alphas, coverage])
def test_a_network_without_a_prior_is_told_where_to_get_one(ask):
    with pytest.raises(InputError, match="bayesianize"):
        ask(nn.Sequential(nn.Linear(4, 3)))
