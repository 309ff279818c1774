"""What may be left, in place of a weight of the KL: beta follows the distance of the expected size from its target.

The size is the one that a threshold on log alpha would leave, with a smooth count: a unit or a weight is left with probability
sigmoid((threshold - log alpha) / SOFTNESS). Its logarithm has to fall along a line from the full size to the target, over FALL of the
training, and log beta moves by the distance from that line: dual ascent in the logarithm, docs/targets.md section 1."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sparsify.bayes.gates import Gate
from sparsify.bayes.groups import Group, Weights, groups_of, not_bayesian
from sparsify.settings import InputError, amount
from sparsify.structure import Structure

FALL = 0.3  # share of the training in which the expected size falls to the target; what stays has the rest to settle
GAIN = 40.0  # how far log beta moves in all, were the expected size e times too large throughout
RELIEF = 5.0  # how many times as fast beta falls as it rises: more pressure than is needed takes from what stays
LEAD = 0.05  # share of the training by which the controller looks ahead: noise follows beta late
MEMORY = 0.01  # share of the training over which the trend is taken
GATE_THRESHOLD, NOISE_THRESHOLD = 0.0, 1.5  # of log alpha: above it units with gates, and weights with noise, leave at little cost
SOFTNESS = 0.5  # of the count: the width in log alpha over which a unit leaves
LOG_BETA, LOG_BETAS = math.log(0.01), (math.log(1e-5), math.log(1e3))  # to start from; the least and the most


class ExpectedSize:
    """The expected size of what the threshold would leave of a twin, as a smooth function of its log alphas."""

    def __init__(self, twin: nn.Module, structure: Structure, by: str, whole: float | None = None):
        """by: units, weights, nonzeros, macs. whole: the size of the network, if not that of its tensors: weights that an earlier
        pruning set to zero do not count, and multiply-accumulates without a tensor stay. Raises InputError where single weights have
        the prior and `by` is not nonzeros."""
        self._groups, self._by = groups_of(twin), by
        if not self._groups:
            raise not_bayesian()
        self._single = isinstance(self._groups[0], Weights)
        self._threshold = GATE_THRESHOLD if isinstance(self._groups[0], Gate) else NOISE_THRESHOLD
        if self._single and by != "nonzeros":
            raise InputError(f"the target is {by}, and the prior acts on single weights; give nonzeros, or a prior on units")
        hidden = structure.hidden()
        shapes = {name: tensor.shape for name, tensor in twin.state_dict().items() if name in (hidden if by == "units" else structure.uses)}
        like = self._groups[0].log_alpha()
        if self._single:
            mine = {group.name for group in self._groups}
            self._free = sum(shape.numel() for name, shape in shapes.items() if name not in mine)
            self.whole = float(sum(shape.numel() for shape in shapes.values()))
        elif by == "units":
            places = {(name, hidden[name]): shape[hidden[name]] for name, shape in shapes.items()}
            self._entries, self._fixed = (part.to(like) for part in _entries(structure, self._groups, places))
            self.whole = float(sum(places.values()))
        else:
            places = {(name, dim): ([*shape[:2], 1])[dim] for dim in (0, 1) for name, shape in shapes.items()}
            per_unit, fixed = _entries(structure, self._groups, places)
            self._entries, self._fixed = per_unit.unflatten(0, (2, -1)).to(like), fixed.unflatten(0, (2, -1)).to(like)
            self._uses = like.new_tensor([float(shape[2:].numel() * (structure.uses[name] if by == "macs" else 1))
                                          for name, shape in shapes.items()])
            self.whole = float((self._uses * like.new_tensor([float(shape[:2].numel()) for shape in shapes.values()])).sum())
            known = whole or self.whole
            self._density, self._others = (1.0, known - self.whole) if by == "macs" else (known / self.whole, 0.0)
        self.whole = whole or self.whole

    @torch.no_grad()
    def __call__(self) -> Tensor:
        """-> () in units, weights or multiply-accumulates"""
        return self._of(torch.stack([torch.sigmoid((self._threshold - group.log_alpha()) / SOFTNESS).sum() for group in self._groups]))

    @property
    def least(self) -> float:
        """What no cut goes below: one unit of each group, and all that has no prior."""
        return float(self._of(torch.full((len(self._groups),), 0.0 if self._single else 1.0, device=self._groups[0].log_alpha().device)))

    def _of(self, left: Tensor) -> Tensor:
        """left: (groups,) how many units or weights"""
        if self._single:
            return left.sum() + self._free
        if self._by == "units":
            return (self._entries @ left + self._fixed).sum()
        return ((self._entries @ left + self._fixed).prod(0) * self._uses).sum() * self._density + self._others


def _entries(structure: Structure, groups: list[Group], places: Mapping[tuple[str, int], int]) -> tuple[Tensor, Tensor]:
    """What tensors have along dimensions, as a linear function of the units left of each group: the others stay.

    places: by tensor and dimension its length.  -> (places, groups) entries a unit, (places,) entries that stay"""
    per_unit, fixed = torch.zeros(len(places), len(groups)), torch.tensor([float(length) for length in places.values()])
    at = {place: number for number, place in enumerate(places)}
    for number, group in enumerate(groups):
        for slot in structure.streams[group.name].slots:
            if (slot.tensor, slot.dim) in at:
                per_unit[at[slot.tensor, slot.dim], number] += slot.index.shape[1]
                fixed[at[slot.tensor, slot.dim]] -= slot.index.numel()
    return per_unit, fixed


class Pressure(nn.Module):
    """The weight of the KL that leads to a target: beta, moved after every step. A module, so that its state is kept with the training's.

    Call `step` after each step of the optimiser."""

    log_beta: Tensor
    steps: Tensor
    distance: Tensor  # of the logarithm of the size from its goal, after the last step
    trend: Tensor  # of the distance, a step

    def __init__(self, expected: ExpectedSize, target: float, total_steps: int):
        """target: a share of the whole below 1, or a count"""
        super().__init__()
        share = target if target < 1 else target / expected.whole
        if not 0 < share < 1:
            raise InputError(f"the target is {amount(target)} of {expected.whole:,.0f}; it has to be a share between 0 and 1, or a smaller "
                             "count")
        if share * expected.whole < (1 - 1e-6) * expected.least:  # float32
            raise InputError(f"the target is {amount(share * expected.whole)} of {expected.whole:,.0f}; {expected.least:,.0f} stay at "
                             "least, one unit of each layer and what has no prior: set a larger target")
        self._expected, self._total, self.share = expected, max(1, total_steps), share
        like = expected()
        self.register_buffer("log_beta", like.new_tensor(LOG_BETA))
        for name in ("steps", "distance", "trend"):
            self.register_buffer(name, like.new_zeros(()))

    def beta(self) -> Tensor:
        """-> ()"""
        return self.log_beta.exp()

    def report(self) -> dict[str, float]:
        """For a curve: beta, and the expected size as a share of the whole in percent."""
        return {"beta": self.beta().item(), "expected_size_percent": 100 * (self._expected() / self._expected.whole).item()}

    @torch.no_grad()
    def step(self) -> None:
        self.steps += 1
        goal = (self.steps / (FALL * self._total)).clamp(max=1) * math.log(self.share)
        distance = (self._expected() / self._expected.whole).log() - goal
        self.trend += (distance - self.distance - self.trend) / max(1.0, MEMORY * self._total)
        self.distance.copy_(distance)
        ahead = distance + LEAD * self._total * self.trend
        self.log_beta += GAIN / self._total * ahead.clamp(-1, 1) * torch.where(distance < 0, RELIEF, 1.0)
        self.log_beta.clamp_(*LOG_BETAS)
