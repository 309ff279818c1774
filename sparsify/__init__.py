"""Sparsify neural networks with variational dropout, and remove the neurons that died: any network, proven on every call.

structure/  which units of any network can only leave together
bayes/      priors, Bayesian layers, the ELBO, on any network
compress/   masks in, a smaller network of the same class out, proven; magnitude pruning; saving and loading
measure/    size, latency, accuracy and uncertainty
compaction.py   bayes and compress together: from a Bayesian twin to a small network
cuts.py      the networks that a twin can become, by threshold
budget.py    the smallest that keeps an accuracy after recovery
shrinking.py all of it in one call (task.py: what for; shrink_*.py: with what, what it keeps, what came out)
verify.py    the checksum and the proof that a file carries, checked again
data/ models/ training.py artifacts.py tensorfile.py settings.py   the ground everything stands on

`bayes`, `compress` and `measure` never import one another: plain torch modules, streams and masks pass between them.
Shape letters: N batch, C channels, I inputs, O outputs, J weights of one neuron, U units, H and W height and width, K kernel."""

from sparsify.bayes.convert import bake, bayesianize, coverage, log_alphas
from sparsify.bayes.objective import kl, update_priors
from sparsify.bayes.priors import PriorSettings
from sparsify.bayes.sampling import sampling
from sparsify.bayes.variational import VariationalSettings
from sparsify.compaction import compact
from sparsify.compress.masks import mask
from sparsify.compress.recovery import RecoverySettings
from sparsify.compress.remove import remove
from sparsify.compress.report import Report
from sparsify.compress.store import header, load, save
from sparsify.settings import InputError
from sparsify.shrink_report import ShrinkReport
from sparsify.shrinking import shrink
from sparsify.structure import Stream, streams
from sparsify.training import TrainSettings

__all__ = ["InputError", "PriorSettings", "RecoverySettings", "Report", "ShrinkReport", "Stream", "TrainSettings", "VariationalSettings",
           "bake", "bayesianize", "compact", "coverage", "header", "kl", "load", "log_alphas", "mask", "remove", "sampling", "save",
           "shrink", "streams", "update_priors"]
