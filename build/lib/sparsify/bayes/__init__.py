"""Bayesian twins of any network, with a prior on its weights, neurons or units.

kl.py, fused.py, kernels.py, kl_kernels.py (formulas) <- priors.py <- layers.py (noise on weights), groups.py, gates.py (what a prior is
laid on) <- coverage.py (where it can be), costs.py <- attach.py <- convert.py <- orders.py; objective.py, target.py,
sampling.py."""
