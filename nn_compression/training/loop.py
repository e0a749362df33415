"""Training: seeded, resumable to the bit, with a teacher or masks where wanted."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from automl_core.errors import InputError
from nn_compression.data import SettledData
from nn_compression.files.user_code import blaming
from nn_compression.training.checkpoint import (
    Epoch,
    Standing,
    identity,
    optimizer_tensors,
    read_standing,
    restore_optimizer,
    write_standing,
)
from nn_compression.training.devices import best_device, laid_out, layout_of, memory_told, placed
from nn_compression.training.evaluation import evaluate, evaluate_loss, outputs_of
from nn_compression.training.finite import broken_weights, named_break
from nn_compression.training.schedule import Schedule

__all__ = ["Diverged", "Epoch", "History", "NotFinite", "Schedule", "evaluate", "evaluate_loss", "train"]

_LOOKED_AT = 32
"""Steps between looks at the loss on a card, which must be waited for."""


class NotFinite(InputError):
    """The loss is not a number."""


class Diverged(NotFinite):
    """... any more: what it is taken of is finite, so that the steps were too large."""


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
            weights to the bit that it would have had uninterrupted (on the CPU).
        progress: told of every epoch.
        device: where; by default CUDA where there is a card.

    Raises:
        NotFinite: the loss is not a number; with the epoch, the cause and what to do.
        Diverged: it was one, or all weights were, and the steps were too large; with the learning rate.
        InputError: the checkpoint is of another training or damaged, the task has no use for a teacher, or memory runs
            out.
    """
    place, mode = device or best_device(), model.training
    if teacher is not None and data.task.soft_loss is None:
        remedy = "give the Task a soft_loss, or train without a teacher"
        raise InputError(f"the task {data.task.name!r} has no soft loss to learn from a teacher by", remedy=remedy)
    taught = None if teacher is None else teacher.state_dict()
    known = {} if checkpoint is None else identity(model.state_dict(), data, schedule, seed, taught)
    layout = layout_of([model] if teacher is None else [model, teacher], data.train.inputs, data.task.forward, place)
    remedy = f"take smaller batches than {schedule.batch}, or a smaller network"
    with memory_told("training", remedy), placed(model, place, layout):
        course = _Course(model, data, schedule, seed, _frozen(teacher, place), after_step or _nothing, place, layout)
        if checkpoint is not None and checkpoint.exists():
            course.resume(read_standing(checkpoint, known))
        try:
            while len(course.epochs) < schedule.epochs:
                epoch = course.epoch()
                if checkpoint is not None:
                    write_standing(checkpoint, course.standing(), known)
                if progress is not None:
                    progress(epoch)
        finally:
            model.train(mode)
        return course.finished()


def _nothing() -> None:
    pass


def _frozen(teacher: nn.Module | None, place: torch.device) -> nn.Module | None:
    return None if teacher is None else copy.deepcopy(teacher).to(place).eval().requires_grad_(False)


class _Course:
    """A training between two epochs."""

    def __init__(
        self,
        model: nn.Module,
        data: SettledData,
        schedule: Schedule,
        seed: int,
        teacher: nn.Module | None,
        after_step: Callable[[], None],
        place: torch.device,
        layout: torch.memory_format,
    ) -> None:
        self.epochs: list[Epoch] = []
        self._best, self._kept = 0, dict[str, Tensor]()
        self._model, self._data, self._schedule, self._seed = model, data, schedule, seed
        self._teacher, self._after_step, self._place, self._layout = teacher, after_step, place, layout
        self._optimizer = _optimizer(model, schedule)
        self._train = data.train.to(place)
        self._broken_weights = broken_weights(model)

    def resume(self, standing: Standing) -> None:
        """Go back to where a training stood."""
        self._model.load_state_dict(standing.model)
        restore_optimizer(self._optimizer, standing.optimizer)
        self.epochs, self._best = list(standing.epochs), standing.best
        self._kept = dict(standing.kept or standing.model)  # the best epoch so far may be the last

    def standing(self) -> Standing:
        """Where it stands."""
        state, optimizer = self._model.state_dict(), optimizer_tensors(self._optimizer)
        kept = self._kept if self._best < len(self.epochs) else {}
        return Standing(tuple(self.epochs), self._best, state, kept, optimizer)

    def finished(self) -> History:
        """Leave the network with the weights of the epoch that counts.

        Raises:
            Diverged: the last step was too large for them.
        """
        if self._best < len(self.epochs):
            self._model.load_state_dict(self._kept)
        if self._broken_weights is None and (broken := broken_weights(self._model)):
            problem = f"{broken!r} holds NaN or infinity after epoch {self._best} of {self._schedule.epochs}"
            raise self._diverged(problem, self._best)
        return History(tuple(self.epochs), self._best)

    def epoch(self) -> Epoch:
        """One pass over the training split; what is random in it depends on the seed and its number alone."""
        start, number = time.perf_counter(), len(self.epochs) + 1
        derived = int(np.random.SeedSequence([self._seed, number]).generate_state(1, np.uint64)[0] >> 1)
        self._model.train()
        with torch.random.fork_rng(devices=[self._place] if self._place.type == "cuda" else []):
            torch.manual_seed(derived)
            loss, rate = self._pass(number, torch.Generator().manual_seed(derived))
        metric = None
        if self._schedule.keep_best:
            metric = evaluate(self._model, self._data.validation, self._data.task)
        self._choose(number, metric)
        self.epochs.append(Epoch(number, rate, loss, metric, time.perf_counter() - start, self._best))
        return self.epochs[-1]

    def _choose(self, number: int, metric: float | None) -> None:
        if metric is not None and self._best and self._worse(metric):
            return
        self._best = number
        if metric is not None:
            self._kept = {name: tensor.clone() for name, tensor in self._model.state_dict().items()}

    def _worse(self, metric: float) -> bool:
        """Than that of the best epoch. What is no number is worse than any; a checkpoint holds ``None`` for it."""
        best = self.epochs[self._best - 1].metric
        if best is None or math.isnan(best):
            return False
        return math.isnan(metric) or (metric < best if self._data.task.higher_is_better else metric > best)

    def _pass(self, number: int, generator: torch.Generator) -> tuple[float, float]:
        total, steps, rate, time = torch.zeros((), device=self._place), 0, 0.0, float(number - 1)
        expected = -(-len(self._train) // self._schedule.batch)
        every = 1 if self._place.type == "cpu" else _LOOKED_AT
        for inputs, targets in self._train.batches(self._schedule.batch, generator):
            time = number - 1 + min(steps / expected, 1.0)
            rate = self._schedule.rate(time)
            if self._data.augment is not None:
                with blaming("altering training inputs"):
                    inputs = self._data.augment(inputs, generator)
            total += self._step(laid_out(inputs, self._place, self._layout), targets.to(self._place), rate)
            steps += 1
            if steps % every == 0 or steps == 1:
                self._look(float(total), time)
        self._look(float(total), time)
        return float(total) / max(steps, 1), rate

    def _step(self, inputs: Tensor, targets: Tensor, rate: float) -> Tensor:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        with blaming("training the network"):
            loss = self._loss(inputs, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        if self._schedule.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._model.parameters(), self._schedule.clip_norm)
        self._optimizer.step()
        self._after_step()
        return loss.detach()

    def _loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        task, schedule = self._data.task, self._schedule
        outputs = self._outputs(self._model, inputs)
        loss = task.loss(outputs, targets)
        if self._teacher is None or task.soft_loss is None:
            return loss
        with torch.no_grad():
            taught = self._outputs(self._teacher, inputs)
        soft = task.soft_loss(outputs, taught, schedule.temperature)
        return (1 - schedule.teacher_share) * loss + schedule.teacher_share * soft

    def _outputs(self, model: nn.Module, inputs: Tensor) -> Any:
        """Of the network or its teacher; losses are taken of 32 bits."""
        narrow = self._schedule.precision == "bfloat16"
        with torch.autocast(self._place.type, torch.bfloat16, enabled=narrow):
            outputs = outputs_of(model, self._data.task, inputs)
        is_narrow = isinstance(outputs, Tensor) and outputs.dtype == torch.bfloat16
        return outputs.float() if is_narrow else outputs

    def _look(self, total: float, time: float) -> None:
        """Go on where the loss is a number.

        Raises:
            NotFinite: it is none, and why.
        """
        if math.isfinite(total):
            return
        problem = f"the loss is {total} in epoch {int(time) + 1} of {self._schedule.epochs}"
        if found := named_break(self._data.train, self._broken_weights):
            slower = self._slower(time)
            remedy = f"correct them (torch.isfinite finds them); where the network takes care of them, {slower}"
            raise NotFinite(f"{problem}: {found}", place="training", remedy=remedy)
        if time == 0:
            remedy = "inputs, targets and weights are finite: see what the network and its loss make of them"
            raise NotFinite(f"{problem}, before the first step", place="training", remedy=remedy)
        raise self._diverged(problem, time)

    def _diverged(self, problem: str, time: float) -> Diverged:
        problem = f"{problem}, at a learning rate of up to {self._highest(time):.3g}"
        return Diverged(problem, place="training", remedy=f"{self._slower(time)}, or limit the gradient's norm")

    def _slower(self, time: float) -> str:
        return f"lower the learning rate (--lr {self._highest(time) / 10:.2g})"

    def _highest(self, time: float) -> float:
        """The highest learning rate until then."""
        return self._schedule.rate(min(time, self._schedule.warmup))


def _optimizer(model: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [each for each in trained if each.ndim > 1], "weight_decay": schedule.weight_decay},
        {"params": [each for each in trained if each.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise InputError("the network has no weights to train", remedy="a parameter must require its gradient")
    if schedule.optimizer == "adam":
        return torch.optim.AdamW(groups, lr=schedule.learning_rate)
    nesterov = schedule.momentum > 0
    return torch.optim.SGD(groups, lr=schedule.learning_rate, momentum=schedule.momentum, nesterov=nesterov)
