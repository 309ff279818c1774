"""Pictures moved about, a batch at a time."""

import torch
import torch.nn.functional as F
from torch import Tensor


def crop_and_flip(images: Tensor, padding: int = 4) -> Tensor:
    """Each image shifted by up to `padding` pixels, zeros coming in, and mirrored or not: one gather for the batch.

    (N, C, H, W) -> (N, C, H, W)"""
    n, _, height, width = images.shape
    padded = F.pad(images, [padding] * 4)
    down, right, mirrored = (torch.randint(high, (n, 1), device=images.device) for high in (2 * padding + 1, 2 * padding + 1, 2))
    rows = down + torch.arange(height, device=images.device)  # (N, H)
    columns = right + torch.arange(width, device=images.device)  # (N, W)
    columns = torch.where(mirrored.bool(), columns.flip(1), columns)
    batch = torch.arange(n, device=images.device)
    return padded.permute(0, 2, 3, 1)[batch[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
