"""The trust region: when it grows and shrinks, and where its candidates lie."""

from __future__ import annotations

import numpy as np
import pytest

from automl_core.optimizers.region import Region
from automl_core.space import DesignSpace, Variable

NUMBERS = DesignSpace([Variable(f"x{i}") for i in range(5)])
MIXED = DesignSpace(
    [
        Variable("x"),
        Variable("kind", choices=("a", "b", "c", "d")),
        Variable("m", 1, 5, integer=True),
        Variable("fixed", 2.0, 2.0),
    ]
)


def test_three_improvements_double_it_and_as_many_failures_as_variables_halve_it() -> None:
    region = Region()
    for _ in range(3):
        region.update(improved=True, dim=10, batch=4)
    assert region.length == 1.6
    for _ in range(3):
        region.update(improved=True, dim=10, batch=4)
    assert region.length == 1.6, "its greatest"
    for failures, length in ((2, 1.6), (1, 0.8)):
        for _ in range(failures):
            region.update(improved=False, dim=10, batch=4)
        assert region.length == length, "12 designs in three batches of 4"
    region.update(improved=False, dim=10, batch=4)
    region.update(improved=True, dim=10, batch=4)
    assert (region.successes, region.failures) == (1, 0)


def test_it_converges_after_seven_halvings() -> None:
    region = Region()
    halvings = 0
    while not region.converged:
        region.update(improved=False, dim=3, batch=16)
        halvings += 1
    assert halvings == 7


@pytest.mark.parametrize("length", [0.8, 0.1])
def test_candidates_lie_in_the_box(length: float) -> None:
    centre = np.array([0.02, 0.5, 0.98, 0.3, 0.7])
    drawn = Region(length).candidates(centre, NUMBERS, np.random.default_rng(0))
    assert len(drawn) > 2000
    assert np.abs(drawn - centre).max() <= length / 2 and drawn.min() >= 0 and drawn.max() <= 1
    assert np.abs(drawn - centre).max() > 0.9 * length / 2, "and fill it"


def test_in_many_dimensions_a_candidate_differs_in_few() -> None:
    space = DesignSpace([Variable(f"x{i}") for i in range(1000)])
    drawn = Region().candidates(np.full(1000, 0.5), space, np.random.default_rng(0))
    differs = (drawn != 0.5).sum(axis=1)
    assert differs.min() >= 1 and 15 < differs.mean() < 25


def test_candidates_are_different_designs_of_the_space() -> None:
    centre = MIXED.encode({"x": 0.5, "kind": "b", "m": 3, "fixed": 2.0})
    drawn = Region(0.4).candidates(centre, MIXED, np.random.default_rng(0))
    assert len(np.unique(drawn, axis=0)) == len(drawn)
    points = [MIXED.decode(row) for row in drawn]
    again = np.array([MIXED.encode(point) for point in points])
    assert np.allclose(again, drawn, atol=1e-8), "on the grid already"
    assert {point["m"] for point in points} == {2, 3, 4}, "0.2 of a grid of 5 values: one step"
    kinds = [point["kind"] for point in points]
    assert set(kinds) == {"a", "b", "c", "d"}, "a choice has no neighbours"
    changed = np.mean([kind != "b" for kind in kinds])
    assert 0.1 < changed < 0.3, "a fifth of the candidates change it, but for those that draw the same again"


def test_an_exhausted_region_gives_its_centre_alone() -> None:
    space = DesignSpace([Variable("m", 1, 5, integer=True)])
    assert Region(0.1).candidates(np.array([0.5]), space, np.random.default_rng(0)).tolist() == [[0.5]]
