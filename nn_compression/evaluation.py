"""A network judged on a split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nn_compression.data import Split
from nn_compression.devices import device_of
from nn_compression.tasks import Task

__all__ = ["evaluate", "evaluate_loss"]


def evaluate(
    model: nn.Module, split: Split, task: Task, *, batch: int = 500, device: torch.device | None = None
) -> float:
    """The task's metric of a network, in ``task.unit``, in evaluation mode.

    Args:
        model: left in the mode and on the device it was in.
        split: what to judge it on.
        task: what by.
        batch: examples at a time.
        device: where; by default where the model is.
    """
    return _averaged(model, split, task, task.metric, batch, device)


def evaluate_loss(
    model: nn.Module, split: Split, task: Task, *, batch: int = 500, device: torch.device | None = None
) -> float:
    """The task's loss of a network, as ``evaluate`` gives its metric."""
    return _averaged(model, split, task, task.loss, batch, device)


def _averaged(
    model: nn.Module,
    split: Split,
    task: Task,
    figure: Callable[[Any, Tensor], Tensor],
    batch: int,
    device: torch.device | None,
) -> float:
    home, training = device_of(model), model.training
    place = device or home
    model.to(place).eval()
    total, counted = torch.zeros((), dtype=torch.float64, device=place), 0
    try:
        with torch.inference_mode():
            for inputs, targets in split.batches(batch):
                inputs, targets = inputs.to(place), targets.to(place)
                count = task.count(targets)
                if count:  # a mean over nothing is not a number
                    total += figure(task.forward(model, inputs), targets).double() * count
                    counted += count
    finally:
        model.to(home).train(training)
    return float(total) / max(counted, 1)
