"""KL divergences of a factorised Gaussian posterior from the priors: pure functions, in nats, never negative.

The posterior of a weight is N(mean, exp(log_var)); alpha = exp(log_var) / mean^2 is the variance of its dropout noise.
docs/theory.md derives each formula."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Added to mean^2 under a logarithm, whose gradient 2 / mean would blow up: weights of magnitude below 1e-4 count as zero.
SQUARE_FLOOR = 1e-8
# Beyond alpha = e^8 a weight is noise and its KL flat; below e^-8 it is certain. Clipping keeps gradients finite.
LOG_ALPHA_LIMIT = 8.0
MIN_TOTAL, MIN_SHARE = 1e-3, 1e-3  # responsibility in all, and share, below which a mixture's component counts as empty
SIGMOID_FIT = 0.63576, 1.87320, 1.48695  # k1, k2, k3 of arXiv:1701.05369 eq. (14)


def log_alpha(mean: Tensor, log_var: Tensor) -> Tensor:
    """log of noise over signal, clipped: large means irrelevant.  (*), (*) -> (*)  arXiv:1701.05369 sec. 4.1"""
    return (log_var - (mean.square() + SQUARE_FLOOR).log()).clamp(-LOG_ALPHA_LIMIT, LOG_ALPHA_LIMIT)


def kl_log_uniform(log_alpha: Tensor) -> Tensor:
    """KL(N(m, alpha m^2) || log-uniform), up to the constant that makes it 0 at alpha = inf.  (*) -> (*) nats

    Sigmoid fit of arXiv:1701.05369 eq. (14), whose left side is *minus* the KL."""
    k1, k2, k3 = SIGMOID_FIT
    return k1 * torch.sigmoid(-(k2 + k3 * log_alpha)) + 0.5 * F.softplus(-log_alpha)


def kl_ard(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(m, s^2) || N(0, m^2 + s^2)): a zero-mean Gaussian whose variance is fitted to this one value.  (*), (*) -> (*) nats

    0.5 log(1 + m^2 / s^2): for weights arXiv:1811.00596, for unit gates arXiv:1802.10399 (VIBNet)."""
    return 0.5 * F.softplus((mean.square() + SQUARE_FLOOR).log() - log_var)


def kl_row_gaussian(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(prod_j N(m_ij, s_ij^2) || prod_j N(0, sigma_i^2)) at the best sigma_i^2 = mean_j(m_ij^2 + s_ij^2).  (O, J), (O, J) -> (O,) nats

    Empirical Bayes over the weights of neuron i: 0.5 sum_j log(sigma_i^2 / s_ij^2). Zero where a neuron is noise of one size."""
    log_scale = (mean.square() + log_var.exp()).mean(1).log()
    return 0.5 * (log_scale * mean.shape[1] - log_var.sum(1))


def kl_mixture_bound(log_joint: Tensor) -> Tensor:
    """An upper bound of KL(q || sum_k pi_k p_k) from log pi_k - KL(q || p_k).  (K, *) -> (*) nats

    -log sum_k pi_k exp(-KL_k): Jensen's inequality with the best indicator (Hershey and Olsen, ICASSP 2007, the variational
    bound with a single Gaussian on the left)."""
    return -torch.logsumexp(log_joint, 0)
