"""Masked networks: what is zeroed, what dies with it, and that it stays so in training."""

import copy

import pytest
import torch
from torch import nn

from sparsify import models
from sparsify.compress import masks
from sparsify.compress.compact import compact
from sparsify.models import weighted_layers
from sparsify.settings import InputError

SHAPE = (1, 28, 28)


@pytest.fixture
def network(hostile):
    return hostile(models.build("lenet-300-100", SHAPE, 10, 0.05))  # 784-15-5-10


def ones(network):
    return {name: torch.ones_like(layer.weight, dtype=torch.bool) for name, layer in weighted_layers(network).items()}


def test_from_scores_keeps_up_to_the_threshold():
    scores = {"a": torch.tensor([[1.0, 3.0], [3.5, -1.0]]), "b": torch.tensor([[3.0001], [2.9999]])}
    kept = masks.from_scores(scores, 3.0)
    assert kept["a"].tolist() == [[True, True], [False, True]]
    assert kept["b"].tolist() == [[False], [True]]


def test_masked_weights_are_zero_and_the_rest_unchanged(network):
    keep = {name: mask & (torch.rand(mask.shape) < 0.5) for name, mask in ones(network).items()}
    masked = masks.apply(network, keep)
    for name, layer in weighted_layers(network).items():
        assert torch.equal(weighted_layers(masked)[name].weight, layer.weight * keep[name])


def test_masks_broadcast_over_rows_and_columns(network):
    rows, columns = torch.rand(15, 1) < 0.5, torch.rand(1, 784) < 0.5
    masked = masks.apply(network, {"fc1": rows & columns})
    assert torch.equal(masked.fc1.weight != 0, rows & columns)


def test_the_argument_is_not_changed(hostile):
    network = hostile(models.build("vgg16", (3, 32, 32), 10, 0.05))
    before = copy.deepcopy(network.state_dict())
    masks.apply(network, {name: (torch.rand(len(mask)) < 0.5).reshape(-1, *[1] * (mask.ndim - 1)) | (torch.arange(len(mask)) == 0).reshape(
        -1, *[1] * (mask.ndim - 1)) for name, mask in list(ones(network).items())[:-1]})
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_removing_unread_units_leaves_the_logits(network):
    """A unit that nobody reads may be silenced: only the masked weights count."""
    keep = ones(network)
    keep["fc3"][:, [0, 3]] = False
    keep["fc2"][:, 2:9] = False
    reference = copy.deepcopy(network)
    for name in keep:
        weighted_layers(reference)[name].weight.data *= keep[name]
    images = torch.randn(5, *SHAPE, dtype=torch.float64)
    masked = masks.apply(network, keep)
    torch.testing.assert_close(masked(images), reference(images), rtol=0, atol=1e-12)
    assert not masked.fc1.weight[2:9].any() and not masked.fc2.weight[[0, 3]].any()


@pytest.mark.parametrize("cut", range(4))
def test_death_spreads_forwards_and_backwards(hostile, cut):
    network = hostile(nn.Sequential(*[nn.Linear(3, 3) for _ in range(4)]))
    keep = {str(number): torch.eye(3, dtype=torch.bool) for number in range(4)}  # three separate paths
    keep[str(cut)][0] = False  # path 0 is cut: what comes before has no readers, what comes after no inputs
    masked = masks.apply(network, keep)
    for layer in masked:
        assert torch.equal(layer.weight != 0, torch.diag(torch.tensor([False, True, True])))
    for layer in masked[:-1]:
        assert layer.bias[0] == 0 and layer.bias[1:].all()
    assert torch.equal(masked[-1].bias, network[-1].bias)


def test_a_dead_unit_is_exactly_zero_at_its_reader(hostile):
    """Its bias and its normalisation would make it a constant, and padding would make that constant depend on the place."""
    network = hostile(nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1), nn.GELU(),
                                    nn.BatchNorm2d(3, affine=False), nn.Flatten(), nn.Linear(48, 2)))
    keep = {"0": torch.tensor([True, False, True, False])[:, None, None, None], "3": torch.tensor([True, False, True])[:, None, None, None]}
    masked, images = masks.apply(network, keep), torch.randn(3, 2, 4, 4, dtype=torch.float64)
    assert not masked[:3](images)[:, [1, 3]].any()
    assert not masked[:6](images)[:, 1].any()
    assert masked[:6](images)[:, [0, 2]].any()


@pytest.mark.parametrize(("cut", "where"), [("fc1", 0), ("fc2", 0), ("fc2", 1), ("fc3", 1), ("fc3", 0)])
def test_an_emptied_layer_is_named(network, cut, where):
    keep = ones(network)
    keep[cut][:] = False
    with pytest.raises(InputError, match="every weight of fc"):
        masks.apply(network, keep)
    keep[cut].select(where, 0)[:] = True  # one neuron, or one reader, is enough
    masks.apply(network, keep)


def test_a_network_without_a_path_is_refused(hostile):
    """No layer is empty, but the only unit that the logits read has no inputs."""
    network = hostile(nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 3)))
    with pytest.raises(InputError, match="every weight of"):
        masks.apply(network, {"0": torch.tensor([[True], [False]]), "2": torch.tensor([[False, True]])})


@pytest.mark.parametrize("make_optimizer", [
    lambda parameters: torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.5),
    lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)], ids=["adamw", "sgd"])
def test_hold_zeros_keeps_zeros_in_training_and_moves_the_rest(make_optimizer):
    network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    zero = torch.rand(5, 6) < 0.5
    optimizer = make_optimizer(network.parameters())
    network(torch.randn(8, 6)).square().sum().backward()  # momentum from before the zeros
    optimizer.step()
    network[0].weight.data[zero] = 0
    before, hold = copy.deepcopy(network), masks.hold_zeros(network)
    for _ in range(5):
        optimizer.zero_grad()
        network(torch.randn(8, 6)).square().sum().backward()
        optimizer.step()
        hold()
        assert torch.equal(network[0].weight == 0, zero)
    for layer, old in zip((network[0], network[2]), (before[0], before[2]), strict=True):
        assert ((layer.weight != old.weight) | (old.weight == 0)).all() and (layer.bias != old.bias).all()


def test_drawn_anew_keeps_the_zeros_and_the_pixels_and_nothing_else(network):
    keep = {name: mask & (torch.rand(mask.shape) < 0.2) for name, mask in ones(network).items()}
    keep["fc1"] &= torch.rand(784) < 0.5
    small = compact(masks.apply(network, keep))
    fresh = masks.drawn_anew(small.float())
    assert models.describe(fresh) == models.describe(small)
    assert torch.equal(fresh.fc1_inputs.index, small.fc1_inputs.index)
    for name, layer in weighted_layers(fresh).items():
        was = weighted_layers(small)[name].weight
        assert torch.equal(layer.weight != 0, was != 0)
        assert not torch.isclose(layer.weight, was)[was != 0].any()
        full = 1 / (3 * layer.in_features)  # the variance that torch draws with
        assert layer.weight.square().mean().item() == pytest.approx(full, rel=5 / int(layer.weight.count_nonzero()) ** 0.5)
