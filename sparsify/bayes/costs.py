"""What a group's KL is multiplied by: what one more of its weights costs, where a prior acts on weights or rows of them.

Of a gate it is `sparsify.structure.unit_costs`. docs/theory.md section 3.6."""

from collections.abc import Callable, Mapping

from torch import nn

from sparsify.structure import Structure

# By group: how many units it has, and by tensor how many weights one unit has there.
Members = Mapping[str, tuple[int, Mapping[str, int]]]


def weight_costs(structure: Structure, model: nn.Module, by: str, groups: Members, neurons_lie_in: Callable[[str], int]) -> dict[str, float]:
    """By group, what one weight costs, scaled so that the mean weight of the network costs 1: for `by` "weights" all the same, for "macs"
    as often as an example uses it, for "units" its share of the unit that it leads into, so that all units cost the same.

    neurons_lie_in: by tensor, the dimension of it in which its neurons lie"""
    if by == "weights":
        return dict.fromkeys(groups, 1.0)
    weights = {name: model.get_parameter(name) for name in structure.uses}
    total = sum(weight.numel() for weight in weights.values())
    if by == "macs":
        mean = sum(structure.uses[name] * weight.numel() for name, weight in weights.items()) / total
        return {group: sum(structure.uses[name] / mean * (n / sum(each.values())) for name, n in each.items())
                for group, (_, each) in groups.items()}
    grouped = {name for _, each in groups.values() for name in each}
    units = sum(n for n, _ in groups.values()) + sum(
        weight.shape[neurons_lie_in(name)] for name, weight in weights.items() if name not in grouped)
    return {group: 1 / sum(each.values()) / (units / total) for group, (_, each) in groups.items()}
