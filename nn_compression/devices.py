"""Where networks are trained."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["best_device", "device_of"]


def best_device() -> torch.device:
    """CUDA where there is a card, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_of(model: nn.Module) -> torch.device:
    """Where a network's weights are; the CPU where it has none."""
    tensor = next(model.parameters(), None)
    return torch.device("cpu") if tensor is None else tensor.device
