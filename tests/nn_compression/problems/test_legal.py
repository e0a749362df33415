"""Legal designs against the enumeration of all designs, on small grids with random costs."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_core.errors import InputError
from automl_core.space import DesignSpace, Variable
from nn_compression.problems.costs import Cost, GrowingCost, Table, TableCost
from nn_compression.problems.grid import Grid, Levels
from nn_compression.problems.legal import LegalDesigns


@st.composite
def cases(draw: st.DrawFn, *, grows: bool) -> LegalDesigns:
    """A few integers with steps, and a cost over pairs of them, as of layers between groups of channels."""
    dim = draw(st.integers(1, 4))
    steps = [draw(st.integers(1, 3)) for _ in range(dim)]
    counts = [draw(st.integers(1, 4)) for _ in range(dim)]
    space = DesignSpace(
        [
            Variable(f"v{i}", 2, 2 + step * (count - 1), integer=True, step=step)
            for i, (step, count) in enumerate(zip(steps, counts, strict=True))
        ]
    )
    grid = Grid(space)
    generator = np.random.default_rng(draw(st.integers(0, 2**20)))
    if grows:
        weights = generator.integers(0, 9, (dim, dim))
        values = [np.array(list(own), dtype=float) for own in grid.values]

        def total(levels: Levels) -> np.ndarray:
            kept = np.stack([own[levels[:, at]] for at, own in enumerate(values)], axis=1)
            return ((kept @ weights) * kept).sum(1)

        cost: Cost = GrowingCost(total)
    else:
        pairs = [(i, j) for i in range(dim) for j in range(i, dim) if generator.random() < 0.7 or j == i]
        tables = [
            Table((i,), generator.random(counts[i]))
            if i == j
            else Table((i, j), generator.random((counts[i], counts[j])))
            for i, j in pairs
        ]
        cost = TableCost(tables, dim)
    costs = np.sort(cost.total(everything(grid)))
    bound = float(costs[draw(st.integers(0, len(costs) - 1))])
    return LegalDesigns(grid, cost, bound)


def everything(grid: Grid) -> Levels:
    return np.array(list(product(*(range(top + 1) for top in grid.top))), dtype=np.int64)


def legal_by_definition(designs: LegalDesigns, levels: Levels) -> bool:
    """Within the bound, and no variable has a value that could be greater with all later ones at their greatest.

    Of values with which those can be at their greatest, that is. Of a growing cost: the last that is not at its
    greatest cannot be raised.
    """
    top = designs.grid.top

    def fits(some: Levels) -> bool:
        return float(designs.cost.total(some[np.newaxis])[0]) <= designs.bound

    def used_up(at: int) -> bool:
        full = [fits(np.array([*levels[:at], value, *top[at + 1 :]])) for value in range(levels[at], top[at] + 1)]
        return not (full[0] and any(full[1:]))

    if not fits(levels):
        return False
    open_ones = [at for at in range(len(levels)) if levels[at] < top[at]]
    if designs.cost.grows and open_ones:
        last = open_ones[-1]
        greater = range(levels[last] + 1, top[last] + 1)
        raises = [np.array([*levels[:last], value, *levels[last + 1 :]]) for value in greater]
        assert all(map(used_up, open_ones)) == (not any(map(fits, raises)))
    return all(map(used_up, open_ones))


@settings(max_examples=60, deadline=None)
@given(st.one_of(cases(grows=True), cases(grows=False)))
def test_repair_gives_a_legal_design_and_leaves_legal_ones_alone(designs: LegalDesigns) -> None:
    grid = designs.grid
    for levels in everything(grid):
        legal = legal_by_definition(designs, levels)
        assert designs.is_legal(levels) == legal
        point = grid.point(levels)
        repaired = designs.repair(point)
        assert legal_by_definition(designs, grid.levels([repaired])[0])
        assert designs.repair(repaired) == repaired
        assert not legal or repaired == point


@settings(max_examples=60, deadline=None)
@given(cases(grows=True))
def test_the_repaired_design_goes_down_no_further_than_the_nearest_within_the_bound(designs: LegalDesigns) -> None:
    grid = designs.grid
    all_levels = everything(grid)
    units, fits = grid.units(all_levels), designs.fits(all_levels)
    for levels, own, within in zip(all_levels, units, fits, strict=True):
        repaired = grid.levels([designs.repair(grid.point(levels))])
        if within:
            assert (repaired >= levels).all(), "a design within the bound is only raised"
            continue
        nearest = np.abs(units[fits] - own).max(axis=1).min()
        assert (own - grid.units(repaired)[0]).max() <= nearest + 1e-9
        raised = [repaired[0] + step for step in np.eye(len(levels), dtype=int)[repaired[0] < grid.top]]
        assert not raised or not designs.fits(np.array(raised)).any(), "the budget is used up"


@settings(max_examples=60, deadline=None)
@given(st.one_of(cases(grows=True), cases(grows=False)))
def test_allowed_values_are_those_that_a_legal_design_begins_with(designs: LegalDesigns) -> None:
    grid = designs.grid
    legal = [tuple(levels) for levels in everything(grid).tolist() if legal_by_definition(designs, np.array(levels))]
    names = [variable.name for variable in grid.space.variables]
    for length in range(len(names)):
        beginnings = sorted({levels[:length] for levels in legal})
        prefixes = [
            {n: grid.values[at][v] for at, (n, v) in enumerate(zip(names, some, strict=False))} for some in beginnings
        ]
        for some, allowed in zip(beginnings, designs.allowed(prefixes), strict=True):
            led_to = sorted({levels[length] for levels in legal if levels[:length] == some})
            assert list(allowed.values or ()) == [grid.values[length][at] for at in led_to]


@settings(max_examples=60, deadline=None)
@given(cases(grows=False), st.integers(0, 99))
def test_whatever_is_allowed_of_a_table_leads_to_a_legal_design(designs: LegalDesigns, seed: int) -> None:
    grid, generator = designs.grid, np.random.default_rng(seed)
    for _ in range(5):
        prefix: dict[str, float | int | str] = {}
        for variable in grid.space.variables:
            (allowed,) = designs.allowed([prefix])
            values = list(allowed.values or ())
            prefix[variable.name] = values[int(generator.integers(len(values)))]
        assert legal_by_definition(designs, grid.levels([prefix])[0])


@settings(max_examples=60, deadline=None)
@given(cases(grows=False))
def test_the_least_of_the_rest_is_its_minimum_over_the_table(designs: LegalDesigns) -> None:
    all_levels = everything(designs.grid)
    totals = designs.cost.total(all_levels)
    for decided in range(all_levels.shape[1] + 1):
        least = designs.cost.least(all_levels, decided)
        for levels, found in zip(all_levels, least, strict=True):
            same = (all_levels[:, :decided] == levels[:decided]).all(axis=1)
            assert found == pytest.approx(totals[same].min(), abs=1e-12)


def test_eleven_channels_may_cost_more_than_sixteen() -> None:
    space = DesignSpace([Variable("a", 1, 2, integer=True), Variable("b", 11, 16, integer=True, step=5)])
    cost = TableCost([Table((0,), np.array([1.0, 2.0])), Table((1,), np.array([3.0, 2.0]))], 2)
    designs = LegalDesigns(Grid(space), cost, 4.0)
    assert not cost.grows and designs.reachable == 3.0
    (first,) = designs.allowed([{}])
    assert list(first.values or ()) == [2], "with b at 16, a at 2 fits; with the rest at its least value it would not"
    assert designs.repair({"a": 2, "b": 11}) == {"a": 2, "b": 16}


def test_what_repair_leaves_alone_is_allowed() -> None:
    space = DesignSpace([Variable(name, 1, 2, integer=True) for name in "ab"])
    designs = LegalDesigns(Grid(space), TableCost([Table((0, 1), np.array([[5.0, 9.0], [6.0, 4.0]]))], 2), 5.0)
    assert designs.repair({"a": 1, "b": 1}) == {"a": 1, "b": 1}
    first, second = designs.allowed([{}, {"a": 1}])
    assert list(first.values or ()) == [1, 2] and list(second.values or ()) == [1]


def test_an_impossible_budget_names_the_smallest_that_can_be_reached() -> None:
    space = DesignSpace([Variable("a", 2, 10, integer=True)])
    with pytest.raises(
        InputError, match=r"macs can be brought to 2,?000 MACs \(20.0% of the network's own\)"
    ) as refusal:
        LegalDesigns(
            Grid(space), GrowingCost(lambda levels: 1000.0 * (levels[:, 0] + 2)), 1999, metric="macs", unit="MACs"
        )
    assert "macs=0.2" in str(refusal.value.remedy)


def test_uniform_is_what_all_at_the_greatest_is_repaired_to() -> None:
    space = DesignSpace([Variable(name, 4, 16, integer=True) for name in "abc"])
    designs = LegalDesigns(Grid(space), GrowingCost(lambda levels: (levels + 4.0).sum(1)), 24)
    assert designs.repair(dict.fromkeys("abc", 16)) == dict.fromkeys("abc", 8)
    assert sorted(designs.repair({"a": 16, "b": 16, "c": 4}).values()) == [4, 10, 10]


def test_where_nothing_costs_anything_the_features_are_finite() -> None:
    space = DesignSpace([Variable("a", 0, 3, integer=True)])
    (told,) = LegalDesigns(Grid(space), GrowingCost(lambda levels: np.zeros(len(levels))), 0).allowed([{}])
    assert told.features == {"reduced": 1.0, "rest": 0.0, "left": 0.0}


def test_features_are_the_shares_of_amc() -> None:
    space = DesignSpace([Variable(name, 1, 4, integer=True) for name in "ab"])
    designs = LegalDesigns(Grid(space), GrowingCost(lambda levels: (levels + 1.0) @ np.array([3.0, 1.0])), 8)
    first, second = designs.allowed([{}, {"a": 2}])
    assert first.features == pytest.approx({"reduced": 0.0, "rest": 12 / 16, "left": 4 / 16})
    assert second.features == pytest.approx({"reduced": 6 / 16, "rest": 3 / 16, "left": 1 / 16})
