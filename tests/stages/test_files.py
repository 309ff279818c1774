"""What one stage writes, another reads: plain networks and twins."""

import pytest
import torch

from sparsify.artifacts import FileError
from sparsify.bayes.convert import bayesianize, log_alphas
from sparsify.bayes.priors import KINDS
from sparsify.compress import store
from sparsify.models import Architecture
from stages import networks, twins

ARCHITECTURE = Architecture("lenet-300-100", (1, 5, 5), 10, 0.1)
IMAGES = torch.randn(3, 1, 5, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("inputs", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_twin_comes_back_with_its_answers_and_its_scores(tmp_path, prior_settings, kind, inputs):
    prior = prior_settings(kind=kind)
    twin = bayesianize(ARCHITECTURE.build(), IMAGES, prior, inputs=inputs)
    for parameter in twin.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    twins.save(tmp_path / "twin", twin, ARCHITECTURE, prior, inputs)
    loaded = twins.load(tmp_path / "twin", IMAGES, ARCHITECTURE)
    assert not loaded.training
    assert torch.equal(loaded(IMAGES), twin.eval()(IMAGES))
    for found, expected in ((log_alphas(loaded).units, log_alphas(twin).units), (log_alphas(loaded).weights, log_alphas(twin).weights)):
        assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


def test_a_network_of_another_architecture_is_refused_with_both(tmp_path):
    store.save(ARCHITECTURE.build(), tmp_path / "a.safetensors", architecture=ARCHITECTURE)
    networks.load(tmp_path / "a.safetensors", ARCHITECTURE)
    wider = Architecture("lenet-300-100", (1, 5, 5), 10, 0.5)
    with pytest.raises(FileError, match=r"holds another architecture \(lenet-300-100 of width 0.1 .*\) than .* \(.* of width 0.5 "):
        networks.load(tmp_path / "a.safetensors", wider)


@pytest.mark.parametrize("wrong", ["plain", "twin"])
def test_one_kind_of_file_is_not_taken_for_the_other(tmp_path, prior_settings, wrong):
    path = tmp_path / "a.safetensors"
    if wrong == "plain":
        store.save(ARCHITECTURE.build(), path, architecture=ARCHITECTURE)
    else:
        twins.save(path, bayesianize(ARCHITECTURE.build(), IMAGES, "gate"), ARCHITECTURE, prior_settings(kind="gate"), False)
    with pytest.raises(FileError, match=r"a\.safetensors is no network of this kind: it lacks"):
        networks.load(path, ARCHITECTURE) if wrong == "twin" else twins.load(path, IMAGES, ARCHITECTURE)
