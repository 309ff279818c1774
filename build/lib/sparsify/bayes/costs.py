"""What a group's KL is multiplied by: what one more of its weights costs, where a prior acts on weights or on rows of them.

Of a gate it is `sparsify.structure.unit_costs`. docs/theory.md section 3.6."""

from collections.abc import Callable, Mapping

from torch import nn

from sparsify.structure import Structure, weight_costs

# By group: how many units it has, and by tensor how many weights one unit has there.
Members = Mapping[str, tuple[int, Mapping[str, int]]]


def group_costs(structure: Structure, model: nn.Module, by: str, groups: Members, neurons_lie_in: Callable[[str], int]) -> dict[str, float]:
    """By group, what one weight costs, scaled so that the mean weight of the network costs 1: for `by` "weights" all the same, for "macs"
    as often as an example uses it, for "units" its share of all the weights of its unit, so that all units cost the same.

    neurons_lie_in: by tensor, the dimension of it in which its neurons lie"""
    if by != "units":
        cost = weight_costs(structure, model, by)
        return {group: sum(cost[name] * (n / sum(each.values())) for name, n in each.items()) for group, (_, each) in groups.items()}
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items() if name in structure.uses}
    alone = shapes.keys() - {name for _, each in groups.values() for name in each}  # in no group
    units = sum(n for n, _ in groups.values()) + sum(shapes[name][neurons_lie_in(name)] for name in alone)
    mean = units / sum(shape.numel() for shape in shapes.values())
    return {group: 1 / sum(each.values()) / mean for group, (_, each) in groups.items()}
