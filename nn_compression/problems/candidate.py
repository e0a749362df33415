"""What a compressed network is worth before it is trained again: recalibrated, then judged on the validation split."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn

from automl_core.errors import EvaluationError, InputError
from automl_core.specs import Spec
from nn_compression.channels.recalibration import recalibrate
from nn_compression.data import Split
from nn_compression.problems.network import Network
from nn_compression.tasks import CLASSIFICATION, LANGUAGE, Task
from nn_compression.training.devices import best_device, laid_out, lay_out
from nn_compression.training.evaluation import evaluate

__all__ = ["Examiner", "Judging", "faults_of_the_network", "metric_name", "metric_spec"]

_NAMES = {CLASSIFICATION.name: "accuracy", LANGUAGE.name: "bits_per_character"}
_SCALES = {"%": 100.0}
"""What counts as 1 of a metric in this unit, as in AMC's reward; 1 of any other."""


@dataclass(frozen=True)
class Judging:
    """How a candidate is judged.

    Args:
        validation: examples of the validation split; ``None``: all of them.
        recalibration: training examples that batch norms take their statistics from, and the ranges of activations;
            0: those stay as they were, these are taken from as many as usual.
        reconstruction: training examples on which layers that lost inputs are refitted to what the whole network
            computes (least squares); 0: they keep their weights.
        batch: examples at a time.
    """

    validation: int | None = 2000
    recalibration: int = 512
    reconstruction: int = 2048
    batch: int = 100


def metric_name(task: Task) -> str:
    """What the figure of a task is called among the metrics of a trial."""
    return _NAMES.get(task.name, task.name)


def metric_spec(task: Task) -> Spec:
    """The goal of a search: the task's figure, as good as it will be."""
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

    def judge(self, model: nn.Module) -> float:
        """The task's metric; the model is altered on the way.

        Raises:
            EvaluationError: it is not a finite number, or the network fails.
        """
        with faults_of_the_network():
            model = model.to(self._device).eval()
            if self.split.inputs.ndim == 4:
                lay_out(model, self._network.layout)
            if self.judging.recalibration:
                recalibrate(model, self.training_inputs, forward=self._data.task.forward)
            value = evaluate(model, self.split, self._data.task, batch=self.judging.batch)
        if not math.isfinite(value):
            raise EvaluationError(f"the {metric_name(self._data.task)} is {value}")
        return value


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
