"""Runs the exported graph of a network on labels in place of numbers, and so finds which entries of its tensors are one unit.

What flows along an edge is one of three: `Labels`, the units of an activation; a `Part`, a parameter or a part of one, moved about;
or a plain value, that no unit has a part in. Each operation has a rule (rules.py); one that has none freezes what it is given."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload

from sparsify.structure.streams import Found, Structure, assemble
from sparsify.structure.units import NO_UNIT, Units, core, nothing, tidy

LARGEST_TABLE = 1 << 22  # elements of a parameter that get labels one by one; a larger one is a weight, whose rows and columns do


@dataclass(frozen=True, eq=False)
class Labels:
    """The units of an activation, as a label tensor of its shape."""

    at: Tensor


@dataclass(frozen=True, eq=False)
class Part:
    """Elements of a parameter or a buffer, as positions in it (flattened); None: all of it, as it is."""

    name: str
    shape: torch.Size
    position: Tensor | None = None

    @property
    def positions(self) -> Tensor:
        return torch.arange(self.shape.numel()).reshape(self.shape) if self.position is None else self.position


class Walk:
    """The state of one pass over the graph, and what rules may do to it."""

    def __init__(self, model: nn.Module):
        self.units = Units()
        self.model = model
        self.tensors: dict[str, Tensor] = dict(model.state_dict(keep_vars=True))
        self.first_name = {id(tensor): name for name, tensor in reversed(self.tensors.items())}  # of a tensor that has several
        self.found = Found()
        self.elements: dict[str, Tensor] = {}  # by tensor, a node an element
        self.touched: dict[str, Tensor] = {}  # which of them were used
        self.uses: dict[str, int] = {}
        self.norms: dict[str, int] = {}
        self.others: list[tuple[Tensor, str]] = []
        self.batch = 1
        self.in_training = False  # whether the graph is that of training
        self.node: fx.Node  # the present operation

    # what rules ask

    def labels(self, value: Any, shape: torch.Size | None = None) -> Tensor:
        """The label tensor of any value, broadcast to `shape` if that is given."""
        if isinstance(value, Labels):
            found = value.at
        elif isinstance(value, Part):
            found = self._element_labels(value)
        else:
            found = nothing(value.shape if isinstance(value, Tensor) else ())
        return found if shape is None else found.expand(shape)

    def entries(self, name: str, dim: int) -> Tensor:
        """The nodes of one dimension of a tensor.  -> (n,)"""
        if (name, dim) not in self.found.nodes:
            self.found.nodes[name, dim] = self.units.new(self.tensors[name].shape[dim])
        return self.found.nodes[name, dim]

    @property
    def op(self) -> OpOverload:
        return cast(OpOverload, self.node.target)

    @property
    def op_name(self) -> str:
        """Without its overload, as in `batch_norm`."""
        return name_of(self.node.target)

    def shape(self) -> torch.Size:
        """Of what the present operation gives."""
        return self.node.meta["val"].shape

    def each_output(self, labels: Callable[[Tensor], Tensor]) -> Any:
        """Labels in the form of what the present operation gives: a tensor, or several.  labels: from a tensor of the result's shape"""
        def made(value: Any) -> Any:
            if isinstance(value, Tensor):
                return Labels(tidy(labels(value)))
            return [made(each) for each in value] if isinstance(value, list | tuple) else value
        return made(self.node.meta.get("val"))

    def where(self) -> str:
        """The module that the present operation stands in, for people."""
        return self.layer()[0] or "the network itself"

    def layer(self) -> tuple[str, str]:
        """Path and type of the innermost module that the present operation stands in."""
        stack = list(self.node.meta.get("nn_module_stack", {}).values())
        path, kind = stack[-1] if stack else ("", "")
        return path.split("@")[0], kind if isinstance(kind, str) else kind.__qualname__

    def owner(self, name: str) -> str:
        """The module that a tensor belongs to, if the present operation is in that module's own forward, and "" if not."""
        path, path_of_tensor = self.layer()[0], name.rpartition(".")[0]
        same = path == path_of_tensor or (path and self.model.get_submodule(path) is self.model.get_submodule(path_of_tensor))
        return path_of_tensor if same else ""

    # what rules say

    def freeze(self, value: Any, reason: str) -> None:
        for each in flat(value):
            if isinstance(each, Labels):
                self.units.freeze(each.at, reason)
            elif isinstance(each, Part) and each.name in self.elements:
                self.units.freeze(self._element_labels(each), reason)

    def writes(self, name: str, dim: int) -> None:
        self.found.written.add((name, dim))

    def reads(self, name: str, dim: int) -> None:
        self.found.read.add((name, dim))

    def divides_by(self, name: str, dim: int) -> None:
        """Notes what masks must not set to zero, as zero would be divided by it."""
        self.found.divisors.add((name, dim))

    def read_by_other(self, labels: Tensor, what: str) -> None:
        """Notes a reader that has no column for these units."""
        self.others.append((core(labels).unique(), f"{what} ({self.where()})"))

    def tie_or_freeze(self, one: Tensor, other: Tensor, reason: str) -> None:
        """Makes pairs of labels one unit; a unit whose partner is none stays.  (n,), (n,)"""
        self.units.tie(one, other)
        self.units.freeze(one[other == NO_UNIT], reason)
        self.units.freeze(other[one == NO_UNIT], reason)

    def uses_weight(self, name: str, output_dim: int) -> None:
        """Notes a product by a weight: how often an example uses each entry, and whether a layer does it in its own forward."""
        out = self.shape()
        places = out.numel() // max(1, out[output_dim] * self.batch)
        if not self.in_training:
            self.uses[name] = self.uses.get(name, 0) + max(1, places)
        module = self.owner(name) if name.rpartition(".")[2] == "weight" else ""
        self.found.modules[name] = module or None if name not in self.found.modules or self.found.modules[name] == module else None

    # the pass

    def run(self, program: torch.export.ExportedProgram, given: tuple[Any, ...], apply: Callable[..., Any]) -> None:
        self.batch = next(each.shape[0] if each.ndim else 1 for each in given if isinstance(each, Tensor))
        signature = program.graph_signature
        named = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        constants = {name: program.constants[target] for name, target in signature.inputs_to_lifted_tensor_constants.items()}
        values: dict[fx.Node, Any] = {}
        for node in program.graph.nodes:
            self.node = node
            if node.op == "placeholder":
                values[node] = self._placeholder(node, named, constants, len(signature.user_inputs))
            elif node.op == "call_function":
                args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda each: values[each])
                values[node] = apply(self, node, args, kwargs)
            elif node.op == "output":
                self.freeze(fx.node.map_arg(node.args, lambda each: values[each]), "network output")

    def _placeholder(self, node: fx.Node, named: dict[str, str], constants: dict[str, Tensor], n_inputs: int) -> Any:
        if node.name in constants:
            return constants[node.name].detach().cpu().clone()
        if node.name in named:
            name = named[node.name]
            tensor = self.tensors.get(name)
            if tensor is None:  # a buffer that is not saved is not cut
                return dict(self.model.named_buffers())[name].detach().cpu().clone()
            if tensor.is_floating_point() or tensor.is_complex():
                return Part(self.first_name[id(tensor)], tensor.shape)
            return tensor.detach().cpu().clone()  # operations in place are done on it
        value = node.meta.get("val")
        if not isinstance(value, Tensor):
            return value
        if not value.is_floating_point() or value.ndim < 2:
            return Labels(nothing(value.shape))
        name = "input" if n_inputs == 1 else f"input.{node.name}"
        self.found.inputs.add(name)
        if (name, 0) not in self.found.nodes:
            self.found.nodes[name, 0] = self.units.new(value.shape[1:].numel())
            self.units.freeze(self.found.nodes[name, 0], "network input")
        nodes = self.found.nodes[name, 0]
        return Labels(nodes.reshape(1, *value.shape[1:]).expand(value.shape))

    def _element_labels(self, part: Part) -> Tensor:
        size = self.tensors[part.name].numel()
        if size > LARGEST_TABLE:
            return nothing(part.positions.shape)
        if part.name not in self.elements:
            self.elements[part.name] = self.units.new(size)
            self.touched[part.name] = torch.zeros(size, dtype=torch.bool)
        self.touched[part.name][part.positions.reshape(-1)] = True
        return tidy(self.elements[part.name][part.positions])

    # what comes of it

    def structure(self) -> Structure:
        for name in self.elements:
            self._lines_of(name)
        others: dict[int, tuple[str, ...]] = {}
        for labels, what in self.others:
            for unit in self.units.find(labels).unique().tolist():
                others[unit] = tuple(dict.fromkeys((*others.get(unit, ()), what)))
        nodes = {entry: self.units.find(labels) for entry, labels in self.found.nodes.items()}
        return Structure(assemble(replace(self.found, nodes=nodes), self.units.reasons(), others), self.uses, self.norms)

    def _lines_of(self, name: str) -> None:
        """From elements to entries of one dimension: a unit that owns elements of a tensor has to own whole lines of it."""
        shape = self.tensors[name].shape
        labels = self.units.find(self.elements[name])
        touched = self.touched[name].reshape(shape)
        low = labels.reshape(shape).masked_fill(~touched, torch.iinfo(torch.long).max)
        high = labels.reshape(shape).masked_fill(~touched, -1)
        if not shape:
            return
        for dim in sorted(range(len(shape)), key=lambda each: -shape[each]):
            rest = [each for each in range(len(shape)) if each != dim]
            least, most = (low.amin(rest), high.amax(rest)) if rest else (low, high)
            used = most >= 0
            if bool((least == most)[used].all()):
                self.units.tie(self.entries(name, dim)[used], most[used])
                return
        self.units.freeze(labels[touched.reshape(-1)], f"{name} has entries for it in several dimensions")


def name_of(target: Any) -> str:
    """aten.relu_.default -> relu_"""
    return str(getattr(getattr(target, "overloadpacket", None), "__name__", target))


def flat(value: Any) -> Iterable[Any]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from flat(each)
    elif isinstance(value, dict):
        yield from flat(list(value.values()))
    else:
        yield value

