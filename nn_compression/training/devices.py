"""Where a network computes, and what happens when there is no room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from automl_core.errors import InputError

__all__ = ["best_device", "device_of", "is_about_memory", "laid_out", "memory_told", "placed"]


def best_device() -> torch.device:
    """CUDA where there is a card, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_of(model: nn.Module) -> torch.device:
    """Where a network's weights are; the CPU where it has none."""
    tensor = next(model.parameters(), None)
    return torch.device("cpu") if tensor is None else tensor.device


@contextmanager
def placed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Within this the network is on a device, its kernels with the channels last; afterwards as it was.

    Channels last is a matter of strides alone. One step of training at batch 128 takes 250 ms instead of 346 ms in
    ResNet-20, 19.7 instead of 29.5 in LeNet-5, on one core.
    """
    home = device_of(model)
    model.to(device)
    moved = [each for each in model.parameters() if each.ndim == 4 and not _channels_last(each)]
    _lay_out(moved, torch.channels_last)
    try:
        yield
    finally:
        _lay_out(moved, torch.contiguous_format)  # only these: a training that evaluates in between goes on as it was
        model.to(home)


def _channels_last(parameter: nn.Parameter) -> bool:
    return parameter.is_contiguous(memory_format=torch.channels_last)


def _lay_out(parameters: Iterable[nn.Parameter], order: torch.memory_format) -> None:
    for parameter in parameters:
        parameter.data = parameter.data.contiguous(memory_format=order)


def laid_out(inputs: Tensor, device: torch.device) -> Tensor:
    """A batch on a device; images with their channels last."""
    moved = inputs.to(device)
    return moved.contiguous(memory_format=torch.channels_last) if moved.ndim == 4 else moved


@contextmanager
def memory_told(doing: str, remedy: str) -> Iterator[None]:
    """Within this, running out of memory is an error that says what was done and what to do.

    The system may end the process first, where it grants memory that it does not have.

    Raises:
        InputError: memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_about_memory(error):
            raise
        raise InputError(f"memory ran out while {doing}", remedy=remedy) from error


def is_about_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return "not enough memory" in text or "allocate memory" in text
