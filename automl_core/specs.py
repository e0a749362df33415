"""Specs: what a design must reach, and how that orders designs.

A feasible design beats an infeasible one. Infeasible ones are ordered by the weighted sum of normalised violations,
feasible ones by the figure of merit. A violation saturates: a shortfall of d times the scale counts d / (1 + d), so
that no single metric drowns the others, and a metric that could not be measured counts 1, more than any that could.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from automl_core.errors import InputError

if TYPE_CHECKING:
    from automl_core.problem import Trial

__all__ = ["Score", "Spec", "Specs"]


@dataclass(frozen=True)
class Score:
    """How good a design is.

    Args:
        violation: weighted sum of normalised violations; 0 for a design that meets every spec.
        feasible: every spec is met.
        merit: weighted sum of the normalised goals; larger is better; only feasible designs are ordered by it.
    """

    violation: float
    feasible: bool
    merit: float

    def better_than(self, other: Score | None) -> bool:
        """Whether this design strictly beats the other one."""
        return other is None or self._order < other._order

    @property
    def _order(self) -> tuple[bool, float, float]:
        return (not self.feasible, self.violation, -self.merit if self.feasible else 0.0)

    @property
    def loss(self) -> float:
        """One finite number in the same order: the violation, or below 0 for a feasible design. Smaller is better."""
        if not self.feasible:
            return self.violation
        return -0.5 * (1.0 + self.merit / (1.0 + abs(self.merit)))


@dataclass(frozen=True)
class Spec:
    """What one metric must reach.

    Args:
        metric: name of the metric.
        minimum: least acceptable value, in the metric's unit.
        maximum: greatest acceptable value.
        goal: what to do once all specs are met.
        weight: of the violation and of the goal.
        unit: for people.
        scale: the shortfall or the gain that counts as 1; the larger bound's magnitude by default.

    Raises:
        InputError: no bound and no goal, bounds that exclude each other, or no scale to be had.
    """

    metric: str
    minimum: float | None = None
    maximum: float | None = None
    goal: Literal["minimize", "maximize"] | None = None
    weight: float = 1.0
    unit: str = ""
    scale: float | None = None

    def __post_init__(self) -> None:
        if self.minimum is None and self.maximum is None and self.goal is None:
            self._refuse("has neither a bound nor a goal", "add min, max or goal")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            self._refuse(
                f"min <= max must hold, but min is {self.minimum:g} and max is {self.maximum:g}", "correct them"
            )
        if not (math.isfinite(self.weight) and self.weight > 0):
            self._refuse(f"weight must be positive, but is {self.weight:g}", "give a positive weight")
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale > 0):
            self._refuse(f"scale must be positive, but is {self.scale:g}", "give a positive scale")
        if self.scale is None and self.bounds and not any(self.bounds):
            self._refuse("a bound of 0 alone gives no scale", "add a scale: the shortfall that counts as 1")

    def _refuse(self, problem: str, remedy: str) -> None:
        raise InputError(f"spec {self.metric!r}: {problem}", remedy=remedy)

    @cached_property
    def bounds(self) -> tuple[float, ...]:
        """The bounds that are given."""
        return tuple(bound for bound in (self.minimum, self.maximum) if bound is not None)

    @cached_property
    def normaliser(self) -> float:
        """What a shortfall or a gain is divided by."""
        return self.scale or max((abs(bound) for bound in self.bounds), default=1.0)

    def margin(self, value: float) -> float:
        """Distance to the nearest bound, in the metric's unit; negative where the spec is violated, NaN stays NaN."""
        if value != value:
            return math.nan
        above = math.inf if self.minimum is None else value - self.minimum
        below = math.inf if self.maximum is None else self.maximum - value
        return above if above < below else below

    def met(self, value: float) -> bool:
        """Whether ``value`` is a number within the bounds."""
        return self.margin(value) >= 0

    def violation(self, value: float) -> float:
        """Normalised violation in [0, 1], before weighting; 1 where ``value`` is not a number."""
        margin = self.margin(value)
        if margin >= 0:
            return 0.0
        if math.isfinite(margin):
            shortfall = -margin / self.normaliser
            return shortfall / (1.0 + shortfall)
        return 1.0

    def merit(self, value: float) -> float:
        """Normalised goal, before weighting: 0 at the bound (or at 0), larger is better."""
        if self.goal is None or math.isnan(value):
            return 0.0
        if self.goal == "minimize":
            return ((self.maximum or 0.0) - value) / self.normaliser
        return (value - (self.minimum or 0.0)) / self.normaliser

    def worst(self, values: Iterable[float]) -> float:
        """The value that violates most, then the one of least merit, then the one nearest to a bound."""
        return max(values, key=lambda value: (self.violation(value), -self.merit(value), -self.margin(value)))


class Specs:
    """All specs of a problem.

    Args:
        specs: at least one, one a metric.

    Raises:
        InputError: two specs for one metric, none at all, or several goals without a common scale.
    """

    def __init__(self, specs: Iterable[Spec]) -> None:
        self.specs = tuple(specs)
        self.by_metric = {spec.metric: spec for spec in self.specs}
        if not self.specs:
            raise InputError("there are no specs", remedy="say what the design must reach")
        if len(self.by_metric) != len(self.specs):
            raise InputError("two specs name the same metric", remedy="join them: one spec takes min and max")
        if len(self.goals) > 1 and self.unscaled:
            raise InputError(
                f"goal {self.unscaled[0].metric!r} has no bound and no scale to be weighed against the other goals",
                remedy="add a scale: the gain that counts as 1",
            )

    @property
    def goals(self) -> tuple[Spec, ...]:
        """The specs that ask for more than their bounds."""
        return tuple(spec for spec in self.specs if spec.goal is not None)

    @property
    def unscaled(self) -> tuple[Spec, ...]:
        """The goals that have neither bound nor scale: one at most, and then there is no other goal."""
        return tuple(spec for spec in self.goals if not spec.bounds and spec.scale is None)

    def scaled_by(self, values: Mapping[str, float]) -> Specs:
        """The same specs, where a goal without bound and scale has the magnitude of a known value as its scale.

        Designs keep their order, for such a goal is the only one. But a supply current in amperes is 1e-4 or so: by a
        scale of 1, all designs would be worth the same to whoever learns from their loss.

        Args:
            values: of metrics; one that is 0 or not finite gives no scale, and 1 stays.
        """
        scales = {spec.metric: abs(values.get(spec.metric, math.nan)) for spec in self.unscaled}
        scales = {metric: scale for metric, scale in scales.items() if scale and math.isfinite(scale)}
        if not scales:
            return self
        return Specs(replace(spec, scale=scales.get(spec.metric, spec.scale)) for spec in self.specs)

    @property
    def worst_violation(self) -> float:
        """Violation of a failed trial: finite, and above that of any design that could be measured."""
        return sum(spec.weight for spec in self.specs) + 1.0

    def score(self, metrics: Mapping[str, float]) -> Score:
        """Order a design by its metrics; a metric that is absent or NaN violates its spec entirely."""
        values = [(spec, metrics.get(spec.metric, math.nan)) for spec in self.specs]
        violation = sum(spec.weight * spec.violation(value) for spec, value in values)
        merit = sum(spec.weight * spec.merit(value) for spec, value in values if spec.goal is not None)
        return Score(violation, feasible=violation == 0 and all(spec.met(value) for spec, value in values), merit=merit)

    def judge(self, trial: Trial) -> Score:
        """Score of a trial: a failed one ranks finitely worst, a raced one by what is known of it."""
        if trial.status in ("failed", "timeout"):
            return Score(self.worst_violation, feasible=False, merit=0.0)
        return self.score(trial.metrics)

    def worst(self, by_scenario: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        """The worst value of each metric over scenarios; metrics without a spec as in the first scenario."""
        scenarios = list(by_scenario.values())
        worst = dict(scenarios[0]) if scenarios else {}
        if len(scenarios) > 1:
            for metric, spec in self.by_metric.items():
                worst[metric] = spec.worst([metrics.get(metric, math.nan) for metrics in scenarios])
        return worst
