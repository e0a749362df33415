"""What a comparison says of one problem at one number of evaluations: how each optimizer did, and which beats which."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from automl_core.anytime import Quartiles, quartiles
from automl_core.contest import Outcome
from automl_core.significance import Pair, pairwise, ranks

__all__ = ["Standing", "Standings", "standings"]


@dataclass(frozen=True)
class Standing:
    """One optimizer.

    Args:
        optimizer: its name.
        studies: that count: finished ones, and failed ones with what they had found by then.
        missing: studies that have not ended.
        failed: of those that count.
        solved: studies that met all specs.
        to_specs: evaluations until all specs were met, ``inf`` for a study that never met them.
        merit: of the best design, ``-inf`` where it does not meet the specs.
        violation: of the best design, 0 where it meets the specs.
        wall_seconds: of a study as a whole; NaN where the evaluations are fewer than its budget.
        optimizer_seconds: of these, the optimizer's own.
    """

    optimizer: str
    studies: int
    missing: int
    failed: int
    solved: int
    to_specs: Quartiles
    merit: Quartiles
    violation: Quartiles
    wall_seconds: float
    optimizer_seconds: float


@dataclass(frozen=True)
class Standings:
    """One problem at one number of evaluations.

    Args:
        problem: its name.
        at: evaluations; all optimizers that were given as many are here, with their studies cut there.
        goals: whether its specs ask for more than their bounds, so that merits differ.
        rows: an optimizer each, in the order they were named.
        to_specs: pairs, by evaluations until all specs were met.
        best: pairs, by the order of the specs: violation, then merit.
    """

    problem: str
    at: int
    goals: bool
    rows: tuple[Standing, ...]
    to_specs: tuple[Pair, ...]
    best: tuple[Pair, ...]

    def __getitem__(self, optimizer: str) -> Standing:
        return next(row for row in self.rows if row.optimizer == optimizer)


def standings(outcomes: Iterable[Outcome]) -> list[Standings]:
    """Every problem, at every budget that an optimizer was given on it: at each, those that were given as much.

    Args:
        outcomes: of a comparison, in its order.
    """
    by_problem: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_problem.setdefault(outcome.problem, []).append(outcome)
    return [
        _at(problem, found, at)
        for problem, found in by_problem.items()
        for at in sorted({outcome.budget for outcome in found})
    ]


def _at(problem: str, outcomes: Sequence[Outcome], at: int) -> Standings:
    by_optimizer: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.budget >= at:
            by_optimizer.setdefault(outcome.optimizer, []).append(outcome)
    ended = {
        name: [outcome for outcome in found if outcome.status != "unfinished"] for name, found in by_optimizer.items()
    }
    return Standings(
        problem,
        at,
        goals=any(outcome.curve.specs.goals for outcome in outcomes),
        rows=tuple(_standing(name, found, at) for name, found in by_optimizer.items()),
        to_specs=tuple(pairwise({name: [o.curve.to_specs(at) for o in found] for name, found in ended.items()})),
        best=tuple(pairwise(ranks({name: [o.curve.score(at) for o in found] for name, found in ended.items()}))),
    )


def _standing(optimizer: str, outcomes: Sequence[Outcome], at: int) -> Standing:
    ended = [outcome for outcome in outcomes if outcome.status != "unfinished"]
    scores = [outcome.curve.score(at) for outcome in ended]
    to_specs = [outcome.curve.to_specs(at) for outcome in ended]
    whole = [outcome for outcome in ended if outcome.budget == at and outcome.wall_seconds is not None]
    return Standing(
        optimizer,
        studies=len(ended),
        missing=len(outcomes) - len(ended),
        failed=sum(outcome.status == "failed" for outcome in ended),
        solved=sum(math.isfinite(count) for count in to_specs),
        to_specs=quartiles(to_specs),
        merit=quartiles([score.merit if score.feasible else -math.inf for score in scores]),
        violation=quartiles([score.violation for score in scores]),
        wall_seconds=quartiles([outcome.wall_seconds or 0.0 for outcome in whole]).median,
        optimizer_seconds=quartiles([outcome.optimizer_seconds or 0.0 for outcome in whole]).median,
    )
