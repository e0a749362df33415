"""What is done to a network, in which order, and which budgets each method takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from nn_compression.problems.budget import METRICS, CostLimit

__all__ = ["BUDGETS", "METHODS", "Method", "Plan", "Stage", "make_plan"]

Method: TypeAlias = Literal["channels", "bits", "sparsity", "deep", "all"]

METHODS: tuple[Method, ...] = get_args(Method)

BUDGETS: Mapping[Method, tuple[str, ...]] = {
    "channels": ("macs", "bytes", "latency"),
    "bits": ("bytes", "latency", "energy"),
    "sparsity": ("bytes",),
    "deep": ("bytes",),
    "all": ("bytes",),
}
"""What each method can be held to. Latency is measured for ``channels``, and modelled for ``bits``."""

_USUAL: Mapping[Method, str] = {
    "channels": "macs=0.5",
    "bits": "bytes=0.15",
    "sparsity": "bytes=0.2",
    "deep": "bytes=0.1",
    "all": "bytes=0.1",
}
"""The budget where the user gives none: what small networks usually bear."""

_ROUNDED = 3.0
"""How many times smaller a file of sparse floats becomes once they are rounded; the positions of weights stay."""


@dataclass(frozen=True)
class Stage:
    """One method under one limit.

    Args:
        method: what is done.
        limit: what the whole run is held to; ``None``: the smallest network within a drop is looked for.
        drop: how much worse the metric may become, in its unit, where there is no limit.
        room: how many times the limit the stage goes down to, for what later stages do.
        part: how far of the way there it goes, in equal factors.
    """

    method: Method
    limit: CostLimit | None
    drop: float | None = None
    room: float = 1.0
    part: float = 1.0

    @property
    def metric(self) -> str:
        """The cost that the stage is held to, or lowers as far as the drop allows."""
        return BUDGETS[self.method][0] if self.limit is None else self.limit.metric

    @property
    def modelled(self) -> bool:
        """Whether the cost comes from a model of some hardware rather than from a file or a clock."""
        return self.method == "bits" and METRICS[self.metric] in ("s", "J")

    def bound(self, base: float) -> CostLimit | None:
        """The stage's own limit: the whole run's, or what it leaves to later stages.

        Args:
            base: what the network costs before the whole run.
        """
        if self.limit is None or (self.room, self.part) == (1.0, 1.0):
            return self.limit
        share = min(self.room * self.limit.bound(base) / base, 1.0)
        return CostLimit(self.metric, max(round(base * share**self.part), 1), relative=False)


@dataclass(frozen=True)
class Plan:
    """A method, what it is held to, and the stages of it.

    Args:
        method: as asked for.
        limit: the budget; ``None``: the smallest network within ``max_drop``.
        max_drop: how much worse the metric may become, in its unit.
        stages: in order.
    """

    method: Method
    limit: CostLimit | None
    max_drop: float | None
    stages: tuple[Stage, ...]

    def __str__(self) -> str:
        if self.limit is not None:
            return f"{self.method} to {self.limit}"
        return f"{self.method}, the smallest network whose metric drops by no more than {self.max_drop:g}"


def make_plan(method: str, budget: str | None, max_drop: float | None) -> Plan:
    """Read what the user asked for.

    Args:
        method: a name of ``METHODS``.
        budget: as in ``macs=0.5`` or ``bytes=44k``.
        max_drop: instead of a budget: how much worse the metric may become, in its unit.

    Raises:
        InputError: there is no such method, it does not take this budget, or both a budget and a drop are given.
    """
    if method not in METHODS:
        remedy = did_you_mean(method, METHODS, "the methods")
        raise InputError(f"there is no method {method!r}", place="--method", remedy=remedy)
    known: Method = method
    if budget is not None and max_drop is not None:
        remedy = "give a budget, or the largest drop, and the other one follows"
        raise InputError("--budget and --max-drop exclude each other", place="--max-drop", remedy=remedy)
    if max_drop is not None:
        return Plan(known, None, max_drop, _stages(known, None, max_drop))
    limit = CostLimit.parse(budget or _USUAL[known])
    if limit.metric not in BUDGETS[known]:
        raise InputError(
            f"the method {method!r} is not held to {limit.metric}", place="--budget", remedy=_valid(known, limit.metric)
        )
    return Plan(known, limit, None, _stages(known, limit, None))


def _stages(method: Method, limit: CostLimit | None, drop: float | None) -> tuple[Stage, ...]:
    """The one method, or those of ``all`` in turn, the last one to the end."""
    if method != "all":
        return (Stage(method, limit, drop),)
    shares = (None, None, None) if drop is None else (drop / 4, drop / 2, drop)
    return (
        Stage("channels", limit, shares[0], _ROUNDED, 0.5),
        Stage("sparsity", limit, shares[1], _ROUNDED),
        Stage("bits", limit, shares[2]),
    )


def _valid(method: Method, metric: str) -> str:
    """Which pairs there are: of the method, and of the budget."""
    own = " or ".join(f"--budget {name}=..." for name in BUDGETS[method])
    others = [f"--method {name}" for name, budgets in BUDGETS.items() if metric in budgets]
    return f"--method {method} takes {own}; --budget {metric}=... goes with {' or '.join(others)}"
