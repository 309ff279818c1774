"""What a prior acts on and what it says of the rest, that a twin and its original share nothing, and the way back."""

import copy
import warnings
from collections import OrderedDict

import pytest
import torch
from networks import Branches, Functional, Residual, Shuffled, Split, example
from torch import nn

from sparsify import models
from sparsify.bayes.convert import bake, bayesianize, coverage, log_alphas, noise_parameters
from sparsify.bayes.groups import groups_of
from sparsify.bayes.objective import kl, update_priors
from sparsify.bayes.priors import KINDS
from sparsify.settings import InputError

SHAPE = (1, 28, 28)
MLP, LENET5 = ["fc1", "fc2", "fc3"], ["conv1", "conv2", "fc1", "fc2"]
# network, kind, inputs -> streams, or layers for the priors of weights
CHOSEN = [
    *((name, kind, True, layers) for kind in ("log_uniform", "ard") for name, layers in (("lenet-300-100", MLP), ("lenet5", LENET5))),
    *((name, kind, inputs, layers[:-1]) for kind in ("gaussian", "mixture") for inputs in (True, False)
      for name, layers in (("lenet-300-100", MLP), ("lenet5", LENET5))),
    ("lenet-300-100", "gate", True, ["input", *MLP[:-1]]), ("lenet-300-100", "gate", False, MLP[:-1]),
    ("lenet5", "gate", True, LENET5[:-1]), ("lenet5", "gate", False, LENET5[:-1])]
every_kind = pytest.mark.parametrize("kind", KINDS)
every_network = pytest.mark.parametrize("make", [
    lambda: models.build("lenet-300-100", SHAPE, 10, 0.05), lambda: models.build("lenet5", SHAPE, 10, 0.1), Branches, Residual, Shuffled],
    ids=["lenet-300-100", "lenet5", "branches", "residual", "shuffled"])


def example_of(network):
    return torch.rand(4, *SHAPE, dtype=next(network.parameters()).dtype) if isinstance(network, nn.Sequential) else example(network)


@pytest.fixture
def make_twin(prior_settings):
    @torch.no_grad()
    def make(plain, kind, **options):
        """With every parameter at random."""
        twin = bayesianize(plain, example_of(plain), prior_settings(kind=kind), **options)
        for parameter in twin.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        return twin
    return make


@pytest.mark.parametrize(("name", "kind", "inputs", "chosen"), CHOSEN)
def test_what_a_prior_acts_on(prior_settings, name, kind, inputs, chosen):
    plain = models.build(name, SHAPE, 10, 0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # on a chain nobody expects more
        twin = bayesianize(plain, torch.zeros(1, *SHAPE), prior_settings(kind=kind), inputs=inputs)
    assert [name.removesuffix(".weight") for name in coverage(twin).chosen()] == chosen
    assert sorted(group.name for group in groups_of(twin)) == sorted(coverage(twin).chosen())


@every_kind
@every_network
def test_noise_is_what_a_twin_has_beside_its_original(make_twin, kind, make):
    plain = make()
    twin = make_twin(plain, kind)
    names, plain_names = ({name for name, _ in network.named_parameters()} for network in (twin, plain))
    assert set(noise_parameters(twin)) == names - plain_names != set()
    assert len(list(twin.parameters())) == len(names)  # nothing is there under two names


@every_kind
@every_network
def test_the_original_is_not_touched(make_twin, kind, make):
    plain = make()
    modules, state = [type(module) for module in plain.modules()], copy.deepcopy(plain.state_dict())
    twin = make_twin(plain, kind)
    output = twin(example_of(plain))
    sum(part.sum() for part in (output if isinstance(output, tuple) else (output,))).backward()
    update_priors(twin)
    assert [type(module) for module in plain.modules()] == modules
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in plain.modules())
    assert all(parameter.grad is None for parameter in plain.parameters())
    assert plain.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in plain.state_dict().items())


@every_kind
@every_network
def test_the_baked_network_is_of_the_users_class_and_computes_what_the_twin_does(make_twin, hostile, kind, make):
    plain = make()
    twin = hostile(make_twin(plain, kind))
    baked = bake(twin)
    assert [type(module) for module in baked.modules()] == [type(module) for module in plain.modules()]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in baked.modules())
    plain.double().eval().load_state_dict(baked.state_dict())  # strictly
    x = example_of(plain)
    for found, expected in zip(plain(x), twin(x), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    owned = {tensor.untyped_storage().data_ptr() for tensor in twin.state_dict().values()}
    assert not owned & {tensor.untyped_storage().data_ptr() for tensor in baked.state_dict().values()}


@every_kind
@every_network
def test_a_dense_checkpoint_loads_as_the_posterior_mean(make_twin, kind, make):
    dense, twin = make(), make_twin(make(), kind)
    result = twin.load_state_dict(dense.state_dict(), strict=False)
    assert not result.unexpected_keys and not set(result.missing_keys) & set(dense.state_dict())
    assert all(torch.equal(twin.state_dict()[key], value) for key, value in dense.state_dict().items())


@every_kind
@every_network
def test_a_twins_state_loads_into_another_twin(make_twin, kind, make):
    one, other = make_twin(make(), kind).eval(), make_twin(make(), kind).eval()
    update_priors(one)
    other.load_state_dict(one.state_dict())
    x = example_of(one)
    assert all(torch.equal(*pair) for pair in zip(one(x), other(x), strict=True))
    assert torch.equal(kl(one), kl(other))


@every_kind
def test_a_twin_stays_in_the_mode_of_its_original(prior_settings, kind):
    twin = bayesianize(models.build("lenet-300-100", SHAPE, 10, 0.05).eval(), torch.zeros(1, *SHAPE), prior_settings(kind=kind))
    images = torch.rand(2, *SHAPE)
    assert torch.equal(twin(images), twin(images))
    assert not any(module.training for module in twin.modules())


@torch.no_grad()
@every_kind
@every_network
def test_log_alphas_hold_noise_over_signal(make_twin, kind, make):
    """Of weights one by one; of gates by their own parameters; of neurons test_streams.py has the sums."""
    twin = make_twin(make(), kind)
    found = log_alphas(twin)
    chosen = set(coverage(twin).chosen())
    assert (found.weights.keys(), found.units.keys()) == ((chosen, set()) if KINDS[kind].groups == "weights" else (set(), chosen))
    for name, log_alpha in found.weights.items():
        weight, log_var = twin.get_parameter(name), twin.get_parameter(name.replace("weight", "log_var"))
        clear = weight.abs() > 0.03  # of the floor under squared weights
        torch.testing.assert_close(log_alpha[clear], (log_var - weight.square().log()).clamp(-8, 8)[clear], rtol=0, atol=1e-3)
    for row in coverage(twin).rows:
        assert row.reason is not None or kind in ("log_uniform", "ard") or found.units[row.name].shape == (row.units,)
    for group in groups_of(twin) if kind == "gate" else ():
        torch.testing.assert_close(found.units[group.name], group.log_var - group.mean.square().log(), rtol=0, atol=1e-3)


def test_a_settings_kind_may_stand_for_all_of_them():
    twin = bayesianize(Branches(), torch.randn(2, 3), "gaussian")
    assert coverage(twin).kind == "gaussian"
    with pytest.raises(InputError, match="gausian"):
        bayesianize(Branches(), torch.randn(2, 3), "gausian")


def test_inputs_get_gates_where_linear_layers_read_them():
    assert coverage(bayesianize(Branches(), torch.randn(2, 3), inputs=True)).chosen() == ["input", "one"]
    assert coverage(bayesianize(Branches(), torch.randn(2, 3))).chosen() == ["one"]


@pytest.mark.parametrize(("protect", "kind", "chosen"), [
    (["stem"], "gate", ["blocks.0.0", "blocks.1.0", "wide"]),
    (["blocks"], "gate", ["wide"]),  # the residual stream too: blocks write it
    (["wide", "blocks.0.0"], "gaussian", ["stem", "blocks.1.0"]),
    (["blocks.1"], "ard", ["stem.weight", "blocks.0.2.weight", "blocks.0.0.weight", "wide.weight", "fc.weight"])])
def test_what_is_protected_stays(protect, kind, chosen):
    with pytest.warns(UserWarning, match="protected"):
        twin = bayesianize(Residual(), torch.randn(2, 3, 6, 6), kind, protect=protect)
    assert coverage(twin).chosen() == chosen


def test_what_is_protected_has_to_be_there():
    with pytest.raises(InputError, match=r"'steam'.*stem"):
        bayesianize(Residual(), torch.randn(2, 3, 6, 6), protect=["steam"])


def test_what_cannot_be_done_is_said_before_anyone_trains():
    with pytest.warns(UserWarning, match="^1 of 2 streams stay as they are: fc2: last is used outside of its layer$"):
        twin = bayesianize(Functional(), torch.randn(2, 3))
    assert str(coverage(twin)) == ("input       3  stays: network input\n"
                                   "fc1         5  fc2\n"
                                   "fc2         4  stays: last is used outside of its layer\n"
                                   "last        2  stays: network output")
    with pytest.warns(UserWarning, match="1 of 3 weights stay as they are: last: used outside of its layer"):
        bayesianize(Functional(), torch.randn(2, 3), "ard")


@pytest.mark.parametrize("kind", ["gate", "gaussian", "mixture"])
def test_nothing_to_act_on_is_an_error_with_the_reasons(kind):
    with pytest.raises(InputError, match=f"{kind} finds nothing to act on: .*fc: network output"):
        bayesianize(nn.Sequential(OrderedDict(fc=nn.Linear(3, 2))), torch.randn(2, 3), kind)


def test_no_more_than_ten_reasons_are_told():
    plain = nn.Sequential(*[nn.Linear(3, 3) for _ in range(15)])
    with pytest.warns(UserWarning, match=r"^12 of 14 streams stay .*9: protected; and 2 more$"):
        bayesianize(plain, torch.randn(2, 3), protect=[str(n) for n in range(12)])


def test_rows_that_cannot_leave_keep_the_noise_from_their_whole_layer():
    with pytest.raises(InputError, match="both has rows of other streams, which stay"):
        bayesianize(Split(), torch.randn(2, 3), "gaussian")
    assert coverage(bayesianize(Split(), torch.randn(2, 3), "gate")).chosen() == ["both"]


class Tied(nn.Module):
    """An embedding that is the last layer's weight too.  (N, T) -> (N, T, 5)"""

    def __init__(self):
        super().__init__()
        self.head, self.table, self.hidden = nn.Linear(4, 5, bias=False), nn.Embedding(5, 4), nn.Linear(4, 6)
        self.back = nn.Linear(6, 4)
        self.table.weight = self.head.weight

    def forward(self, tokens):
        return self.head(self.back(self.hidden(self.table(tokens)).relu()) + self.table(tokens))


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_of_several_modules_stays(kind):
    tokens = torch.tensor([[0, 1, 4], [3, 3, 2]])
    with pytest.warns(UserWarning, match="the weight of several modules|computes in its own way|outside of its layer"):
        twin = bayesianize(Tied(), tokens, kind).eval()
    assert not [row for row in coverage(twin).rows if row.reason is None and "head" in row.layers]
    for parameter in map(twin.get_parameter, noise_parameters(twin)):
        parameter.normal_()
    torch.testing.assert_close(bake(twin)(tokens), twin(tokens))


def test_a_twin_cannot_turn_bayesian_again():
    twin = bayesianize(Branches(), torch.randn(2, 3))
    with pytest.raises(InputError, match="Bayesian already"):
        bayesianize(twin, torch.randn(2, 3))
    assert coverage(bayesianize(bake(twin), torch.randn(2, 3), "ard")).kind == "ard"


class Pair(nn.Module):
    """A network of two arguments and a dict for output."""

    def __init__(self):
        super().__init__()
        self.one, self.other, self.fc = nn.Linear(3, 4), nn.Linear(2, 4), nn.Linear(4, 2)

    def forward(self, x, y):
        return {"logits": self.fc((self.one(x) + self.other(y)).relu())}


@torch.no_grad()
def test_a_network_of_several_arguments():
    twin = bayesianize(Pair(), (torch.randn(2, 3), torch.randn(2, 2)), inputs=True).eval()
    assert len(coverage(twin).chosen()) == 3
    for group in groups_of(twin):
        group.mean.normal_()
    x, y = torch.randn(2, 3), torch.randn(2, 2)
    torch.testing.assert_close(bake(twin)(x, y)["logits"], twin(x, y)["logits"])


def test_a_wrapped_twin_answers_as_the_twin():
    twin = bayesianize(Branches(), torch.randn(2, 3))
    wrapped = nn.DataParallel(twin)
    assert coverage(wrapped) is coverage(twin) and torch.equal(kl(wrapped), kl(twin))
    assert log_alphas(wrapped).units.keys() == log_alphas(twin).units.keys()
