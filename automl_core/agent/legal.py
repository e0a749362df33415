"""What is still allowed while a design is decided: actions moved onto it, and what it tells the policy.

A problem that limits its designs says so through :meth:`automl_core.problem.Sequential.allowed`. Every policy decides
through this room, so that what it decides needs no repair; designs that are improved whole are left to the repair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from automl_core.agent.graph import DesignGraph
from automl_core.problem import Allowed
from automl_core.space import Array, Point, Value

__all__ = ["Ask", "Decision", "Told"]

Ask = Callable[[Sequence[Point]], Sequence[Allowed]]


class Told:
    """What ``allowed`` said of the next variable, for a batch of prefixes.

    Args:
        answers: one a prefix.
    """

    def __init__(self, answers: Sequence[Allowed]) -> None:
        self.answers = tuple(answers)

    def features(self, names: Sequence[str]) -> Tensor:
        """Shape (rows, names): what changes along the sequence, clipped to ± 10; 0 where it was not reported."""
        numbers = [[float(answer.features.get(name, 0.0)) for name in names] for answer in self.answers]
        return torch.tensor(numbers, dtype=torch.float32).reshape(len(numbers), len(names)).clamp(-10.0, 10.0)


class Decision:
    """A batch of designs on its way: prefixes of physical values, and the coordinates decided so far.

    Args:
        graph: of the problem.
        ask: ``allowed`` of the problem; ``None`` where every design is legal.
        rows: how many designs.
    """

    def __init__(self, graph: DesignGraph, ask: Ask | None, rows: int) -> None:
        self._graph = graph
        self._ask = ask
        self._prefixes: list[dict[str, Value]] = [{} for _ in range(rows)]

    def told(self) -> Told | None:
        """What is allowed of the next variable."""
        return None if self._ask is None else Told(self._ask(self._prefixes))

    def decide(self, variable: int, wanted: Tensor, told: Told | None) -> Tensor:
        """Fix one variable.

        Args:
            variable: position in the space; variables come in the space's order.
            wanted: shape (rows, columns of the variable): a coordinate, or a weight for each alternative.
            told: what :meth:`told` gave for it.

        Returns:
            The same shape: what was decided, with the gradient of what was wanted (straight-through, Bengio 2013).
        """
        if told is None:
            return wanted
        numbers = wanted.detach().double().numpy()
        decided = np.stack([self._one(variable, row, at, told) for at, row in enumerate(numbers)])
        return wanted + (torch.as_tensor(decided, dtype=wanted.dtype) - wanted).detach()

    def _one(self, variable: int, wanted: Array, row: int, told: Told) -> Array:
        described, allowed = self._graph.space.variables[variable], told.answers[row]
        if described.choices is not None:
            weights = wanted if allowed.mask is None else np.where(allowed.mask, wanted, -np.inf)
            chosen = int(np.argmax(weights))
            self._prefixes[row][described.name] = described.choices[chosen]
            return np.array([float(at == chosen) for at in range(len(described.choices))])
        value = described.decode(float(wanted[0]))
        if allowed.values is not None and value not in allowed.values:
            value = min(allowed.values, key=lambda legal: abs(described.encode(legal) - float(wanted[0])))
        self._prefixes[row][described.name] = value
        return np.array([described.encode(value)])

    def clip(self, wanted: Tensor) -> Tensor:
        """Whole designs, shape (rows, coordinates), decided variable by variable from the first."""
        if self._ask is None:
            return wanted
        parts = []
        for variable in range(self._graph.space.dim):
            parts.append(self.decide(variable, wanted[:, self._graph.columns[variable]], self.told()))
        return torch.cat(parts, dim=1)
