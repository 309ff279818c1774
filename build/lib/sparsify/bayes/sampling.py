"""Noise in evaluation: networks drawn from the posterior, where the twin would else answer with its mean."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from sparsify.bayes.groups import groups_of, not_bayesian
from sparsify.bayes.layers import SAMPLING


@contextmanager
def sampling(twin: nn.Module) -> Iterator[None]:
    """Within it a Bayesian twin draws noise in evaluation too, afresh for every example and pass; all else (BatchNorm, dropout) keeps its
    mode. The mean of the probabilities over many passes is the posterior predictive:

        with sparsify.sampling(twin.eval()), torch.no_grad():
            probabilities = torch.stack([twin(x).softmax(1) for _ in range(20)]).mean(0)

    Raises InputError for a network without a prior."""
    groups = groups_of(twin)
    if not groups:
        raise not_bayesian()
    drawing = {module for group in groups for module in (group, *group.layers)}
    for module in drawing:
        vars(module)[SAMPLING] = True
    try:
        yield
    finally:
        for module in drawing:
            vars(module).pop(SAMPLING, None)
