"""What all problems of compression share: the budget, the legal designs, and the way a candidate is judged."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from torch import nn

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from automl_core.one_thread import one_thread
from automl_core.problem import Allowed, Evaluation, Observations
from automl_core.space import DesignSpace, Point, Value, Variable
from automl_core.specs import Spec, Specs
from nn_compression.graph.layer import within
from nn_compression.problems.budget import METRICS, CostLimit
from nn_compression.problems.candidate import Examiner, Judging, faults_of_the_network, goal_spec
from nn_compression.problems.costs import Cost
from nn_compression.problems.grid import Grid
from nn_compression.problems.legal import LegalDesigns
from nn_compression.problems.network import Network, NetworkReference

__all__ = ["NetworkProblem", "refuse_unknown"]


class NetworkProblem(ABC):
    """A network under a budget.

    Everything is decided by the reference and the settings, which is all that is pickled; network and data are loaded
    once in each process. A design is evaluated on one thread: take worker processes for more.

    Args:
        reference: the network and its data.
        limit: what it may cost.
        judging: how candidates are judged.

    Attributes:
        space: what can be chosen; its start is the uniform design, repaired.
        legal: the designs within the budget that use it up.
        base_cost: what the network costs before compression, in the budget's metric.

    Raises:
        InputError: the network cannot be loaded, nothing of it can be chosen, or the budget cannot be reached.
    """

    scenarios = ("",)

    def __init__(self, reference: NetworkReference, limit: CostLimit, judging: Judging) -> None:
        self.reference, self.limit, self.judging = reference, limit, judging
        self.network: Network = reference.load()
        space = self._space()
        if not space.variables:
            raise InputError(
                "there is nothing to choose in this network",
                remedy="keep fewer of its layers (--keep), or round to less (--round-to)",
            )
        self.grid = Grid(space)
        with one_thread():
            self.cost = self._cost()
        self.base_cost = self._base_cost()
        self.bound = limit.bound(self.base_cost)
        unit = METRICS[limit.metric]
        self.legal = LegalDesigns(self.grid, self.cost, self.bound, metric=limit.metric, unit=unit, base=self.base_cost)
        uniform = self.legal.repair(self.grid.point(self.grid.top))
        self.space = _begun_at(space, uniform)

    def __reduce__(self) -> tuple[object, ...]:
        """As references: network and data are loaded where it arrives."""
        return partial(type(self), self.reference, self.limit, self.judging, **self._given()), ()

    # What a kind of problem says of itself.

    @abstractmethod
    def _given(self) -> dict[str, Any]:
        """The keyword arguments that it was made with."""

    @abstractmethod
    def _space(self) -> DesignSpace:
        """What can be chosen."""

    @abstractmethod
    def _cost(self) -> Cost:
        """What the designs of the grid cost."""

    @abstractmethod
    def _base_cost(self) -> float:
        """What the network costs as it is."""

    @abstractmethod
    def build(self, point: Point) -> nn.Module:
        """The network of a design, before recalibration; valid until the next call."""

    def observed(self, point: Point) -> Observations:
        """What is seen of a design, by layer, without evaluating it."""
        return {}

    # The Problem protocol.

    @cached_property
    def specs(self) -> Specs:
        """What designs are ordered by, as good as it will be, within the budget."""
        unit = METRICS[self.limit.metric]
        return Specs(
            [goal_spec(self.network.data.task, self.judging), Spec(self.limit.metric, maximum=self.bound, unit=unit)]
        )

    def allowed(self, prefixes: Sequence[Point]) -> list[Allowed]:
        """As :meth:`automl_core.problem.Sequential.allowed`; with AMC's features, as shares."""
        return self.legal.allowed(prefixes)

    def repair(self, point: Point) -> dict[str, Value]:
        """As :meth:`automl_core.problem.Repairing.repair`."""
        return self.legal.repair(point)

    def cost_of(self, point: Point) -> float:
        """What a design costs, in the budget's metric."""
        return float(self.cost.total(self.grid.levels([point]))[0])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """The task's metric on the validation split, what designs are ordered by, and the cost.

        Raises:
            EvaluationError: the network fails, or a figure of it is not a finite number.
        """
        began = time.perf_counter()
        with one_thread():
            with faults_of_the_network():
                candidate = self.build(point)
            figures = self.examiner.judge(candidate)
        metrics = {**figures, self.limit.metric: self.cost_of(point)}
        return Evaluation(metrics, self.observed(point), time.perf_counter() - began)

    @cached_property
    def examiner(self) -> Examiner:
        """Who judges candidates."""
        return Examiner(self.network, self.judging, self.reference.seed)


def _begun_at(space: DesignSpace, start: Point) -> DesignSpace:
    variables: Iterable[Variable] = (replace(variable, start=start[variable.name]) for variable in space.variables)
    return DesignSpace(variables, space.nodes, space.edges)


def refuse_unknown(keep: Sequence[str], layers: Collection[str]) -> None:
    """Refuse names of layers to keep that name none of these.

    Raises:
        InputError: with the nearest that there is.
    """
    for name in keep:
        if not any(within(layer, name) for layer in layers):
            remedy = did_you_mean(name, layers, "its layers") + ("; repeat --keep for each" if "," in name else "")
            raise InputError(f"the model has no layer {name!r} to keep", place="--keep", remedy=remedy)
