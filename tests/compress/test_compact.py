"""Compact networks against masked ones, with every bias and statistic at random, and against brute-force counts."""

import copy

import pytest
import torch
from torch import nn

from sparsify import models
from sparsify.compress.compact import compact
from sparsify.compress.masks import apply
from sparsify.models import Select, weighted_layers
from sparsify.settings import InputError

Seq, ReLU, Flatten = nn.Sequential, nn.ReLU, nn.Flatten
NETWORKS = {  # a network, and the shape of one image
    "lenet-300-100": (lambda: models.build("lenet-300-100", (1, 9, 7), 10, 0.1), (1, 9, 7)),
    "mlp": (lambda: models.build("mlp", (3, 5, 5), 3, 0.02), (3, 5, 5)),
    "lenet5": (lambda: models.build("lenet5", (1, 28, 28), 10, 0.2), (1, 28, 28)),
    "vgg16": (lambda: models.build("vgg16", (3, 32, 32), 10, 0.12), (3, 32, 32)),
    "conv-gelu-avgpool-batchnorm1d": (lambda: Seq(
        nn.Conv2d(2, 7, 3, padding=1), nn.BatchNorm2d(7), nn.GELU(), nn.AvgPool2d(2), nn.Conv2d(7, 5, 2, stride=2, padding=1), Flatten(),
        nn.Linear(45, 11), nn.BatchNorm1d(11), ReLU(), nn.Linear(11, 3)), (2, 9, 9)),
    "no-bias": (lambda: Seq(nn.Conv2d(1, 5, 3, bias=False), nn.Tanh(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(5, 6, 3, dilation=2, bias=False),
                            nn.SiLU(), nn.AdaptiveAvgPool2d((3, 2)), Flatten(), nn.Dropout(0.5), nn.Linear(36, 9, bias=False), nn.ELU(),
                            nn.Linear(9, 2, bias=False)), (1, 15, 11)),
    "norm-first": (lambda: Seq(nn.BatchNorm2d(3), nn.Conv2d(3, 6, 3, padding=1), nn.LeakyReLU(), nn.BatchNorm2d(6, affine=False),
                               nn.Conv2d(6, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Identity(), nn.AdaptiveMaxPool2d(2), Flatten(),
                               nn.Linear(16, 3), nn.BatchNorm1d(3)), (3, 7, 5)),
    "norm-first-flat": (lambda: Seq(Flatten(), nn.BatchNorm1d(30), nn.Linear(30, 8), ReLU(), nn.Linear(8, 3)), (2, 3, 5)),
    "norm-eps": (lambda: Seq(nn.Conv2d(2, 6, 3, padding="same"), nn.BatchNorm2d(6, eps=0.5), ReLU(), nn.Conv2d(6, 3, 1)), (2, 5, 5)),
    "circular-padding": (lambda: Seq(nn.Conv2d(2, 6, 3, padding=1, padding_mode="circular"), ReLU(), nn.Conv2d(6, 3, 3)), (2, 5, 5)),
    "already-selected": (lambda: Seq(Flatten(), select(20, 16), nn.Linear(16, 8), ReLU(), nn.Linear(8, 3)), (1, 4, 5)),
}
every_network = pytest.mark.parametrize("name", NETWORKS)
either_input = pytest.mark.parametrize("inputs", [True, False])


def select(n, n_chosen):
    layer = Select(n, n_chosen)
    layer.index.copy_(torch.randperm(n)[:n_chosen])
    return layer


def along(values, weight, axis):
    return values.reshape([-1 if dimension == axis else 1 for dimension in range(weight.ndim)])


def weights_mask(weight):
    return torch.rand(weight.shape) < max(0.2, 6 / weight[0].numel())


def units_mask(weight):
    kept = torch.rand(len(weight)) < 0.5
    kept[torch.randint(len(weight), ())] = True
    return along(kept, weight, 0)


def inputs_mask(weight):
    kept = torch.rand(weight.shape[1]) < 0.5
    kept[torch.randint(weight.shape[1], ())] = True
    return along(kept, weight, 1)


def one_unit_mask(weight):
    return along(torch.arange(len(weight)) == len(weight) // 2, weight, 0)


MASKS = {"weights": weights_mask, "units": units_mask, "inputs": inputs_mask, "one-unit": one_unit_mask}
every_mask = pytest.mark.parametrize("mask", MASKS)


@pytest.fixture
def masked_network(hostile):
    def make(name, mask, seed=0):
        torch.manual_seed(seed)
        network = hostile(NETWORKS[name][0]())
        layers = weighted_layers(network)
        chosen = list(layers)[:-1] if mask in ("units", "one-unit") else list(layers)  # the classes stay
        return network, apply(network, {key: MASKS[mask](layers[key].weight) for key in chosen})
    return make


def images(name, dtype=torch.float64):
    return torch.randn(3, *NETWORKS[name][1], dtype=dtype)


@either_input
@every_mask
@every_network
@torch.no_grad()
def test_compacted_equals_masked(masked_network, name, mask, inputs):
    for seed in range(2):
        _, masked = masked_network(name, mask, seed)
        small, x = compact(masked, inputs), images(name)
        expected = masked(x)
        torch.testing.assert_close(small(x), expected, rtol=0, atol=1e-10 * max(1, expected.abs().max()))
        expected = masked.float()(x.float())
        torch.testing.assert_close(small.float()(x.float()), expected, rtol=0, atol=1e-5 * max(1, expected.abs().max()))


@every_mask
@every_network
def test_units_left_are_those_on_a_path_from_input_to_logits(masked_network, name, mask):
    _, masked = masked_network(name, mask)
    weights = [layer.weight for layer in weighted_layers(masked).values()]
    # (units out, units in); a flattened unit is several features in a row
    edges = [(weight != 0).reshape(len(weight), units, -1).any(2).double()
             for weight, units in zip(weights, [weights[0].shape[1], *map(len, weights)], strict=False)]
    forwards, backwards = [torch.ones(edges[0].shape[1]).double()], [torch.ones(len(edges[-1])).double()]
    for edge in edges:
        forwards.append((edge @ forwards[-1] > 0).double())
    for edge in reversed(edges):
        backwards.insert(0, (edge.T @ backwards[0] > 0).double())
    alive = [int((f * b).sum()) for f, b in zip(forwards, backwards, strict=True)]
    small = weighted_layers(compact(masked))
    assert [len(layer.weight) for layer in small.values()][:-1] == alive[1:-1]
    first = next(iter(small.values())).weight
    assert first.shape[1] == (alive[0] if first.ndim == 2 else weights[0].shape[1])
    assert all(layer.weight.any(0).all() for layer in small.values() if isinstance(layer, nn.Linear))  # no feature in vain
    assert sum(int(layer.weight.count_nonzero()) for layer in small.values()) == sum(int(weight.count_nonzero()) for weight in weights)


@either_input
@every_mask
@every_network
def test_compact_changes_nothing_the_second_time(masked_network, name, mask, inputs):
    once = compact(masked_network(name, mask)[1], inputs)
    twice, x = compact(once, inputs), images(name)
    assert [(key, type(layer)) for key, layer in twice.named_children()] == [(key, type(layer)) for key, layer in once.named_children()]
    assert {key: value.shape for key, value in twice.state_dict().items()} == {key: value.shape for key, value in once.state_dict().items()}
    assert torch.equal(twice(x), once(x))


@every_network
@torch.no_grad()
def test_a_compact_network_can_be_masked_and_compacted_again(masked_network, name):
    small, x = compact(masked_network(name, "weights")[1]), images(name)
    layers = weighted_layers(small)
    masked = apply(small, {key: inputs_mask(layer.weight) | (layer.weight == layer.weight.max()) for key, layer in layers.items()})
    torch.testing.assert_close(compact(masked)(x), masked(x), rtol=0, atol=1e-10 * max(1, masked(x).abs().max()))


def test_a_select_that_has_nothing_left_to_leave_out_goes(hostile):
    network = hostile(Seq(nn.Conv2d(1, 2, 1), ReLU(), Flatten(), Select(8, 4), nn.Linear(4, 3)))
    network[3].index.copy_(torch.arange(4))  # all of unit 0, nothing of unit 1
    small, x = compact(network), torch.randn(5, 1, 2, 2, dtype=torch.float64)
    assert [type(layer) for layer in small] == [nn.Conv2d, ReLU, Flatten, nn.Linear] and small[0].out_channels == 1
    torch.testing.assert_close(small(x), network(x), rtol=0, atol=1e-12)


@every_network
def test_compact_never_changes_its_argument(masked_network, name):
    _, masked = masked_network(name, "weights")
    before = copy.deepcopy(masked.state_dict())
    small = compact(masked)
    for tensor in small.state_dict().values():
        tensor.zero_()
    assert [key for key, _ in masked.named_children()] == [key for key, _ in NETWORKS[name][0]().named_children()]
    assert all(torch.equal(value, before[key]) for key, value in masked.state_dict().items())


def test_a_constant_unit_that_is_not_silent_stays(hostile):
    """Without `apply`: zero weights in, but a bias, and a normalisation after the activation that moves zero."""
    for network in (Seq(nn.Linear(4, 3), ReLU(), nn.Linear(3, 2)), Seq(nn.Linear(4, 3), ReLU(), nn.BatchNorm1d(3), nn.Linear(3, 2))):
        hostile(network)
        network[0].weight.data[1] = 0
        network[0].bias.data[1] = 0.7 if len(network) == 3 else 0
        x = torch.randn(5, 4, dtype=torch.float64)
        torch.testing.assert_close(compact(network)(x), network(x), rtol=0, atol=1e-12)


def test_a_normalisation_after_the_activation_sees_the_activated_constant(hostile):
    """relu(-1) = 0, and the normalisation of 0 around -1 is not 0."""
    network = hostile(Seq(nn.Linear(4, 3), ReLU(), nn.BatchNorm1d(3), nn.Linear(3, 2)))
    network[0].weight.data[1] = network[2].bias.data[1] = 0
    network[0].bias.data[1] = network[2].running_mean[1] = -1
    x = torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(compact(network)(x), network(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("network", "words"), [
    (Seq(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2)), "layer 1 is a Sigmoid"),
    (Seq(nn.Linear(3, 4), nn.Softplus(), nn.Linear(4, 2)), "layer 1 is a Softplus"),
    (Seq(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)), "layer 1 is a LayerNorm"),
    (Seq(nn.Linear(3, 4), nn.Softmax(1), nn.Linear(4, 2)), "layer 1 is a Softmax"),
    (Seq(nn.Conv2d(2, 4, 1), nn.PixelShuffle(2), nn.Conv2d(1, 2, 1)), "layer 1 is a PixelShuffle"),
    (Seq(nn.Conv2d(2, 4, 1), ReLU(), nn.Conv2d(4, 2, 1, groups=2)), "layer 2 is a grouped"),
    (Seq(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 2)), "layer 1 has to keep running statistics"),
    (Seq(nn.Conv2d(2, 4, 1), Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 2)), "layer 2 has to"),
    (Seq(nn.Conv2d(2, 4, 1), ReLU(), nn.Linear(4, 2)), "layer 2"),  # over the width of the image, not over channels
    (Seq(Flatten(), Select(9, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)), "layer 2"),
    (Seq(Flatten(), Select(9, 4), Select(4, 3), nn.Linear(3, 2)), "layer 2"),
    (Seq(ReLU()), "no linear")], ids=lambda value: None if isinstance(value, str) else "-".join(type(layer).__name__ for layer in value))
def test_layers_that_cannot_be_seen_through_are_refused(network, words):
    with pytest.raises(InputError, match=words):
        compact(network)


@pytest.mark.parametrize(("emptied", "named"), [("0", "0"), ("2", "0"), ("4", "2")])
def test_a_layer_that_would_lose_all_its_units_is_named(emptied, named):
    network = Seq(nn.Linear(4, 3, bias=False), ReLU(), nn.Linear(3, 3, bias=False), ReLU(), nn.Linear(3, 2))
    network.get_submodule(emptied).weight.data.zero_()
    with pytest.raises(InputError, match=f"^{named} would lose all its 3 units"):
        compact(network, inputs=False)
    with pytest.raises(InputError, match=r"^(the input|0|2) would lose all its . units"):
        compact(network)
