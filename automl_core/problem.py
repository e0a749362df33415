"""What a problem is, what one evaluation of it gives, and what a study keeps of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from automl_core.errors import EvaluationError
from automl_core.space import Array, DesignSpace, Point, Value

__all__ = [
    "Allowed",
    "Chunked",
    "Divisible",
    "Evaluation",
    "Metrics",
    "Observations",
    "Problem",
    "Repairing",
    "Request",
    "Sequential",
    "Status",
    "Trial",
]

Metrics: TypeAlias = Mapping[str, float]
Observations: TypeAlias = Mapping[str, Mapping[str, float]]
Status: TypeAlias = Literal["ok", "failed", "timeout", "raced"]


@dataclass(frozen=True)
class Evaluation:
    """What one design gave in one scenario.

    Args:
        metrics: figures by name, in their own units; NaN where a figure could not be measured. A study takes an
            infinite one for NaN: it has no place in an order of finite figures, and none in JSON.
        observations: what was seen at each node on the way (an operating point, an activation), by name.
        seconds: wall time of the evaluation alone.
        artifacts: (path, checksum) of files it left.
    """

    metrics: Metrics
    observations: Observations = field(default_factory=dict)
    seconds: float = 0.0
    artifacts: tuple[tuple[str, str], ...] = ()


class Request(NamedTuple):
    """One evaluation to be done: what a budget counts."""

    point: Point
    scenario: str
    seed: int


@runtime_checkable
class Problem(Protocol):
    """Something to optimise. Pickles as references: data, weights and decks are loaded once a worker."""

    @property
    def space(self) -> DesignSpace:
        """What can be chosen."""

    @property
    def scenarios(self) -> Sequence[str]:
        """The conditions a design must hold in, nominal first; ``("",)`` where there is one."""

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """Evaluate one design in one scenario; the same arguments give the same figures.

        Raises:
            EvaluationError: the design gave no figures; the study records a failed trial.
        """


@runtime_checkable
class Chunked(Problem, Protocol):
    """A problem that evaluates several requests at less cost than one at a time.

    What a request gives may depend on the other requests of its chunk, but on nothing else; chunks are therefore cut
    without regard to the number of workers.
    """

    @property
    def chunk(self) -> int:
        """Requests in a chunk."""

    def evaluate_chunk(self, requests: Sequence[Request]) -> Sequence[Evaluation | EvaluationError]:
        """One answer a request, in order; a request that failed is answered by its error."""


@runtime_checkable
class Divisible(Chunked, Protocol):
    """A chunked problem in which an answer depends on its request alone, so that chunks may be cut smaller."""

    @property
    def divisible(self) -> bool:
        """Whether that holds."""


@runtime_checkable
class Repairing(Problem, Protocol):
    """A problem with designs that are not legal."""

    def repair(self, point: Point) -> Point:
        """The nearest legal design: exact after rounding, idempotent, with the budget used up where it was left."""


@dataclass(frozen=True)
class Allowed:
    """What the next variable of a sequence may still be.

    Args:
        values: grid values that still lead to a legal design; ``None`` where every value does.
        mask: shape (choices,), for a variable with choices; ``None`` where every choice does.
        features: what changes along the sequence (MACs reduced, MACs of the rest), by name.
    """

    values: Sequence[Value] | None = None
    mask: NDArray[np.bool_] | None = None
    features: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class Sequential(Repairing, Protocol):
    """A problem that says, while a design is decided variable by variable, what is still allowed."""

    def allowed(self, prefixes: Sequence[Point]) -> Sequence[Allowed]:
        """What the next variable may be, for a batch of prefixes of physical values, decided in the space's order."""


@dataclass(frozen=True)
class Trial:
    """One design in a study.

    Args:
        number: position in the study, from 0.
        asked: the coordinates that were asked for, shape (dim,).
        unit: the coordinates of the design as it was evaluated, shape (dim,).
        point: the design as it was evaluated (decoded, repaired).
        metrics: the worst of each metric over the scenarios; for a raced trial, as expected in those it did not see;
            none for a failed one, whatever it gave in some scenarios.
        by_scenario: the metrics in each scenario that gave some.
        observations: by node, in the first scenario.
        status: ``ok``; ``failed`` or ``timeout`` (no figures); ``raced`` (worse than the best after a few scenarios).
        error: why it failed.
        parent: the trial this one was derived from, if any.
        cost: evaluations charged.
        seconds: wall time of its evaluations, added up.
        artifacts: (path, checksum) of files its evaluations left.
    """

    number: int
    asked: Array
    unit: Array
    point: Point
    metrics: Metrics
    by_scenario: Mapping[str, Metrics] = field(default_factory=dict)
    observations: Observations = field(default_factory=dict)
    status: Status = "ok"
    error: str | None = None
    parent: int | None = None
    cost: int = 1
    seconds: float = 0.0
    artifacts: tuple[tuple[str, str], ...] = ()
