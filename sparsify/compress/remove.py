"""Physical removal: units that are masked leave a copy of the user's own class, and every time it is proven that nothing else changed.

What cannot be cut (a view that fixes a width, halves that have to be equal) is found by trial, stays, silent, and is named."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from sparsify.compress.cut import plan, sliced
from sparsify.compress.exact import PickingLinear
from sparsify.compress.masks import alive_units, silenced, without_blanks
from sparsify.compress.proof import Proof
from sparsify.compress.report import Report
from sparsify.settings import InputError
from sparsify.structure import Structure, analyse, protected
from sparsify.structure.export import Example

Alive = dict[str, Tensor]  # by stream, (units,) bool


def remove(model: nn.Module, example: Example, keep: Mapping[str, Tensor] | None = None, *, weights: Mapping[str, Tensor] | None = None,
           inputs: bool = False, protect: Collection[str] = (), multiple_of: int = 1,
           structure: Structure | None = None) -> tuple[nn.Module, Report]:
    """A smaller copy of `model`, of its own class, with the logits of `mask(model, example, keep)`; and what was done.

    keep, weights, inputs: as `mask` takes them. Features of the network's input leave the linear layers that read them, by index.
    protect: streams, or modules whose layers write them, that keep their width; their masked units stay, silent.
    multiple_of: widths are rounded up to a multiple of it, with units that are silent.
    Every time the two are compared in float64 on random inputs; what would make them differ stays, silent, and is named in the report.
    Raises InputError for masks that do not fit and EmptyLayer (one of them) for masks that leave nothing of a stream."""
    if type(multiple_of) is not int or multiple_of < 1:
        raise InputError(f"multiple_of is {multiple_of!r}; it has to be a whole number >= 1")
    structure = structure or analyse(model, example)
    masked, alive = silenced(model, structure, keep, weights, inputs)
    guarded = protected(structure, protect)
    wish = {name: rounded(units, multiple_of) for name, units in alive.items()
            if name not in guarded and structure.streams[name].fixed is None and not units.all()}
    wish = {name: units for name, units in wish.items() if not units.all()}
    leave = {name: torch.ones_like(units) if name in guarded else units for name, units in alive.items()}
    telling = without_blanks(masked, model, structure, alive)
    trial = _Trial(masked, telling, structure, Proof(telling, example), leave)
    small, gap = trial.solve(wish)
    kept = {name: "protected" for name in guarded if not alive[name].all()} | trial.kept
    return small, Report.of(structure, model, small, alive, trial.done, kept, gap, inputs)


def settled(model: nn.Module, example: Example) -> Structure:
    """What `analyse` finds, with those streams fixed too of which a trial cannot remove every second unit, as where a width is written
    into a view: whoever counts on units to leave has to know it before the training."""
    structure = analyse(model, example)
    half = {name: torch.arange(stream.size) % 2 == 0
            for name, stream in structure.shrinkable().items() if stream.writers and stream.size > 1}
    kept = remove(model, example, half, structure=structure)[1].kept
    return replace(structure, streams={name: replace(stream, fixed=kept[name]) if name in kept else stream
                                       for name, stream in structure.streams.items()})


def draft(model: nn.Module, structure: Structure, keep: Mapping[str, Tensor], weights: Mapping[str, Tensor], *,
          inputs: bool = False) -> nn.Module:
    """What `remove` gives where everything can be cut, without the proof: to measure many candidates, of which one is then removed."""
    if not weights:  # then nothing silent stays, and no masked copy is needed
        alive = alive_units(structure, keep)
        return sliced(model, replace(plan(structure, model, alive), picks=_picks(structure, model, alive)[0]))
    masked, alive = silenced(model, structure, keep, weights, inputs)
    return sliced(masked, replace(plan(structure, masked, alive), picks=_picks(structure, masked, alive)[0]))


def rounded(units: Tensor, multiple_of: int) -> Tensor:
    """With so many of the dead units, the first ones first, that a multiple stays; all, where there are not enough.  (n,) -> (n,) bool"""
    wanted = min(len(units), -(-int(units.sum()) // multiple_of) * multiple_of)
    more = (~units).nonzero().flatten()[:wanted - int(units.sum())]
    units = units.clone()
    units[more] = True
    return units


def _picks(structure: Structure, network: nn.Module, alive: Alive) -> tuple[dict[str, Tensor], dict[str, str]]:
    """By linear layer, the features of the network's input that it still reads; and by stream of the input, why all of it is read."""
    masks: dict[str, Tensor] = {}
    kept: dict[str, str] = {}
    for name, stream in structure.streams.items():
        for slot in stream.readers if not stream.writers and not alive[name].all() else ():
            layer = None if slot.module is None else network.get_submodule(slot.module)
            if slot.module is None or type(layer) not in (nn.Linear, PickingLinear):
                kept[name] = f"{slot.module or slot.tensor} is no linear layer of torch's own, and reads all of it"
                continue
            mask = masks.setdefault(slot.module, torch.ones(network.get_parameter(slot.tensor).shape[1], dtype=torch.bool))
            mask[slot.index[~alive[name]].reshape(-1)] = False
    return {layer: mask.nonzero().flatten() for layer, mask in masks.items()}, kept


class _Trial:
    """Which of the wished cuts a network can do, found by doing them."""

    def __init__(self, masked: nn.Module, telling: nn.Module, structure: Structure, proof: Proof, alive: Alive):
        self.masked, self.telling, self.structure, self.proof = masked, telling, structure, proof
        self.picks, self.kept = _picks(structure, masked, alive)  # kept: not cut, and why
        self.of_input = [name for name, stream in structure.streams.items() if not stream.writers and not alive[name].all()]
        self.done: Alive = {}  # cut
        self.best: tuple[nn.Module, float] | None = None  # the network with what is cut, and its gap
        self.failure = ""

    def solve(self, wish: Alive) -> tuple[nn.Module, float]:
        self._add(self._coupled(wish), wish)
        attempt = self.best if self.done else self._attempt(self.done)
        if attempt is None and self.picks:  # a layer that reads the input does more than its class says
            self.picks, self.kept = {}, {name: self.failure for name in self.of_input}
            return self.solve(wish)
        if attempt is None:
            raise InputError(f"the network does not give the same outputs twice for one input ({self.failure.removeprefix('cut, ')}): "
                             "nothing can be proven of it; let it draw nothing at random in evaluation")
        small, gap = attempt
        return small if self.telling is self.masked else self._cut(self.masked, self.done), gap

    def _add(self, groups: list[list[str]], wish: Alive) -> None:
        """Cuts all of the groups if that can be done; else halves of them, down to one, which then stays if it cannot be made to fit."""
        if not groups or self._accept({name: wish[name] for group in groups for name in group}):
            return
        if len(groups) > 1:
            middle = len(groups) // 2
            self._add(groups[:middle], wish)
            self._add(groups[middle:], wish)
            return
        why = self.failure
        for changed in _evened({name: wish[name] for name in groups[0]}):
            if self._accept(changed):
                return
        if len(groups[0]) > 1:
            self._add([[name] for name in groups[0]], wish)
        else:
            self.kept[groups[0][0]] = why

    def _accept(self, more: Alive) -> bool:
        attempt = self._attempt({**self.done, **more})
        if attempt is None:
            return False
        self.done, self.best = {**self.done, **more}, attempt
        return True

    def _attempt(self, alive: Alive) -> tuple[nn.Module, float] | None:
        try:
            small = self._cut(self.telling, alive)
            gap = self.proof.gap(small)
        except Exception as error:  # whatever a network raises that was cut where it cannot be
            self.failure = f"cut, it fails: {' '.join(str(error).split())[:120]}"
            return None
        if gap > self.proof.allowed:
            self.failure = f"cut, its outputs would differ by {gap:.1g} of the largest"
            return None
        return small, gap

    def _cut(self, network: nn.Module, alive: Alive) -> nn.Module:
        return sliced(network, replace(plan(self.structure, network, alive), picks=self.picks))

    def _coupled(self, wish: Alive) -> list[list[str]]:
        """Streams that share a writer, as the halves of a chunk do, are tried together."""
        group_of: dict[str, list[str]] = {}
        groups: list[list[str]] = []
        for name in wish:
            writers = [slot.tensor for slot in self.structure.streams[name].writers]
            group = next((group_of[tensor] for tensor in writers if tensor in group_of), None)
            if group is None:
                groups.append(group := [])
            group.append(name)
            group_of |= dict.fromkeys(writers, group)
        return groups


def _evened(wish: Alive) -> list[Alive]:
    """Ways to keep a few more units, so that the parts of a tensor stay equally wide: the same places in each, or as many."""
    sizes = {len(units) for units in wish.values()}
    if len(wish) < 2 or len(sizes) > 1:
        return []
    together = torch.stack(list(wish.values()))
    most = int(together.sum(1).max())
    as_many = {name: rounded(units, most) if units.any() else units for name, units in wish.items()}
    return [as_many, dict.fromkeys(wish, together.any(0))]
