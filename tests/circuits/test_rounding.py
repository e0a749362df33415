"""Designs in few digits: near what was asked for, on their own grid, and the designer's own untouched."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_core.space import DesignSpace, Variable
from circuits.rounding import rounded

RANGES = [
    Variable("w", 0.5e-6, 100e-6, scale="log"),
    Variable("rz", 10.0, 20e3, scale="log"),
    Variable("bias", 0.7, 0.9),
    Variable("i", -2e-3, 2e-3),
    Variable("narrow", 999.9, 1000.1),
    Variable("f", 1.2345678e6, 9.8765432e6),
    Variable("l", 0.18e-6, 2e-6, scale="log", step=0.005e-6),
    Variable("m", 1, 40, integer=True),
    Variable("fixed", 3.14159265, 3.14159265),
    Variable("begun", 1e-6, 1e-4, scale="log", start=12.3456789e-6),
]
SPACE = DesignSpace(RANGES)
UNITS = st.lists(st.floats(0, 1), min_size=SPACE.dim, max_size=SPACE.dim)


@given(UNITS)
def test_a_design_is_near_what_was_asked_for_and_stays_when_it_is_rounded_again(units: list[float]) -> None:
    asked = SPACE.decode(units)
    few = rounded(SPACE, asked)
    for variable in RANGES:
        one, other = float(asked[variable.name]), float(few[variable.name])
        assert variable.low <= other <= variable.high
        assert abs(one - other) <= 5.0001e-4 * min(abs(one), variable.high - variable.low)
    assert rounded(SPACE, few) == few


@given(UNITS)
def test_four_digits_say_it_but_in_a_narrow_range(units: list[float]) -> None:
    few = rounded(SPACE, SPACE.decode(units))
    for name, digits in {"w": 4, "rz": 4, "bias": 4, "i": 7, "narrow": 8}.items():
        if few[name] not in (SPACE.by_name[name].low, SPACE.by_name[name].high):
            assert len(Decimal(repr(few[name])).normalize().as_tuple().digits) <= digits, few


def test_grids_integers_bounds_and_the_designers_own_stay() -> None:
    low, high = SPACE.decode([0.0] * SPACE.dim), SPACE.decode([1.0] * SPACE.dim)
    assert rounded(SPACE, low) == low and rounded(SPACE, high) == high
    own = {**low, "begun": 12.3456789e-6, "l": 0.185e-6, "m": 7}
    assert rounded(SPACE, own) == own


@pytest.mark.parametrize(("value", "few"), [(10.8316342e-6, 10.83e-6), (99.99996e-6, 100e-6), (3.00049e-6, 3e-6)])
def test_what_people_would_write(value: float, few: float) -> None:
    assert rounded(SPACE, {"w": value})["w"] == few
    assert math.isclose(float(rounded(SPACE, {"i": -value})["i"]), -few, rel_tol=1e-3)
