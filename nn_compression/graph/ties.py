"""Tied weights: one tensor under several names of the state dict."""

from __future__ import annotations

from torch import nn

__all__ = ["first_keys"]


def first_keys(model: nn.Module) -> dict[str, str]:
    """Every parameter and buffer by its key in the state dict -> the first key of the same tensor."""
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    first: dict[int, str] = {}
    return {key: first.setdefault(id(tensor), key) for key, tensor in tensors}
