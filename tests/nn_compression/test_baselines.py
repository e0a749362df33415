"""Baselines: layers treated alike, and what random designs reached."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from automl_core.budget import Budget
from automl_core.problem import Evaluation
from automl_core.space import DesignSpace, Point, Variable
from automl_core.specs import Spec, Specs
from automl_core.study import Study
from nn_compression.run.baselines import alike, best_random, smallest_uniform
from nn_compression.run.searching import Search

SPACE = DesignSpace([Variable("a", 2, 10, integer=True), Variable("b", 20, 100, integer=True, step=2)])


class Shares:
    """Accuracy is the mean share of the ranges, in percent; the cost is the sum of both."""

    scenarios = ("",)
    space = DesignSpace([replace(variable, start=variable.high) for variable in SPACE.variables])
    specs = Specs([Spec("accuracy", minimum=60.0), Spec("cost", goal="minimize", scale=110.0)])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        a, b = float(point["a"]), float(point["b"])
        return Evaluation({"accuracy": 50 * (a - 2) / 8 + 50 * (b - 20) / 80, "cost": a + b})


@pytest.mark.parametrize(("level", "expected"), [(0.0, (2, 20)), (0.5, (6, 60)), (1.0, (10, 100))])
def test_layers_treated_alike_lie_at_one_place_of_their_ranges(level: float, expected: tuple[int, int]) -> None:
    assert tuple(alike(SPACE, level).values()) == expected


def test_the_smallest_uniform_network_is_the_best_of_all_places() -> None:
    problem = Shares()
    found = smallest_uniform(problem, 0)  # type: ignore[arg-type]
    every = [problem.evaluate(alike(problem.space, place / 64), "", 0).metrics for place in range(65)]
    assert found["cost"] == min(metrics["cost"] for metrics in every if metrics["accuracy"] >= 60)


def test_the_start_of_the_space_is_no_random_design(tmp_path: Path) -> None:
    problem = Shares()
    specs = Specs([Spec("accuracy", goal="maximize", scale=100.0)])

    def nothing(study: Study) -> None:
        """No progress is shown."""

    study = Search(tmp_path / "r.sqlite", problem, specs, "random", Budget(10), 1).run(1, nothing).study
    assert study.best is study.trials[0]  # the whole network, which nothing beats
    best = best_random(study)
    assert best is not None and best.metrics["accuracy"] == max(t.metrics["accuracy"] for t in study.trials[1:])
