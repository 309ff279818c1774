"""Masks against torch.nn.utils.prune, counts against arithmetic, and retraining of the small network against the masked one."""

import copy
from functools import partial

import pytest
import torch
from chains import close, hidden, layers
from torch import nn
from torch.nn.utils import prune

from sparsify import models
from sparsify.compress import magnitude, masks
from sparsify.compress.remove import remove
from sparsify.compress.zeros import Zeros
from sparsify.data import Split
from sparsify.losses import cross_entropy
from sparsify.settings import InputError
from sparsify.structure import analyse
from sparsify.training import fit

SHARES = [0, 25, 50, 60, 70, 80, 90, 95, 97, 99]
NETWORKS = {"lenet-300-100": ((1, 9, 7), 0.2), "mlp": ((3, 5, 5), 0.05), "lenet5": ((1, 28, 28), 0.3), "vgg16": ((3, 32, 32), 0.1)}
every_network = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture
def network(hostile):
    return lambda name: hostile(models.build(name, NETWORKS[name][0], 10, NETWORKS[name][1]))


@pytest.fixture(scope="module")
def structures():
    """Once by name: it does not depend on the weights."""
    return {name: analyse(models.build(name, shape, 10, width), torch.randn(2, *shape)) for name, (shape, width) in NETWORKS.items()}


def inner(model):
    return dict(list(layers(model).items())[:-1])


def images(name, n=4):
    return torch.randn(n, *NETWORKS[name][0], dtype=torch.float64)


@every_network
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("scored", ["weights", "units"])
def test_shares_of_a_layer_match_torch(network, structures, name, share, scored):
    model, reference = network(name), network(name)
    reference.load_state_dict(model.state_dict())
    scores, torchs = {"weights": (magnitude.weight_scores, prune.l1_unstructured),
                      "units": (magnitude.unit_scores, partial(prune.ln_structured, n=2, dim=0))}[scored]
    found = scores(model, structures[name])
    kept = magnitude.smallest_removed(found, share, "layer")
    for layer, module in inner(reference).items():
        key = f"{layer}.weight" if scored == "weights" else layer
        if round(share / 100 * found[key].numel()) == found[key].numel():
            continue  # torch would empty it
        torchs(module, "weight", amount=share / 100)
        mask = kept[key] if scored == "weights" else kept[key].reshape(-1, *[1] * (module.weight.ndim - 1)).expand_as(module.weight)
        assert torch.equal(mask, module.weight_mask.bool())


@every_network
@pytest.mark.parametrize("share", SHARES[:-1])
def test_weights_of_all_layers_match_torch(network, structures, name, share):
    model, reference = network(name), network(name)
    reference.load_state_dict(model.state_dict())
    kept = magnitude.smallest_removed(magnitude.weight_scores(model, structures[name]), share, "global")
    prune.global_unstructured([(module, "weight") for module in inner(reference).values()], prune.L1Unstructured, amount=share / 100)
    for layer, module in inner(reference).items():
        if module.weight_mask.any():
            assert torch.equal(kept[f"{layer}.weight"], module.weight_mask.bool())


@every_network
@pytest.mark.parametrize("scope", magnitude.SCOPES)
@pytest.mark.parametrize("share", SHARES)
def test_the_share_is_exact_and_none_is_empty(network, structures, name, scope, share):
    for scored in (magnitude.weight_scores, magnitude.unit_scores):
        scores = scored(network(name), structures[name])
        kept = magnitude.smallest_removed(scores, share, scope)
        gone = {key: int((~mask).sum()) for key, mask in kept.items()}
        counts = {key: score.numel() for key, score in scores.items()}
        assert all(gone[key] < counts[key] for key in counts)
        if scope == "layer":
            assert gone == {key: min(round(share / 100 * n), n - 1) for key, n in counts.items()}
        else:
            spared = round(share / 100 * sum(counts.values())) - sum(gone.values())
            assert 0 <= spared <= sum(gone[key] == n - 1 for key, n in counts.items())


class Sum(nn.Module):
    """Two writers of one stream, in a class.  (N, 4) -> (N, 2)"""

    def __init__(self):
        super().__init__()
        self.one, self.other, self.out = nn.Linear(4, 5), nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x):
        return self.out((self.one(x) + self.other(x)).relu())


def test_the_norm_of_a_unit_is_over_the_rows_of_all_that_write_it(hostile):
    network = hostile(Sum())
    scores = magnitude.unit_scores(network, analyse(network, torch.randn(2, 4, dtype=torch.float64)))
    assert list(scores) == ["one"]
    torch.testing.assert_close(scores["one"], torch.cat([network.one.weight, network.other.weight], 1).detach().norm(dim=1))


def test_what_makes_the_networks_output_is_never_pruned(network, structures):
    model = network("lenet5")
    assert list(magnitude.unit_scores(model, structures["lenet5"])) == ["conv1", "conv2", "fc1"]
    assert list(magnitude.weight_scores(model, structures["lenet5"])) == ["conv1.weight", "conv2.weight", "fc1.weight"]


def test_of_equal_scores_the_earlier_go():
    scores = {"a": torch.tensor([[2.0, 1.0], [1.0, 1.0]]), "b": torch.tensor([[1.0, 1.0]])}
    assert magnitude.smallest_removed(scores, 50, "layer")["a"].tolist() == [[True, False], [False, True]]
    kept = magnitude.smallest_removed(scores, 50, "global")
    assert kept["a"].tolist() == [[True, False], [False, False]] and kept["b"].tolist() == [[True, True]]


def test_what_would_be_emptied_keeps_its_largest():
    scores = {"a": torch.tensor([3.0, 4.0, 5.0]), "b": torch.tensor([0.1, 0.3, 0.2])}
    assert magnitude.smallest_removed(scores, 99, "layer")["b"].tolist() == [False, True, False]
    kept = magnitude.smallest_removed(scores, 50, "global")
    assert kept["b"].tolist() == [False, True, False] and kept["a"].all()  # two are gone, not three


def test_an_unknown_scope_is_refused_with_the_choices():
    with pytest.raises(InputError, match="scope is 'model'; choose one of layer, global"):
        magnitude.smallest_removed({"a": torch.ones(2)}, 50, "model")


def test_zeroed_leaves_all_but_the_masked_weights_as_they_were(network, structures):
    model = network("vgg16")
    before = copy.deepcopy(model.state_dict())
    kept = magnitude.smallest_removed(magnitude.weight_scores(model, structures["vgg16"]), 80, "global")
    after = magnitude.zeroed(model, kept).state_dict()
    for key, value in before.items():
        assert torch.equal(after[key], value * kept[key] if key in kept else value)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@every_network
@pytest.mark.parametrize("share", SHARES)
@torch.no_grad()
def test_compact_equals_masked_at_every_share(network, structures, name, share):
    model, structure, x = network(name), structures[name], images(name)
    kept = magnitude.smallest_removed(magnitude.unit_scores(model, structure), share, "layer")
    small, _ = remove(model, x, kept, structure=structure)
    close(small(x), masks.mask(model, x, kept, structure=structure)(x), 1e-10)
    assert hidden(small) == {layer: int(mask.sum()) for layer, mask in kept.items()}


@every_network
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_retraining_the_small_network_equals_retraining_with_the_masks_held(network, structures, train_settings, name, optimizer):
    """On a network with every bias and statistic at random, with weight decay, momentum and noise."""
    model, structure = network(name), structures[name]
    kept = magnitude.smallest_removed(magnitude.unit_scores(model, structure), 60, "layer")
    masked = masks.mask(model, images(name), kept, structure=structure)
    small, _ = remove(model, images(name), kept, structure=structure)
    settings = train_settings(batch_size=8, optimizer=optimizer, lr=3e-3, weight_decay=0.1, input_noise=0.3)
    train = Split(images(name, 40), torch.arange(40) % 10)
    with torch.no_grad():
        start = masked(train[:])
    for net in (masked, small):
        torch.manual_seed(3)
        fit(net, train, cross_entropy(net, settings), settings, dict, "test", Zeros(net).hold, total_steps=12)
    with torch.no_grad():
        logits = masked.eval()(train[:])
        moved = (logits - start).abs().max()
        assert (small.eval()(train[:]) - logits).abs().max() < 1e-6 * moved
        cut, _ = remove(masked, images(name), kept, structure=structure)
        assert (cut(train[:]) - logits).abs().max() < 1e-9 * moved  # what was silent still is


def test_zeros_among_the_weights_stay_through_retraining(network, structures, train_settings):
    model = network("lenet5")
    kept = magnitude.smallest_removed(magnitude.weight_scores(model, structures["lenet5"]), 90, "global")
    pruned = magnitude.zeroed(model, kept)
    settings = train_settings(batch_size=8, weight_decay=0.1)
    train = Split(images("lenet5", 16), torch.arange(16) % 10)
    fit(pruned, train, cross_entropy(pruned, settings), settings, dict, "test", Zeros(pruned).hold, total_steps=5)
    for name, mask in kept.items():
        assert torch.equal(pruned.get_parameter(name) != 0, mask)
        assert (pruned.get_parameter(name) != model.get_parameter(name))[mask].any()
    assert pruned.fc2.weight.all()
