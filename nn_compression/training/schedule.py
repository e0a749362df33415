"""How long, how fast and by which rule a network is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from automl_core.errors import InputError

__all__ = ["Schedule"]

_STEPS = (0.5, 0.75)
"""Where a step decay divides the learning rate by ten, as shares of the training (He et al. 2016, section 4.2)."""


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Args:
        epochs: passes over the training split; 0 leaves the network as it is.
        learning_rate: the highest one.
        batch: examples in a batch, at most.
        optimizer: "sgd" (with Nesterov momentum) or "adam" (with decoupled weight decay, AdamW).
        momentum: of "sgd".
        weight_decay: on weight matrices and kernels; biases and normalisations are spared.
        decay: "cosine" to zero, "step" (a tenth at a half and at three quarters) or "constant".
        warmup: epochs of a linear rise from zero before that; may be a fraction.
        clip_norm: largest norm of a step's gradient; ``None``: no limit.
        keep_best: end with the weights of the epoch that was best on the validation split, not of the last.
        precision: of the products in convolutions, linear and recurrent layers while training: "bfloat16" rounds what
            they multiply to 8 bits of significand, and adds up in 32 (torch.autocast). Faster on processors with
            matrix units for it (AMX) and on cards, slower elsewhere; weights and gradients' sums stay 32 bits wide.
        temperature: of the teacher's classes, with a teacher.
        teacher_share: share of the loss that is the teacher's, with a teacher.

    Raises:
        InputError: a field is out of range.
    """

    epochs: int
    learning_rate: float = 0.1
    batch: int = 128
    optimizer: Literal["sgd", "adam"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decay: Literal["cosine", "step", "constant"] = "cosine"
    warmup: float = 0.0
    clip_norm: float | None = None
    keep_best: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
    temperature: float = 4.0
    teacher_share: float = 0.7

    def __post_init__(self) -> None:
        sound = {
            "epochs": isinstance(self.epochs, int) and self.epochs >= 0,
            "learning_rate": 0 < self.learning_rate < math.inf,
            "batch": isinstance(self.batch, int) and self.batch >= 1,
            "optimizer": self.optimizer in ("sgd", "adam"),
            "momentum": 0 <= self.momentum < 1,
            "weight_decay": 0 <= self.weight_decay < math.inf,
            "decay": self.decay in ("cosine", "step", "constant"),
            "warmup": self.warmup >= 0,
            "clip_norm": self.clip_norm is None or self.clip_norm > 0,
            "precision": self.precision in ("float32", "bfloat16"),
            "temperature": self.temperature > 0,
            "teacher_share": 0 <= self.teacher_share <= 1,
        }
        for name, holds in sound.items():
            if not holds:
                remedy = "the docstring of nn_compression.training.schedule.Schedule gives the ranges"
                raise InputError(f"{name} cannot be {getattr(self, name)!r}", place="Schedule", remedy=remedy)

    def rate(self, time: float) -> float:
        """The learning rate at a moment.

        Args:
            time: epochs done so far, with the fraction of the current one.
        """
        if time < self.warmup:
            return self.learning_rate * max(time / self.warmup, 1e-3)
        rest = max(self.epochs - self.warmup, 1e-9)
        share = min((time - self.warmup) / rest, 1.0)
        if self.decay == "cosine":
            return self.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
        if self.decay == "step":
            return self.learning_rate * 0.1 ** sum(share >= step for step in _STEPS)
        return self.learning_rate
