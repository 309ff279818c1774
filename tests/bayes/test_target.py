"""The expected size against what a removal leaves, and the pressure that leads to a target."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from sparsify.bayes.convert import bayesianize, log_alphas
from sparsify.bayes.groups import groups_of
from sparsify.bayes.objective import kl, update_priors
from sparsify.bayes.priors import KINDS, Target
from sparsify.bayes.target import ExpectedSize, Pressure
from sparsify.compaction import compact
from sparsify.measure.size import size, total
from sparsify.models.vit import VisionTransformer
from sparsify.settings import InputError
from sparsify.structure import analyse

MEASURES = {"units": lambda size: total(size.hidden), "weights": lambda size: total(size.weights),
            "nonzeros": lambda size: total(size.nonzeros), "macs": lambda size: size.macs}


class Residual(nn.Module):
    """A stream that three layers write, a convolution in groups, and a head."""

    def __init__(self):
        super().__init__()
        self.stem, self.first, self.second = nn.Conv2d(3, 12, 3), nn.Conv2d(12, 10, 3, padding=1), nn.Conv2d(10, 12, 1)
        self.depthwise, self.head = nn.Conv2d(12, 12, 3, groups=12), nn.Linear(12, 5)

    def forward(self, x):
        x = self.stem(x).relu()
        x = x + self.second(self.first(x).relu())
        return self.head(self.depthwise(x).relu().mean((2, 3)))


def chain():
    return nn.Sequential(nn.Linear(20, 40), nn.ReLU(), nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 3))


def attention():
    return VisionTransformer(1, 4, 5, 24)


NETWORKS = {"chain": (chain, (2, 20)), "residual": (Residual, (2, 3, 9, 9)), "attention": (attention, (2, 1, 8, 8))}


def made(name, prior):
    torch.manual_seed(0)
    make, shape = NETWORKS[name]
    network, example = make(), torch.randn(shape)
    return network, example, analyse(network, example), bayesianize(network, example, prior)


@pytest.mark.parametrize(("name", "by"), [  # attention's products of two activations are in no tensor
    (name, by) for name in NETWORKS for by in MEASURES if (name, by) != ("attention", "macs")])
@pytest.mark.parametrize("kind", ["gate", "gaussian"])
def test_expected_size_of_units_that_are_sure_to_stay_or_go_is_that_of_what_a_removal_leaves(name, kind, by):
    network, example, structure, twin = made(name, kind)
    with torch.no_grad():
        for number, group in enumerate(groups_of(twin)):
            for noise in group.noise()[-1:] if kind == "gate" else group.noise():
                noise.fill_(-40.0)
            goes = torch.arange(len(group.log_alpha())) % 3 == number % 3
            if kind == "gate":
                group.log_var[goes] = 40.0
            else:
                for layer, slot in zip(group.layers, structure.streams[group.name].writers, strict=True):
                    layer.log_var.index_fill_(slot.dim, slot.index[goes].flatten(), 40.0)  # all rows of a head
    small, _ = compact(twin, example, threshold=0.0)
    left = MEASURES[by](size(small, structure, example))
    assert ExpectedSize(twin, structure, by)().item() == pytest.approx(left, rel=1e-4)
    assert ExpectedSize(twin, structure, by).whole == MEASURES[by](size(network, structure, example))


def test_expected_size_of_single_weights_counts_those_of_a_low_log_alpha():
    _, _, structure, twin = made("chain", "log_uniform")
    with torch.no_grad():
        for group in groups_of(twin):
            for noise in group.noise():
                noise.fill_(-40.0)
                noise[0] = 40.0  # all weights of one neuron
    assert ExpectedSize(twin, structure, "nonzeros")().item() == pytest.approx(20 * 39 + 40 * 29 + 30 * 2, rel=1e-4)
    with pytest.raises(InputError, match="the target is macs, and the prior acts on single weights; give nonzeros"):
        ExpectedSize(twin, structure, "macs")


@pytest.mark.parametrize("share", [0.3, 0.15])
@pytest.mark.parametrize("kind", KINDS)
def test_pressure_ends_near_its_target_and_the_network_still_answers(kind, share):
    torch.manual_seed(0)
    x = torch.randn(500, 20)
    y = x[:, :3].argmax(1)
    network, steps = chain(), 800
    structure = analyse(network, x[:2])
    twin = bayesianize(network, x[:2], kind)
    pressure = Pressure(ExpectedSize(twin, structure, "nonzeros"), share, steps)
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01)
    for _ in range(steps):
        loss = cross_entropy(twin(x), y) + pressure.beta() * kl(twin) / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update_priors(twin)
        pressure.step()
    scores = log_alphas(twin)
    assert (pressure._expected() / pressure._expected.whole).item() == pytest.approx(share, rel=0.25)
    assert (twin.eval()(x).argmax(1) == y).float().mean() > 0.85
    assert scores


def test_the_state_of_a_pressure_is_kept_with_that_of_the_training():
    _, _, structure, twin = made("chain", "gate")
    one, other = (Pressure(ExpectedSize(twin, structure, "units"), 0.1, 50) for _ in range(2))
    for _ in range(20):
        one.step()
    other.load_state_dict(one.state_dict())
    one.step(), other.step()
    assert one.beta() == other.beta() > 0.01


@pytest.mark.parametrize("target", [70.0, 71.0, 1.0e9])
def test_a_target_that_is_no_smaller_than_the_network_is_refused(target):
    _, _, structure, twin = made("chain", "gate")
    with pytest.raises(InputError, match=r"of 70; it has to be a share between 0 and 1, or a smaller count"):
        Pressure(ExpectedSize(twin, structure, "units"), target, 10)


def test_a_target_is_one_size():
    assert Target(macs=0.25).given() == {"macs": 0.25}
    assert Target().given() == {}
    with pytest.raises(InputError, match="a target is one size; units and macs came"):
        Target(units=0.5, macs=0.5)
