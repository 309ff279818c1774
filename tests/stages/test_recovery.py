"""Who teaches the small network."""

import pytest
import torch
from torch import nn

from sparsify.data import Dataset, Split
from stages.params import Finetune
from stages.recovery import recover


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_teacher_is_asked_where_it_has_a_share(train_settings, share):
    split = Split(torch.randn(16, 1, 2, 2), torch.arange(16) % 3)
    asked = []

    def teacher(batch):
        asked.append(batch.indices)
        return torch.zeros(len(batch.labels), 3)
    settings = Finetune(distill=share, temperature=2.0, train=train_settings())
    small, dataset = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), Dataset(split, split, split, classes=("a", "b", "c"))
    curve = recover(small, teacher, dataset, settings, settings.train, 1, "test")
    assert bool(asked) == ("distillation" in curve[-1]) == (share > 0)
    assert curve[-1]["nll"] < curve[0]["nll"]
