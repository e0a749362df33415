"""The optima that the toy problems state: what they say is reached, and nothing that a solver finds lies below."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.optimize import differential_evolution

from automl_core.problem import Problem
from automl_core.space import Array, Point
from automl_core.specs import Specs
from automl_core.toys import Ackley, Allocation, BinhKorn, PressureVessel, Spring

OPTIMA: list[tuple[Problem, Specs, Point, float]] = [
    (Ackley(5), Ackley.specs, {f"x{i}": 0.0 for i in range(5)}, 0.0),
    (
        PressureVessel(),
        PressureVessel.specs,
        {"shell": 0.8125, "head": 0.4375, "radius": 42.0984, "length": 176.6372},
        6059.7143,
    ),
    (Spring(), Spring.specs, {"wire": 0.05169, "coil": 0.35674, "turns": 11.2882}, 0.0126652),
]


@pytest.mark.parametrize(("problem", "specs", "point", "least"), OPTIMA)
def test_an_optimum_is_where_and_what_it_is_said_to_be(
    problem: Problem, specs: Specs, point: Point, least: float
) -> None:
    metrics = problem.evaluate(point, "", 0).metrics
    goal = next(iter(metrics))
    assert metrics[goal] == pytest.approx(least, rel=2e-4, abs=1e-9)
    assert specs.score(metrics).violation < 1e-4


@pytest.mark.parametrize(("problem", "specs", "point", "least"), OPTIMA)
def test_a_solver_finds_the_optimum_and_nothing_below(
    problem: Problem, specs: Specs, point: Point, least: float
) -> None:
    def loss(unit: Array) -> float:
        return specs.score(problem.evaluate(problem.space.decode(unit), "", 0).metrics).loss

    found = differential_evolution(loss, [(0, 1)] * problem.space.dim, rng=1, popsize=20, maxiter=300, tol=1e-8)
    metrics = problem.evaluate(problem.space.decode(found.x), "", 0).metrics
    goal = next(iter(metrics))
    assert metrics[goal] == pytest.approx(least, rel=0.01, abs=1e-3)
    assert metrics[goal] >= least * (1 - 2e-6)


def test_the_best_allocation_is_that_of_all_designs() -> None:
    toy = Allocation()
    best = max(
        (dict(zip(("n0", "n1", "n2", "n3"), kept, strict=True)) for kept in itertools.product(range(1, 17), repeat=4)),
        key=lambda point: toy.evaluate(point, "", 0).metrics["value"] if toy.cost(point) <= toy.limit else 0.0,
    )
    assert best == {"n0": 11, "n1": 11, "n2": 1, "n3": 11}
    assert toy.evaluate(best, "", 0).metrics["value"] == pytest.approx(24.2164, abs=1e-4)


def _of(toy: BinhKorn, designs: Sequence[tuple[float, float]]) -> Array:
    metrics = [toy.evaluate({"x": x, "y": y}, "", 0).metrics for x, y in designs]
    return np.array([[m["near"], m["far"]] for m in metrics if BinhKorn.specs.score(m).feasible])


def test_no_design_of_binh_and_korn_dominates_the_front() -> None:
    stated = [(x, min(x, 3.0)) for x in np.linspace(0, 5, 51)]
    front = _of(BinhKorn(), stated)
    assert len(front) == len(stated), "the whole front is feasible"
    x = np.linspace(0, 5, 51)
    assert np.allclose(front[:, 0], np.where(x <= 3, 8 * x**2, 4 * x**2 + 36))
    assert np.allclose(front[:, 1], np.where(x <= 3, 2 * (x - 5) ** 2, (x - 5) ** 2 + 4))
    others = _of(BinhKorn(), list(itertools.product(np.linspace(0, 5, 41), np.linspace(0, 3, 41))))
    dominates = (others[:, None] <= front - 1e-9).all(axis=2)
    assert not dominates.any()
