"""Training: seeded, resumable to the bit, with a teacher or masks where wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from automl_core.errors import InputError
from nn_compression.data import SettledData
from nn_compression.evaluation import evaluate, evaluate_loss
from nn_compression.schedule import Schedule

__all__ = ["Diverged", "Epoch", "History", "Schedule", "evaluate", "evaluate_loss", "train"]


class Diverged(InputError):
    """The loss is not a number any more."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave.

    Args:
        number: from 1.
        learning_rate: at its end.
        loss: mean over its training batches.
        metric: on the validation split; ``None`` where it is not needed to choose the best epoch.
        seconds: wall time.
    """

    number: int
    learning_rate: float
    loss: float
    metric: float | None
    seconds: float


@dataclass(frozen=True)
class History:
    """What a training gave.

    Args:
        epochs: in order; also those before an interruption.
        best: number of the epoch whose weights the network has: the last, or the best on the validation split.
    """

    epochs: tuple[Epoch, ...]
    best: int


def train(
    model: nn.Module,
    data: SettledData,
    schedule: Schedule,
    *,
    seed: int,
    teacher: nn.Module | None = None,
    after_step: Callable[[], None] | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[Epoch], None] | None = None,
    device: torch.device | None = None,
) -> History:
    """Train a network in place.

    Args:
        model: with its initial weights, also when resumed; ends on the device and in the mode it was in.
        data: its training split is learnt from; its validation split chooses the epoch with ``schedule.keep_best``.
        schedule: how.
        seed: of the order of examples, the augmentation and the dropout.
        teacher: a network whose outputs are learnt too (distillation).
        after_step: called after every step of the optimizer: masks put their zeros back.
        checkpoint: a file kept after every epoch. Where it is there the training goes on from it, and ends with the
            weights to the bit that it would have had uninterrupted.
        progress: told of every epoch.
        device: where; by default CUDA where there is a card.

    Raises:
        Diverged: the loss is not a number; with the epoch, the learning rate and what to do.
        InputError: the checkpoint is of another training or damaged, or memory runs out.
    """
    raise NotImplementedError
