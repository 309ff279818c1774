"""What the proof has to see: `roll` moves units past one another, so that a cut across its seam is wrong, whatever the network gives."""

import pytest
import torch
from torch import Tensor, nn

import sparsify
from sparsify.settings import InputError

GIVES = {  # what a network makes of its logits
    "logits": lambda logits: logits,
    "small numbers": lambda logits: 1e-12 * logits,
    "numbers beside a large one": lambda logits: torch.cat([logits, torch.full_like(logits, 1e6)], 1),
    "classes": lambda logits: logits.argmax(1),
    "yes or no": lambda logits: logits > 0,
    "a choice beside a number": lambda logits: {"class": logits.argmax(1), "one": 0 * logits},
}


class Rolled(nn.Module):
    def __init__(self, gives: str, shift: float) -> None:
        super().__init__()
        self.first, self.last, self.gives, self.shift = nn.Linear(6, 12), nn.Linear(12, 5), gives, shift

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        return GIVES[self.gives](self.last(self.first(x - self.shift).relu().roll(1, 1)))


def leaves(output: Tensor | dict[str, Tensor]) -> list[Tensor]:
    return list(output.values()) if isinstance(output, dict) else [output]


@pytest.mark.parametrize("shift", [0.0, 100.0], ids=["numbers near zero", "numbers near a hundred"])
@pytest.mark.parametrize("gives", GIVES)
def test_a_cut_that_is_wrong_is_never_taken(gives, shift):
    """Kept, or refused as nothing can be proven; and so it is where random numbers near zero leave every unit silent."""
    model = Rolled(gives, shift).double()
    inputs = torch.randn(200, 6, dtype=torch.float64) + shift
    keep = {"first": torch.arange(12) % 8 != 3}  # of units 3 and 11, the second is on the seam
    try:
        small, _ = sparsify.remove(model, inputs[:2], keep=keep)
    except InputError:
        return
    masked = sparsify.mask(model, inputs[:2], keep=keep)
    for found, expected in zip(leaves(small(inputs)), leaves(masked(inputs)), strict=True):
        assert torch.allclose(found.double(), expected.double(), rtol=1e-6, atol=0)
