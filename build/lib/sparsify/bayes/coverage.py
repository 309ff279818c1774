"""What a prior can act on in a network, and why not on the rest: said before anyone trains.

    weights   every layer whose weight some stream goes through, whatever becomes of the stream
    neurons   the streams that can shrink and whose writers all take noise, each in all of its rows
    units     the streams that can shrink and are read by layers alone, at whose inputs gates can stand; the network's input where it
              is asked for and linear layers alone read it"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from torch import nn

from sparsify.bayes.layers import Layer, as_layer, input_dim
from sparsify.bayes.priors import KINDS
from sparsify.structure import Slot, Stream, Structure, protected

INPUT, OUTPUT = "network input", "network output"  # as reasons: no one expects these to shrink
AT_MOST = 10  # reasons in a message


@dataclass(frozen=True)
class Row:
    """One stream, or for a prior of weights one tensor."""

    name: str
    units: int
    layers: tuple[str, ...]  # whose weights the prior acts on, or whose inputs have its gates
    reason: str | None  # why it stays as it is; None: the prior acts on it


@dataclass(frozen=True)
class Coverage:
    """What a prior of `kind` acts on; as text, a table for people."""

    kind: str
    rows: tuple[Row, ...]

    def chosen(self) -> list[str]:
        return [row.name for row in self.rows if row.reason is None]

    def expected(self) -> list[Row]:
        """All but the network's inputs and outputs."""
        return [row for row in self.rows if row.reason not in (INPUT, OUTPUT)]

    def __str__(self) -> str:
        width = max((len(row.name) for row in self.rows), default=0)
        return "\n".join(f"{row.name:{width}} {row.units:>7}  " + (", ".join(row.layers) if row.reason is None else f"stays: {row.reason}")
                         for row in self.rows)


def reasons(rows: Iterable[Row]) -> str:
    """Why rows stay, not all of them."""
    staying = [row for row in rows if row.reason is not None]
    more = f"; and {len(staying) - AT_MOST} more" if len(staying) > AT_MOST else ""
    return "; ".join(f"{row.name}: {row.reason}" for row in staying[:AT_MOST]) + more


class WeightTensors:
    """The weights that streams go through, by the names of their tensors."""

    def __init__(self, structure: Structure, model: nn.Module):
        self._model, self._shapes = model, {name: tensor.shape for name, tensor in model.state_dict().items()}
        self._neurons_lie_in = {slot.tensor: slot.dim for stream in structure.streams.values() for slot in stream.writers}
        self.slots: dict[str, list[Slot]] = {}
        for stream in structure.streams.values():
            for slot in (*stream.writers, *stream.readers):
                self.slots.setdefault(slot.tensor, []).append(slot)
        owners = Counter(parameter for module in model.modules() for parameter in module._parameters.values() if parameter is not None)
        self._tied = {parameter for parameter, n in owners.items() if n > 1}

    def neurons_lie_in(self, tensor: str) -> int:
        """The dimension of a weight."""
        return self._neurons_lie_in.get(tensor, 0)

    def size(self, slot: Slot) -> int:
        """How many entries the slot's tensor has in its dimension, those of other streams too."""
        return self._shapes[slot.tensor][slot.dim]

    def layer(self, tensor: str) -> Layer | str:
        """The layer whose own product is all that becomes of a weight, or why there is none."""
        names = {slot.module for slot in self.slots[tensor]}
        name = names.pop()
        if name is None or names:
            return f"{tensor} is used outside of its layer"
        module = self._model.get_submodule(name)
        layer = as_layer(module)
        if layer is None or tensor != f"{name}.weight".removeprefix("."):
            return f"{name} is a {type(module).__name__}, which computes in its own way"
        return f"{tensor} is the weight of several modules" if layer.weight in self._tied else layer


def cover(structure: Structure, model: nn.Module, kind: str, inputs: bool, protect: Collection[str]) -> Coverage:
    """Raises InputError where `protect` names what is not there."""
    guarded = protected(structure, protect)
    weights, groups, streams = WeightTensors(structure, model), KINDS[kind].groups, structure.streams.values()
    if groups == "weights":
        return Coverage(kind, tuple(_weight_row(tensor, weights, protect) for tensor in weights.slots))
    if groups == "units":
        return Coverage(kind, tuple(_row(stream, stream.readers, guarded, lambda s: _no_gate(s, weights, inputs)) for stream in streams))
    rows = [_row(stream, stream.writers, guarded, lambda s: _no_neurons(s, weights)) for stream in streams]
    return Coverage(kind, tuple(_whole_layers(rows, structure, weights)))


def _weight_row(tensor: str, weights: WeightTensors, protect: Collection[str]) -> Row:
    layer, name = weights.layer(tensor), tensor.rpartition(".")[0]
    if isinstance(layer, str):
        return Row(tensor, weights.size(weights.slots[tensor][0]), (name,), layer.removeprefix(f"{tensor} is "))
    units = layer.weight.shape[weights.neurons_lie_in(tensor)]
    return Row(tensor, units, (name,), "protected" if _inside(name, protect) else None)


def _row(stream: Stream, slots: Iterable[Slot], guarded: Collection[str], reason: Callable[[Stream], str | None]) -> Row:
    layers = tuple(dict.fromkeys(slot.module or slot.tensor for slot in slots))
    return Row(stream.name, stream.size, layers, "protected" if stream.name in guarded else reason(stream))


def _inside(name: str, protect: Collection[str]) -> bool:
    """Whether the layer `name`, or a module that holds it, is protected."""
    parts = name.split(".")
    return any(".".join(parts[:n]) in protect for n in range(1, len(parts) + 1))


def _no_gate(stream: Stream, weights: WeightTensors, inputs: bool) -> str | None:
    """Why a stream gets no gates."""
    wanted_input = inputs and stream.fixed == INPUT and not stream.writers
    if stream.fixed is not None and not wanted_input:
        return stream.fixed
    if product := next((other for other in stream.others if other.startswith("product")), None):
        return f"a {product} reads it too, where no gate can stand"
    for slot in stream.readers:
        layer = weights.layer(slot.tensor)
        if isinstance(layer, str):
            return layer
        if slot.dim != input_dim(layer):
            return f"{slot.module} reads it in another dimension of its weight"
        if wanted_input and not isinstance(layer, nn.Linear):
            return f"{INPUT}, whose channels {slot.module} reads"
    return None if stream.readers else "no layer reads it"


def _no_neurons(stream: Stream, weights: WeightTensors) -> str | None:
    """Why a stream's neurons take no noise, seen alone."""
    if stream.fixed is not None:
        return stream.fixed
    for slot in stream.writers:
        layer = weights.layer(slot.tensor)
        if isinstance(layer, str):
            return layer
    return None if stream.writers else "no layer's weights make it"


def _whole_layers(rows: list[Row], structure: Structure, weights: WeightTensors) -> list[Row]:
    """A layer has noise in all of its rows or in none: a stream that shares a layer with one that stays has to stay."""
    noisy: Counter[str] = Counter()
    for row in rows:
        for slot in structure.streams[row.name].writers if row.reason is None else ():
            noisy[slot.tensor] += slot.index.numel()

    def judged(row: Row) -> Row:
        broken = [slot.module for slot in structure.streams[row.name].writers if noisy[slot.tensor] < weights.size(slot)]
        return replace(row, reason=f"{broken[0]} has rows of other streams, which stay") if broken and row.reason is None else row

    again = [judged(row) for row in rows]
    return rows if again == rows else _whole_layers(again, structure, weights)
