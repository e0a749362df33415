"""Sizes with as many digits as designers write: what is simulated and signed off is what stands in the deck."""

from __future__ import annotations

import math

from automl_core.space import DesignSpace, Point, Value, Variable

__all__ = ["DIGITS", "rounded"]

DIGITS = 4
"""Significant digits, of a value or of the width of its range, whichever is the finer; a fab's grid is coarser."""


def rounded(space: DesignSpace, point: Point) -> Point:
    """The design with every continuous variable in few digits.

    Variables on a grid, integers and choices stay; so do bounds, and the start, which is the designer's own sizing.
    """
    return {name: _rounded(space.by_name[name], value) for name, value in point.items()}


def _rounded(variable: Variable, value: Value) -> Value:
    if variable.grid is not None or variable.choices is not None or isinstance(value, str):
        return value
    if value in (variable.start, variable.low, variable.high):
        return value
    sizes = [size for size in (abs(value), variable.high - variable.low) if size > 0]
    decimals = DIGITS - 1 - min(math.floor(math.log10(size)) for size in sizes)
    few = round(float(value), decimals)
    return min(max(few, variable.low), variable.high)
