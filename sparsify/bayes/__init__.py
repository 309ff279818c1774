"""Bayesian twins of plain layers: kl.py (formulas) <- priors.py <- layers.py <- convert.py, objective.py."""
