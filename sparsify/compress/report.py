"""What a removal did, as a table for people: every stream before and after, what was kept because of what, and the proof."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sparsify.structure import Structure


@dataclass(frozen=True, eq=False)
class Report:
    """print(report) shows it."""

    before: dict[str, int]  # units by stream
    after: dict[str, int]
    alive: dict[str, Tensor]  # by stream, (units,) bool: which units are not silent
    kept: dict[str, str]  # by stream that was asked to shrink and did not: why
    fixed: dict[str, str]  # by stream that cannot shrink: why
    parameters: tuple[int, int]  # before and after
    macs: tuple[int, int]  # of one example, by weights that a rule follows: none of an LSTM's
    zeros: int  # among the weights that are left
    gap: float  # the largest difference of the outputs from the masked network's, as a share of the largest

    @classmethod
    def of(cls, structure: Structure, model: nn.Module, small: nn.Module, alive: Mapping[str, Tensor], cut: Mapping[str, Tensor],
           kept: Mapping[str, str], gap: float, inputs: bool) -> "Report":
        """inputs: whether features of the network's input might leave"""
        before = {name: stream.size for name, stream in structure.streams.items()}
        after = {name: int(cut[name].sum()) if name in cut else size for name, size in before.items()}
        after |= {name: int(alive[name].sum()) for name, stream in structure.streams.items() if not stream.writers and name not in kept}
        fixed = {name: stream.fixed for name, stream in structure.streams.items()
                 if stream.fixed is not None and after[name] == stream.size and (stream.writers or not inputs)}
        count = [sum(parameter.numel() for parameter in network.parameters()) for network in (model, small)]
        macs = [_macs(network, structure) for network in (model, small)]
        return cls(before, after, dict(alive), dict(kept), fixed, (count[0], count[1]), (macs[0], macs[1]), _zeros(small, structure), gap)

    def as_data(self) -> dict[str, Any]:
        """Plain data, as JSON: of every stream its name, its units before and after, and a note on what was kept, or ""; and the gap."""
        streams = [{"name": name, "before": size, "after": self.after[name], "note": self._note(name)}
                   for name, size in self.before.items()]
        return {"streams": streams, "gap": self.gap}

    def __str__(self) -> str:
        rows = [("units", "before", "after", ""), *((name, f"{size:,}", f"{self.after[name]:,}", self._note(name))
                                                    for name, size in self.before.items())]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [f"{name:<{widths[0]}}  {before:>{widths[1]}}  {after:>{widths[2]}}  {note}".rstrip() for name, before, after, note in rows]
        said = [f"{label}: {before:,} -> {after:,} ({before / max(1, after):.2f} times fewer)"
                for label, (before, after) in (("parameters", self.parameters), ("multiply-accumulates by weights", self.macs))]
        said += [f"single weights at zero among them: {self.zeros:,}"] if self.zeros else []
        proof = f"proof: the outputs differ from the masked network's by {self.gap:.1e} of the largest"
        said += ["nothing can be removed: no stream of it can shrink"] if self.before.keys() == self.fixed.keys() else []
        return "\n".join([*lines, *said, proof])

    def _note(self, name: str) -> str:
        if name in self.kept:
            return f"kept: {self.kept[name]}"
        if name in self.fixed and self.after[name] == self.before[name]:
            return f"fixed: {self.fixed[name]}"
        silent = self.after[name] - int(self.alive[name].sum())
        return f"{silent} of them silent" if silent > 0 else ""


def _macs(network: nn.Module, structure: Structure) -> int:
    sizes = {name: tensor.numel() for name, tensor in network.state_dict().items()}
    return sum(uses * sizes[name] for name, uses in structure.uses.items() if name in sizes)


def _zeros(network: nn.Module, structure: Structure) -> int:
    state = network.state_dict()
    return sum(int((state[name] == 0).sum()) for name in structure.uses if name in state)
