"""Training images altered a batch at a time, on tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["pad_crop_flip"]

_PADDING = 4


def pad_crop_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Pad by 4 pixels, cut the size out at random, mirror half of the images (He et al. 2016, section 4.2).

    The result has its channels last in memory, as ``devices.laid_out`` wants it.

    Args:
        images: shape (examples, channels, height, width), normalised: the padding is the mean.
        generator: on the CPU; the same one gives the same images on any device.
    """
    examples, _, height, width = images.shape
    top, left = torch.randint(2 * _PADDING + 1, (2, examples, 1), generator=generator)
    mirrored = torch.rand(examples, 1, generator=generator) < 0.5
    columns = torch.arange(width).expand(examples, width)
    columns = torch.where(mirrored, width - 1 - columns, columns) + left
    rows = torch.arange(height) + top
    example = torch.arange(examples)[:, None, None]
    padded = F.pad(images, [_PADDING] * 4)
    index = [part.to(images.device) for part in (example, rows[:, :, None], columns[:, None, :])]
    return padded.permute(0, 2, 3, 1)[index[0], index[1], index[2]].permute(0, 3, 1, 2)
