"""NSGA-II: against a front known in closed form, and on specs with one goal or none."""

from __future__ import annotations

import numpy as np

from automl_core.budget import Budget
from automl_core.front import pareto_front
from automl_core.optimizers import make
from automl_core.pool import Pool
from automl_core.problem import Problem
from automl_core.record import Record
from automl_core.specs import Spec, Specs
from automl_core.study import Study
from automl_core.testing import trial_of
from automl_core.toys import Allocation, BinhKorn, Cliff, Rosenbrock


def run(name: str, problem: Problem, specs: Specs, evaluations: int, seed: int = 0) -> Study:
    study = Study(problem, specs, Pool(problem), Record.create(":memory:"), budget=Budget(evaluations=evaluations))
    study.run(make(name, problem.space, specs, seed, study.budget), stop="budget")
    return study


def distances(study: Study) -> tuple[float, float]:
    """Mean distance of the known front of Binh and Korn to what was found, and the greatest of that to the front.

    In the plane of the goals, each divided by its scale: 140 and 50.
    """
    x = np.linspace(0, 5, 201)
    near, far = np.where(x <= 3, 8 * x**2, 4 * x**2 + 36), np.where(x <= 3, 2 * (x - 5) ** 2, (x - 5) ** 2 + 4)
    front = pareto_front(study.trials, study.specs)
    found = np.array([[trial.metrics["near"], trial.metrics["far"]] for trial in front])
    apart = np.linalg.norm((np.stack([near, far], axis=1)[:, None] - found) / [140, 50], axis=2)
    return float(apart.min(axis=1).mean()), float(apart.min(axis=0).max())


def test_a_known_front_is_covered_and_nothing_lies_off_it() -> None:
    uncovered, off = distances(run("nsga2", BinhKorn(), BinhKorn.specs, 1000))
    assert uncovered < 0.006 and off < 0.01
    assert uncovered < distances(run("random", BinhKorn(), BinhKorn.specs, 1000))[0]


def test_without_a_goal_the_violation_is_the_objective() -> None:
    found = run("nsga2", Cliff(), Cliff.specs, 600)
    assert found.best_score is not None and found.best_score.feasible, "a third of the cube fails, and it gets around"


def test_a_member_is_the_design_that_repair_made_of_it() -> None:
    found = run("nsga2", Allocation(), Allocation.specs, 1000)
    assert found.best is not None and found.best.metrics["value"] > 0.99 * 24.2164


def test_the_best_of_earlier_trials_are_members_of_the_first_generation() -> None:
    toy, specs = Rosenbrock(4), Specs([Spec("value", goal="minimize")])
    generator = np.random.default_rng(0)
    near = [trial_of(toy, n, 0.75 + 0.01 * generator.standard_normal(4)) for n in range(100)]
    optimizer = make("nsga2", toy.space, specs, 0, Budget(evaluations=400))
    optimizer.tell(near)
    first = optimizer.ask(100)
    assert len(first) == 16, "half of the population of 32 is known already, and is not proposed again"
    optimizer.tell([trial_of(toy, 100 + n, unit) for n, unit in enumerate(first)])
    second = optimizer.ask(100)
    assert np.median(np.abs(second - 0.75).max(axis=1)) < 0.1 < np.median(np.abs(first - 0.75).max(axis=1))
