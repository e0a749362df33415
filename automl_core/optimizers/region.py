"""A trust region: a box around the best design, that grows with success, shrinks with failure, and proposes.

Source: Eriksson, Pearce, Gardner, Turner and Poloczek, "Scalable Global Optimization via Local Bayesian Optimization"
(2019), section 2 and its supplement; with choices that are changed rather than moved, as in Wan et al., "Think Global
and Act Local" (2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from automl_core.space import Array, DesignSpace

__all__ = ["Region"]

_FIRST, _LONGEST, _SHORTEST = 0.8, 1.6, 0.5**7
"""Edge of the box, of the cube's edge 1: at the start, at most, and where the search begins anew."""
_SUCCESSES = 3
"""Batches in a row that improve, after which the edge doubles."""
_CANDIDATES = 2048
"""A power of 2, as a Sobol sequence wants it."""
_PERTURBED = 20
"""Coordinates, on average, in which a candidate differs from the centre."""


@dataclass
class Region:
    """The state of a trust region.

    Args:
        length: edge of the box.
        successes: batches in a row that improved.
        failures: batches in a row that did not.
    """

    length: float = _FIRST
    successes: int = 0
    failures: int = 0

    @property
    def converged(self) -> bool:
        """Too small to go on."""
        return self.length < _SHORTEST

    def update(self, *, improved: bool, dim: int, batch: int) -> None:
        """Count a batch: three improvements in a row double the edge, ``dim`` designs in a row without one halve it."""
        self.successes, self.failures = (self.successes + 1, 0) if improved else (0, self.failures + 1)
        if self.successes == _SUCCESSES:
            self.length, self.successes = min(2.0 * self.length, _LONGEST), 0
        elif self.failures >= math.ceil(max(4.0, dim) / batch):
            self.length, self.failures = self.length / 2.0, 0

    def candidates(self, centre: Array, space: DesignSpace, generator: np.random.Generator) -> Array:
        """Different designs within the box, shape (candidates, dim), on the grid of the space.

        Each differs from the centre in 20 coordinates at most, on average. A choice that differs is any other one, and
        a fraction ``length / 2`` of the candidates' choices do.

        Args:
            centre: shape (dim,).
            space: says which coordinates are choices.
            generator: draws them.
        """
        low, high = np.maximum(centre - self.length / 2, 0.0), np.minimum(centre + self.length / 2, 1.0)
        spread = low + (high - low) * qmc.Sobol(space.dim, rng=generator).random(_CANDIDATES)
        differs = generator.random(spread.shape) < min(1.0, _PERTURBED / space.dim)
        differs[np.arange(_CANDIDATES), generator.integers(space.dim, size=_CANDIDATES)] = True
        chosen = np.array([variable.choices is not None for variable in space.variables])
        anywhere = generator.random(spread.shape)
        differs &= ~chosen | (anywhere < self.length / 2)
        spread = np.where(chosen, generator.random(spread.shape), spread)
        snapped = space.snap(np.where(differs, spread, centre))
        _, first = np.unique(snapped, axis=0, return_index=True)
        return snapped[np.sort(first)]
