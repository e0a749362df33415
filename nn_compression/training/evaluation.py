"""A network judged on a split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nn_compression.data import Split
from nn_compression.files.user_code import blaming
from nn_compression.tasks import Task
from nn_compression.training.devices import device_of, laid_out, layout_of, memory_told, placed

__all__ = ["evaluate", "evaluate_loss", "figure_of", "look_at", "outputs_of"]


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

    Raises:
        InputError: memory ran out, or the network or the metric fails.
    """
    return _averaged(model, split, task, task.metric, batch, device)


def evaluate_loss(
    model: nn.Module, split: Split, task: Task, *, batch: int = 500, device: torch.device | None = None
) -> float:
    """The task's loss of a network, as ``evaluate`` gives its metric."""
    return _averaged(model, split, task, task.loss, batch, device)


def look_at(
    model: nn.Module,
    split: Split,
    task: Task,
    see: Callable[[Any, Tensor], None],
    *,
    batch: int = 500,
    device: torch.device | None = None,
) -> None:
    """Run a network on a split, in evaluation mode and without gradients.

    Args:
        model: left in the mode and on the device it was in.
        split: its batches are taken in order.
        task: how the network runs.
        see: (outputs, targets), called for each batch, on the device.
        batch: examples at a time.
        device: where; by default where the model is.

    Raises:
        InputError: memory ran out, or the network fails.
    """
    place, training = device or device_of(model), model.training
    layout = layout_of([model], split.inputs, task.forward, place)
    with (
        memory_told(f"evaluating batches of {batch}", "evaluate in smaller batches"),
        blaming("evaluating the network"),
        placed(model, place, layout),
        torch.no_grad(),  # no inference mode: what a module keeps for later calls is trained with
    ):
        model.eval()
        try:
            for inputs, targets in split.batches(batch):
                see(outputs_of(model, task, laid_out(inputs, place, layout)), targets.to(place))
        finally:
            model.train(training)


def figure_of(figure: Callable[[Any, Tensor], Tensor | float], outputs: Any, targets: Tensor) -> float:
    """What the task makes of a batch.

    Raises:
        InputError: it gives no number.
    """
    with blaming("taking the figure that the task gives for a number", "Data.task"):
        return float(figure(outputs, targets))


def outputs_of(model: nn.Module, task: Task, inputs: Tensor) -> Any:
    """What a network makes of a batch.

    Raises:
        InputError: it cannot take it.
    """
    with blaming(f"running the network on inputs of shape {tuple(inputs.shape)}", "MODEL"):
        return task.forward(model, inputs)


def _averaged(
    model: nn.Module,
    split: Split,
    task: Task,
    figure: Callable[[Any, Tensor], Tensor | float],
    batch: int,
    device: torch.device | None,
) -> float:
    total, counted = 0.0, 0

    def see(outputs: Any, targets: Tensor) -> None:
        nonlocal total, counted
        if count := task.count(targets):  # a mean over nothing is not a number
            total += figure_of(figure, outputs, targets) * count
            counted += count

    look_at(model, split, task, see, batch=batch, device=device)
    return total / max(counted, 1)
