"""The priors, each one class: what it costs to keep a weight or a neuron (`kl`), and how irrelevant each has become (`log_alpha`).

A prior sees the posterior of one group as two matrices, mean and log_var (O, J): O neurons, J weights of each (a convolution's
kernels are flattened). The last axis may hold anything for the priors that treat values one by one; gates pass (1, U).
A new prior is one class here and one entry in KINDS."""

import math
from dataclasses import dataclass, fields
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn

from sparsify.bayes import fused, kernels, kl, kl_kernels
from sparsify.settings import InputError, NonNegative, Positive, Settings, one_of

INDICATORS = ("weight", "neuron")
KL_WEIGHTS = ("units", "weights", "macs")
LOG_2_PI = math.log(2 * math.pi)


class Prior(nn.Module):
    """What every prior offers. It is made for one group, whose posterior starts at `mean` and `log_var`."""

    groups = "weights"  # what it makes irrelevant one by one: weights, neurons (rows of weights), or units (gates on inputs)
    fitted = False  # whether it has parameters of its own, which `update` fits

    def __init__(self, settings: "PriorSettings", mean: Tensor, log_var: Tensor):
        super().__init__()

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """KL(posterior || prior), to be summed by the caller.  (O, J), (O, J) -> (*) nats"""
        raise NotImplementedError

    def kl_sum(self, mean: Tensor, log_var: Tensor, scale: Tensor) -> Tensor:
        """The sum of `scale` times `kl`, made fast for training; `scale` is () or broadcasts to `kl`.  -> () nats"""
        return (scale * self.kl(mean, log_var)).sum()

    def log_alpha(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """log of noise over signal: large means irrelevant.  (O, J), (O, J) -> (O, J), or (O, 1) for a prior of neurons"""
        return kl.log_alpha(mean, log_var)

    def log_density_at_zero(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """Of the prior, of all the weights of a neuron together where it is one of neurons.  (O, J), (O, J) -> (O, J), or (O, 1)

        Raises InputError for a prior that has no density there."""
        raise NotImplementedError

    def update(self, mean: Tensor, log_var: Tensor) -> None:
        """One step of the prior's own parameters towards the posterior, after each training step; asked of a `fitted` prior alone."""
        raise NotImplementedError


class LogUniform(Prior):
    """Sparse variational dropout, p(log |w|) flat: a weight costs less the noisier it is.  arXiv:1701.05369"""

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor:
        return kl.kl_log_uniform(kl.log_alpha(mean, log_var))

    def kl_sum(self, mean: Tensor, log_var: Tensor, scale: Tensor) -> Tensor:
        if kernels.on_gpu(mean):
            return kl_kernels.log_uniform(mean, log_var, scale)
        return scale * fused.kl_sum(fused.log_uniform, mean, log_var)

    def log_density_at_zero(self, mean: Tensor, log_var: Tensor) -> Tensor:
        raise InputError("the prior log_uniform has no density at zero, and so no evidence to compare; choose another order")


class Ard(Prior):
    """Automatic relevance determination, w ~ N(0, sigma_ij^2), each scale at its best.  arXiv:1811.00596"""

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor:
        return kl.kl_ard(mean, log_var)

    def kl_sum(self, mean: Tensor, log_var: Tensor, scale: Tensor) -> Tensor:
        if kernels.on_gpu(mean):
            return kl_kernels.ard(mean, log_var, scale)
        return fused.kl_sum(partial(fused.ard, scale=scale), mean, log_var)

    def log_density_at_zero(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """With the best scale for the whole group: with one for each of them none would ever be better at zero."""
        second_moment = mean.square() + log_var.exp()
        return -0.5 * (second_moment.mean().log() + LOG_2_PI).expand_as(mean)


class Gate(Ard):
    """The same on the multiplicative noise of a unit in place of a weight.  arXiv:1802.10399"""

    groups = "units"


class RowGaussian(Prior):
    """One zero-mean Gaussian a neuron, w_ij ~ N(0, sigma_i^2), its scale at its best: a neuron's weights vanish together."""

    groups = "neurons"

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor:
        return kl.kl_row_gaussian(mean, log_var)

    def kl_sum(self, mean: Tensor, log_var: Tensor, scale: Tensor) -> Tensor:
        if kernels.on_gpu(mean):
            return kl_kernels.row_gaussian(mean, log_var, scale)
        return scale * fused.kl_sum(fused.row_gaussian, mean, log_var)

    def log_alpha(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """-log of the mean over a neuron's weights of m_ij^2 / s_ij^2.  (O, J), (O, J) -> (O, 1)

        The ratio of the sums, sum_j s_ij^2 / sum_j m_ij^2, would grow with each input that has died: its noise is that of the prior, and it
        carries nothing. Neither clipped nor floored where float64 can tell: the KL ignores scale, so that dead rows sink far below 1e-4."""
        certain = (mean.double().square() * (-log_var.double()).exp()).mean(1, keepdim=True)
        return -certain.clamp_min(torch.finfo(torch.float64).tiny).log().to(mean.dtype)

    def log_density_at_zero(self, mean: Tensor, log_var: Tensor) -> Tensor:
        second_moment = mean.square() + log_var.exp()
        return -0.5 * mean.shape[1] * (second_moment.mean(1, keepdim=True).log() + LOG_2_PI)


class RowMixture(RowGaussian):
    """Two zero-mean Gaussians, a narrow and a wide one, so that weights may be small or large without taxing one another.

    indicator "weight": w_ij ~ pi_i1 N(0, sigma_i1^2) + pi_i2 N(0, sigma_i2^2), each neuron with scales of its own.
    indicator "neuron": all the weights of a neuron come from the same component; the layer shares the scales.
    Scales and shares are buffers, fitted by one EM step a training step; variances stay above a floor, else the narrow one collapses."""

    fitted = True
    component_log_var: Tensor
    log_share: Tensor

    def __init__(self, settings: "PriorSettings", mean: Tensor, log_var: Tensor):
        super().__init__(settings, mean, log_var)
        self.indicator, self.floor = settings.indicator, settings.variance_floor
        self.weights_each = 1 if self.indicator == "weight" else mean.shape[1]  # weights that share an indicator
        second_moment, _ = self._observations(mean, log_var)
        scale = second_moment.mean(1, keepdim=True) / self.weights_each  # (G, 1)
        self.register_buffer("component_log_var", torch.stack([scale / 100, scale]).clamp_min(self.floor).log())  # (2, G, 1)
        self.register_buffer("log_share", torch.full_like(self.component_log_var, math.log(0.5)))  # (2, G, 1)

    def log_alpha(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """log sum_j s_ij^2 / sum_j m_ij^2 of whole neurons.  (O, J), (O, J) -> (O, 1)

        Its narrow component has small signals that are certain and count for little, and small noise for the inputs that have died."""
        signal, noise = mean.double().square().sum(1, keepdim=True), log_var.double().exp().sum(1, keepdim=True)
        return (noise.log() - signal.clamp_min(torch.finfo(torch.float64).tiny).log()).to(mean.dtype)

    def _observations(self, mean: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
        """Second moments and log variances summed over the weights that share an indicator; G groups share scales.

        (O, J), (O, J) -> twice (G, n): (O, J) an indicator a weight, (1, O) an indicator a neuron"""
        second_moment = torch.addcmul(log_var.exp(), mean, mean)
        if self.indicator == "weight":
            return second_moment, log_var
        return second_moment.sum(1)[None], log_var.sum(1)[None]

    def _log_joint(self, second_moment: Tensor, log_var: Tensor) -> Tensor:
        """log pi_k - KL(q || component k).  (G, n), (G, n) -> (2, G, n)"""
        kl_components = 0.5 * (self.weights_each * (self.component_log_var - 1) - log_var
                               + second_moment * (-self.component_log_var).exp())
        return self.log_share - kl_components

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor:
        return kl.kl_mixture_bound(self._log_joint(*self._observations(mean, log_var)))

    def kl_sum(self, mean: Tensor, log_var: Tensor, scale: Tensor) -> Tensor:
        if self.indicator == "neuron":  # its large tensors are few already
            return Prior.kl_sum(self, mean, log_var, scale)
        if kernels.on_gpu(mean):
            return kl_kernels.mixture_of_weights(mean, log_var, self.component_log_var, self.log_share, scale)
        parameters = {"component_log_var": self.component_log_var, "log_share": self.log_share}
        return scale * fused.kl_sum(partial(fused.mixture_of_weights, **parameters), mean, log_var)

    def log_density_at_zero(self, mean: Tensor, log_var: Tensor) -> Tensor:
        of_component = self.log_share - 0.5 * self.weights_each * (self.component_log_var + LOG_2_PI)  # (2, G, 1)
        return (mean.shape[1] // self.weights_each * of_component.logsumexp(0)).expand(len(mean), 1)

    @torch.no_grad()
    def update(self, mean: Tensor, log_var: Tensor) -> None:
        """One EM step: responsibilities by the components' KL, then the shares and variances that they imply."""
        total, moments, all_moments, n = self._first_component(mean, log_var)
        if kernels.on_gpu(mean):
            numbers = {"n": float(n), "weights_each": float(self.weights_each), "floor": self.floor}
            narrow, wide, *shares = kl_kernels.FIT(total, moments, all_moments, *self.component_log_var, **numbers)
            torch.stack([narrow, wide], out=self.component_log_var)
            torch.stack(shares, out=self.log_share)
            return
        total = torch.stack([total, n - total])  # (2, G, 1)
        variance = torch.stack([moments, all_moments - moments]) / (self.weights_each * total.clamp_min(kl.MIN_TOTAL))
        # A component that nothing belongs to keeps its variance, ready to be used again.
        variance = torch.where(total > kl.MIN_TOTAL, variance, self.component_log_var.exp())
        self.component_log_var.copy_(variance.clamp_min(self.floor).log())
        self.log_share.copy_((total / n).clamp_min(kl.MIN_SHARE).log().log_softmax(0))

    def _first_component(self, mean: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
        """Its responsibility in all and its second moment, the second moment of both, (G, 1) each, and how many hold an indicator."""
        if self.indicator == "weight" and kernels.on_gpu(mean):
            parts = kl_kernels.SHARES(mean, log_var, *self.component_log_var, *self.log_share)
            total, moments, all_moments = (part.sum(1, keepdim=True) for part in parts)
            return total, moments, all_moments, mean.shape[1]
        second_moment, _ = self._observations(mean, log_var)
        narrow = fused.mixture_log_odds(second_moment, self.component_log_var, self.log_share, self.weights_each)[0].sigmoid_()
        all_moments = second_moment.sum(1, keepdim=True)
        total, moments = narrow.sum(1, keepdim=True), narrow.mul_(second_moment).sum(1, keepdim=True)
        return total, moments, all_moments, second_moment.shape[1]


# What `prior.kind` may name.
KINDS = {"log_uniform": LogUniform, "gaussian": RowGaussian, "mixture": RowMixture, "ard": Ard, "gate": Gate}


@dataclass(frozen=True)
class Target(Settings):
    """What may be left: of one of these a share of the whole, below 1, or a count; None for the others."""

    units: Positive | None = None
    weights: Positive | None = None  # of linear and convolutional layers, once what has died is removed
    nonzeros: Positive | None = None  # of those, single ones
    macs: Positive | None = None  # multiply-accumulates of one example

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.given()) > 1:
            raise InputError(f"a target is one size; {' and '.join(self.given())} came")

    def given(self) -> dict[str, float]:
        """The one that is set, by name; nothing if none is."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}


@dataclass(frozen=True)
class PriorSettings(Settings):
    kind: Annotated[str, one_of(KINDS)]
    beta: NonNegative = 1.0  # weight of the KL in the objective; 1 is the ELBO
    kl_weight: Annotated[str, one_of(KL_WEIGHTS)] = "units"  # what a removal saves, and so what the KL charges for
    initial_alpha: Positive = 0.01  # noise over signal at the start
    indicator: Annotated[str, one_of(INDICATORS)] = "weight"  # mixture alone
    variance_floor: Positive = 1e-6  # mixture alone
    target: Target = Target()  # what may be left; if it says so, beta follows from it (target.py)
