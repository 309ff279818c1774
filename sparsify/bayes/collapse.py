"""An alarm while a Bayesian training goes wrong: a layer that is about to lose all it has, and a network that has stopped to learn."""

import torch
from torch import Tensor, nn

from sparsify.bayes.groups import Weights, groups_of, not_bayesian

LEAST = 1  # unit or weight with less noise than signal: no more than that is about to be none


@torch.no_grad()
def left(twin: nn.Module) -> dict[str, tuple[int, int, str]]:
    """By stream or weight tensor: how many units or weights have less noise than signal (log alpha below 0), of how many, and which."""
    groups = groups_of(twin)
    if not groups:
        raise not_bayesian()
    irrelevance = [group.log_alpha() for group in groups]
    counts = torch.stack([(each < 0).sum() for each in irrelevance]).tolist()  # one wait for the device
    return {group.name: (count, each.numel(), "weights" if isinstance(group, Weights) else "units")
            for group, count, each in zip(groups, counts, irrelevance, strict=True)}


class Alarm:
    """Says a line for each cause of a collapse, once: a layer, or the accuracy."""

    def __init__(self, labels: Tensor, quiet_epochs: float, remedy: str):
        """labels: (N,) of the set whose accuracy `lines` is given. quiet_epochs: after which accuracy has to be above chance, that of who
        always gives the most frequent label. remedy: what to change"""
        self.chance = 100 * (labels.bincount().max() / len(labels)).item()
        self._quiet, self._remedy = quiet_epochs, remedy
        self._said: set[str] = set()

    def lines(self, twin: nn.Module, epoch: int, accuracy: float) -> list[str]:
        """What has to be said after so many epochs.  accuracy: in percent"""
        empty = {name: f"{name} ({count} of {total} {what})" for name, (count, total, what) in left(twin).items() if count <= LEAST < total}
        found = {}
        if new := [said for name, said in empty.items() if name not in self._said]:
            found["layers"] = f"about to lose all they have: {', '.join(new)} left with less noise than signal"
        if epoch > self._quiet and accuracy <= self.chance and "" not in self._said:
            found[""] = f"validation accuracy is {accuracy:.3g} %, no better than one answer for all ({self.chance:.3g} %)"
        self._said |= {*empty, *found}
        return [f"epoch {epoch}: {line}; {self._remedy}" for line in found.values()]
