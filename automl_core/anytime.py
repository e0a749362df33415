"""How a study came along: the best design so far after every number of evaluations.

Two studies of different lengths are compared at the same number of evaluations by cutting both there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from automl_core.problem import Metrics, Trial
from automl_core.specs import Score, Specs

__all__ = ["Curve", "Quartiles", "Step", "quartiles"]


@dataclass(frozen=True)
class Step:
    """A trial that was better than all before it.

    Args:
        evaluations: charged by the end of this trial.
        trial: its number.
        metrics: what it reached.
        score: of these, by the specs of the comparison.
    """

    evaluations: int
    trial: int
    metrics: Metrics
    score: Score


class Curve:
    """The improvements of a study, in order.

    Args:
        steps: each better than the one before.
        specs: by which they are.
    """

    def __init__(self, steps: Iterable[Step], specs: Specs) -> None:
        self.steps = tuple(steps)
        self.specs = specs

    @classmethod
    def of(cls, trials: Iterable[Trial], specs: Specs) -> Curve:
        """The curve of a study's trials; failed and raced ones are charged, and never lead."""
        steps: list[Step] = []
        spent = 0
        for trial in trials:
            spent += trial.cost
            score = specs.judge(trial)
            if trial.status == "ok" and score.better_than(steps[-1].score if steps else None):
                steps.append(Step(spent, trial.number, trial.metrics, score))
        return cls(steps, specs)

    def as_json(self) -> list[dict[str, Any]]:
        """For the record; read by :meth:`from_json`."""
        return [{"evaluations": s.evaluations, "trial": s.trial, "metrics": dict(s.metrics)} for s in self.steps]

    @classmethod
    def from_json(cls, content: Sequence[Mapping[str, Any]], specs: Specs) -> Curve:
        """What :meth:`as_json` gave, scored anew."""
        steps = []
        for entry in content:
            metrics = {name: math.nan if value is None else value for name, value in entry["metrics"].items()}
            steps.append(Step(entry["evaluations"], entry["trial"], metrics, specs.score(metrics)))
        return cls(steps, specs)

    def best(self, at: float = math.inf) -> Step | None:
        """The best trial among those that were complete after ``at`` evaluations; ``None`` where there is none."""
        return next((step for step in reversed(self.steps) if step.evaluations <= at), None)

    def score(self, at: float = math.inf) -> Score:
        """Its score; before any design gave figures, that of a failed one."""
        step = self.best(at)
        return step.score if step is not None else Score(self.specs.worst_violation, feasible=False, merit=0.0)

    def to_specs(self, at: float = math.inf) -> float:
        """Evaluations until a design met all specs; ``inf`` where none did within ``at`` evaluations."""
        met = next((step.evaluations for step in self.steps if step.score.feasible), math.inf)
        return met if met <= at else math.inf


class Quartiles(NamedTuple):
    """The middle of a sample, and the half of it that lies around the middle."""

    low: float
    median: float
    high: float


def quartiles(values: Sequence[float]) -> Quartiles:
    """Quartiles, linear between neighbours as ``numpy.quantile`` has them, but sound where values are infinite.

    Between a finite value and an infinite one lies the infinite one; of no value at all the quartiles are NaN.
    """
    ordered = sorted(values)
    return Quartiles(*(_quantile(ordered, share) for share in (0.25, 0.5, 0.75)))


def _quantile(ordered: Sequence[float], share: float) -> float:
    if not ordered:
        return math.nan
    position = share * (len(ordered) - 1)
    below, above = ordered[math.floor(position)], ordered[math.ceil(position)]
    if below == above or position == math.floor(position):
        return below
    if math.isinf(below):
        return below
    return below + (position - math.floor(position)) * (above - below)
