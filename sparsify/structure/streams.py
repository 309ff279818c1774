"""Streams: units that can only leave together, with everything that has an entry for them; and what a unit costs."""

from collections.abc import Collection, Mapping
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

    def hidden(self) -> dict[str, int]:
        """By the tensors that first write what can shrink, the dimension in which their units lie; a head has as many as its width."""
        return {stream.writers[0].tensor: stream.writers[0].dim for stream in self.shrinkable().values() if stream.writers}


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
    """What a walk over the graph finds."""

    nodes: dict[Entry, Tensor] = field(default_factory=dict)  # (n,), of a dimension whose entries belong to units
    written: set[Entry] = field(default_factory=set)
    read: set[Entry] = field(default_factory=set)
    divisors: set[Entry] = field(default_factory=set)  # what masks do not set to zero
    modules: dict[str, str | None] = field(default_factory=dict)  # by tensor
    inputs: set[str] = field(default_factory=set)  # names in `nodes` that are no tensors of the network but what it is given


Members = list[tuple[int, int]]  # (which of the entries, place in it) of all that is of one unit, in the order of the entries


def assemble(found: Found, reasons: Mapping[int, str], others: Mapping[int, tuple[str, ...]]) -> dict[str, Stream]:
    """Units with entries in the same places are a stream.  found: with nodes that stand for their units; reasons, others: by unit

    What nothing writes is no unit, but for the network's input where a weight reads it one by one."""
    entries = list(found.nodes)
    units = _members(found)
    alike: dict[tuple[tuple[int, ...], str | None, tuple[str, ...]], list[int]] = {}
    for unit, owned in units.items():
        alike.setdefault((tuple(which for which, _ in owned), reasons.get(unit), others.get(unit, ())), []).append(unit)
    drafts = []
    for (places, reason, read_by), members in alike.items():
        table = torch.tensor([[place for _, place in units[unit]] for unit in members])  # (units, places)
        columns = {which: [column for column, each in enumerate(places) if each == which] for which in dict.fromkeys(places)}
        slots = {entries[which]: table[:, column] for which, column in columns.items()}
        first = next((entry for entry in slots if entry[0] in found.inputs or entry in found.written), None)
        if first is not None and any(entry[0] not in found.inputs for entry in slots):
            by = slots[first][:, 0].argsort()
            slots = {entry: rows[by] for entry, rows in slots.items()}
            drafts.append(((entries.index(first), int(slots[first][0, 0])), first, slots, read_by, reason))
    streams: dict[str, Stream] = {}
    for _, first, slots, read_by, reason in sorted(drafts, key=lambda draft: draft[0]):
        name = _unique(first[0] if first[0] in found.inputs else first[0].removesuffix(".weight"), streams)
        streams[name] = _stream(name, found, slots, read_by, reason)
    return streams


def _members(found: Found) -> dict[int, Members]:
    """By unit, all that is of it."""
    node = torch.cat(list(found.nodes.values()) or [torch.zeros(0, dtype=torch.long)])
    which = torch.cat([torch.full_like(nodes, number) for number, nodes in enumerate(found.nodes.values())] or [node])
    place = torch.cat([torch.arange(len(nodes)) for nodes in found.nodes.values()] or [node])
    order = node.argsort(stable=True)
    units: dict[int, Members] = {}
    for unit, *member in zip(node[order].tolist(), which[order].tolist(), place[order].tolist(), strict=True):
        units.setdefault(unit, []).append((member[0], member[1]))
    return units


def _stream(name: str, found: Found, slots: Mapping[Entry, Tensor], others: tuple[str, ...], fixed: str | None) -> Stream:
    made = {entry: Slot(*entry, rows, found.modules.get(entry[0]), zeroed=entry not in found.divisors)
            for entry, rows in slots.items() if entry[0] not in found.inputs}
    return Stream(
        name, len(next(iter(slots.values()))),
        writers=tuple(slot for entry, slot in made.items() if entry in found.written),
        readers=tuple(slot for entry, slot in made.items() if entry in found.read),
        carriers=tuple(slot for entry, slot in made.items() if entry not in found.written | found.read),
        others=others, fixed=fixed)


def _unique(name: str, taken: Mapping[str, Stream]) -> str:
    number, proposed = 1, name
    while proposed in taken:
        number += 1
        proposed = f"{name}#{number}"
    return proposed
