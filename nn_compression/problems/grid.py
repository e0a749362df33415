"""Designs as positions on the grids of their variables, so that many are reckoned with at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from automl_core.space import Array, DesignSpace, Point, Value

__all__ = ["Grid", "Levels"]

Levels: TypeAlias = NDArray[np.int64]
"""Positions on the grids, shape (..., variables); 0 is the least value."""

_HAIR = 1e-12
"""A coordinate that was added to and subtracted from may miss its own value by less than this."""


class Grid:
    """The values of a space whose variables are all discrete and ordered.

    Args:
        space: without choices and without continuous variables.

    Attributes:
        top: shape (variables,): position of the greatest value of each.
        values: of each variable, in order.
        coordinates: of each variable: the unit coordinates of its values, in order.
    """

    def __init__(self, space: DesignSpace) -> None:
        self.space = space
        self.values: tuple[Sequence[Value], ...] = tuple(
            _progression([variable.value(at) for at in range(variable.count or 0)]) for variable in space.variables
        )
        self.top: Levels = np.array([len(values) - 1 for values in self.values], dtype=np.int64)
        self.coordinates: tuple[Array, ...] = tuple(
            np.array([variable.encode(value) for value in values])
            for variable, values in zip(space.variables, self.values, strict=True)
        )
        self._positions = [{value: at for at, value in enumerate(values)} for values in self.values]

    def level(self, variable: int, value: Value) -> int:
        """Position of a value, or of the one that lies nearest."""
        found = self._positions[variable].get(value)
        if found is None:
            found = self._positions[variable][self.space.variables[variable].nearest(value)]
        return found

    def levels(self, points: Sequence[Point]) -> Levels:
        """Shape (points, variables); of a prefix, 0 for what it does not hold."""
        levels = np.zeros((len(points), self.space.dim), dtype=np.int64)
        for row, point in enumerate(points):
            for at, variable in enumerate(self.space.variables[: len(point)]):
                levels[row, at] = self.level(at, point[variable.name])
        return levels

    def point(self, levels: Levels) -> dict[str, Value]:
        """The design at positions of shape (variables,)."""
        names = (variable.name for variable in self.space.variables)
        return {name: values[at] for name, values, at in zip(names, self.values, levels.tolist(), strict=True)}

    def units(self, levels: Levels) -> Array:
        """Unit coordinates, of the same shape as the positions."""
        return np.stack([at[levels[..., column]] for column, at in enumerate(self.coordinates)], axis=-1)

    def above(self, units: Array) -> Levels:
        """The least positions whose coordinates are not below those given, shape (..., variables)."""
        return self.clip(self._searched(units - _HAIR, "left"))

    def below(self, units: Array) -> Levels:
        """The greatest positions whose coordinates are not above those given, shape (..., variables)."""
        return self.clip(self._searched(units + _HAIR, "right") - 1)

    def _searched(self, units: Array, side: Literal["left", "right"]) -> Levels:
        columns = [np.searchsorted(at, units[..., column], side) for column, at in enumerate(self.coordinates)]
        return np.stack(columns, axis=-1)

    def clip(self, levels: Levels) -> Levels:
        """Positions beyond the ends of a grid become its ends."""
        clipped: Levels = np.clip(levels, 0, self.top)
        return clipped


def _progression(values: Sequence[Value]) -> Sequence[Value]:
    """Whole numbers in equal steps as a range: shorter to hold, and quicker to look into."""
    whole = [value for value in values if isinstance(value, int)]
    if len(whole) != len(values) or not whole:
        return tuple(values)
    step = whole[1] - whole[0] if len(whole) > 1 else 1
    steps = range(whole[0], whole[-1] + 1, step)
    return steps if list(steps) == whole else tuple(values)
