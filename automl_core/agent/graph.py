"""A design space as tensors: its nodes, the edges by role, and the order in which its variables are decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from automl_core.space import DesignSpace, Node, Relaxation

__all__ = ["DesignGraph", "Entry", "Step", "Use"]


@dataclass(frozen=True)
class Entry:
    """One coordinate of the relaxation: a number, or one alternative of a choice.

    Args:
        variable: position in the space.
        column: position in the relaxation.
        nodes: positions of the nodes that use the variable; it is decided at the first.
        heads: for each of these nodes the name by which weights know the coordinate: ``nmos.w``, ``conv.kind=dw3x3``.
        alternative: whether it is one alternative of a choice.
    """

    variable: int
    column: int
    nodes: tuple[int, ...]
    heads: tuple[str, ...]
    alternative: bool


@dataclass(frozen=True)
class Step:
    """What a sequential policy decides at once: consecutive variables of one node.

    Args:
        node: position of the node.
        variables: positions in the space.
        entries: their coordinates in the relaxation, in order.
    """

    node: int
    variables: tuple[int, ...]
    entries: tuple[Entry, ...]


class Use(NamedTuple):
    """A coordinate at one of the nodes that use it."""

    column: int
    node: int
    head: str


class DesignGraph:
    """The graph of a space.

    Args:
        space: to read.

    Attributes:
        kinds: kind of each node, by position.
        features: what is known of each node, by position and name.
        adjacency: role -> shape (nodes, nodes), rows averaged; ``gate`` leads from the source of an edge to its target,
            ``gate of`` back.
        steps: in the order of decision.
        entries: every coordinate of the relaxation, in order.
        uses: every coordinate at every node that uses it.
        columns: position of a variable -> its coordinates.
    """

    def __init__(self, space: DesignSpace) -> None:
        self.space = space
        self.relaxation = Relaxation(space)
        self.positions = {node.name: position for position, node in enumerate(space.nodes)}
        self.kinds = tuple(node.kind for node in space.nodes)
        self.features = tuple(dict(node.features) for node in space.nodes)
        self.entries = tuple(_entries(space, self.positions))
        self.steps = tuple(_steps(space, self.positions, self.entries))
        self.uses = tuple(Use(e.column, *at) for e in self.entries for at in zip(e.nodes, e.heads, strict=True))
        self.columns = _columns(self.entries)
        self.adjacency = _adjacency(space, self.positions)

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.kinds)

    @property
    def heads(self) -> tuple[str, ...]:
        """The names by which weights know the coordinates."""
        return tuple(dict.fromkeys(head for entry in self.entries for head in entry.heads))


def _slot(node: Node, variable: str) -> str:
    return next(slot for slot, name in node.slots.items() if name == variable)


def _entries(space: DesignSpace, positions: dict[str, int]) -> Sequence[Entry]:
    users: dict[str, list[Node]] = {}
    for node in space.nodes:
        for name in dict.fromkeys(node.slots.values()):
            users.setdefault(name, []).append(node)
    entries: list[Entry] = []
    for position, variable in enumerate(space.variables):
        nodes = users[variable.name]
        at = tuple(positions[node.name] for node in nodes)
        names = [f"{node.kind}.{_slot(node, variable.name)}" for node in nodes]
        suffixes = [""] if variable.choices is None else [f"={choice}" for choice in variable.choices]
        for suffix in suffixes:
            heads = tuple(name + suffix for name in names)
            entries.append(Entry(position, len(entries), at, heads, alternative=bool(suffix)))
    return entries


def _columns(entries: Sequence[Entry]) -> dict[int, list[int]]:
    columns: dict[int, list[int]] = {}
    for entry in entries:
        columns.setdefault(entry.variable, []).append(entry.column)
    return columns


def _steps(space: DesignSpace, positions: dict[str, int], entries: Sequence[Entry]) -> Sequence[Step]:
    owner = [positions[space.owners[variable.name].name] for variable in space.variables]
    steps = []
    for node, group in groupby(range(space.dim), key=lambda position: owner[position]):
        variables = tuple(group)
        steps.append(Step(node, variables, tuple(entry for entry in entries if entry.variable in variables)))
    return steps


def _adjacency(space: DesignSpace, positions: dict[str, int]) -> dict[str, Tensor]:
    matrices: dict[str, Tensor] = {}
    for edge in space.edges:
        source, target = positions[edge.source], positions[edge.target]
        for role, row, column in ((edge.role, target, source), (f"{edge.role} of", source, target)):
            matrices.setdefault(role, torch.zeros(len(positions), len(positions)))[row, column] = 1.0
    return {role: matrix / matrix.sum(1, keepdim=True).clamp(min=1.0) for role, matrix in matrices.items()}
