"""Sparsify neural networks with variational dropout, and remove the neurons that died.

structure/  which units of any network can only leave together
bayes/      priors, Bayesian layers, the ELBO, on any network
compress/   masks in, a smaller network of the same class out, proven; magnitude pruning; saving and loading
measure/    size, latency, accuracy and calibration
data.py datasets.py models.py training.py artifacts.py settings.py   the ground everything stands on

`bayes`, `compress` and `measure` never import one another: plain torch modules, streams and masks pass between them.
Shape letters: N batch, C channels, I inputs, O outputs, J weights of one neuron, U units, H and W height and width, K kernel."""

from sparsify.compress.masks import mask
from sparsify.compress.remove import remove
from sparsify.structure import Stream, streams

__all__ = ["Stream", "mask", "remove", "streams"]
