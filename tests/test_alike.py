"""A state that was read against the one that it shall replace."""

import copy
import math

import pytest
import torch
from torch import nn

from sparsify import alike


def trained(steps):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10)
    for _ in range(steps):
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        schedule.step()
    return optimizer, schedule


def test_a_state_of_the_same_training_is_taken():
    (fresh, fresh_schedule), (optimizer, schedule) = trained(0), trained(3)
    alike.check_optimizer(optimizer.state_dict(), fresh)
    alike.check_schedule(schedule.state_dict(), fresh_schedule.state_dict())
    alike.check_curve([{"epoch": 1, "seconds": 0.5}])


@pytest.mark.parametrize(("place", "value"), [
    (("param_groups",), []), (("param_groups", 0, "lr"), "x"), (("param_groups", 0, "lr"), math.nan), (("param_groups", 0, "betas"), 3),
    (("param_groups", 0, "params"), [0]),
    (("param_groups", 0, "amsgrad"), True), (("state", 0, "exp_avg"), torch.ones(9)), (("state", 0, "exp_avg"), "x"),
    (("state", 0), None), (("state", 0), {}), (("state", 1, "exp_avg"), 2**64), (("state", 1, "step"), None),
    (("state", 7), {"exp_avg": torch.ones(9)}), (("state",), 3)], ids=str)
def test_an_optimizer_of_another_form_is_refused(place, value):
    state = copy.deepcopy(trained(2)[0].state_dict())
    *above, last = place
    within = state
    for key in above:
        within = within[key]
    within[last] = value
    with pytest.raises((ValueError, AttributeError, IndexError, TypeError)):  # as the file's reader takes them
        alike.check_optimizer(state, trained(0)[0])


@pytest.mark.parametrize("change", [{"step": 3}, {"last_epoch": None}, {"_last_lr": "x"}, {"_schedule_phases": [1, 2]},
                                    {"_anneal_func_type": "x"}, {"last_epoch": 11}, {"total_steps": 9}], ids=str)
def test_a_schedule_of_another_form_is_refused(change):
    _, schedule = trained(2)
    with pytest.raises(ValueError, match="schedule"):
        alike.check_schedule(schedule.state_dict() | change, schedule.state_dict())


@pytest.mark.parametrize("curve", [None, 3, [3], [{"epoch": 1}], [{"seconds": "x"}], [{"seconds": math.inf}], [{"seconds": 10**400}]],
                         ids=lambda curve: str(curve)[:20])
def test_what_is_no_curve_is_refused(curve):
    with pytest.raises(ValueError, match="curve"):
        alike.check_curve(curve)
