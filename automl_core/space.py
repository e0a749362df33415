"""The design space: variables between the unit cube and physical values, and the graph they belong to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from automl_core.errors import InputError

__all__ = ["Array", "DesignSpace", "Edge", "Node", "Point", "Relaxation", "Value", "Variable"]

Array: TypeAlias = NDArray[np.float64]
Value: TypeAlias = float | int | str
Point: TypeAlias = Mapping[str, Value]
"""A design in physical values, by variable name."""

_LISTED = 4096
"""A discrete variable of more values than these is as good as continuous to who searches near it."""


@dataclass(frozen=True)
class Variable:
    """One number or choice of a design.

    Args:
        name: its name, unique in the space.
        low: least value (inclusive).
        high: greatest value (inclusive).
        scale: how the unit interval maps to ``[low, high]``.
        step: the grid, anchored at ``low``; ``None`` for a continuous variable.
        integer: whole numbers only (a step of 1, unless ``step`` says more).
        choices: unordered alternatives; ``low``, ``high``, ``scale`` and ``step`` then mean nothing.
        start: the value to begin with, as the designer had it.
        values: ordered numbers that no step leads through, ascending, as far apart in the unit interval as any two
            neighbours; ``low`` and ``high`` are then their ends, ``scale``, ``step`` and ``integer`` mean nothing.

    Raises:
        InputError: the fields contradict one another.
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    scale: Literal["linear", "log"] = "linear"
    step: float | None = None
    integer: bool = False
    choices: tuple[Value, ...] | None = None
    start: Value | None = None
    values: tuple[float | int, ...] | None = None

    def __post_init__(self) -> None:
        if self.choices is not None:
            object.__setattr__(self, "choices", tuple(self.choices))
            self._check_choices(self.choices)
        elif self.values is not None:
            object.__setattr__(self, "values", tuple(self.values))
            self._check_values(self.values)
            object.__setattr__(self, "low", self.values[0])
            object.__setattr__(self, "high", self.values[-1])
        else:
            self._check_range()

    def _refuse(self, problem: str, remedy: str) -> None:
        raise InputError(f"variable {self.name!r}: {problem}", remedy=remedy)

    def _check_choices(self, choices: Sequence[Value]) -> None:
        if not choices or len(set(choices)) != len(choices):
            self._refuse(f"choices must be distinct and not empty, but are {list(choices)}", "list each choice once")
        if self.start is not None and self.start not in choices:
            self._refuse(f"start {self.start!r} is not one of {list(choices)}", "start from one of the choices")

    def _check_values(self, values: Sequence[float | int]) -> None:
        if not values or not all(map(math.isfinite, values)) or any(b <= a for a, b in pairwise(values)):
            self._refuse(f"values must be finite and ascend, but are {list(values)}", "list each once, in order")

    def _check_range(self) -> None:
        low, high = self.low, self.high
        if not (math.isfinite(low) and math.isfinite(high)):
            self._refuse(f"bounds must be finite, but are {low:g} and {high:g}", "give finite bounds")
        if not low <= high:
            self._refuse(
                f"low <= high must hold, but low is {low:g} and high is {high:g}", "swap or correct the bounds"
            )
        if self.scale == "log" and low <= 0:
            self._refuse(f"a log scale needs low > 0, but low is {low:g}", "use a linear scale or a positive bound")
        if self.integer and not (float(low).is_integer() and float(high).is_integer()):
            self._refuse(f"an integer needs whole bounds, but they are {low:g} and {high:g}", "round the bounds")
        if self.step is not None and not (math.isfinite(self.step) and self.step > 0):
            self._refuse(f"step must be positive, but is {self.step:g}", "give a positive step or none")
        if self.integer and self.step is not None and not float(self.step).is_integer():
            self._refuse(f"the step of an integer must be whole, but is {self.step:g}", "round the step")

    @cached_property
    def grid(self) -> float | None:
        """Distance of two neighbouring values, or ``None`` where there is no such: a continuous variable, a choice."""
        if self.choices is not None or self.values is not None:
            return None
        return self.step if self.step is not None else (1.0 if self.integer else None)

    @cached_property
    def count(self) -> int | None:
        """How many values there are; ``None`` for a continuous variable."""
        if self.choices is not None:
            return len(self.choices)
        if self.values is not None:
            return len(self.values)
        if self.low == self.high:
            return 1
        return None if self.grid is None else math.floor((self.high - self.low) / self.grid * (1 + 1e-12)) + 1

    def value(self, index: int) -> Value:
        """The ``index``-th of the ``count`` values of a discrete variable."""
        if self.choices is not None:
            return self.choices[index]
        if self.values is not None:
            return self.values[index]
        if self.grid is None:
            return self.low
        return self._rounded(self.low + index * self.grid)

    def nearest(self, value: Value) -> Value:
        """The value of this variable that lies nearest to ``value``."""
        if self.choices is not None:
            return self._choice(value)
        if self.values is not None:
            return min(self.values, key=lambda own: abs(own - float(value)))
        if self.grid is None or self.count is None:
            return self._rounded(float(value))
        return self.value(min(max(round((float(value) - self.low) / self.grid), 0), self.count - 1))

    def decode(self, unit: float) -> Value:
        """Physical value at ``unit`` in [0, 1]; values beyond are clipped."""
        unit = 0.0 if unit < 0.0 else 1.0 if unit > 1.0 else unit
        if self.choices is not None:
            return self.choices[min(int(unit * len(self.choices)), len(self.choices) - 1)]
        if self.values is not None:
            return self.values[min(int(unit * len(self.values)), len(self.values) - 1)]
        origin, span = self._axis
        position = origin + unit * span
        number = math.exp(position) if self.scale == "log" else position
        return self._rounded(number) if self.grid is None else self.nearest(number)

    def encode(self, value: Value) -> float:
        """Coordinate in [0, 1] of a physical value: ``decode(encode(v)) == v`` for every value of the variable."""
        if self.choices is not None:
            return (self.choices.index(self._choice(value)) + 0.5) / len(self.choices)
        if self.values is not None:
            return (self.values.index(self.nearest(value)) + 0.5) / len(self.values)
        origin, span = self._axis
        if span <= 0:
            return 0.5
        number = float(value)
        number = self.low if number < self.low else self.high if number > self.high else number
        unit = ((math.log(number) if self.scale == "log" else number) - origin) / span
        return 0.0 if unit < 0.0 else 1.0 if unit > 1.0 else unit

    @cached_property
    def _axis(self) -> tuple[float, float]:
        """Origin and length of the axis; half a step wider at both ends, so that the end values get a full cell."""
        low, high = self.low, self.high
        if self.grid is not None and self.count is not None and self.count > 1:
            half = self.grid / 2
            high = self.low + (self.count - 1) * self.grid + half
            low = low - half if self.scale == "linear" or low > half else low
        if self.scale == "log":
            low, high = math.log(low), math.log(high)
        return low, high - low

    @cached_property
    def coordinates(self) -> Array | None:
        """Coordinate of each value, in order; ``None`` for a continuous variable, and for one of more than 4,096."""
        if self.count is None or self.count > _LISTED:
            return None
        return np.array([self.encode(self.value(index)) for index in range(self.count)])

    def snap(self, units: Array) -> Array:
        """``encode(decode(u))`` for many coordinates at once; a grid too fine to be listed counts as continuous.

        Args:
            units: any shape, in [0, 1].
        """
        if self.coordinates is None:
            return units
        if self.choices is not None or self.grid is None:
            positions = np.floor(units * len(self.coordinates))
        else:
            origin, span = self._axis
            numbers = origin + units * span
            positions = np.rint(((np.exp(numbers) if self.scale == "log" else numbers) - self.low) / self.grid)
        listed: Array = self.coordinates[np.clip(positions, 0, len(self.coordinates) - 1).astype(int)]
        return listed

    def _choice(self, value: Value) -> Value:
        choices = self.choices or ()
        if value not in choices:
            self._refuse(f"{value!r} is not one of {list(choices)}", "give one of the choices")
        return value

    def _rounded(self, number: float) -> float | int:
        """To 9 significant digits, 12 on a grid: decks stay readable, and a design is its own key."""
        if self.integer:
            return round(number)
        rounded = float(f"{number:.9g}" if self.grid is None else f"{number:.12g}")
        return self.low if rounded < self.low else self.high if rounded > self.high else rounded


@dataclass(frozen=True)
class Node:
    """One part of a design: a device, a layer.

    Args:
        name: unique in the space.
        kind: named class of the part ("nmos", "conv"); policies share weights over a kind.
        features: what is known of the part before any evaluation, by name.
        slots: which variable sets which property: ``{"w": "w1"}``. Two nodes that name one variable are coupled.
    """

    name: str
    kind: str
    features: Mapping[str, float] = field(default_factory=dict)
    slots: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Edge:
    """A connection of two nodes; ``role`` is the terminal ("gate") or the tensor."""

    source: str
    target: str
    role: str = ""


class DesignSpace:
    """The variables of a problem, in the order they are decided, and the graph over its parts.

    A variable that no node uses gets a node of its own, of kind ``"parameter"``.

    Args:
        variables: in the order a sequential policy decides them.
        nodes: parts of the design.
        edges: connections between nodes.

    Raises:
        InputError: names clash, or a slot or an edge names what is not there.
    """

    def __init__(self, variables: Iterable[Variable], nodes: Iterable[Node] = (), edges: Iterable[Edge] = ()) -> None:
        self.variables = tuple(variables)
        self.by_name = _by_unique_name(self.variables, "variable")
        nodes = tuple(nodes)
        used = {name for node in nodes for name in node.slots.values()}
        if unknown := sorted(used - set(self.by_name)):
            raise InputError(f"a slot names the unknown variable {unknown[0]!r}", remedy="add it to the variables")
        free = [v.name for v in self.variables if v.name not in used]
        self.nodes = (*nodes, *(Node(name, "parameter", slots={"value": name}) for name in free))
        known = _by_unique_name(self.nodes, "node")
        self.edges = tuple(edges)
        for edge in self.edges:
            if edge.source not in known or edge.target not in known:
                raise InputError(
                    f"edge {edge.source!r} -> {edge.target!r} names an unknown node", remedy="add the node"
                )

    @property
    def dim(self) -> int:
        """Number of variables, hence of coordinates of the unit cube."""
        return len(self.variables)

    @cached_property
    def owners(self) -> Mapping[str, Node]:
        """Variable name -> the first node that uses it, where a sequential policy decides it."""
        owners: dict[str, Node] = {}
        for node in self.nodes:
            for name in node.slots.values():
                owners.setdefault(name, node)
        return owners

    @cached_property
    def size(self) -> float:
        """How many designs there are; ``inf`` where a variable is continuous."""
        return math.prod(math.inf if v.count is None else v.count for v in self.variables)

    def decode(self, unit: Array) -> dict[str, Value]:
        """Unit cube to physical values; the only place that knows log, step, integer and choice.

        Args:
            unit: shape (dim,), in [0, 1]; values beyond are clipped.

        Raises:
            InputError: the shape is wrong or a coordinate is not a number.
        """
        coordinates = np.asarray(unit, dtype=float)
        if coordinates.shape != (self.dim,) or not np.isfinite(coordinates).all():
            raise InputError(f"a design is {self.dim} finite coordinates, but got {coordinates}")
        return {v.name: v.decode(u) for v, u in zip(self.variables, coordinates.tolist(), strict=True)}

    def encode(self, point: Point) -> Array:
        """Physical values to the unit cube, shape (dim,).

        Raises:
            InputError: a variable is missing from the point, or a choice is unknown.
        """
        if missing := [name for name in self.by_name if name not in point]:
            raise InputError(f"the design lacks a value for {missing[0]!r}", remedy="give every variable a value")
        return np.array([v.encode(point[v.name]) for v in self.variables])

    def snap(self, units: Array) -> Array:
        """Where the designs lie that coordinates decode to, shape (n, dim): see :meth:`Variable.snap`."""
        columns = [v.snap(column) for v, column in zip(self.variables, np.clip(units, 0.0, 1.0).T, strict=True)]
        return np.stack(columns, axis=1)

    def nearest(self, point: Point) -> dict[str, Value]:
        """The design of this space that lies nearest to ``point``, variable by variable."""
        return {v.name: v.nearest(point[v.name]) for v in self.variables}

    @property
    def start(self) -> dict[str, Value] | None:
        """The design to begin with: every start, the middle where a variable has none; ``None`` if none has."""
        if all(v.start is None for v in self.variables):
            return None
        return {v.name: v.decode(0.5) if v.start is None else v.nearest(v.start) for v in self.variables}


class Relaxation:
    """Choices as one-hot coordinates, for optimizers that need an ordered, continuous cube.

    A choice of n alternatives becomes n coordinates, the greatest of which is taken; all else stays as it is.
    """

    def __init__(self, space: DesignSpace) -> None:
        self._widths = [len(v.choices) if v.choices is not None else 1 for v in space.variables]
        self._is_choice = [v.choices is not None for v in space.variables]
        self._plain = not any(self._is_choice)
        self.dim = sum(self._widths)

    def expand(self, unit: Array) -> Array:
        """Shape (..., dim of the space) to (..., dim of the relaxation)."""
        coordinates = np.asarray(unit, dtype=float)
        if self._plain:
            return coordinates.copy()
        parts: list[Array] = []
        for column, width, is_choice in zip(
            np.moveaxis(coordinates, -1, 0), self._widths, self._is_choice, strict=True
        ):
            chosen = np.minimum((column * width).astype(int), width - 1)
            parts.append(np.eye(width)[chosen] if is_choice else column[..., np.newaxis])
        return np.concatenate(parts, axis=-1)

    def collapse(self, relaxed: Array) -> Array:
        """Shape (dim of the relaxation,) to (dim of the space,); a choice lands in the middle of its cell."""
        if self._plain:
            return np.clip(relaxed, 0.0, 1.0)
        parts = np.split(np.asarray(relaxed), np.cumsum(self._widths)[:-1])
        return np.array(
            [
                (int(np.argmax(part)) + 0.5) / width if is_choice else min(max(float(part[0]), 0.0), 1.0)
                for part, width, is_choice in zip(parts, self._widths, self._is_choice, strict=True)
            ]
        )


_Named = TypeVar("_Named", Variable, Node)


def _by_unique_name(items: Sequence[_Named], what: str) -> dict[str, _Named]:
    named = {item.name: item for item in items}
    if len(named) != len(items):
        names = [item.name for item in items]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two {what}s are named {twice!r}", remedy="rename one of them")
    return named
