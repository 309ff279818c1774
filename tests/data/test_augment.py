"""Images moved about: against a list of everything that may come out."""

import torch
import torch.nn.functional as F

from sparsify.data import moved, moves

IMAGE = torch.arange(1.0, 25.0).reshape(2, 3, 4)  # (C, H, W), every pixel unique


def test_every_shift_and_mirror_image_has_its_number():
    padded = F.pad(IMAGE[None], [2] * 4, mode="replicate")[0]
    shifts = [padded[:, row:row + 3, column:column + 4] for row in range(5) for column in range(5)]
    expected = torch.stack([*shifts, *(shift.flip(2) for shift in shifts)])
    assert moves(2, flip=True) == len(expected) == 50 and moves(2, flip=False) == 25 and moves(0, flip=False) == 1
    assert torch.equal(moved(IMAGE.expand(50, 2, 3, 4), torch.arange(50), 2), expected)


def test_a_move_is_an_images_own():
    images, numbers = torch.randn(7, 1, 5, 5), torch.tensor([0, 8, 4, 17, 9, 13, 2])
    together = moved(images, numbers, 1)
    assert all(torch.equal(moved(images[i:i + 1], numbers[i:i + 1], 1)[0], together[i]) for i in range(7))
    assert torch.equal(together[2], images[2]) and torch.equal(together[5], images[5].flip(2))


def test_an_image_may_be_moved_by_more_than_its_side():
    assert set(moved(IMAGE[None], torch.zeros(1, dtype=torch.long), 9).flatten().tolist()) == {1.0, 13.0}
