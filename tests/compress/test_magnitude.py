"""Masks against torch.nn.utils.prune, counts against arithmetic, and retraining of the small network against the masked one."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from sparsify import models
from sparsify.compress import magnitude, masks
from sparsify.compress.compact import compact
from sparsify.data import Split
from sparsify.models import weighted_layers
from sparsify.settings import InputError
from sparsify.training import cross_entropy, fit

SHARES = [0, 25, 50, 60, 70, 80, 90, 95, 97, 99]
NETWORKS = {"lenet-300-100": ((1, 9, 7), 0.2), "mlp": ((3, 5, 5), 0.05), "lenet5": ((1, 28, 28), 0.3), "vgg16": ((3, 32, 32), 0.1)}
every_network = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture
def network(hostile):
    return lambda name: hostile(models.build(name, NETWORKS[name][0], 10, NETWORKS[name][1]))


def inner(model):
    return dict(list(weighted_layers(model).items())[:-1])


def images(name, n=4):
    return torch.randn(n, *NETWORKS[name][0], dtype=torch.float64)


@every_network
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize(("scores", "torchs"), [
    (magnitude.weight_scores, prune.l1_unstructured),
    (magnitude.unit_scores, partial(prune.ln_structured, n=2, dim=0))], ids=["weights", "units"])
def test_shares_of_a_layer_match_torch(network, name, share, scores, torchs):
    model, reference = network(name), network(name)
    reference.load_state_dict(model.state_dict())
    found = scores(model)
    kept = magnitude.smallest_removed(found, share, "layer")
    for layer, module in inner(reference).items():
        if round(share / 100 * found[layer].numel()) == found[layer].numel():
            continue  # torch would empty it
        torchs(module, "weight", amount=share / 100)
        assert torch.equal(kept[layer].expand_as(module.weight), module.weight_mask.bool())


@every_network
@pytest.mark.parametrize("share", SHARES[:-1])
def test_weights_of_all_layers_match_torch(network, name, share):
    model, reference = network(name), network(name)
    reference.load_state_dict(model.state_dict())
    kept = magnitude.smallest_removed(magnitude.weight_scores(model), share, "global")
    prune.global_unstructured([(module, "weight") for module in inner(reference).values()], prune.L1Unstructured, amount=share / 100)
    for layer, module in inner(reference).items():
        if module.weight_mask.any():
            assert torch.equal(kept[layer], module.weight_mask.bool())


@every_network
@pytest.mark.parametrize("scope", magnitude.SCOPES)
@pytest.mark.parametrize("share", SHARES)
def test_the_share_is_exact_and_no_layer_is_empty(network, name, scope, share):
    for scores in (magnitude.weight_scores(network(name)), magnitude.unit_scores(network(name))):
        kept = magnitude.smallest_removed(scores, share, scope)
        gone = {layer: int((~mask).sum()) for layer, mask in kept.items()}
        counts = {layer: score.numel() for layer, score in scores.items()}
        assert all(gone[layer] < counts[layer] for layer in counts)
        if scope == "layer":
            assert gone == {layer: min(round(share / 100 * n), n - 1) for layer, n in counts.items()}
        else:
            spared = round(share / 100 * sum(counts.values())) - sum(gone.values())
            assert 0 <= spared <= sum(gone[layer] == n - 1 for layer, n in counts.items())


def test_the_layer_that_makes_the_logits_is_never_pruned(network):
    for scores in (magnitude.weight_scores, magnitude.unit_scores):
        assert list(scores(network("lenet5"))) == ["conv1", "conv2", "fc1"]


def test_of_equal_scores_the_earlier_go():
    scores = {"a": torch.tensor([[2.0, 1.0], [1.0, 1.0]]), "b": torch.tensor([[1.0, 1.0]])}
    assert magnitude.smallest_removed(scores, 50, "layer")["a"].tolist() == [[True, False], [False, True]]
    kept = magnitude.smallest_removed(scores, 50, "global")
    assert kept["a"].tolist() == [[True, False], [False, False]] and kept["b"].tolist() == [[True, True]]


def test_a_layer_that_would_be_emptied_keeps_its_largest():
    scores = {"a": torch.tensor([[3.0], [4.0], [5.0]]), "b": torch.tensor([[0.1], [0.3], [0.2]])}
    assert magnitude.smallest_removed(scores, 99, "layer")["b"].tolist() == [[False], [True], [False]]
    kept = magnitude.smallest_removed(scores, 50, "global")
    assert kept["b"].tolist() == [[False], [True], [False]] and kept["a"].all()  # two are gone, not three


def test_an_unknown_scope_is_refused_with_the_choices():
    with pytest.raises(InputError, match="scope is 'model'; choose one of layer, global"):
        magnitude.smallest_removed({"a": torch.ones(2)}, 50, "model")


def test_zeroed_leaves_all_but_the_masked_weights_as_they_were(network):
    model = network("vgg16")
    before = copy.deepcopy(model.state_dict())
    kept = magnitude.smallest_removed(magnitude.weight_scores(model), 80, "global")
    after = magnitude.zeroed(model, kept).state_dict()
    for key, value in before.items():
        layer, part = key.rsplit(".", 1)
        assert torch.equal(after[key], value * kept[layer] if part == "weight" and layer in kept else value)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@every_network
@pytest.mark.parametrize("share", SHARES)
@torch.no_grad()
def test_compact_equals_masked_at_every_share(network, name, share):
    kept = magnitude.smallest_removed(magnitude.unit_scores(network(name)), share, "layer")
    masked, x = masks.apply(network(name), kept), images(name)
    small = compact(masked, inputs=False)
    torch.testing.assert_close(small(x), masked(x), rtol=0, atol=1e-10 * max(1, masked(x).abs().max()))
    assert [layer.weight.shape[0] for layer in inner(small).values()] == [int(mask.sum()) for mask in kept.values()]


@every_network
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_retraining_the_small_network_equals_retraining_with_the_masks_held(network, train_settings, name, optimizer):
    """On a network with every bias and statistic at random, with weight decay, momentum and noise."""
    model = network(name)
    masked = masks.apply(model, magnitude.smallest_removed(magnitude.unit_scores(model), 60, "layer"))
    small = compact(masked, inputs=False)
    settings = train_settings(batch_size=8, optimizer=optimizer, lr=3e-3, weight_decay=0.1, input_noise=0.3)
    train = Split(images(name, 40), torch.arange(40) % 10)
    for net in (masked, small):
        torch.manual_seed(3)
        fit(net, train, cross_entropy(net, settings), settings, dict, "test", masks.hold_zeros(net), total_steps=12)
    with torch.no_grad():
        logits, x = masked.eval()(train.images), train.images
        moved = (logits - masks.apply(model, magnitude.smallest_removed(magnitude.unit_scores(model), 60, "layer"))(x)).abs().max()
        assert (small.eval()(x) - logits).abs().max() < 1e-6 * moved
        assert (compact(masked, inputs=False)(x) - logits).abs().max() < 1e-9 * moved  # what was silent still is


def test_zeros_among_the_weights_stay_through_retraining(network, train_settings):
    model = network("lenet5")
    kept = magnitude.smallest_removed(magnitude.weight_scores(model), 90, "global")
    pruned = magnitude.zeroed(model, kept)
    settings = train_settings(batch_size=8, weight_decay=0.1)
    train = Split(images("lenet5", 16), torch.arange(16) % 10)
    fit(pruned, train, cross_entropy(pruned, settings), settings, dict, "test", masks.hold_zeros(pruned), total_steps=5)
    for name, layer in inner(pruned).items():
        assert torch.equal(layer.weight != 0, kept[name])
        assert (layer.weight != inner(model)[name].weight)[kept[name]].any()
    assert isinstance(pruned.fc2, nn.Linear) and pruned.fc2.weight.all()


def test_like_leaves_the_widths_of_a_network_cut_otherwise(network):
    """Units chosen at random; magnitude then keeps as many, and the largest."""
    for name in NETWORKS:
        model = network(name)
        kept = {layer: torch.rand(len(module.weight)) < 0.6 for layer, module in inner(model).items()}
        small = compact(masks.apply(model, {layer: mask.reshape(-1, *[1] * (inner(model)[layer].weight.ndim - 1))
                                            for layer, mask in kept.items()}), inputs=False)
        found = magnitude.like(model, small)
        cut = compact(masks.apply(model, found), inputs=False)
        assert models.describe(cut) == models.describe(small)
        for layer, module in inner(model).items():
            norms, rows = module.weight.flatten(1).norm(dim=1), found[layer].flatten(1).any(1)
            assert rows.sum() == kept[layer].sum() and norms[rows].min() >= norms[~rows].max()


def test_like_selects_as_many_inputs_and_the_largest(network):
    model, pixels = network("lenet-300-100"), torch.rand(63) < 0.3
    small = compact(masks.apply(model, {"fc1": pixels[None]}), inputs=True)
    found = magnitude.like(model, small)
    assert models.describe(compact(masks.apply(model, found), inputs=True)) == models.describe(small)
    norms, columns = model.fc1.weight.norm(dim=0), found["fc1"].any(0)
    assert columns.sum() == pixels.sum() and norms[columns].min() >= norms[~columns].max()


@pytest.mark.parametrize("a_channel", [1, 2, 16])
def test_like_selects_as_many_flattened_features_and_loses_no_channel(network, a_channel):
    model, channels = network("lenet5"), 15
    features = torch.stack([torch.randperm(16) < a_channel for _ in range(channels)]).flatten()
    small = compact(masks.apply(model, {"fc1": features[None]}), inputs=True)
    assert small.conv2.out_channels == channels
    found = magnitude.like(model, small)
    assert models.describe(compact(masks.apply(model, found), inputs=True)) == models.describe(small)
    norms, columns = model.fc1.weight.norm(dim=0).reshape(channels, 16), found["fc1"].any(0).reshape(channels, 16)
    assert columns.sum() == features.sum()
    assert columns.gather(1, norms.argmax(1, keepdim=True)).all()  # the best of every channel, then the best of the rest
    rest = norms.scatter(1, norms.argmax(1, keepdim=True), -1)
    assert a_channel in (1, 16) or rest[columns & (rest >= 0)].min() >= rest[~columns].max()


@pytest.mark.parametrize("share", [0.3, 0.05])
def test_like_keeps_as_many_weights_of_each_layer_that_are_used_where_single_weights_are_zero(network, share):
    model = network("lenet5")
    small = compact(masks.apply(model, {name: torch.rand_like(layer.weight) < share for name, layer in weighted_layers(model).items()}))
    found = magnitude.like(model, small)
    cut = weighted_layers(compact(masks.apply(model, found)))
    for name, layer in weighted_layers(small).items():
        weights = weighted_layers(model)[name].weight.abs()
        assert cut[name].weight.count_nonzero() >= layer.weight.count_nonzero()
        assert weights[found[name]].min() >= weights[~found[name]].max()
