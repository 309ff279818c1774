"""The proof of a removal shows something also where a network gives zeros."""

import torch
from torch import Tensor, nn

import sparsify


class ByWidth(nn.Module):
    """Its output depends on how many units there are, behind a head that starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 3)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        return self.head(x * x.shape[-1])


def test_a_cut_that_a_head_of_zeros_hides_is_found_and_the_zeros_stay():
    model, keep = ByWidth(), torch.arange(8) < 5
    small, report = sparsify.remove(model, torch.randn(2, 4), {"body": keep})
    assert report.after["body"] == 8 and "differ" in report.kept["body"]
    assert not small.head.weight.any() and not small.head.bias.any()


def test_a_cut_behind_a_head_of_zeros_is_done_where_it_is_right():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.zeros_(model[2].weight)
    small, report = sparsify.remove(model, torch.randn(2, 4), {"0": torch.arange(8) < 5})
    assert small[0].out_features == 5 and not report.kept and not small[2].weight.any()
    torch.testing.assert_close(small[0].weight, model[0].weight[:5], rtol=0, atol=0)
