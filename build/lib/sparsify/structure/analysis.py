"""The analysis of a network: its graph is exported, walked through by the rules, and what was found becomes streams."""

import torch
from torch import nn

from sparsify.settings import InputError
from sparsify.structure.export import Example, export
from sparsify.structure.rules import apply
from sparsify.structure.streams import Stream, Structure
from sparsify.structure.walk import Walk


def analyse(model: nn.Module, example: Example) -> Structure:
    """The streams of a network: which units can only leave together, who writes and who reads them, or why they have to stay.

    example: what the network is called with: a tensor, or a tuple, on any device. Raises InputError where it cannot be followed."""
    with torch.no_grad():
        program, given = export(model, example)
        walk = Walk(model)
        walk.run(program, given, apply)
        if _has_unused(program):  # heads that only training has read units too
            try:
                program, given = export(model, given, training=True)
            except InputError:  # it can still be removed from, and used; the proof is of evaluation
                return walk.structure()
            walk.in_training = True
            walk.run(program, given, apply)
        return walk.structure()


def _has_unused(program: torch.export.ExportedProgram) -> bool:
    """Whether some parameters have no part in evaluation."""
    parameters = program.graph_signature.inputs_to_parameters
    return any(node.op == "placeholder" and node.name in parameters and not node.users for node in program.graph.nodes)


def streams(model: nn.Module, example: Example) -> dict[str, Stream]:
    """By name, in the order of the graph, the units of `model` that can only leave together (`Stream`); see `analyse`."""
    return analyse(model, example).streams
