"""Sparsify neural networks with variational dropout, and remove the neurons that died.

data.py datasets.py models.py training.py artifacts.py settings.py   the ground everything stands on
bayes/      priors, Bayesian layers, the ELBO; ends in a plain model and a dict of masks
compress/   masks and plain models in, smaller plain models out
measure/    size, latency, accuracy and calibration

`bayes`, `compress` and `measure` never import one another: plain torch modules and tensors pass between them.
Shape letters: N batch, C channels, I inputs, O outputs, J weights of one neuron, H and W height and width, K kernel.
"""
