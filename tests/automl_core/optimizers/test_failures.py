"""Failed trials teach: where a third of the space fails, fewer and fewer of the designs asked for do."""

from __future__ import annotations

import pytest

from automl_core.budget import Budget
from automl_core.optimizers import make
from automl_core.pool import Pool
from automl_core.record import Record
from automl_core.specs import Spec, Specs
from automl_core.study import Study
from automl_core.toys import Cliff, HotFailure


@pytest.mark.parametrize(
    ("name", "evaluations"), [("cmaes", 400), ("de", 400), ("nsga2", 400), ("tpe", 200), ("trust-region", 120)]
)
def test_failures_are_avoided_where_nothing_else_points_away_from_them(name: str, evaluations: int) -> None:
    problem, specs = Cliff(), Specs([Spec("product", minimum=1.0)])  # never met; the greatest is at (0.9, 1, 1)
    study = Study(problem, specs, Pool(problem), Record.create(":memory:"), budget=Budget(evaluations=evaluations))
    study.run(make(name, problem.space, specs, 0, study.budget), stop="budget")
    failed = [trial.status == "failed" for trial in study.trials]
    first, last = failed[: evaluations // 4], failed[-evaluations // 4 :]
    assert sum(last) < 0.5 * sum(first)


@pytest.mark.parametrize("name", ["seq2seq", "gcn"])
def test_a_design_that_fails_in_a_corner_is_not_what_its_nominal_figures_promise(name: str) -> None:
    problem = HotFailure()
    study = Study(problem, problem.specs, Pool(problem), Record.create(":memory:"), budget=Budget(evaluations=120))
    study.run(make(name, problem.space, problem.specs, 0, study.budget), stop="budget")
    failed = [trial.status == "failed" for trial in study.trials]
    assert sum(failed[-20:]) <= 10, "the least sum of all fails, and nothing but failures leads away from it"
    assert study.best is not None and study.best.metrics["sum"] < 0.7
