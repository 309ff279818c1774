"""What a stage says once of prune.inputs, where a network cannot do without any of its input."""

from torch import nn

from sparsify import distributed
from sparsify.structure import Structure
from stages.params import Params


def may_leave(params: Params, network: nn.Module, structure: Structure) -> bool:
    """Whether features of the input may leave: where prune.inputs says so, and linear layers are what reads them. Else says so."""
    if not params.prune.inputs:
        return False
    readers = [slot.module for stream in structure.streams.values() if not stream.writers for slot in stream.readers]
    if readers and all(name is not None and isinstance(network.get_submodule(name), nn.Linear) for name in readers):
        return True
    if distributed.first():
        print(f"prune.inputs is true, but the input of {params.model.name} is not read by linear layers alone: all of it stays")
    return False
