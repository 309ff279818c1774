"""Streams: units that can only leave together, with everything that has an entry for them; and what a unit costs."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from sparsify.settings import InputError

COSTS = ("units", "weights", "macs")


@dataclass(frozen=True, eq=False)
class Slot:
    """The entries of one tensor that belong to a stream's units."""

    tensor: str  # its name, as in state_dict(); or that of a number that counts units, as in blocks.0.attention.num_heads
    dim: int
    index: Tensor  # (units, m) int64, on the CPU: unit u owns the entries index[u] along `dim`
    module: str | None  # the layer that multiplies by it in its own forward; None: it is used outside of one
    zeroed: bool = True  # by a mask; not a variance, and not a direction whose length is zero already: both are divided by


@dataclass(frozen=True, eq=False)
class Stream:
    """Units that can only leave together with all their entries."""

    name: str  # of the first layer that writes it; "input" for what the network is given
    size: int  # units
    writers: tuple[Slot, ...]  # rows of the weights that make the units, in the order of the graph; depthwise kernels too
    readers: tuple[Slot, ...]  # columns of the weights that read them
    carriers: tuple[Slot, ...]  # what goes along: biases, norms, other tensors with an entry a unit
    others: tuple[str, ...]  # what else reads the units: statistics of a LayerNorm, products of two activations
    fixed: str | None  # why it cannot shrink; None: it can

    @property
    def slots(self) -> tuple[Slot, ...]:
        return self.writers + self.readers + self.carriers


@dataclass(frozen=True, eq=False)
class Structure:
    """What an analysis of a network found."""

    streams: dict[str, Stream]  # in the order of the graph, fixed ones too
    uses: dict[str, int]  # by weight tensor, how often one example's pass uses each of its entries: H' W' for a convolution
    norms: dict[str, int] = field(default_factory=dict)  # LayerNorms and RMSNorms by path, with their width, that shrink exactly

    def shrinkable(self) -> dict[str, Stream]:
        return {name: stream for name, stream in self.streams.items() if stream.fixed is None}

    def hidden_layers(self) -> tuple[str, ...]:
        """The first writer of each stream that can shrink: the layers whose widths say how many units a network has."""
        return tuple(dict.fromkeys(stream.writers[0].tensor for stream in self.shrinkable().values() if stream.writers))


def protected(structure: Structure, names: Collection[str]) -> set[str]:
    """The streams that `names` names: by themselves, or by a module whose layers write them. Raises InputError for any other name."""
    if isinstance(names, str):
        raise InputError(f"protect is the text {names!r}; give a list of names, as in [{names!r}]")
    found = set()
    for name in names:
        named = {stream.name for stream in structure.streams.values()
                 if name == stream.name or any(slot.tensor.startswith(f"{name}.") for slot in stream.writers)}
        if not named:
            raise InputError(f"protect names {name!r}, which is neither a stream nor a module whose layers write one; "
                             f"choose from {listed(structure.streams)}")
        found |= named
    return found


def listed(names: Collection[str], at_most: int = 20) -> str:
    """For a message: names that may be many."""
    more = f", and {len(names) - at_most} more (sparsify.streams tells all)" if len(names) > at_most else ""
    return ", ".join(list(names)[:at_most]) + more


def unit_costs(structure: Structure, model: nn.Module, by: str) -> dict[str, float]:
    """By stream, what one of its units costs: 1 for `by` "units"; for "weights" all the weights into it and out of it; for "macs" each
    as often as an example uses it. Weights and MACs are scaled so that the mean weight costs 1."""
    if by == "units":
        return dict.fromkeys(structure.streams, 1.0)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    cost = weight_costs(structure, model, by)
    return {name: sum(cost[slot.tensor] * slot.index.shape[1] * (shapes[slot.tensor].numel() / shapes[slot.tensor][slot.dim])
                      for slot in stream.writers + stream.readers if slot.tensor in cost)
            for name, stream in structure.streams.items()}


def weight_costs(structure: Structure, model: nn.Module, by: str) -> dict[str, float]:
    """By weight tensor, what one of its entries costs, scaled so that the mean one costs 1: for `by` "weights" all the same, for "macs" as
    often as an example uses it, for "units" its share of the row that it stands in, so that all rows cost the same."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items() if name in structure.uses}
    if by == "macs":
        costs: Mapping[str, float] = structure.uses
    else:
        costs = {name: 1 / shape[1:].numel() if by == "units" else 1.0 for name, shape in shapes.items()}
    mean = sum(costs[name] * shape.numel() for name, shape in shapes.items()) / max(1, sum(shape.numel() for shape in shapes.values()))
    return {name: costs[name] / mean for name in shapes}


Entry = tuple[str, int]  # tensor, dimension


@dataclass
class Found:
    """What a walk over the graph leaves: for every dimension of a tensor whose entries are units, the nodes of these units."""

    nodes: dict[Entry, Tensor]  # (n,), nodes that stand for their units
    reasons: Mapping[int, str]
    written: Iterable[Entry]
    read: Iterable[Entry]
    modules: Mapping[str, str | None]  # by tensor
    others: Mapping[int, tuple[str, ...]]
    divisors: Iterable[Entry]  # what masks do not set to zero
    inputs: Iterable[str]  # names in `nodes` that are no tensors of the network but what it is given


def assemble(found: Found) -> dict[str, Stream]:
    """Units with entries in the same places are a stream; so are its name and order found.

    What nothing writes is no unit, but for the network's input where a weight reads it one by one."""
    entries = list(found.nodes)
    node = torch.cat([found.nodes[entry] for entry in entries]) if entries else torch.zeros(0, dtype=torch.long)
    place = torch.cat([torch.full_like(found.nodes[entry], number) for number, entry in enumerate(entries)]) if entries else node
    index = torch.cat([torch.arange(len(found.nodes[entry])) for entry in entries]) if entries else node
    order = node.argsort(stable=True)
    units: dict[int, list[tuple[int, int]]] = {}
    for unit, where, which in zip(node[order].tolist(), place[order].tolist(), index[order].tolist(), strict=True):
        units.setdefault(unit, []).append((where, which))
    alike: dict[tuple[tuple[int, ...], str | None], list[int]] = {}
    for unit, owned in units.items():
        alike.setdefault((tuple(where for where, _ in owned), found.reasons.get(unit)), []).append(unit)
    written, read, inputs, divisors = set(found.written), set(found.read), set(found.inputs), set(found.divisors)
    drafts = []
    for (places, reason), members in alike.items():
        slots = {}
        for where in dict.fromkeys(places):
            rows = torch.tensor([[which for at, which in units[unit] if at == where] for unit in members])
            slots[entries[where]] = rows
        first = next((entry for entry in slots if entry[0] in inputs), None) or next((entry for entry in slots if entry in written), None)
        if first is None or all(entry[0] in inputs for entry in slots):
            continue
        by = slots[first][:, 0].argsort()
        drafts.append((entries.index(first), int(slots[first][:, 0].min()), first, reason, members[0],
                       {entry: rows[by] for entry, rows in slots.items()}))
    streams: dict[str, Stream] = {}
    for _, _, first, reason, member, slots in sorted(drafts, key=lambda draft: draft[:2]):
        given = {entry for entry in slots if entry[0] in inputs}
        made = {entry: Slot(*entry, rows, found.modules.get(entry[0]), entry not in divisors) for entry, rows in slots.items() if entry not in given}
        name = _unique(first[0] if first[0] in inputs else first[0].removesuffix(".weight"), streams)
        streams[name] = Stream(
            name, len(slots[first]),
            tuple(slot for entry, slot in made.items() if entry in written),
            tuple(slot for entry, slot in made.items() if entry in read),
            tuple(slot for entry, slot in made.items() if entry not in written and entry not in read),
            found.others.get(member, ()), reason)
    return streams


def _unique(name: str, taken: Mapping[str, Stream]) -> str:
    number, proposed = 1, name
    while proposed in taken:
        number += 1
        proposed = f"{name}#{number}"
    return proposed
