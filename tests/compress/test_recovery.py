"""Who teaches the small network, and that it keeps its zeros."""

import pytest
import torch
from torch import nn

from sparsify.compress.recovery import recover
from sparsify.data import Split
from sparsify.training import taught


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_teacher_is_asked_where_it_has_a_share(train_settings, share):
    split, settings, asked = Split(torch.randn(16, 1, 2, 2), torch.arange(16) % 3), train_settings(), []

    def teacher(batch):
        asked.append(batch.indices)
        return torch.zeros(len(batch.labels), 3)
    small = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    with torch.no_grad():
        small[1].weight[1] = 0
    curve = recover(small, split, taught(small, teacher, settings, share, 2.0), settings, dict, 1, "test")
    assert bool(asked) == ("distillation" in curve[-1]) == (share > 0)
    assert curve[-1]["nll"] < curve[0]["nll"]
    assert not small[1].weight[1].any() and small[1].weight[0].all()
