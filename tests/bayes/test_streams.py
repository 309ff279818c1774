"""Priors on streams of several writers and readers: one draw for all readers, one neuron over all writers, each KL once."""

import copy

import pytest
import torch
from networks import Branches, Residual, Shuffled, example
from torch import nn

from sparsify.bayes.convert import bake, bayesianize, log_alphas, noise_parameters
from sparsify.bayes.gates import joint_kl
from sparsify.bayes.groups import groups_of
from sparsify.bayes.kl import kl_ard, kl_row_gaussian
from sparsify.bayes.objective import kl
from sparsify.structure import analyse, unit_costs, weight_costs

every_network = pytest.mark.parametrize("network", [Branches, Residual, Shuffled])


@pytest.fixture
def gated(prior_settings):
    """gated(network, initial_alpha=0.5) -> its twin with gates, in training"""
    return lambda network, **changes: bayesianize(network, example(network), prior_settings(kind="gate", **changes)).train()


def units_before(twin, x):
    return (twin.one(x) + twin.other(x)).abs()


@torch.no_grad()
def test_all_readers_of_a_stream_see_one_draw(gated):
    twin, x = gated(Branches(), initial_alpha=0.5), torch.randn(64, 3)
    left, right = twin(x)  # the units times the draws
    assert torch.equal(left, right)
    draws = left / units_before(twin, x)
    assert draws.std(0).min() > 0.4 and draws.std(1).min() > 0  # another draw for every example, and for every unit
    assert not torch.equal(twin(x)[0], left)  # and for every pass


@torch.no_grad()
def test_draws_of_a_stream_have_the_gates_mean_and_variance(gated):
    twin, n = gated(Branches()), 20_000
    gate = twin.left.gate
    gate.mean.copy_(torch.tensor([1.0, -0.5, 0.0, 2.0]))
    gate.log_var.copy_(torch.tensor([0.1, 0.5, 1.0, 0.01]).log())
    x = torch.randn(1, 3)
    draws = twin(x.expand(n, 3))[1] / units_before(twin, x)
    deviation = (0.5 * gate.log_var).exp()
    assert ((draws.mean(0) - gate.mean).abs() < 5 * deviation / n**0.5).all()
    assert ((draws.std(0) - deviation).abs() < 5 * deviation / (2 * n) ** 0.5).all()


@torch.no_grad()
def test_no_draw_outlives_its_pass_not_even_a_failed_one(gated):
    twin, x = gated(Branches(), initial_alpha=0.5), torch.randn(8, 3)
    twin.fails = True
    torch.manual_seed(1)
    with pytest.raises(RuntimeError, match="in the middle"):
        twin(x)
    assert twin.left.gate.current.drawn is None
    twin.fails = False
    after = twin(x)
    torch.manual_seed(1)
    assert not torch.equal(after[0], twin(x)[0]) and torch.equal(after[0], after[1])


@torch.no_grad()
def test_a_layer_that_is_called_outside_of_a_pass_draws_for_itself(gated):
    twin, x = gated(Branches(), initial_alpha=0.5), torch.ones(8, 4)
    assert not torch.equal(twin.left(x), twin.left(x))


@torch.no_grad()
def test_a_copy_in_the_middle_of_training_goes_its_own_way(gated):
    twin, x = gated(Residual(), initial_alpha=0.5), torch.randn(4, 3, 6, 6)
    other = copy.deepcopy(twin)
    torch.manual_seed(1)
    expected = twin(x)
    for parameter in twin.parameters():
        parameter.zero_()
    torch.manual_seed(1)
    torch.testing.assert_close(other(x), expected)
    assert kl(other) > 0 and kl(twin) != kl(other)
    bake(twin), bake(other)
    owned = {id(module) for module in other.modules()}
    assert all(id(layer) in owned for module in other.modules() for layer in getattr(module, "layers", ()))
    assert all(id(gate) in owned for module in other.modules() for gate in getattr(module, "gates", ()))


@torch.no_grad()
@every_network
def test_gates_reach_the_features_of_their_units(gated, network):
    """In evaluation the twin computes as the network whose readers' columns, one by one, are multiplied by their units' means."""
    plain = network().double().eval()
    twin = gated(plain).eval()
    expected, gates = copy.deepcopy(plain), {group.name: group for group in groups_of(twin)}
    for stream in analyse(plain, example(plain)).shrinkable().values():
        gates[stream.name].mean.normal_()
        for slot in stream.readers:
            for unit, places in enumerate(slot.index.tolist()):
                for place in places:
                    expected.get_parameter(slot.tensor).select(slot.dim, place).mul_(gates[stream.name].mean[unit])
    x, baked = example(plain), bake(twin)
    assert baked.state_dict().keys() == plain.state_dict().keys()
    for key, value in expected.state_dict().items():
        torch.testing.assert_close(baked.state_dict()[key], value)
    for network_found in (twin, baked):
        for found, wanted in zip(_flat(network_found(x)), _flat(expected(x)), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def _flat(output):
    return output if isinstance(output, tuple) else (output,)


def test_the_kl_of_a_stream_counts_once_times_what_a_unit_costs(prior_settings):
    plain = Residual()
    structure = analyse(plain, example(plain))
    for by in ("units", "weights", "macs"):
        twin = bayesianize(plain, example(plain), prior_settings(kind="gate", kl_weight=by, initial_alpha=0.5), structure=structure)
        costs = unit_costs(structure, plain, by)
        expected = sum(costs[name] * stream.size for name, stream in structure.shrinkable().items()) * kl_ard(
            torch.ones(()), torch.tensor(0.5).log())
        torch.testing.assert_close(kl(twin), expected)


def test_the_kl_of_all_gates_together_is_the_sum_over_the_streams(gated):
    twin = gated(Residual(), kl_weight="macs")
    noise = [twin.get_parameter(name) for name in noise_parameters(twin)]
    with torch.no_grad():
        for parameter in noise:
            parameter.add_(torch.randn_like(parameter))
    together, one_by_one = joint_kl(groups_of(twin)), sum(group.kl() for group in groups_of(twin))
    torch.testing.assert_close(together, one_by_one)
    for found, expected in zip(*(torch.autograd.grad(value, noise) for value in (together, one_by_one)), strict=True):
        torch.testing.assert_close(found, expected)


@torch.no_grad()
@pytest.mark.parametrize("by", ["units", "weights", "macs"])
def test_a_neuron_is_the_rows_of_all_writers_side_by_side(prior_settings, by):
    plain = Residual()
    structure = analyse(plain, example(plain))
    twin = bayesianize(plain, example(plain), prior_settings(kind="gaussian", kl_weight=by), structure=structure)
    for name, parameter in twin.named_parameters():
        if name.endswith("log_var"):
            parameter.add_(torch.randn_like(parameter))
    writers = {"stem": ["stem", "blocks.0.2", "blocks.1.2"], "blocks.0.0": ["blocks.0.0"], "blocks.1.0": ["blocks.1.0"], "wide": ["wide"]}
    rows, n_weights = 4 + 5 + 3 + 6 + 4, sum(p.numel() for name, p in plain.named_parameters() if p.ndim > 1)
    expected = 0
    for name, layers in writers.items():
        mean, log_var = (torch.cat([getattr(twin.get_submodule(layer), kind).flatten(1) for layer in layers], 1)
                         for kind in ("weight", "log_var"))
        torch.testing.assert_close(log_alphas(twin).units[name], -(mean.square() / log_var.exp()).mean(1).log())
        cost = {"units": n_weights / (rows * mean.shape[1]), "weights": 1.0, "macs": sum(
            weight_costs(structure, plain, "macs")[f"{layer}.weight"] * twin.get_submodule(layer).weight[0].numel() for layer in layers)
            / mean.shape[1]}[by]
        expected += cost * kl_row_gaussian(mean, log_var).sum()
    torch.testing.assert_close(kl(twin), expected)


@torch.no_grad()
def test_a_neuron_of_grouped_and_transposed_layers_has_the_rows_of_its_unit(prior_settings):
    plain = Shuffled()
    twin = bayesianize(plain, example(plain), prior_settings(kind="gaussian"))
    for name, parameter in twin.named_parameters():
        if name.endswith("log_var"):
            parameter.add_(torch.randn_like(parameter))
    found = log_alphas(twin).units
    for unit, rows in enumerate(([0, 3], [1, 4], [2, 5])):
        certain = twin.grouped.weight[rows].square() / twin.grouped.log_var[rows].exp()
        torch.testing.assert_close(found["grouped"][unit], -certain.mean().log())
    for unit, rows in enumerate(([0, 2], [1, 3])):  # of `up` the output of each of two groups, of `again` two rows
        mean, log_var = (torch.cat([getattr(twin.up, kind)[:, unit].flatten(), getattr(twin.again, kind)[rows].flatten()])
                         for kind in ("weight", "log_var"))
        torch.testing.assert_close(found["up"][unit], -(mean.square() / log_var.exp()).mean().log())


@every_network
@pytest.mark.parametrize("kind", ["gate", "gaussian", "mixture", "log_uniform", "ard"])
def test_all_noise_learns_from_the_data_and_from_the_prior(prior_settings, network, kind):
    plain = network()
    twin = bayesianize(plain, example(plain), prior_settings(kind=kind, initial_alpha=0.5)).train()
    for source in (lambda: sum(out.square().sum() for out in _flat(twin(example(plain)))), lambda: kl(twin)):
        twin.zero_grad()
        source().backward()
        for name, parameter in twin.named_parameters():
            if name.endswith("log_var"):
                assert parameter.grad.isfinite().all() and parameter.grad.any(), name


class Places(nn.Module):
    """Tokens, and one reader that sees them folded into the batch.  (N, T, 3) -> (N, T, 2), (N T, 2)"""

    def __init__(self):
        super().__init__()
        self.fc, self.each, self.folded = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x):
        x = self.fc(x)
        return self.each(x), self.folded(x.flatten(0, 1))


@torch.no_grad()
def test_places_of_an_example_share_its_draw():
    twin = bayesianize(Places(), torch.randn(2, 5, 3), "gate").train()
    twin.each.gate.log_var.fill_(0.0)
    each, folded = twin(torch.randn(1, 1, 3).expand(6, 5, 3))
    assert torch.allclose(each, each[:, :1]) and not torch.allclose(each, each[:1])
    assert folded.std(0).min() > 0  # a reader of another number of examples draws for its own


@torch.no_grad()
def test_gates_do_not_widen_activations_in_mixed_precision(gated):
    twin, seen = gated(Residual()), []
    twin.wide.register_forward_hook(lambda layer, args, output: seen.append(args[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        twin(example(twin))
        twin.eval()(example(twin))
    plain = Residual()
    plain.wide.register_forward_hook(lambda layer, args, output: seen.append(args[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        plain(example(plain))
    assert seen[0] == seen[1] == seen[2]


def test_gates_are_as_precise_as_their_network():
    x = torch.randn(5, 3, dtype=torch.bfloat16)
    twin = bayesianize(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).to(torch.bfloat16), x, "gate").train()
    (twin(x).square().mean() + kl(twin)).backward()
    assert twin(x).dtype == twin[1].gate.mean.grad.dtype == torch.bfloat16
    assert twin[1].gate.mean.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["gate", "gaussian", "log_uniform"])
def test_a_twin_trains_under_distributed_data_parallel(tmp_path, prior_settings, kind):
    """Every parameter takes part in the pass, and the wrapper changes neither draws nor gradients."""
    plain = Residual().eval()  # else BatchNorm's statistics move
    twin = bayesianize(plain, example(plain), prior_settings(kind=kind)).train()
    other, x = copy.deepcopy(twin), example(plain)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(other)
        for network in (twin, wrapped):
            torch.manual_seed(1)
            (network(x).square().mean() + kl(network)).backward()
            torch.manual_seed(1)
            (network(x).square().mean() + kl(network)).backward()
    finally:
        torch.distributed.destroy_process_group()
    for one, another in zip(twin.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one.grad, another.grad)
