"""Images moved about, a batch at a time. Each move has a number, so that what a network says of a moved image can be remembered."""

import torch
from torch import Tensor


def moves(shift: int, flip: bool) -> int:
    """How many there are: by up to `shift` pixels down or up, right or left, and mirrored or not."""
    return (1 + flip) * (2 * shift + 1) ** 2


def moved(images: Tensor, numbers: Tensor, shift: int) -> Tensor:
    """Each image after its own move; the pixels at its edge go on where nothing is known.

    images: (N, C, H, W). numbers: (N,) int64, below `moves`  -> (N, C, H, W)"""
    side, (n, channels, height, width) = 2 * shift + 1, images.shape
    mirrored, down, right = numbers // side**2, numbers // side % side, numbers % side
    rows = (down[:, None] - shift + torch.arange(height, device=images.device)).clamp(0, height - 1)  # (N, H)
    columns = (right[:, None] - shift + torch.arange(width, device=images.device)).clamp(0, width - 1)  # (N, W)
    columns = torch.where(mirrored[:, None].bool(), columns.flip(1), columns)
    places = (rows[:, :, None] * width + columns[:, None, :]).view(n, 1, -1).expand(n, channels, -1)
    return images.flatten(2).gather(2, places).view(images.shape)
