"""What the agent's own thinking costs an evaluation, its model's training apart: batches of 8, 20 variables.

The problem costs nothing, so that all the time is the agent's: what it learns for its policy, imagines and proposes.
The training of the model of metrics is timed apart and shown beside it. Processor time of one thread, the median ask.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

from automl_core.agent.model import MetricModel
from automl_core.budget import Budget
from automl_core.optimizers import make
from automl_core.testing import Rosenbrock, trial_of
from figures import Args, Figures, parse, run

BATCH, VARIABLES = 8, 20


@dataclass(frozen=True)
class OverheadArgs(Args):
    """The options of this benchmark."""


class Timed:
    """A function, and the processor time that its calls took."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.seconds = function, 0.0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it."""
        began = time.thread_time()
        try:
            return self.function(*arguments, **named)
        finally:
            self.seconds += time.thread_time() - began


def milliseconds(name: str, asks: int, seed: int) -> tuple[float, float]:
    """For an evaluation, after 100 evaluations: the agent's own, and that of training its model."""
    problem = Rosenbrock(VARIABLES)
    optimizer = make(name, problem.space, problem.specs, seed, Budget(2000))
    fit = Timed(MetricModel.fit)
    own: list[float] = []
    training: list[float] = []
    number = 0
    with mock.patch.object(MetricModel, "fit", lambda model, *given, **named: fit(model, *given, **named)):
        while len(own) < asks:
            before, began = fit.seconds, time.thread_time()
            asked = optimizer.ask(BATCH)
            spent, trained = time.thread_time() - began, fit.seconds - before
            trials = [trial_of(problem, number + i, row) for i, row in enumerate(asked)]
            number += len(trials)
            began = time.thread_time()
            optimizer.tell(trials)
            spent += time.thread_time() - began
            if number > 100:
                own.append((spent - trained) / len(trials) * 1e3)
                training.append(trained / len(trials) * 1e3)
    return statistics.median(own), statistics.median(training)


def main() -> int:
    """Measure, print, and say whether every bar was met."""
    args = parse(OverheadArgs, __doc__)
    table = Figures(args)
    for name in ("seq2seq", "gcn", "seq2seq-no-model", "gcn-no-model"):
        own, training = milliseconds(name, 5 if args.quick else 40, args.seed)
        table.add(f"{name}: own ms an evaluation", own, "<= 10")
        if training:
            table.add(f"{name}: ms of training its model", training)
    return table.finish()


if __name__ == "__main__":
    run(main)
