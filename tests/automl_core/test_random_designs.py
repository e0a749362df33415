"""Random designs, evaluated once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from automl_core.budget import Budget
from automl_core.errors import RecordError
from automl_core.optimizers.random import RandomSearch
from automl_core.problem import Evaluation
from automl_core.random_designs import random_designs
from automl_core.space import DesignSpace, Point, Variable
from automl_core.specs import Spec, Specs

SPECS = Specs([Spec("sum", maximum=1.0)])


class Counted:
    """Two numbers and their sum; counts what it evaluates."""

    scenarios = ("",)

    def __init__(self, high: float = 1.0) -> None:
        self.space = DesignSpace([Variable("a", 0.0, high), Variable("b", 0.0, high, start=0.5)])
        self.seen: Counter[tuple[object, ...]] = Counter()

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        self.seen[tuple(point.values())] += 1
        return Evaluation({"sum": float(point["a"]) + float(point["b"])})


def test_they_fill_the_cube_evenly_and_no_study_draws_them(tmp_path: Path) -> None:
    problem = Counted()
    found = random_designs(problem, SPECS, 256, tmp_path / "kept" / "designs.sqlite")
    assert len(found) == 256 and set(problem.seen.values()) == {1}
    units = np.stack([trial.unit for trial in found])
    quarters = Counter(tuple((unit > 0.5).astype(int)) for unit in units)
    assert set(quarters.values()) == {64}  # a scrambled Sobol sequence is balanced; the start of the space is not in it
    drawn = {row.tobytes() for seed in range(20) for row in RandomSearch(problem.space, SPECS, seed, Budget()).ask(64)}
    assert not drawn & {trial.asked.tobytes() for trial in found}


def test_what_is_kept_is_not_evaluated_again(tmp_path: Path) -> None:
    path, first, second = tmp_path / "designs.sqlite", Counted(), Counted()
    some = random_designs(first, SPECS, 128, path)
    more = random_designs(second, SPECS, 256, path, jobs=2)
    assert [trial.point for trial in more[:128]] == [trial.point for trial in some]
    assert sum(second.seen.values()) == 128 and not second.seen.keys() & first.seen.keys()
    again = Counted()
    assert [trial.metrics for trial in random_designs(again, SPECS, 256, path)] == [trial.metrics for trial in more]
    assert not again.seen


def test_a_number_that_is_no_multiple_of_a_batch_can_grow(tmp_path: Path) -> None:
    path, problem = tmp_path / "designs.sqlite", Counted()
    assert [len(random_designs(problem, SPECS, count, path)) for count in (100, 200, 200)] == [100, 200, 200]
    whole = random_designs(Counted(), SPECS, 200, tmp_path / "at_once.sqlite")
    assert [trial.point for trial in random_designs(problem, SPECS, 200, path)] == [trial.point for trial in whole]
    assert set(problem.seen.values()) == {1}


def test_designs_of_another_problem_are_refused(tmp_path: Path) -> None:
    random_designs(Counted(), SPECS, 64, tmp_path / "designs.sqlite")
    with pytest.raises(RecordError):
        random_designs(Counted(high=2.0), SPECS, 64, tmp_path / "designs.sqlite")
