"""The pictures of docs/structure.md can be read."""

import pytest
import torch
from legible import legible

from experiments import structure_pictures


@pytest.mark.parametrize("draw", [structure_pictures.block, structure_pictures.flatten])
def test_the_pictures_of_the_structure_can_be_read(draw):
    torch.manual_seed(0)
    legible(draw())
