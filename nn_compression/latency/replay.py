"""Recorded operations done again, on any values: what their time depends on is their shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from nn_compression.latency.operations import Argument, Operation, Shaped

__all__ = ["call_of", "example_tensor", "replayed"]


def example_tensor(shaped: Shaped) -> Tensor:
    """A tensor of this shape and type: numbers between 0.1 and 1.1, which do for variances, too; zeros for integers."""
    dtype = getattr(torch, shaped.dtype)
    if not dtype.is_floating_point:
        return torch.zeros(shaped.shape, dtype=dtype)
    generator = torch.Generator().manual_seed(0)
    return torch.rand(shaped.shape, generator=generator).add_(0.1).to(dtype)


def replayed(operation: Operation, values: Mapping[int, Any]) -> Any:
    """Do an operation.

    Args:
        operation: its tensors that have a source are taken from ``values``, the others are made up.
        values: tensors by source.
    """
    arguments = [_filled(argument, values) for argument in operation.arguments]
    return operation.function(*arguments, **{name: _filled(value, values) for name, value in operation.named})


def call_of(operation: Operation) -> Callable[[], Any]:
    """An operation with tensors made up beforehand, to be called and timed."""
    arguments = tuple(_filled(argument, {}) for argument in operation.arguments)
    named = {name: _filled(value, {}) for name, value in operation.named}
    function = operation.function
    return lambda: function(*arguments, **named)


def _filled(argument: Argument, values: Mapping[int, Any]) -> Any:
    if isinstance(argument, Shaped):
        known = argument.source is not None and argument.source in values
        return values[argument.source] if known else example_tensor(argument)  # type: ignore[index]
    if isinstance(argument, tuple):
        return tuple(_filled(part, values) for part in argument)
    return argument
