"""Where a layer's input is clipped: the range of the least squared error, for every bit width from one histogram.

Clipping to minimise the squared error is one of the two ways HAQ's authors and their successors use (the other, the
least KL divergence, gives ranges a little wider).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nn_compression.quantization.levels import Levels, activation_levels

__all__ = ["ActivationRange", "Histogram"]

_BINS = 1024
_SAMPLES = 1 << 15
"""Values kept of one batch: the histogram of so many is smooth, and more would cost more than the forward pass."""
_RATIOS = np.geomspace(0.02, 1.0, 80)
"""Shares of the whole range that a clipped one may span: activations have long tails."""
_FRACTIONS = np.linspace(0.0, 1.0, 9)
"""Shares of the levels that may lie below zero."""


@dataclass(frozen=True)
class ActivationRange:
    """Levels of a tensor: ``scale`` times the integers from ``low`` on."""

    scale: float
    low: int


class Histogram:
    """What a layer's input looked like, and the best ranges for it. Each is found once.

    Attributes:
        finite: whether all of it was numbers; there are no ranges otherwise.
    """

    def __init__(self) -> None:
        self._parts: list[NDArray[np.float64]] = []
        self._ranges: dict[int, ActivationRange] = {}
        self.finite = True

    def add(self, values: Tensor) -> None:
        """Look at a batch: evenly spaced values of it, and its extremes."""
        flat = values.detach().reshape(-1)
        spaced = flat[:: max(flat.numel() // _SAMPLES, 1) | 1]  # odd, so that it visits every channel of a power of two
        low, high = flat.aminmax()
        self.finite = self.finite and math.isfinite(low.item()) and math.isfinite(high.item())
        self._parts.append(np.append(spaced.double().cpu().numpy(), [low.item(), high.item()]))
        self._ranges.clear()

    @property
    def empty(self) -> bool:
        """Whether nothing was seen: a layer that the calibration inputs never reach."""
        return not self._parts

    def range(self, bits: int) -> ActivationRange:
        """The levels of the least squared error.

        Args:
            bits: 1 to 8.
        """
        if bits not in self._ranges:
            self._ranges[bits] = self._best(bits)
        return self._ranges[bits]

    def _best(self, bits: int) -> ActivationRange:
        seen = np.concatenate(self._parts)
        values = seen[seen != 0.0]
        zeros = seen.size - values.size  # zero is a level, unless the signs are all levels
        if not values.size:
            return ActivationRange(1.0, 0)
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        counts, edges = np.histogram(values, _BINS)
        filled = counts > 0
        centres, weights = ((edges[:-1] + edges[1:]) / 2)[filled], counts[filled].astype(float)
        best, least = ActivationRange(1.0, 0), np.inf
        for levels in _candidates(bits, low, high):
            scales = np.array([np.abs(values).sum() / seen.size]) if levels.signs else _scales(low, high, levels)
            errors = _errors(centres, weights, scales, levels) + (zeros * scales**2 if levels.signs else 0.0)
            if errors.min() < least:
                best, least = ActivationRange(float(scales[errors.argmin()]), levels.low), float(errors.min())
        return best


def _candidates(bits: int, low: float, high: float) -> list[Levels]:
    """Levels with more or fewer below zero; none where nothing lies there."""
    steps = 2**bits - 1
    shares = np.append(_FRACTIONS, -low / (high - low)) if low < 0.0 else [0.0]
    return [activation_levels(bits, -count) for count in sorted({round(steps * share) for share in shares})]


def _scales(low: float, high: float, levels: Levels) -> NDArray[np.float64]:
    """Scales with which the levels reach shares of the range, shape (ratios,)."""
    ends = [low / levels.low if levels.low else 0.0, high / levels.high if levels.high else 0.0]
    return np.maximum(max(ends) * _RATIOS, np.finfo(np.float32).tiny)


def _errors(
    centres: NDArray[np.float64], weights: NDArray[np.float64], scales: NDArray[np.float64], levels: Levels
) -> NDArray[np.float64]:
    """Squared error of each scale over the histogram, shape (scales,)."""
    if levels.signs:
        values = np.sign(centres) * scales[:, None]
    else:
        values = np.clip(np.round(centres / scales[:, None]), levels.low, levels.high) * scales[:, None]
    errors: NDArray[np.float64] = np.square(values - centres) @ weights
    return errors
