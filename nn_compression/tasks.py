"""What a network is for: its loss, and the one figure by which it is judged."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean

__all__ = ["CLASSIFICATION", "IGNORED", "LANGUAGE", "TASKS", "Forward", "Task", "call", "task_of"]

IGNORED = -100
"""A target that is not judged (torch's own ``ignore_index``): the warm-up of a language model's window."""

_Figure: TypeAlias = Callable[[Any, Tensor], Tensor]


Forward: TypeAlias = Callable[[nn.Module, Tensor], Any]
"""(model, inputs) -> outputs."""


def call(model: nn.Module, inputs: Tensor) -> Any:
    """How most networks run."""
    return model(inputs)


@dataclass(frozen=True)
class Task:
    """What a network is for.

    Args:
        name: "classification", "language" or the user's own.
        loss: (outputs, targets) -> the mean loss, a scalar.
        metric: (outputs, targets) -> the figure shown and searched for, averaged over what ``count`` counts, a number.
        unit: of the metric.
        higher_is_better: whether a larger metric is the better one.
        forward: (model, inputs) -> outputs; for models that want more than ``model(inputs)``.
        count: how many things of a batch the metric averages over (examples, tokens): the weight of that batch.
        soft_loss: (outputs, the teacher's outputs, temperature) -> the distillation loss; ``None``: no teacher.
    """

    name: str
    loss: _Figure
    metric: Callable[[Any, Tensor], Tensor | float]
    unit: str = "%"
    higher_is_better: bool = True
    forward: Forward = call
    count: Callable[[Tensor], int] = len
    soft_loss: Callable[[Any, Any, float], Tensor] | None = None


def soft_cross_entropy(outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Cross entropy to the teacher's softened classes, times T² so that its gradients keep their size.

    Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network (2015), section 2. Logits in the last axis.
    """
    soft = F.softmax(teacher.flatten(0, -2) / temperature, -1)
    return F.cross_entropy(outputs.flatten(0, -2) / temperature, soft) * temperature**2


def _class_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    _check(outputs, targets, "(examples, classes)")
    return _cross_entropy(outputs, targets)


def _accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    _check(outputs, targets, "(examples, classes)")
    return (outputs.argmax(-1) == targets)[targets != IGNORED].double().mean() * 100


def _token_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    _check(outputs, targets, "(windows, tokens, vocabulary)")
    return _cross_entropy(outputs.flatten(0, -2), targets.flatten())


def _bits(outputs: Tensor, targets: Tensor) -> Tensor:
    return _token_loss(outputs, targets) / math.log(2)


def _check(outputs: Any, targets: Tensor, wanted: str) -> None:
    if not isinstance(outputs, Tensor) or outputs.shape[:-1] != targets.shape:
        found = f"shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else f"type {type(outputs).__name__}"
        problem = f"the network's outputs are of {found}, its targets of shape {tuple(targets.shape)}"
        remedy = f"let it return logits of shape {wanted}, or give the Task a forward that picks them"
        raise InputError(problem, place="MODEL", remedy=remedy)


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    try:
        return F.cross_entropy(outputs, targets, ignore_index=IGNORED)
    except IndexError as error:
        problem = f"the network has {outputs.shape[-1]} outputs, but a target is {int(targets.max())}"
        remedy = "give it an output for each class or token, counted from 0"
        raise InputError(problem, place="MODEL", remedy=remedy) from error


def _judged(targets: Tensor) -> int:
    return int((targets != IGNORED).sum())


CLASSIFICATION = Task("classification", _class_loss, _accuracy, count=_judged, soft_loss=soft_cross_entropy)
"""Outputs (examples, classes), integer targets (examples,); accuracy in percent, ``IGNORED`` ones left out."""

LANGUAGE = Task(
    "language", _token_loss, _bits, "bits per character", False, count=_judged, soft_loss=soft_cross_entropy
)
"""Outputs (windows, tokens, vocabulary), integer targets (windows, tokens); bits a token, ``IGNORED`` ones left out."""

TASKS = {task.name: task for task in (CLASSIFICATION, LANGUAGE)}
"""The tasks that have a name."""


def task_of(task: Task | str) -> Task:
    """The task meant by a name, or the task itself.

    Raises:
        InputError: no task has that name.
    """
    if isinstance(task, Task):
        return task
    if isinstance(task, str) and task in TASKS:
        return TASKS[task]
    if task == "detection":
        remedy = "give a Task(name, loss, metric, ...) of your own, which may be anything that has a loss and a figure"
        raise InputError("the task 'detection' does not exist yet", place="Data.task", remedy=remedy)
    if isinstance(task, str):
        remedy = did_you_mean(task, TASKS, "the tasks") + "; anything else is a Task(name, loss, metric, ...)"
        raise InputError(f"there is no task {task!r}", place="Data.task", remedy=remedy)
    raise InputError(
        f"the task is a {type(task).__name__}",
        place="Data.task",
        remedy="give its name, or a nn_compression.tasks.Task",
    )
