"""What designs cost, exactly, many at once; and the least that the rest of a design can cost.

A cost that grows with every variable (MACs, bytes, weights) is least where all are least. One that is read from a table
(a latency) need not be: eleven channels can take longer than sixteen. The least of the rest is then found by variable
elimination over the tables (Dechter, "Bucket elimination", 1999), never taken to be that of the least values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from automl_core.errors import InputError
from automl_core.space import Array
from nn_compression.problems.grid import Levels

__all__ = ["Cost", "GrowingCost", "Table", "TableCost"]

_LARGEST = 2**24
"""Entries of a table that elimination may make."""
_BITS = 40
"""Of the greatest entry of a table: 2^12 of them can be added without rounding."""


class Cost(Protocol):
    """What designs cost."""

    @property
    def grows(self) -> bool:
        """Whether no variable can be raised without the cost staying the same or rising."""

    def total(self, levels: Levels) -> Array:
        """Shape (rows, variables) to (rows,)."""

    def least(self, levels: Levels, decided: int) -> Array:
        """The least cost, whatever the variables from position ``decided`` on are; shape (rows,)."""


@dataclass(frozen=True)
class GrowingCost:
    """A cost that never falls where a variable is raised.

    Args:
        of: shape (rows, variables) of positions to shape (rows,).
    """

    of: Callable[[Levels], Array]
    grows: bool = True

    def total(self, levels: Levels) -> Array:
        """Shape (rows, variables) to (rows,)."""
        return self.of(levels)

    def least(self, levels: Levels, decided: int) -> Array:
        """With all of the rest at its least value."""
        lowest = levels.copy()
        lowest[:, decided:] = 0
        return self.of(lowest)


@dataclass(frozen=True)
class Table:
    """A part of a cost that a few variables decide.

    Args:
        variables: positions in the space, rising.
        cost: one axis a variable.
    """

    variables: tuple[int, ...]
    cost: Array


class TableCost:
    """A sum of tables.

    Args:
        tables: the parts; each cost is rounded up to 2^-40 of the greatest.
        dim: number of variables.

    Raises:
        InputError: variables hang together so much that the least of the rest cannot be found.
    """

    def __init__(self, tables: Sequence[Table], dim: int) -> None:
        self.tables = _exact(tables)
        self.grows = all(_grows(table.cost) for table in self.tables)
        self._whole = _Sum(self.tables, dim)
        self._rest: dict[int, _Sum] = {dim: self._whole}
        rest = self.tables
        for variable in reversed(range(dim if self.grows else 0, dim)):
            rest = _without(rest, variable)
            self._rest[variable] = _Sum(rest, dim)

    def total(self, levels: Levels) -> Array:
        """Shape (rows, variables) to (rows,)."""
        return self._whole(levels)

    def least(self, levels: Levels, decided: int) -> Array:
        """The minimum over all values of the rest."""
        if not self.grows:
            return self._rest[decided](levels)
        lowest = levels.copy()
        lowest[:, decided:] = 0
        return self._whole(lowest)


class _Sum:
    """Tables laid end to end, so that all of a design's entries are found by one product and taken at once.

    Args:
        tables: to be added up.
        dim: number of variables.
    """

    def __init__(self, tables: Sequence[Table], dim: int) -> None:
        self._entries = np.concatenate([np.ravel(table.cost) for table in tables] or [np.zeros(0)])
        self._starts = np.cumsum([0, *(table.cost.size for table in tables)])[:-1].astype(float)
        self._strides = np.zeros((dim, len(tables)))
        for column, table in enumerate(tables):
            steps = np.cumprod([1, *reversed(table.cost.shape)])[:-1][::-1]
            self._strides[list(table.variables), column] = steps

    def __call__(self, levels: Levels) -> Array:
        """Shape (rows, variables) to (rows,)."""
        at = levels @ self._strides + self._starts  # in floats, which are exact here and much faster to multiply
        total: Array = self._entries[at.astype(np.int64)].sum(axis=1)
        return total


def _exact(tables: Sequence[Table]) -> tuple[Table, ...]:
    """Costs as multiples of a power of two, so that a sum is the same in any order; whole numbers stay as they are."""
    largest = max((float(np.abs(table.cost).max()) for table in tables), default=0.0)
    if largest == 0.0:
        return tuple(tables)
    unit = 2.0 ** (math.ceil(math.log2(largest)) - _BITS)
    return tuple(Table(table.variables, np.ceil(table.cost / unit) * unit) for table in tables)


def _grows(cost: Array) -> bool:
    return all(bool((np.diff(cost, axis=axis) >= 0).all()) for axis in range(cost.ndim))


def _without(tables: Sequence[Table], variable: int) -> tuple[Table, ...]:
    """The tables once the best value of the last variable is taken, whatever those before it are."""
    touched = [table for table in tables if variable in table.variables]
    if not touched:
        return tuple(tables)
    scope = sorted({at for table in touched for at in table.variables})
    sizes = {at: size for table in touched for at, size in zip(table.variables, table.cost.shape, strict=True)}
    if math.prod(sizes.values()) > _LARGEST:
        raise InputError(
            f"the latencies of {len(scope)} groups of channels hang together, in {math.prod(sizes.values()):,} ways",
            remedy="give a multiple for the channels that are kept (--round-to 8), or a budget in MACs or bytes",
        )
    joint = np.zeros([sizes[at] for at in scope])
    for table in touched:
        joint = joint + table.cost.reshape([sizes[at] if at in table.variables else 1 for at in scope])
    least = Table(tuple(scope[:-1]), np.asarray(joint.min(axis=-1)))
    return (*(table for table in tables if variable not in table.variables), least)
