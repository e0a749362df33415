"""What an agent sees of a study: specs, what a design reached of them, nodes; each a vector of numbers in [-1, 1]."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from automl_core.problem import Observations, Trial
from automl_core.space import Array, DesignSpace, Node
from automl_core.specs import Spec, Specs

__all__ = ["NodeFeatures", "Reached", "Seen", "squash", "targets"]


def squash(values: Iterable[float]) -> Array:
    """Any numbers to [-1, 1], in order: a / (1 + abs(a)) with a = asinh(x); infinities to the ends, NaN to 0.

    Near 0 it is the identity; far away it still tells one decade from the next.
    """
    numbers = np.asarray(list(values), dtype=float)
    compressed = np.nan_to_num(np.arcsinh(numbers), nan=0.0, posinf=1e300, neginf=-1e300)
    return np.asarray(compressed / (1.0 + np.abs(compressed)))


def targets(specs: Specs) -> Array:
    """What the specs ask for, shape (4 specs,).

    For each: its bounds over its scale, squashed (-1 and 1 where there is none); 1 to maximise, -1 to minimise; its
    share of the weights. A bound is its own scale unless the spec has one: give a scale to tell targets apart.
    """
    whole = sum(spec.weight for spec in specs.specs)
    return np.concatenate([_target(spec, whole) for spec in specs.specs])


def _target(spec: Spec, whole: float) -> Array:
    low = -math.inf if spec.minimum is None else spec.minimum / spec.normaliser
    high = math.inf if spec.maximum is None else spec.maximum / spec.normaliser
    goal = {"maximize": 1.0, "minimize": -1.0, None: 0.0}[spec.goal]
    return np.array([*squash([low, high]), goal, spec.weight / whole])


class Reached:
    """What a design reached of the specs, shape (2 specs,): of each its margin and its merit, over its scale, squashed.

    0 where no design is known; a margin of -1 where the metric could not be measured.
    """

    def __init__(self, specs: Specs) -> None:
        self._specs = specs
        self.size = 2 * len(specs.specs)

    def __call__(self, trial: Trial | None) -> Array:
        """The vector of one trial."""
        if trial is None:
            return np.zeros(self.size)
        return np.concatenate([self._of(spec, trial.metrics.get(spec.metric, math.nan)) for spec in self._specs.specs])

    def _of(self, spec: Spec, value: float) -> Array:
        margin = spec.margin(value)
        return squash([-math.inf if math.isnan(margin) else margin / spec.normaliser, spec.merit(value)])


class NodeFeatures:
    """What is known of a node before any evaluation: its kind, one-hot, and each feature over its greatest magnitude.

    Args:
        nodes: those that can be shown.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._kinds = sorted({node.kind for node in nodes})
        names = sorted({name for node in nodes for name in node.features})
        self._scales = {name: _scale(node.features.get(name, 0.0) for node in nodes) for name in names}
        self.size = len(self._kinds) + len(names)

    def __call__(self, node: Node | None) -> Array:
        """The vector of one node; zeros where there is none left."""
        if node is None:
            return np.zeros(self.size)
        kind = [float(node.kind == kind) for kind in self._kinds]
        return np.array([*kind, *(node.features.get(name, 0.0) / scale for name, scale in self._scales.items())])


class Seen:
    """What a problem observes at the nodes while it evaluates: operating points, activations.

    Magnitudes are those of a first trial: each number is squashed over the greatest magnitude that its name has there.
    A node or a name that the first trial does not have is not shown.

    Args:
        space: whose nodes.
        first: observations of the trial that sets names and scales.
    """

    def __init__(self, space: DesignSpace, first: Observations) -> None:
        self._keys = [(node.name, name) for node in space.nodes for name in sorted(first.get(node.name, {}))]
        names = {name for _, name in self._keys}
        self._scales = {name: _scale(seen.get(name, 0.0) for seen in first.values()) for name in names}
        self.size = len(self._keys)

    def __call__(self, observations: Observations) -> Array:
        """The vector of one trial's observations; 0 where something was not observed."""
        nothing: Mapping[str, float] = {}
        seen = [observations.get(node, nothing).get(name, 0.0) / self._scales[name] for node, name in self._keys]
        return squash(seen)


def _scale(values: Iterable[float]) -> float:
    """The greatest finite magnitude; 1 where all are 0."""
    return max((abs(value) for value in values if math.isfinite(value)), default=0.0) or 1.0
