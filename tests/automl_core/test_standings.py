"""What a comparison says of one problem, from studies made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from automl_core.anytime import Curve
from automl_core.contest import Outcome, Status
from automl_core.problem import Trial
from automl_core.specs import Spec, Specs
from automl_core.standings import standings

UNIT = np.array([0.5])
SPECS = Specs([Spec("x", maximum=1.0, goal="minimize")])


def outcome(
    optimizer: str,
    seed: int,
    values: dict[int, float],
    budget: int = 100,
    status: Status = "finished",
    problem: str = "p",
) -> Outcome:
    """A study whose trial after n evaluations reached ``values[n]``, and nothing better in between."""
    trials = [Trial(n - 1, UNIT, UNIT, {}, {"x": values.get(n, 99.0)}) for n in range(1, max(values, default=0) + 1)]
    seconds = {"wall_seconds": 10.0 + seed, "optimizer_seconds": 1.0 + seed} if status == "finished" else {}
    failure = "broke" if status == "failed" else None
    curve = Curve.of(trials, SPECS)
    return Outcome(problem, optimizer, seed, budget, status, curve, len(trials), failure=failure, **seconds)  # type: ignore[arg-type]


def test_a_row_says_how_many_how_soon_how_good_and_how_long() -> None:
    found = [
        outcome("a", 0, {1: 3.0, 10: 0.8}),
        outcome("a", 1, {1: 3.0, 20: 0.6, 30: 0.5}),
        outcome("a", 2, {1: 3.0, 40: 0.9}),
        outcome("a", 3, {1: 3.0, 50: 1.5}),
    ]
    (table,) = standings(found)
    row = table["a"]
    assert (table.problem, table.at, table.goals) == ("p", 100, True)
    assert (row.studies, row.missing, row.failed, row.solved) == (4, 0, 0, 3)
    assert row.to_specs == (17.5, 30.0, math.inf)
    assert row.merit == pytest.approx((-math.inf, 0.15, 0.275))  # merits 0.2, 0.5, 0.1 and none
    assert row.violation == pytest.approx((0.0, 0.0, (0.5 / 1.5) / 4))
    assert (row.wall_seconds, row.optimizer_seconds) == (11.5, 2.5)


def test_where_one_was_given_less_all_are_compared_there_too() -> None:
    found = [outcome("a", s, {1: 3.0, 30: 0.9, 80: 0.2}) for s in range(3)]
    found += [outcome("b", s, {1: 3.0, 20: 0.8}, budget=50) for s in range(3)]
    few, many = standings(found)
    assert (few.at, [row.optimizer for row in few.rows]) == (50, ["a", "b"])
    assert (few["a"].to_specs.median, few["b"].to_specs.median) == (30, 20)
    assert few["a"].merit.median == pytest.approx(0.1)  # what it found later is not there yet
    assert math.isnan(few["a"].wall_seconds) and few["b"].wall_seconds == 11.0
    assert (many.at, [row.optimizer for row in many.rows]) == (100, ["a"])
    assert many["a"].merit.median == pytest.approx(0.8)
    assert many.to_specs == ()


def test_a_loss_is_a_loss_whichever_way_it_is_named() -> None:
    slow = [outcome("agent", s, {60 + s: 0.5}) for s in range(8)]
    fast = [outcome("random", s, {10 + s: 0.5}) for s in range(8)]
    for found in ([*slow, *fast], [*fast, *slow]):
        (table,) = standings(found)
        (pair,) = table.to_specs
        assert pair.better() == "random"
        assert pair.adjusted == pytest.approx(2 / math.comb(16, 8))
        (same,) = table.best
        assert same.better() is None and same.adjusted == 1.0


def test_a_failed_study_counts_with_what_it_had_found_and_an_unfinished_one_does_not() -> None:
    found = [
        outcome("a", 0, {5: 0.5}),
        outcome("a", 1, {1: 3.0, 7: 2.0}, status="failed"),
        outcome("a", 2, {6: 0.5}, status="failed"),
        outcome("a", 3, {}, status="failed"),
        outcome("a", 4, {4: 0.5}, status="unfinished"),
    ]
    row = standings(found)[0]["a"]
    assert (row.studies, row.missing, row.failed, row.solved) == (4, 1, 3, 2)
    assert row.to_specs == (5.75, math.inf, math.inf)
    assert row.violation.high == pytest.approx(0.5 + (SPECS.worst_violation - 0.5) / 4)


def test_an_optimizer_that_has_not_run_is_there_with_nothing() -> None:
    (table,) = standings([outcome("a", 0, {5: 0.5}), outcome("b", 0, {}, status="unfinished")])
    assert (table["b"].studies, table["b"].missing) == (0, 1)
    assert math.isnan(table["b"].to_specs.median)
    assert table.to_specs[0].adjusted == 1.0


def test_problems_stand_apart() -> None:
    found = [outcome("a", 0, {5: 0.5}, problem="p"), outcome("a", 0, {9: 0.5}, problem="q")]
    assert [(table.problem, table["a"].to_specs.median) for table in standings(found)] == [("p", 5), ("q", 9)]
