"""One contract for every Bayesian layer, against the plain layer, which is linear in its weights and in its gates."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from sparsify.bayes.layers import BayesConv2d, BayesLinear, GatedConv2d, GatedLinear, noise_like
from sparsify.bayes.priors import KINDS

DRAWS = 4000
# plain layer and the shape of one input
PLAIN = {
    "linear": (lambda: nn.Linear(5, 3), (5,)),
    "linear-no-bias": (lambda: nn.Linear(4, 3, bias=False), (4,)),
    "conv": (lambda: nn.Conv2d(2, 3, 3), (2, 5, 4)),
    "conv-stride-padding-dilation": (lambda: nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 2), dilation=2, bias=False), (2, 5, 3)),
    "conv-same": (lambda: nn.Conv2d(2, 3, 3, padding="same"), (2, 3, 3)),
    "conv-circular": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 4, 5)),
}
TWINS = {(nn.Linear, "weights"): BayesLinear, (nn.Conv2d, "weights"): BayesConv2d,
         (nn.Linear, "units"): GatedLinear, (nn.Conv2d, "units"): GatedConv2d}
every_layer = pytest.mark.parametrize("noise_on", ["weights", "units"])


@pytest.fixture(params=PLAIN)
def plain(request):
    return PLAIN[request.param][0]().double()


@pytest.fixture
def x(request, plain):
    return torch.randn(PLAIN[request.node.callspec.params["plain"]][1], dtype=torch.float64)


@pytest.fixture
def make_twin(prior_settings):
    @torch.no_grad()
    def make(plain, noise_on, kind=None):
        """With every number of the posterior at random."""
        twin = TWINS[type(plain), noise_on](plain, prior_settings(kind=kind or ("gate" if noise_on == "units" else "log_uniform")))
        if noise_on == "weights":
            twin.log_var.normal_(-2)
        else:
            twin.gate_mean.normal_()
            twin.gate_log_var.normal_(-1)
        return twin
    return make


@every_layer
def test_evaluation_equals_the_baked_plain_layer(make_twin, plain, x, noise_on):
    twin = make_twin(plain, noise_on).eval()
    baked = twin.bake()
    assert type(baked) is type(plain)
    torch.testing.assert_close(twin(x[None]), baked(x[None]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_noise_is_one_draw_a_value_in_any_layout_and_precision(dtype, layout):
    values = torch.zeros(20, 30, 5, 7, dtype=dtype).to(memory_format=layout)
    noise = noise_like(values)
    assert (noise.shape, noise.stride(), noise.dtype) == (values.shape, values.stride(), dtype)
    assert abs(noise.double().mean()) < 4 / 21_000**0.5 and abs(noise.double().std() - 1) < 4 / 42_000**0.5
    for one, other in [(noise[1:], noise[:-1]), (noise[:, 1:], noise[:, :-1]), (noise[..., 1:], noise[..., :-1])]:
        assert abs((one * other).double().mean()) < 4 / one.numel()**0.5  # neighbours know nothing of one another


@every_layer
def test_a_new_twin_evaluates_as_the_plain_layer(prior_settings, plain, x, noise_on):
    twin = TWINS[type(plain), noise_on](plain, prior_settings(kind="gate" if noise_on == "units" else "gaussian")).eval()
    torch.testing.assert_close(twin(x[None]), plain(x[None]), rtol=0, atol=1e-12)


@every_layer
@torch.no_grad()
def test_training_output_has_the_mean_and_covariance_of_random_weights_or_gates(make_twin, plain, x, noise_on):
    """Exact moments, as the output is linear in what is random; local reparameterisation has only their variances."""
    twin = make_twin(plain, noise_on).train()
    outputs = twin(x.expand(DRAWS, *x.shape)).flatten(1)
    if noise_on == "weights":
        rest = {} if plain.bias is None else {"bias": plain.bias}
        mean, variance = twin.weight, twin.log_var.exp()
        output = lambda weight: functional_call(plain, {"weight": weight, **rest}, (x[None],)).flatten()  # noqa: E731
    else:
        mean, variance = twin.gate_mean, twin.gate_log_var.exp()
        output = lambda gates: plain((x * gates.reshape(-1, *[1] * (x.ndim - 1)))[None]).flatten()  # noqa: E731
    slope = jacrev(output)(mean.clone()).flatten(1)  # (outputs, random values)
    expected = (slope * variance.flatten()) @ slope.T
    if noise_on == "weights":
        expected = expected.diag().diag()
    size = expected.diag()
    found = outputs.T.cov()
    assert ((outputs.mean(0) - output(mean)).abs() < 5 * (size / DRAWS).sqrt() + 1e-9).all()
    standard_error = ((size * size[:, None] + expected.square()) / DRAWS).sqrt()  # of a Gaussian covariance
    assert ((found - expected).abs() < 5 * standard_error + 1e-9).all()


@every_layer
def test_dense_checkpoint_loads_as_the_posterior_mean(make_twin, plain, noise_on):
    checkpoint = {key: torch.randn_like(value) for key, value in plain.state_dict().items()}
    twin = make_twin(plain, noise_on)
    result = twin.load_state_dict(checkpoint, strict=False)
    assert not result.unexpected_keys
    assert not set(result.missing_keys) & set(checkpoint)
    for key, value in checkpoint.items():
        assert torch.equal(twin.state_dict()[key], value)


@every_layer
@pytest.mark.parametrize("source", ["nll", "kl"])
def test_gradients_reach_all_parameters(make_twin, plain, x, noise_on, source):
    twin = make_twin(plain, noise_on).train()
    (twin(x.expand(8, *x.shape)).square().mean() if source == "nll" else twin.kl()).backward()
    without_kl = {"bias", "weight"} if noise_on == "units" else {"bias"}
    for name, parameter in twin.named_parameters():
        if source == "nll" or name not in without_kl:
            assert parameter.grad.isfinite().all()
            assert parameter.grad.any(), name


@pytest.mark.parametrize("kind", KINDS)
def test_kl_is_the_priors_sum_times_its_scale(make_twin, plain, kind):
    twin = make_twin(plain, KINDS[kind].groups.replace("neurons", "weights"), kind)
    matrices = (twin.gate_mean[None], twin.gate_log_var[None]) if kind == "gate" else (
        twin.weight.reshape(len(twin.weight), -1), twin.log_var.reshape(len(twin.weight), -1))
    each = twin.prior.kl(*matrices)
    torch.testing.assert_close(twin.kl(), each.sum())
    scale = torch.rand_like(twin.kl_scale)
    twin.kl_scale.copy_(scale)
    torch.testing.assert_close(twin.kl(), sum((scale * each).flatten()))


@pytest.mark.parametrize("kind", KINDS)
def test_noise_starts_at_initial_alpha(prior_settings, plain, kind):
    twin = TWINS[type(plain), KINDS[kind].groups.replace("neurons", "weights")](plain, prior_settings(kind=kind, initial_alpha=0.03))
    if kind == "gate":
        assert twin.gate_mean.eq(1).all()
        ratio = twin.gate_log_var.exp() / twin.gate_mean.square()
    else:
        ratio = twin.log_var.exp().flatten(1).sum(1) / twin.weight.square().flatten(1).sum(1)
    torch.testing.assert_close(ratio, torch.full_like(ratio, 0.03))


def test_a_zero_input_has_finite_gradients(make_twin):
    twin = make_twin(nn.Linear(4, 2, bias=False), "weights").train()
    x = torch.zeros(3, 4, requires_grad=True)
    twin(x).sum().backward()
    assert x.grad.isfinite().all() and twin.log_var.grad.isfinite().all()
