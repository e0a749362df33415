"""What the channels of a design cost: MACs and bytes exactly, latency as a sum of times measured on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from automl_core.space import Array
from nn_compression.channels.groups import ChannelGroup
from nn_compression.latency.network_latency import NetworkLatency
from nn_compression.problems.costs import GrowingCost, Table, TableCost
from nn_compression.problems.grid import Grid, Levels

__all__ = ["Counts", "GroupCounts", "counted", "timed"]

Counts: TypeAlias = NDArray[np.int64]
"""Channels that stay, shape (..., groups), in the order of the groups."""


class GroupCounts:
    """From positions on a grid to the channels that all groups keep.

    Args:
        grid: with a variable for each group that has a choice, by its name.
        groups: all groups; one without a variable keeps all its channels.
    """

    def __init__(self, grid: Grid, groups: Sequence[ChannelGroup]) -> None:
        at = {variable.name: column for column, variable in enumerate(grid.space.variables)}
        self._columns = [at.get(group.name) for group in groups]
        self._values = [np.array(values, dtype=float) for values in grid.values]
        self._whole = np.array([group.channels for group in groups], dtype=np.int64)

    def __call__(self, levels: Levels) -> Counts:
        """Shape (rows, variables) to (rows, groups)."""
        counts: Counts = np.repeat(self._whole[np.newaxis], len(levels), axis=0)
        for group, column in enumerate(self._columns):
            if column is not None:
                counts[:, group] = self._values[column][levels[:, column]]
        return counts


def counted(of: Callable[[Counts], Counts], counts: GroupCounts) -> GrowingCost:
    """A cost that is counted, and grows with every channel.

    Args:
        of: shape (rows, groups) of channels to (rows,): one of :class:`nn_compression.cost.ChannelCost`.
        counts: the channels of a design.
    """

    def total(levels: Levels) -> Array:
        return np.asarray(of(counts(levels)), dtype=float)

    return GrowingCost(total)


def timed(latency: NetworkLatency, grid: Grid) -> TableCost:
    """Measured times of blocks, for every number of channels that their groups may keep.

    Args:
        latency: of the network.
        grid: with a variable for each group that has a choice, by its name.

    Raises:
        InputError: too many groups hang together for the least latency of the rest to be found.
    """
    at = {variable.name: column for column, variable in enumerate(grid.space.variables)}
    tables = [Table((), np.array(latency.fixed * latency.scale))]
    for term in latency.terms:
        chosen = sorted((at[name], name) for name in term.groups if name in at)
        values = [grid.values[column] for column, _ in chosen]
        designs = (
            {name: int(value) for (_, name), value in zip(chosen, some, strict=True)} for some in product(*values)
        )
        times = np.array([term.seconds(design) for design in designs], dtype=float)
        tables.append(Table(tuple(column for column, _ in chosen), times.reshape([len(own) for own in values])))
    return TableCost(tables, grid.space.dim)
