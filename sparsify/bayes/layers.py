"""Bayesian twins of nn.Linear and nn.Conv2d, with noise on weights or on units.

Each is a subclass of its plain layer, and `weight` *is* the posterior mean, so that a dense checkpoint loads. In training
they draw their noise afresh for every example (BayesConv2d: and output place); in evaluation they compute with the posterior mean.
    BayesLinear BayesConv2d   W ~ N(weight, exp(log_var)), by local reparameterisation (arXiv:1506.02557 sec. 2.3)
    GatedLinear GatedConv2d   y = f(x * z), z ~ N(gate_mean, exp(gate_log_var)) an input feature (arXiv:1802.10399)
Every one offers the same: kl(), log_alpha(), update_prior() and bake()."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsify.bayes.priors import KINDS, PriorSettings
from sparsify.models import constructor_arguments
from sparsify.precision import fast_dtype

# Under the square root of a variance: the gradient of sqrt is infinite at 0, where a unit sees nothing but zeros.
VARIANCE_FLOOR = 1e-12
# Of a neuron's mean square weight: one of zeros would start with no noise at all and could never be told from a certain one.
INITIAL_SIGNAL_FLOOR = 1e-8


def _normal(mean: Tensor, variance: Tensor) -> Tensor:
    return mean + (variance.to(mean.dtype) + VARIANCE_FLOOR).sqrt() * noise_like(mean)


def noise_like(values: Tensor) -> Tensor:
    """Standard normal, drawn in the order of memory: in any other, channels-last say, a CPU takes several times as long."""
    in_memory = torch.randn(values.numel(), device=values.device)
    return in_memory.as_strided(values.shape, torch.empty_like(values).stride()).to(values.dtype)


class BayesianLayer:
    """What every Bayesian layer offers. `kl_scale`, a buffer, multiplies the KL: () for weights, (1, I) for gates."""

    def _posterior(self) -> tuple[Tensor, Tensor]:
        """Mean and log variance as the matrices that a prior sees.  -> (O, J), (O, J)"""
        raise NotImplementedError

    def kl(self) -> Tensor:
        """KL(posterior || prior) of the layer.  -> () nats"""
        return self.prior.kl_sum(*self._posterior(), self.kl_scale)

    def update_prior(self) -> None:
        if self.prior.fitted:
            self.prior.update(*self._posterior())

    def log_alpha(self) -> Tensor:
        """How irrelevant each weight is, in a shape that broadcasts to `weight`: large means irrelevant."""
        raise NotImplementedError

    def bake(self) -> nn.Linear | nn.Conv2d:
        """The plain layer that computes what this one does in evaluation."""
        kind = nn.Linear if isinstance(self, nn.Linear) else nn.Conv2d
        plain = kind(**constructor_arguments(self, kind)).to(self.weight)
        with torch.no_grad():
            plain.weight.copy_(self._mean_weight())
            if self.bias is not None:
                plain.bias.copy_(self.bias)
        return plain

    def _mean_weight(self) -> Tensor:
        raise NotImplementedError

    def _init_noise(self, settings: PriorSettings) -> None:
        raise NotImplementedError

    def _take(self, plain: nn.Linear | nn.Conv2d, settings: PriorSettings) -> None:
        self.to(plain.weight).load_state_dict(plain.state_dict())
        self._init_noise(settings)


class _WeightNoise(BayesianLayer):
    def _init_noise(self, settings: PriorSettings) -> None:
        """Variances start at initial_alpha times the mean square of the neuron's weights."""
        signal = self.weight.detach().flatten(1).square().mean(1).clamp_min(INITIAL_SIGNAL_FLOOR)  # (O,)
        start = (settings.initial_alpha * signal).log()
        self.log_var = nn.Parameter(start.reshape(-1, *[1] * (self.weight.ndim - 1)).expand_as(self.weight).clone())
        self.prior = KINDS[settings.kind](settings, *(part.detach() for part in self._posterior()))
        self.register_buffer("kl_scale", self.weight.new_ones(()))

    def _posterior(self) -> tuple[Tensor, Tensor]:
        return self.weight.flatten(1), self.log_var.flatten(1)

    def _squares(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Squared inputs and the variances of the weights, whose product is the variance of the outputs.

        In bfloat16 where that is fast: the size of noise needs no more than three digits, and it is half of a layer's work."""
        dtype = fast_dtype(x.device.type) if x.dtype == torch.float32 else x.dtype
        return x.square().to(dtype), self.log_var.exp().to(dtype)

    def _mean_weight(self) -> Tensor:
        return self.weight

    def log_alpha(self) -> Tensor:
        log_alpha = self.prior.log_alpha(*self._posterior())  # (O, J) or (O, 1)
        if log_alpha.shape[1] == 1:
            return log_alpha.reshape(-1, *[1] * (self.weight.ndim - 1))
        return log_alpha.reshape(self.weight.shape)


class _UnitNoise(BayesianLayer):
    def _init_noise(self, settings: PriorSettings) -> None:
        units = self.weight.shape[1]
        self.gate_mean = nn.Parameter(self.weight.new_ones(units))
        self.gate_log_var = nn.Parameter(self.weight.new_full((units,), settings.initial_alpha).log())
        self.prior = KINDS[settings.kind](settings, *(part.detach() for part in self._posterior()))
        self.register_buffer("kl_scale", self.weight.new_ones(1, units))

    def _posterior(self) -> tuple[Tensor, Tensor]:
        return self.gate_mean[None], self.gate_log_var[None]

    def _mean_weight(self) -> Tensor:
        return self.weight * self._along_units(self.gate_mean)

    def _along_units(self, values: Tensor) -> Tensor:
        return values.reshape(1, -1, *[1] * (self.weight.ndim - 2))

    def _gated(self, x: Tensor) -> Tensor:
        mean, deviation = self._along_units(self.gate_mean), self._along_units((0.5 * self.gate_log_var).exp())
        noise = torch.randn(x.shape[:2], device=x.device).to(x.dtype).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
        return x * torch.addcmul(mean, deviation, noise)

    def log_alpha(self) -> Tensor:
        return self._along_units(self.prior.log_alpha(*self._posterior()))


class BayesLinear(_WeightNoise, nn.Linear):
    """(N, I) -> (N, O)"""

    def __init__(self, plain: nn.Linear, settings: PriorSettings):
        super().__init__(**constructor_arguments(plain, nn.Linear))
        self._take(plain, settings)

    def forward(self, x: Tensor) -> Tensor:
        mean = super().forward(x)
        return _normal(mean, F.linear(*self._squares(x))) if self.training else mean


class BayesConv2d(_WeightNoise, nn.Conv2d):
    """(N, C, H, W) -> (N, O, H', W')"""

    def __init__(self, plain: nn.Conv2d, settings: PriorSettings):
        super().__init__(**constructor_arguments(plain, nn.Conv2d))
        self._take(plain, settings)

    def forward(self, x: Tensor) -> Tensor:
        mean = super().forward(x)
        return _normal(mean, self._conv_forward(*self._squares(x), None)) if self.training else mean


class GatedLinear(_UnitNoise, nn.Linear):
    """(N, I) -> (N, O)"""

    def __init__(self, plain: nn.Linear, settings: PriorSettings):
        super().__init__(**constructor_arguments(plain, nn.Linear))
        self._take(plain, settings)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self._gated(x) if self.training else x * self.gate_mean)


class GatedConv2d(_UnitNoise, nn.Conv2d):
    """(N, C, H, W) -> (N, O, H', W'), one gate a channel"""

    def __init__(self, plain: nn.Conv2d, settings: PriorSettings):
        super().__init__(**constructor_arguments(plain, nn.Conv2d))
        self._take(plain, settings)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self._gated(x) if self.training else x * self._along_units(self.gate_mean))
