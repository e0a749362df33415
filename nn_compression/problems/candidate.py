"""What a compressed network is worth before it is trained again: recalibrated, then judged on the validation split."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn

from automl_core.errors import EvaluationError, InputError
from automl_core.specs import Spec
from nn_compression.channels.recalibration import recalibrate
from nn_compression.data import Split
from nn_compression.graph.data_flow import tensors_in
from nn_compression.problems.network import Network
from nn_compression.tasks import CLASSIFICATION, LANGUAGE, Task
from nn_compression.training.devices import best_device, laid_out, lay_out
from nn_compression.training.evaluation import figure_of, look_at, outputs_of

__all__ = ["DIVERGENCE", "Examiner", "Judging", "faults_of_the_network", "goal_spec", "metric_name", "metric_spec"]

DIVERGENCE = "divergence"
"""What the outputs of a candidate differ from the whole network's by: the task's soft loss at temperature 1, less what
it is of the whole network's own outputs. Of classes and tokens this is the Kullback-Leibler divergence, in nats."""

_NAMES = {CLASSIFICATION.name: "accuracy", LANGUAGE.name: "bits_per_character"}
_SCALES = {"%": 100.0}
"""What counts as 1 of a metric in this unit, as in AMC's reward; 1 of any other."""
_KEPT = 2**30
"""Bytes of the whole network's outputs that are kept for comparisons; more are computed again each time."""


@dataclass(frozen=True)
class Judging:
    """How a candidate is judged.

    Args:
        by: what designs are ordered by. "outputs": how near a candidate's outputs are to the whole network's, on the
            validation examples, as the task's soft loss counts it; "metric": the task's metric, as AMC and HAQ do. The
            accuracies of two candidates that disagree on a tenth of 2,000 images differ by 0.7 points by chance (a
            standard deviation, the root of a tenth over 2,000); outputs tell more than classes do. A task without a
            soft loss goes by its metric.
        validation: examples of the validation split; ``None``: all of them.
        recalibration: training examples that batch norms take their statistics from, and the ranges of activations;
            0: those stay as they were, these are taken from as many as usual.
        reconstruction: training examples on which layers that lost inputs are refitted to what the whole network
            computes (least squares); 0: they keep their weights.
        batch: examples at a time.
    """

    by: Literal["outputs", "metric"] = "outputs"
    validation: int | None = 2000
    recalibration: int = 512
    reconstruction: int = 2048
    batch: int = 100


def metric_name(task: Task) -> str:
    """What the figure of a task is called among the metrics of a trial."""
    return _NAMES.get(task.name, task.name)


def goal_spec(task: Task, judging: Judging) -> Spec:
    """What designs are ordered by."""
    if judging.by == "outputs" and task.soft_loss is not None:
        return Spec(DIVERGENCE, goal="minimize", unit="nats")
    return metric_spec(task)


def metric_spec(task: Task) -> Spec:
    """The task's figure, as good as it will be."""
    goal: Literal["maximize", "minimize"] = "maximize" if task.higher_is_better else "minimize"
    return Spec(metric_name(task), goal=goal, unit=task.unit, scale=_SCALES.get(task.unit, 1.0))


class Examiner:
    """Judges candidates, always on the same examples.

    Args:
        network: what candidates are made of; the validation split of its data judges, the training split recalibrates.
        judging: how.
        seed: draws the examples, where not all are used.
    """

    def __init__(self, network: Network, judging: Judging, seed: int) -> None:
        self.judging = judging
        self._network, self._data, self._seed = network, network.data, seed
        self._device = best_device()

    @cached_property
    def split(self) -> Split:
        """What candidates are judged on."""
        whole = self._data.validation
        chosen = self._drawn(len(whole), self.judging.validation)
        inputs = laid_out(whole.inputs[chosen], self._device, self._network.layout)
        return Split(inputs, whole.targets[chosen].to(self._device))

    @cached_property
    def _whole(self) -> nn.Module:
        return self._placed(copy.deepcopy(self._network.model))

    def _placed(self, model: nn.Module) -> nn.Module:
        model = model.to(self._device).eval()
        if self.split.inputs.ndim == 4:
            lay_out(model, self._network.layout)
        return model

    def _taught(self) -> Iterator[Any]:
        """The outputs of the whole network, batch by batch: kept, where there is room for them."""
        if self._kept is not None:
            return iter(self._kept)
        return (
            outputs_of(self._whole, self._data.task, inputs) for inputs, _ in self.split.batches(self.judging.batch)
        )

    @cached_property
    def _kept(self) -> list[Any] | None:
        kept: list[Any] = []
        room = _KEPT
        with torch.no_grad():
            for inputs, _ in self.split.batches(self.judging.batch):
                kept.append(outputs_of(self._whole, self._data.task, inputs))
                room -= sum(each.nbytes for each in tensors_in([kept[-1]]))
                if room < 0:
                    return None
        return kept

    @property
    def _compares(self) -> bool:
        return goal_spec(self._data.task, self.judging).metric == DIVERGENCE

    @cached_property
    def training_inputs(self) -> Tensor:
        """What candidates are recalibrated on."""
        return self.training_examples(self.judging.recalibration).to(self._device)

    @property
    def calibration_inputs(self) -> Tensor:
        """What the ranges of activations are taken from: there must be some."""
        if self.judging.recalibration:
            return self.training_inputs
        return self.training_examples(Judging.recalibration).to(self._device)

    def training_examples(self, count: int) -> Tensor:
        """Inputs of the training split, at most so many, on the CPU."""
        inputs = self._data.train.inputs
        return laid_out(inputs[self._drawn(len(inputs), count)], torch.device("cpu"), self._network.layout)

    def _drawn(self, whole: int, count: int | None) -> Tensor:
        generator = torch.Generator().manual_seed(self._seed)
        return torch.randperm(whole, generator=generator)[:count].sort().values

    def judge(self, model: nn.Module) -> dict[str, float]:
        """The task's metric and, where designs are ordered by it, the divergence; the model is altered on the way.

        Raises:
            EvaluationError: a figure is not a finite number, or the network fails.
        """
        with faults_of_the_network():
            model = self._placed(model)
            if self.judging.recalibration:
                recalibrate(model, self.training_inputs, forward=self._data.task.forward)
            figures = self._figures(model)
        for name, value in figures.items():
            if not math.isfinite(value):
                raise EvaluationError(f"the {name} is {value}")
        return figures

    def _figures(self, model: nn.Module) -> dict[str, float]:
        task, metric = self._data.task, metric_name(self._data.task)
        taught = self._taught() if self._compares else None
        totals, counted = dict.fromkeys([metric] if taught is None else [metric, DIVERGENCE], 0.0), 0

        def see(made: Any, targets: Tensor) -> None:
            nonlocal counted
            whole = None if taught is None else next(taught)
            if count := task.count(targets):  # a mean over nothing is not a number
                counted += count
                totals[metric] += figure_of(task.metric, made, targets) * count
                if taught is not None:
                    totals[DIVERGENCE] += _divergence(task, made, whole) * count

        look_at(model, self.split, task, see, batch=self.judging.batch)
        return {name: total / max(counted, 1) for name, total in totals.items()}


def _divergence(task: Task, made: Any, taught: Any) -> float:
    if task.soft_loss is None:
        return math.nan
    return float(task.soft_loss(made, taught, 1.0) - task.soft_loss(taught, taught, 1.0))


@contextmanager
def faults_of_the_network() -> Iterator[None]:
    """Whatever a user's module raises is the candidate's fault, not the search's.

    Raises:
        EvaluationError: something was raised.
    """
    try:
        yield
    except EvaluationError:
        raise
    except InputError as error:
        raise EvaluationError(error.problem, place=error.place, remedy=error.remedy) from error
    except Exception as error:  # the code is the user's: anything may come
        said = str(error).strip().splitlines()
        raise EvaluationError(f"{type(error).__name__}{': ' + said[0] if said else ''}") from error
