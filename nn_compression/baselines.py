"""What a search has to beat at the same budget: every layer treated alike, and random designs, as many."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from automl_core.problem import Problem
from automl_core.space import DesignSpace, Point, Value

__all__ = ["alike", "uniform_design"]

_LEVELS = 512
"""Places of a range that are tried."""


def alike(space: DesignSpace, level: float) -> dict[str, Value]:
    """The design in which every variable lies at the same place of its range, from 0 (least) to 1 (greatest)."""
    return {variable.name: variable.decode(level) for variable in space.variables}


def uniform_design(problem: Problem, fits: Callable[[Mapping[str, Value]], bool]) -> Point:
    """Every layer treated alike, as generously as the budget allows.

    What rounding then leaves over is not given to single layers: that would be a choice.

    Args:
        problem: whose space it is.
        fits: whether a design is within the budget.

    Returns:
        the design at the highest place of the range that is within it; at the lowest where none is.
    """
    designs = (alike(problem.space, (_LEVELS - number) / _LEVELS) for number in range(_LEVELS + 1))
    return next((design for design in designs if fits(design)), alike(problem.space, 0.0))
