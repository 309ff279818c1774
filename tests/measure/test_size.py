"""Counts against counts by hand."""

import pytest
import torch
from torch import nn

from sparsify import models
from sparsify.compress.remove import remove
from sparsify.measure.size import SIZES, Size, count, counts, macs, reduction, size
from sparsify.structure import analyse

MNIST, CIFAR = (1, 28, 28), (3, 32, 32)
IMAGES = torch.randn(2, 2, 5, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def small():
    """5x5 images of 2 channels: 3 kernels of 2x2 at 4x4 places, pooled to 2x2, 12 features, 4 units, 3 classes."""
    return nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 4), nn.ReLU(),
                         nn.Linear(4, 3, bias=False))


def counted(network, images):
    return size(network, analyse(network, images), images)


def test_size_of_a_small_network(small):
    small[0].weight.data[0] = 0
    small[5].weight.data[1, :5] = 0
    assert counted(small, IMAGES) == Size(
        weights={"0": 24, "5": 48, "7": 12}, nonzeros={"0": 16, "5": 43, "7": 12}, hidden={"0": 3, "5": 4}, inputs=50,
        macs=24 * 16 + 48 + 12, parameters=24 + 3 + 6 + 48 + 4 + 12, bytes=4 * (97 + 6) + 8)  # two statistics and a counter of 8 bytes


def test_one_count_is_that_of_the_whole_size(small):
    small[0].weight.data[0] = 0
    structure = analyse(small, IMAGES)
    cut, _ = remove(small, IMAGES, {"5": torch.tensor([True, False, True, True])})
    assert {by: count(cut, structure, IMAGES, by) for by in SIZES} == counts(size(cut, structure, IMAGES))
    assert len(set(counts(size(cut, structure, IMAGES)).values())) == 4


def test_a_cut_network_is_counted_by_the_structure_of_the_full_one(small):
    cut, _ = remove(small, IMAGES, {"0": torch.tensor([True, False, True]), "5": torch.tensor([True, False, True, True])})
    assert size(cut, analyse(small, IMAGES), IMAGES) == Size(
        weights={"0": 16, "5": 24, "7": 9}, nonzeros={"0": 16, "5": 24, "7": 9}, hidden={"0": 2, "5": 3}, inputs=50,
        macs=16 * 16 + 24 + 9, parameters=16 + 2 + 4 + 24 + 3 + 9, bytes=4 * (58 + 4) + 8)


@pytest.mark.parametrize(("name", "shape", "weights", "macs", "parameters"), [
    ("lenet-300-100", MNIST, 784 * 300 + 300 * 100 + 1000, 266_200, 266_610),
    ("lenet5", MNIST, 430_500, 24 * 24 * 500 + 8 * 8 * 25_000 + 400_000 + 5_000, 431_080),
    ("mlp", MNIST, 784_000 + 1_000_000 + 500_000 + 100_000 + 2_000, 2_386_000, 2_388_710)])
def test_size_of_the_literatures_networks(name, shape, weights, macs, parameters):
    found = counted(models.build(name, shape, 10), torch.randn(2, *shape))
    assert (sum(found.weights.values()), found.macs, found.parameters, found.inputs) == (weights, macs, parameters, 784)


def test_macs_of_vgg16():
    channels = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512)] + [(512, 512)] * 5
    places = [32] * 2 + [16] * 2 + [8] * 3 + [4] * 3 + [2] * 3
    expected = sum(9 * fan_in * fan_out * side**2 for (fan_in, fan_out), side in zip(channels, places, strict=True)) + 512 * 512 + 5120
    assert macs(models.build("vgg16", CIFAR, 10), torch.randn(2, *CIFAR)) == expected


class Attention(nn.Module):
    """Two tokens of eight features, one product by a weight and two of activations.  (N, 2, 8) -> (N, 2, 8)"""

    def __init__(self):
        super().__init__()
        self.values = nn.Linear(8, 8)

    def forward(self, x):
        return (x @ x.transpose(1, 2)).softmax(-1) @ self.values(x)


@pytest.mark.parametrize(("network", "shape", "expected"), [
    (nn.Conv2d(1, 2, 3, stride=2, padding=1), (1, 13, 9), 18 * 7 * 5),
    (nn.Conv2d(2, 2, (3, 2), dilation=2), (2, 7, 5), 24 * 3 * 3),
    (nn.Conv2d(4, 6, 3, groups=2), (4, 5, 5), 108 * 3 * 3),
    (nn.ConvTranspose2d(3, 2, 2, stride=2), (3, 4, 4), 24 * 4 * 4),
    (Attention(), (2, 8), 2 * 64 + 2 * 2 * 2 * 8)])
def test_macs_are_those_of_every_product(network, shape, expected):
    for n in (1, 3):
        assert macs(network, torch.randn(n, *shape)) == expected


class LastStep(nn.Module):
    """Of what a layer gives first, called with x, or with x as query, key and value.  (N, T, F) -> (N, units)"""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        found = self.layer(x, x, x) if isinstance(self.layer, nn.MultiheadAttention) else self.layer(x)
        return (found[0] if isinstance(found, tuple) else found)[:, -1]


LSTM, ATTENTION, FEED = 4 * 24 * (8 + 24), 4 * 16 * 16, 2 * 16 * 24  # a step
SCORES = 2 * 7 * 7 * 16  # of all seven steps: the two products of activations


@pytest.mark.parametrize(("layer", "features", "expected"), [
    (nn.LSTM(8, 24, batch_first=True), (8, 24), 7 * LSTM),
    (nn.LSTM(8, 24, 2, batch_first=True, bidirectional=True), (8, 48), 2 * 7 * (LSTM + 4 * 24 * (48 + 24))),
    (nn.LSTM(8, 24, batch_first=True, bias=False), (8, 24), 7 * LSTM),
    (nn.GRU(8, 24, batch_first=True), (8, 24), 7 * LSTM * 3 // 4),
    (nn.RNN(8, 24, batch_first=True), (8, 24), 7 * LSTM // 4),
    (nn.MultiheadAttention(16, 2, batch_first=True), (16, 16), 7 * ATTENTION + SCORES),
    (nn.TransformerEncoderLayer(16, 2, 24, batch_first=True), (16, 16), 7 * (ATTENTION + FEED) + SCORES),
    (nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 24, batch_first=True), 2), (16, 16), 2 * (7 * (ATTENTION + FEED) + SCORES))])
def test_macs_of_layers_that_torch_fuses(layer, features, expected, cpu_or_cuda):
    n_in, n_out = features
    network = nn.Sequential(nn.Linear(8, n_in), LastStep(layer), nn.Linear(n_out, 32), nn.ReLU(), nn.Linear(32, 3)).to(cpu_or_cuda)
    for n in (1, 3):
        assert macs(network, torch.randn(n, 7, 8)) == 7 * 8 * n_in + expected + n_out * 32 + 96


class Pair(nn.Module):
    """Two products that torch's counter has no formula for.  (N, 4), (N, 5) -> (N, 3) and (N,)"""

    def __init__(self):
        super().__init__()
        self.both, self.query = nn.Bilinear(4, 5, 3), nn.Parameter(torch.randn(4))

    def forward(self, x, other):
        return self.both(x, other), x @ self.query


def test_macs_of_products_without_a_formula_of_torchs():
    assert macs(Pair(), (torch.randn(2, 4), torch.randn(2, 5))) == 4 * 5 * 3 + 4


class Custom(nn.Module):
    """A product inside an operation that is not torch's.  (N, 8) -> (N, 4)"""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 8))

    def forward(self, x):
        return times(x, self.weight)


@torch.library.custom_op("sparsify_tests::times", mutates_args=())
def times(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x @ weight.T


def test_what_cannot_be_counted_is_named():
    with pytest.warns(UserWarning, match=r"^multiply-accumulates of times are not counted; give torch a formula of them \(torch.utils"):
        assert macs(nn.Sequential(nn.Linear(8, 8), Custom()), torch.randn(2, 8)) == 64


def test_counting_leaves_the_settings_of_torch_alone(small):
    def settings():
        return torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled, torch.backends.mha.get_fastpath_enabled()

    before = settings()
    counted(small, IMAGES)
    with pytest.raises(RuntimeError):
        macs(small, torch.randn(2, 3))
    assert settings() == before


def test_counting_leaves_mode_and_statistics_alone(small):
    small.train()
    mean = small[1].running_mean.clone()
    counted(small, IMAGES)
    assert small.training and small[1].training and torch.equal(small[1].running_mean, mean)


def test_a_network_in_float64_is_counted_with_any_example(small):
    structure = analyse(small, IMAGES)
    assert size(small.double(), structure, IMAGES).macs == macs(small, (IMAGES,)) == 444


def test_inputs_are_those_that_the_first_layers_read(small):
    network, x = nn.Sequential(nn.Flatten(), nn.Linear(50, 4), nn.ReLU(), nn.Linear(4, 3)), torch.randn(2, 2, 5, 5)
    structure = analyse(network, x)
    cut, _ = remove(network, x, {"input": torch.arange(50) < 7})
    assert (size(network, structure, x).inputs, size(cut, structure, x).inputs) == (50, 7)


def test_reduction_compares_what_is_left_with_what_was():
    before = Size(weights={"a": 80, "b": 20}, nonzeros={"a": 80, "b": 20}, hidden={"a": 10}, inputs=8, macs=1000, parameters=110, bytes=440)
    after = Size(weights={"a": 12, "b": 8}, nonzeros={"a": 6, "b": 4}, hidden={"a": 3}, inputs=4, macs=40, parameters=23, bytes=92)
    assert reduction(before, after) == pytest.approx({
        "hidden_left": 3, "hidden_total": 10, "hidden_removed_percent": 70, "inputs_left": 4, "inputs_removed_percent": 50,
        "weights_left": 20, "weights_total": 100, "nonzeros_left": 10, "compression_dense": 5, "compression_nonzeros": 10, "macs_left": 40,
        "macs_total": 1000, "macs_ratio": 25,
        "sparsity_percent": {"a": 92.5, "b": 80}} | {"sparsity_percent": pytest.approx({"a": 92.5, "b": 80})})


def test_a_network_without_hidden_units_has_lost_none():
    found = counted(nn.Sequential(nn.Flatten(), nn.Linear(50, 3)), IMAGES)
    assert found.hidden == {} and reduction(found, found)["hidden_removed_percent"] == 0
