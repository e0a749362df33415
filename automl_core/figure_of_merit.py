"""The figure of merit by which published sizing methods are compared.

FoM = sum of w (min(m, bound) - m_min) / (m_max - m_min) over the metrics, with m_min and m_max the least and the
greatest value among random designs, metrics that are to be small mirrored, and a negative FoM where a hard spec is
broken. Source: GCN-RL Circuit Designer (Wang et al., DAC 2020, arXiv 2005.00406), which takes 5,000 random samples.
The values depend on the circuit and the samples: they compare methods on one circuit, nothing else.

What is hard here is every bound of the specs. A metric with a bound alone is clipped at it, hence adds the same to
every design that meets it; one with a goal is not clipped, and is what the methods compete in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from automl_core.errors import InputError
from automl_core.problem import Metrics, Trial
from automl_core.specs import Spec, Specs

__all__ = ["FigureOfMerit", "Goal", "with_goals"]

Goal = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class FigureOfMerit:
    """The figure of merit of one problem.

    Args:
        specs: hard bounds, goals and weights.
        ranges: metric -> (least, greatest) value among random designs; one for every spec.
    """

    specs: Specs
    ranges: Mapping[str, tuple[float, float]]

    @classmethod
    def normalised_by(cls, samples: Iterable[Trial], specs: Specs) -> FigureOfMerit:
        """Take the ranges from random designs.

        Raises:
            InputError: a metric has fewer than two different values among them.
        """
        seen: dict[str, tuple[float, float]] = {}
        for trial in samples:
            for metric in specs.by_metric:
                value = trial.metrics.get(metric, math.nan)
                if math.isfinite(value):
                    low, high = seen.get(metric, (value, value))
                    seen[metric] = (min(low, value), max(high, value))
        for metric in specs.by_metric:
            low, high = seen.get(metric, (0.0, 0.0))
            if not low < high:
                raise InputError(
                    f"{metric!r} does not vary over the random designs, so it cannot be normalised",
                    remedy="take more random designs, or leave its spec out",
                )
        return cls(specs, seen)

    def __call__(self, metrics: Metrics) -> float:
        """FoM of a design by its metrics: negative, the violation with its sign turned, where a spec is broken."""
        score = self.specs.score(metrics)
        if not score.feasible:
            return -score.violation
        return sum(spec.weight * self._share(spec, metrics[spec.metric]) for spec in self.specs.specs)

    def of_goals(self, metrics: Metrics) -> float:
        """The same, of the goals alone: without what every design that meets the specs gets for meeting them."""
        score = self.specs.score(metrics)
        if not score.feasible:
            return -score.violation
        return sum(spec.weight * self._share(spec, metrics[spec.metric]) for spec in self.specs.goals)

    def _share(self, spec: Spec, value: float) -> float:
        """Where a value lies in its range, 0 at the bad end and 1 at the good one; clipped at the bound of no goal."""
        low, high = self.ranges[spec.metric]
        if spec.goal is None and spec.minimum is not None and spec.maximum is not None:
            return 1.0
        if spec.goal == "minimize" or (spec.goal is None and spec.minimum is None):
            value = value if spec.goal or spec.maximum is None else max(value, spec.maximum)
            return (high - value) / (high - low)
        value = value if spec.goal or spec.minimum is None else min(value, spec.minimum)
        return (value - low) / (high - low)


def with_goals(specs: Specs, goals: Mapping[str, Goal], ranges: Mapping[str, tuple[float, float]]) -> Specs:
    """The same bounds, with goals whose merit is counted in the ranges of random designs.

    The merit of a design that meets all specs is then its figure of merit but for a constant, so that whoever
    optimises by these specs optimises the figure of merit.

    Args:
        specs: the bounds.
        goals: metric -> what to do once all bounds are met; goals of ``specs`` that are not named here are dropped.
        ranges: metric -> (least, greatest).

    Raises:
        InputError: a goal names a metric without a spec.
    """
    if unknown := [metric for metric in goals if metric not in specs.by_metric]:
        raise InputError(f"the goal {unknown[0]!r} has no spec", remedy=f"known are {', '.join(specs.by_metric)}")
    return Specs(
        replace(spec, goal=goals[spec.metric], scale=ranges[spec.metric][1] - ranges[spec.metric][0])
        if spec.metric in goals
        else replace(spec, goal=None)
        for spec in specs.specs
    )
