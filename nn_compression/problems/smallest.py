"""The smallest network within a drop of its metric: a problem of compression without its budget."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from automl_core.problem import Evaluation
from automl_core.space import DesignSpace, Point
from automl_core.specs import Spec, Specs
from nn_compression.problems.budget import METRICS
from nn_compression.problems.candidate import metric_spec
from nn_compression.problems.network_problem import NetworkProblem

__all__ = ["SmallestProblem"]


class SmallestProblem:
    """All designs are legal; the cost is what is lowered, and the task's metric is what must hold.

    Args:
        inner: the same problem under a budget that all designs are within.
        drop: how much worse than ``whole`` the metric may be, in its unit.
        whole: the metric before compression, as the inner problem's examiner judges it.
    """

    scenarios = ("",)

    def __init__(self, inner: NetworkProblem, drop: float, whole: float) -> None:
        self.inner, self.drop, self.whole = inner, drop, whole

    @cached_property
    def space(self) -> DesignSpace:
        """As the inner problem's, begun at the whole network."""
        variables = [replace(variable, start=variable.decode(1.0)) for variable in self.inner.space.variables]
        return DesignSpace(variables, self.inner.space.nodes, self.inner.space.edges)

    @cached_property
    def specs(self) -> Specs:
        """The metric within the drop; the cost as small as it will be."""
        spec, limit = metric_spec(self.inner.network.data.task), self.inner.limit
        held = (
            replace(spec, goal=None, minimum=self.whole - self.drop)
            if spec.goal == "maximize"
            else replace(spec, goal=None, maximum=self.whole + self.drop)
        )
        cost = Spec(limit.metric, goal="minimize", scale=self.inner.base_cost, unit=METRICS[limit.metric])
        return Specs([held, cost])

    def cost_of(self, point: Point) -> float:
        """What a design costs."""
        return self.inner.cost_of(point)

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """As the inner problem."""
        return self.inner.evaluate(point, scenario, seed)
