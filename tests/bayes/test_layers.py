"""One contract for every layer that takes noise, against the plain layer, which is linear in its weights and in its inputs' gates."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from sparsify.bayes.convert import bake, bayesianize
from sparsify.bayes.layers import add_noise, as_layer, end_noise, noise_like, start_noise

DRAWS = 4000
# plain layer and the shape of one input
PLAIN = {
    "linear": (lambda: nn.Linear(5, 3), (5,)),
    "linear-no-bias": (lambda: nn.Linear(4, 3, bias=False), (4,)),
    "linear-places": (lambda: nn.Linear(4, 3), (2, 4)),
    "conv1d": (lambda: nn.Conv1d(2, 3, 3, padding=1), (2, 5)),
    "conv": (lambda: nn.Conv2d(2, 3, 3), (2, 5, 4)),
    "conv-stride-padding-dilation": (lambda: nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 2), dilation=2, bias=False), (2, 5, 3)),
    "conv-same": (lambda: nn.Conv2d(2, 3, 3, padding="same"), (2, 3, 3)),
    "conv-circular": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 4, 5)),
    "conv-groups": (lambda: nn.Conv2d(4, 6, 2, groups=2), (4, 3, 3)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 2, 3, 3)),
    "transposed1d": (lambda: nn.ConvTranspose1d(2, 3, 3, stride=2, padding=1, output_padding=1), (2, 3)),
    "transposed": (lambda: nn.ConvTranspose2d(2, 3, (3, 2), stride=(2, 1), dilation=(1, 2), bias=False), (2, 2, 3)),
    "transposed-groups": (lambda: nn.ConvTranspose2d(4, 6, 2, groups=2), (4, 2, 2)),
    "transposed3d": (lambda: nn.ConvTranspose3d(2, 3, 2), (2, 1, 2, 2)),
}


@pytest.fixture(params=PLAIN)
def plain(request):
    return PLAIN[request.param][0]().double()


@pytest.fixture
def x(request, plain):
    return torch.randn(PLAIN[request.node.callspec.params["plain"]][1], dtype=torch.float64)


def rows_of(layer):
    return 1 if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d) else 0


@torch.no_grad()
def noisy(plain, initial_alpha=0.1):
    """Of the same weights, with every log variance at random."""
    layer = copy.deepcopy(plain)
    start_noise(layer, rows_of(layer), initial_alpha)
    layer.log_var.normal_(-2)
    return layer


def check_moments(outputs, mean, expected):
    """Outputs (DRAWS, outputs) have this mean and covariance, within five standard errors of a Gaussian's."""
    size = expected.diag()
    assert ((outputs.mean(0) - mean).abs() < 5 * (size / DRAWS).sqrt() + 1e-9).all()
    standard_error = ((size * size[:, None] + expected.square()) / DRAWS).sqrt()
    assert ((outputs.T.cov() - expected).abs() < 5 * standard_error + 1e-9).all()


@torch.no_grad()
def test_training_output_has_the_mean_and_variance_of_random_weights(plain, x):
    """Exact moments, as the output is linear in its weights; local reparameterisation has their variances, and no covariance."""
    layer = noisy(plain).train()
    rest = {} if plain.bias is None else {"bias": plain.bias}
    output = lambda weight: functional_call(plain, {"weight": weight, **rest}, (x[None],)).flatten()  # noqa: E731
    slope = jacrev(output)(plain.weight.clone()).flatten(1)  # (outputs, weights)
    variance = slope.square() @ layer.log_var.exp().flatten()
    check_moments(layer(x.expand(DRAWS, *x.shape)).flatten(1), output(plain.weight), variance.diag())


@torch.no_grad()
def test_training_output_has_the_mean_and_covariance_of_random_gates(prior_settings, plain, x):
    """Exact moments, as the output is linear in the gates of its inputs, in whose groups the same places share theirs."""
    n_features = x.shape[-1] if isinstance(plain, nn.Linear) else x.shape[0]
    before = {0: nn.Linear, 1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[plain.weight.ndim - 2]
    before = before(n_features, n_features, *([1] if plain.weight.ndim > 2 else [])).double()
    network = nn.Sequential(before, plain)
    twin = bayesianize(network, x[None], prior_settings(kind="gate")).train()
    gate = twin[1].gate
    gate.mean.normal_()
    gate.log_var.normal_(-1)
    hidden = before(x[None])
    axis = -1 if isinstance(plain, nn.Linear) else 1
    shape = [n_features if dim == axis % hidden.ndim else 1 for dim in range(hidden.ndim)]
    output = lambda z: plain(hidden * z.repeat(n_features // len(z)).reshape(shape)).flatten()  # noqa: E731
    slope = jacrev(output)(gate.mean.clone())
    check_moments(twin(x.expand(DRAWS, *x.shape)).flatten(1), output(gate.mean), (slope * gate.log_var.exp()) @ slope.T)
    torch.testing.assert_close(twin.eval()(x[None]).flatten(), output(gate.mean), rtol=0, atol=1e-12)
    torch.testing.assert_close(bake(twin)(x[None]).flatten(), output(gate.mean), rtol=0, atol=1e-12)


@torch.no_grad()
def test_one_example_without_a_batch_dimension_is_taken_for_a_batch_of_one(prior_settings, plain, x):
    if x.ndim > plain.weight.ndim - 1:
        pytest.skip("to a linear layer, the places of one example are a batch")
    n_features = x.shape[-1] if isinstance(plain, nn.Linear) else x.shape[0]
    kernel = [1] if plain.weight.ndim > 2 else []
    before = {0: nn.Linear, 1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[plain.weight.ndim - 2](n_features, n_features, *kernel)
    twin = bayesianize(nn.Sequential(before.double(), plain), x[None], prior_settings(kind="gate", initial_alpha=0.5)).train()
    torch.manual_seed(1)
    alone = twin(x)
    torch.manual_seed(1)
    torch.testing.assert_close(alone, twin(x[None])[0])


@torch.no_grad()
def test_evaluation_is_the_plain_layers(plain, x):
    layer = noisy(plain).eval()
    assert type(layer) is type(plain)
    assert torch.equal(layer(x[None]), plain(x[None]))
    end_noise(layer)
    assert layer.state_dict().keys() == plain.state_dict().keys() and torch.equal(layer.train()(x[None]), plain(x[None]))


def test_gradients_reach_all_parameters(plain, x):
    layer = noisy(plain).train()
    layer(x.expand(8, *x.shape)).square().mean().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_noise_starts_at_initial_alpha_of_each_neuron(plain):
    layer = copy.deepcopy(plain)
    start_noise(layer, rows_of(layer), 0.03)
    noise, signal = (part.movedim(rows_of(layer), 0).flatten(1).sum(1) for part in (layer.log_var.exp(), layer.weight.square()))
    torch.testing.assert_close(noise / signal, torch.full_like(signal, 0.03))


def test_a_size_that_is_asked_for_at_the_call_is_that_of_the_noise_too():
    layer = noisy(nn.ConvTranspose2d(2, 3, 3, stride=2)).train()
    assert layer(torch.randn(1, 2, 4, 4), output_size=(10, 9)).shape == layer(input=torch.randn(1, 2, 4, 4), output_size=[10, 9]).shape


def test_a_zero_input_has_finite_gradients():
    layer = noisy(nn.Linear(4, 2, bias=False)).train()
    x = torch.zeros(3, 4, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.isfinite().all() and layer.log_var.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_noise_is_one_draw_a_value_in_any_layout_and_precision(cpu_or_cuda, dtype, layout):
    values = torch.zeros(20, 30, 5, 7, dtype=dtype, device=cpu_or_cuda).to(memory_format=layout)
    noise = noise_like(values)
    assert (noise.shape, noise.stride(), noise.dtype) == (values.shape, values.stride(), dtype)
    assert abs(noise.double().mean()) < 4 / 21_000**0.5 and abs(noise.double().std() - 1) < 4 / 42_000**0.5
    for one, other in [(noise[1:], noise[:-1]), (noise[:, 1:], noise[:, :-1]), (noise[..., 1:], noise[..., :-1])]:
        assert abs((one * other).double().mean()) < 4 / one.numel()**0.5  # neighbours know nothing of one another


class OwnName(nn.Linear):
    pass


class OwnForward(nn.Linear):
    def forward(self, input):
        return super().forward(input / input.norm())


class OwnConvolution(nn.Conv2d):
    def _conv_forward(self, input, weight, bias):
        return super()._conv_forward(input, weight - weight.mean(), bias)


@pytest.mark.parametrize(("module", "is_layer"), [
    (OwnName(3, 2), True), (OwnForward(3, 2), False), (OwnConvolution(3, 2, 1), False), (nn.Bilinear(3, 2, 2), False), (nn.ReLU(), False),
    (nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), False), (nn.utils.parametrizations.orthogonal(nn.Linear(3, 2)), False)],
    ids=lambda value: type(value).__name__)
def test_a_layer_is_what_computes_as_the_plain_ones_do(module, is_layer):
    assert (as_layer(module) is module) == is_layer


def test_noise_comes_before_what_a_users_own_hook_does():
    plain = nn.Linear(4, 2)
    plain.register_forward_hook(lambda module, args, output: output.clamp(min=0))
    layer = noisy(plain).train()
    assert next(iter(layer._forward_hooks.values())) is add_noise
    assert (layer(torch.randn(1000, 4)) >= 0).all()
