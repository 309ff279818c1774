"""Which entries of which tensors are one unit: a union-find over integers, and label tensors that name a unit for every element.

A *label* is a node of the union-find; 0 means that an element belongs to no unit. A label tensor has the shape of an activation.
Where it is the same all along a dimension, that dimension is expanded (stride 0), so that most of its work is done on one element."""

import torch
from torch import Tensor

NO_UNIT = 0


class Units:
    """Nodes that are made one by one or in blocks, tied to one another, and frozen for a reason."""

    def __init__(self) -> None:
        self._parent = torch.zeros(1, dtype=torch.long)
        self._frozen: dict[int, str] = {}  # node -> the first reason

    def new(self, count: int) -> Tensor:
        """Fresh nodes.  -> (count,)"""
        nodes = torch.arange(len(self._parent), len(self._parent) + count)
        self._parent = torch.cat([self._parent, nodes])
        return nodes

    def find(self, labels: Tensor) -> Tensor:
        """The node that stands for each label's unit.  (*) -> (*), expanded as `labels` is"""
        return self._parent[core(labels)].expand(labels.shape)

    def tie(self, one: Tensor, other: Tensor) -> None:
        """Makes each pair of labels one unit.  (n,), (n,); pairs with NO_UNIT are none of them"""
        one, other = self._parent[one], self._parent[other]
        real = (one != NO_UNIT) & (other != NO_UNIT) & (one != other)
        one, other = one[real], other[real]
        while len(one):
            low, high = torch.minimum(one, other), torch.maximum(one, other)
            self._parent.scatter_reduce_(0, high, low, "amin")
            while not torch.equal(shorter := self._parent[self._parent], self._parent):
                self._parent = shorter
            one, other = self._parent[one], self._parent[other]
            apart = one != other
            one, other = one[apart], other[apart]

    def freeze(self, labels: Tensor, reason: str) -> None:
        """Says that these units stay, and why. The first reason that a unit is given is the one that is told."""
        for node in core(labels).unique().tolist():
            if node != NO_UNIT:
                self._frozen.setdefault(node, reason)

    def reasons(self) -> dict[int, str]:
        """By the node that stands for a unit, why it stays."""
        told: dict[int, str] = {}
        for node, reason in self._frozen.items():
            told.setdefault(int(self._parent[node]), reason)
        return told

    def all_frozen(self, labels: Tensor) -> bool:
        return set(self.find(labels).unique().tolist()) - {NO_UNIT} <= self.reasons().keys()


def varies(labels: Tensor, dim: int) -> bool:
    """Whether a tidy label tensor names several units along `dim`."""
    return labels.shape[dim] > 1 and labels.stride(dim) != 0


def varies_beside(labels: Tensor, dim: int) -> bool:
    """Whether it names several units along any other dimension."""
    return any(varies(labels, each) for each in range(labels.ndim) if each != dim % labels.ndim)


def line(labels: Tensor, dim: int) -> Tensor:
    """The labels along `dim`, at the first place of every other dimension.  (*, n, *) -> (n,)"""
    return labels[tuple(slice(None) if each == dim % labels.ndim else 0 for each in range(labels.ndim))]


def core(labels: Tensor) -> Tensor:
    """The same with one element in place of every expanded dimension: (N, C, H, W) -> (1, C, 1, 1) as a rule."""
    for dim in range(labels.ndim):
        if labels.stride(dim) == 0 and labels.shape[dim] > 1:
            labels = labels.narrow(dim, 0, 1)
    return labels


def tidy(labels: Tensor) -> Tensor:
    """The same values, expanded along every dimension along which they do not change."""
    small = core(labels)
    for dim in range(small.ndim):
        if small.shape[dim] > 1 and bool((small == small.narrow(dim, 0, 1)).all()):
            small = small.narrow(dim, 0, 1)
    return small.expand(labels.shape)


def nothing(shape: torch.Size | tuple[int, ...]) -> Tensor:
    """No unit anywhere."""
    return torch.zeros((), dtype=torch.long).expand(shape)


def along(labels: Tensor, dim: int, shape: torch.Size) -> Tensor:
    """One label a place of `dim`, the same everywhere else.  (n,) -> shape"""
    places = [1] * len(shape)
    places[dim] = -1
    return labels.reshape(places).expand(shape)
