"""Node-by-node episodes: each action decides the variables of one node, within what is still allowed.

Source: as L2DC sizes a circuit transistor by transistor (Wang et al., "Learning to Design Circuits", 2018), and AMC
prunes a network layer by layer, its action clipped by the budget that is left (He et al., 2018).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from automl_core.environment.episode import Info, StudyEnv
from automl_core.environment.observation import NodeFeatures, squash
from automl_core.problem import Allowed, Problem, Sequential, Trial
from automl_core.space import Array, DesignSpace, Node, Value, Variable
from automl_core.study import Study

__all__ = ["NodeByNode"]

_FREE = Allowed()


@dataclass(frozen=True)
class _Turn:
    """Variables in a row that one node decides."""

    node: Node
    variables: tuple[Variable, ...]

    @property
    def width(self) -> int:
        return sum(_width(variable) for variable in self.variables)


class NodeByNode(StudyEnv):
    """Nodes decide in the order of the space's variables; the last one completes the design.

    A shared variable is decided at its first node; a node that owns none is passed over, and one whose variables are
    not in a row decides more than once. An action is as wide as the widest node needs; a narrower node reads its
    beginning. Where the problem says what is still allowed, a number goes to the nearest value that is, and a choice to
    the greatest coordinate among those that are.

    The observation: the targets; what was reached of them, 0 before the last step; the share of the nodes that have
    decided; the kind, one-hot, and the features of the node to decide; what the node before it was given; of the first
    variable to decide the least and the greatest unit coordinate and the choices that are allowed; the features that
    the problem reports along the sequence.

    The reward is 0 until the last step, and there the loss, negated.

    Args:
        study: where designs are evaluated.
    """

    def __init__(self, study: Study) -> None:
        self._space = study.problem.space
        self._turns = _turns(self._space)
        self._legal = _Legal(study.problem)
        self._features = NodeFeatures([turn.node for turn in self._turns])
        self._width = max(turn.width for turn in self._turns)
        self._prefix: dict[str, Value] = {}
        self._turn = 0
        self._last = np.zeros(self._width)
        shown = 1 + self._features.size + self._width + self._legal.size
        super().__init__(study, shown=shown, width=self._width)

    def _first(self, options: Info) -> None:
        self._prefix, self._turn, self._last = {}, 0, np.zeros(self._width)

    def _act(self, action: Array) -> Array | None:
        given: list[float] = []
        for variable in self._turns[self._turn].variables:
            wish = (action[len(given) : len(given) + _width(variable)] + 1.0) / 2.0
            value = _nearest(variable, wish, self._legal.ask(self._prefix))
            self._prefix[variable.name] = value
            given += _as_action(variable, value)
        self._last = np.array(given + [0.0] * (self._width - len(given)))
        self._turn += 1
        return self._space.encode(self._prefix) if self._turn == len(self._turns) else None

    def _judge(self, trial: Trial | None) -> tuple[float, bool, bool]:
        if trial is not None:
            return -self._loss(trial), True, False
        return 0.0, False, self._turn == len(self._turns)  # complete, but the budget did not reach it

    def _shown(self) -> Array:
        turn = self._turns[self._turn] if self._turn < len(self._turns) else None
        return np.concatenate(
            [
                [self._turn / len(self._turns)],
                self._features(turn.node if turn else None),
                self._last,
                self._legal.shown(turn.variables[0] if turn else None, self._prefix),
            ]
        )


class _Legal:
    """What a problem still allows: asked once for each prefix, and as numbers to be seen."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem if isinstance(problem, Sequential) else None
        self._choices = max((len(v.choices) for v in problem.space.variables if v.choices is not None), default=0)
        self._asked: tuple[dict[str, Value], Allowed] | None = None
        self._names = self._walk(problem.space) if self._problem is not None else ()
        self.size = 2 + self._choices + len(self._names)

    def ask(self, prefix: Mapping[str, Value]) -> Allowed:
        """What the variable after this prefix may be."""
        if self._problem is None:
            return _FREE
        if self._asked is None or self._asked[0] != prefix:
            self._asked = dict(prefix), self._problem.allowed([dict(prefix)])[0]
        return self._asked[1]

    def shown(self, variable: Variable | None, prefix: Mapping[str, Value]) -> Array:
        """Least and greatest coordinate, choices, features; zeros where nothing is left to be decided."""
        if variable is None:
            return np.zeros(self.size)
        allowed = self.ask(prefix)
        coordinates = [0.0, 1.0] if allowed.values is None else [variable.encode(value) for value in allowed.values]
        mask = np.zeros(self._choices)
        mask[_open(variable, allowed)] = 1.0
        features = squash(allowed.features.get(name, 0.0) for name in self._names)
        return np.concatenate([[min(coordinates), max(coordinates)], mask, features])

    def _walk(self, space: DesignSpace) -> Sequence[str]:
        """The names of all features along a sequence; they may change from variable to variable."""
        names: set[str] = set()
        prefix: dict[str, Value] = {}
        for variable in space.variables:
            allowed = self.ask(prefix)
            names |= set(allowed.features)
            prefix[variable.name] = _nearest(variable, np.zeros(_width(variable)), allowed)
        return tuple(sorted(names))


def _turns(space: DesignSpace) -> list[_Turn]:
    by_owner = groupby(space.variables, key=lambda variable: space.owners[variable.name].name)
    groups = [tuple(group) for _, group in by_owner]
    return [_Turn(space.owners[group[0].name], group) for group in groups]


def _width(variable: Variable) -> int:
    return 1 if variable.choices is None else len(variable.choices)


def _open(variable: Variable, allowed: Allowed) -> list[int]:
    """Positions of the choices that are allowed; none for a number."""
    return [
        position
        for position, choice in enumerate(variable.choices or ())
        if (allowed.mask is None or allowed.mask[position]) and (allowed.values is None or choice in allowed.values)
    ]


def _nearest(variable: Variable, wish: Array, allowed: Allowed) -> Value:
    """The allowed value that an action in [0, 1] comes nearest to."""
    if variable.choices is not None:
        return variable.choices[max(_open(variable, allowed), key=lambda position: wish[position])]
    if allowed.values is None:
        return variable.decode(float(wish[0]))
    return min(allowed.values, key=lambda value: abs(variable.encode(value) - wish[0]))


def _as_action(variable: Variable, value: Value) -> list[float]:
    """The action in [-1, 1] that gives a value."""
    if variable.choices is None:
        return [2.0 * variable.encode(value) - 1.0]
    return [1.0 if choice == value else -1.0 for choice in variable.choices]
