"""The score of :mod:`automl_core.specs`, for many designs at once and with gradients.

``tests/automl_core/agent/test_scoring.py`` holds it to :meth:`automl_core.specs.Specs.score`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from automl_core.specs import Specs

__all__ = ["SpecTensors"]

_FARTHEST = 1e30
"""A metric with one bound is infinitely far from the other."""


class SpecTensors:
    """Specs as tensors, over the metrics they name.

    Args:
        specs: one, or one a row: all of the same metrics, with other bounds.
    """

    def __init__(self, specs: Specs | Sequence[Specs]) -> None:
        rows = [specs] if isinstance(specs, Specs) else list(specs)
        self.metrics = tuple(spec.metric for spec in rows[0].specs)

        def of(values: list[list[float]]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32)

        each = [row.specs for row in rows]
        self.minimum = of([[-math.inf if s.minimum is None else s.minimum for s in row] for row in each])
        self.maximum = of([[math.inf if s.maximum is None else s.maximum for s in row] for row in each])
        self.scale = of([[s.normaliser for s in row] for row in each])
        self.weight = of([[s.weight for s in row] for row in each])
        self.goal = of([[{None: 0.0, "minimize": -1.0, "maximize": 1.0}[s.goal] for s in row] for row in each])
        reference = [[((s.maximum if s.goal == "minimize" else s.minimum) or 0.0) for s in row] for row in each]
        self.reference = of(reference)

    def shortfall(self, metrics: Tensor) -> Tensor:
        """Normalised distance beyond the nearest bound: positive where violated, negative where met, never infinite.

        Args:
            metrics: shape (..., rows, metrics).
        """
        below = (self.minimum - metrics) / self.scale
        above = (metrics - self.maximum) / self.scale
        return torch.maximum(below, above).clamp(-_FARTHEST, _FARTHEST)

    def violations(self, metrics: Tensor) -> Tensor:
        """Of each spec, before weighting, in [0, 1)."""
        short = self.shortfall(metrics).clamp(min=0.0)
        return short / (1.0 + short)

    def merit(self, metrics: Tensor) -> Tensor:
        """Weighted sum of the normalised goals, shape (..., rows)."""
        gains = self.goal * (metrics - self.reference) / self.scale
        return (self.weight * gains).sum(-1)

    def loss(self, metrics: Tensor, measured: Tensor | None = None) -> Tensor:
        """As :attr:`automl_core.specs.Score.loss`, shape (..., rows).

        Args:
            metrics: shape (..., rows, metrics).
            measured: the chance that each can be measured; one that cannot violates its spec entirely.
        """
        violations = self.violations(metrics)
        if measured is not None:
            violations = measured * violations + (1.0 - measured)
        violation = (self.weight * violations).sum(-1)
        merit = self.merit(metrics)
        reward = 0.5 * (1.0 + merit / (1.0 + merit.abs()))
        return torch.where(violation > 0, violation, -reward)
