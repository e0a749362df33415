import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_core.errors import InputError
from automl_core.space import DesignSpace, Edge, Node, Relaxation, Variable


@st.composite
def variables(draw: st.DrawFn) -> Variable:
    kind = draw(st.sampled_from(["continuous", "step", "integer", "choice", "values"]))
    if kind == "values":
        return Variable("v", values=tuple(sorted(draw(st.sets(st.integers(-99, 99), min_size=1, max_size=9)))))
    if kind == "choice":
        return Variable("v", choices=tuple(draw(st.lists(st.integers(0, 99), min_size=1, max_size=9, unique=True))))
    scale = draw(st.sampled_from(["linear", "log"]))
    if kind == "integer":
        low = draw(st.integers(1 if scale == "log" else -50, 50))
        return Variable("v", low, low + draw(st.integers(0, 1000)), scale=scale, integer=True)
    low = draw(st.floats(1e-9, 1e3)) if scale == "log" else draw(st.floats(-1e3, 1e3))
    high = low + draw(st.floats(1e-6, 1e3)) * max(abs(low), 1e-6)
    step = (high - low) / draw(st.floats(1.5, 300)) if kind == "step" else None
    return Variable("v", low, high, scale=scale, step=step)


@given(variables(), st.floats(0, 1))
def test_a_decoded_value_is_a_fixed_point(variable: Variable, unit: float) -> None:
    value = variable.decode(unit)
    assert variable.decode(variable.encode(value)) == value
    assert variable.nearest(value) == value


@given(variables(), st.floats(0, 1))
def test_values_stay_within_the_bounds_and_on_the_grid(variable: Variable, unit: float) -> None:
    value = variable.decode(unit)
    if variable.choices is not None:
        assert value in variable.choices
        return
    assert variable.values is None or value in variable.values
    assert isinstance(value, int | float)
    assert variable.low * (1 - 1e-12 * np.sign(variable.low)) <= value
    assert value <= variable.high * (1 + 1e-12 * np.sign(variable.high))
    if variable.grid is not None:
        steps = (value - variable.low) / variable.grid
        assert abs(steps - round(steps)) < 1e-9 + 1e-11 * abs(value) / variable.grid, "to 12 significant digits"


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_log_scale_gives_each_decade_the_same_share(a: float, b: float) -> None:
    variable = Variable("w", 1e-6, 1e-3, scale="log")
    ratio = float(variable.decode(a)) / float(variable.decode(b))
    assert ratio == pytest.approx(10 ** (3 * (a - b)), rel=1e-6)


@given(variables(), st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_snapped_coordinates_are_those_of_the_decoded_values(variable: Variable, units: list[float]) -> None:
    space = DesignSpace([Variable("first", 0.0, 1.0), variable])
    snapped = space.snap(np.array([[0.3, unit] for unit in units]))
    assert snapped[:, 0].tolist() == [0.3] * len(units)
    for unit, coordinate in zip(units, snapped[:, 1].tolist(), strict=True):
        if variable.count is None:
            assert coordinate == unit, "a continuous one stays where it is, but for the digits that decode keeps"
            continue
        beside = {variable.decode(unit + shift) for shift in (-1e-9, 0, 1e-9)}  # on an edge between two values
        assert any(coordinate == pytest.approx(variable.encode(value), abs=1e-9) for value in beside)


def test_a_grid_too_fine_to_be_listed_is_left_alone() -> None:
    fine = Variable("w", 1.0, 2.0, step=1e-5)
    assert fine.coordinates is None and fine.snap(np.array([0.123456789])).tolist() == [0.123456789]


def test_every_integer_gets_the_same_share_of_the_unit_interval() -> None:
    variable = Variable("m", 1, 5, integer=True)
    drawn = [variable.decode(u) for u in (np.arange(5000) + 0.5) / 5000]
    assert {value: drawn.count(value) for value in drawn} == dict.fromkeys(range(1, 6), 1000)


def test_values_that_no_step_leads_through_are_kept_in_order_and_get_the_same_share() -> None:
    variable = Variable("w", values=(8, 16, 20))
    assert (variable.low, variable.high, variable.count, variable.grid) == (8, 20, 3, None)
    assert [variable.decode(unit) for unit in (0, 0.33, 0.34, 0.66, 0.67, 1)] == [8, 8, 16, 16, 20, 20]
    assert [variable.nearest(value) for value in (1, 11, 13, 17.9, 99)] == [8, 8, 16, 16, 20]
    assert variable.encode(16) == 0.5


def test_the_grid_ends_at_the_last_step_below_the_upper_bound() -> None:
    variable = Variable("w", 0.5, 2.2, step=0.5)
    assert variable.count == 4
    assert [variable.value(i) for i in range(4)] == [0.5, 1.0, 1.5, 2.0]
    assert variable.decode(1.0) == 2.0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"low": 3.0, "high": 1.0}, "low is 3 and high is 1"),
        ({"low": 0.0, "high": 1.0, "scale": "log"}, "log scale needs low > 0"),
        ({"low": 0.5, "high": 4.0, "integer": True}, "whole bounds"),
        ({"step": -1.0}, "step must be positive"),
        ({"high": math.inf}, "finite"),
        ({"choices": ("a", "a")}, "distinct"),
        ({"choices": ("a",), "start": "b"}, "not one of"),
        ({"values": (8, 20, 16)}, r"ascend, but are \[8, 20, 16\]"),
        ({"values": ()}, "ascend"),
    ],
)
def test_contradictions_are_refused_with_their_values(fields: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Variable("w", **fields)  # type: ignore[arg-type]


def space() -> DesignSpace:
    return DesignSpace(
        [
            Variable("w", 1.0, 4.0, start=2.0),
            Variable("kind", choices=("x", "y", "z")),
            Variable("r", 1, 9, integer=True),
        ],
        [Node("m1", "nmos", {"vth": 0.4}, {"w": "w"}), Node("m2", "nmos", {"vth": 0.4}, {"w": "w"})],
        [Edge("m1", "m2", "gate")],
    )


def test_a_free_variable_gets_a_node_of_its_own() -> None:
    nodes = {node.name: node for node in space().nodes}
    assert nodes["r"].kind == "parameter"
    assert nodes["r"].slots == {"value": "r"}


def test_a_shared_variable_is_decided_at_its_first_node() -> None:
    assert space().owners["w"].name == "m1"


def test_the_start_fills_in_the_middle_where_a_variable_has_none() -> None:
    assert space().start == {"w": 2.0, "kind": "y", "r": 5}
    assert DesignSpace([Variable("w")]).start is None


def test_unknown_and_doubled_names_are_refused() -> None:
    with pytest.raises(InputError, match="'w2'"):
        DesignSpace([Variable("w")], [Node("m1", "nmos", slots={"w": "w2"})])
    with pytest.raises(InputError, match="two variables"):
        DesignSpace([Variable("w"), Variable("w")])
    with pytest.raises(InputError, match="unknown node"):
        DesignSpace([Variable("w")], [], [Edge("m1", "m2")])


@pytest.mark.parametrize("unit", [[0.1], [0.1, 0.2, math.nan], [[0.1, 0.2, 0.3]]])
def test_decode_refuses_what_is_not_a_design(unit: list[float]) -> None:
    with pytest.raises(InputError, match="3 finite coordinates"):
        space().decode(np.array(unit))


def test_encode_names_the_missing_value() -> None:
    with pytest.raises(InputError, match="'kind'"):
        space().encode({"w": 1.0, "r": 3})


def test_a_space_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(space()))
    assert again.decode(np.array([0.3, 0.4, 0.5])) == space().decode(np.array([0.3, 0.4, 0.5]))


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_the_relaxation_keeps_the_design(unit: list[float]) -> None:
    relaxation = Relaxation(space())
    assert relaxation.dim == 5
    back = relaxation.collapse(relaxation.expand(np.array(unit)))
    assert space().decode(back) == space().decode(np.array(unit))


def test_the_relaxation_expands_many_designs_as_it_does_one() -> None:
    units = np.random.default_rng(0).random((2, 5, space().dim))
    units[0, 0] = 1.0
    relaxation = Relaxation(space())
    one_by_one = [[relaxation.expand(unit).tolist() for unit in row] for row in units]
    assert relaxation.expand(units).tolist() == one_by_one


def test_no_choice_lies_between_two_others() -> None:
    relaxation = Relaxation(space())
    one_hots = [relaxation.expand(np.array([0, u, 0]))[1:4] for u in (0.1, 0.5, 0.9)]
    distances = {float(np.linalg.norm(a - b)) for i, a in enumerate(one_hots) for b in one_hots[:i]}
    assert distances == {math.sqrt(2)}
