"""Whether one sample of figures is better than another, or only looks so.

The test is Mann and Whitney's (1947), on ranks: a study that never met the specs counts as one that took longer than
any that did, with no number made up for it. Many pairs are tested at once, so p-values are adjusted by Holm's step-down
method ("A simple sequentially rejective multiple test procedure", 1979): the chance that any true null hypothesis is
rejected stays below the level, however the tests depend on one another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import mannwhitneyu, rankdata

from automl_core.specs import Score

__all__ = ["LEVEL", "Pair", "holm", "least_p", "mann_whitney", "pairwise", "ranks", "superiority"]

LEVEL = 0.05
"""Of significance."""
_EXACT = 2500
"""Up to this many pairs of values, none of them tied, the exact distribution is used; above, the normal one."""


@dataclass(frozen=True)
class Pair:
    """Two samples against each other.

    Args:
        first: name of one.
        second: name of the other.
        superiority: chance that a value of the first is better than one of the second, a tie counting half; 0.5 where
            neither is better (Vargha and Delaney's A, 2000).
        p: two-sided, of this test alone.
        adjusted: the same after Holm's correction.
    """

    first: str
    second: str
    superiority: float
    p: float
    adjusted: float

    def better(self, level: float = LEVEL) -> str | None:
        """The name of the better one, or ``None`` where the difference may be chance."""
        if not self.adjusted < level:
            return None
        return self.first if self.superiority > 0.5 else self.second


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p-value that two samples come from one distribution; values may be infinite, and tied.

    Exact where no values are tied and the samples are small; otherwise by the normal approximation, with corrections
    for ties and continuity. Where all values are equal, or a sample is empty, it is 1.
    """
    if not len(first) or not len(second):
        return 1.0
    ordered = rankdata([*first, *second])  # ranks stand for the values, so that infinite ones are no trouble
    different = len(np.unique(ordered))
    if different == 1:
        return 1.0
    exact = different == len(ordered) and len(first) * len(second) <= _EXACT
    test = mannwhitneyu(ordered[: len(first)], ordered[len(first) :], method="exact" if exact else "asymptotic")
    return min(float(test.pvalue), 1.0)


def least_p(first: int, second: int) -> float:
    """The smallest p-value that samples of these sizes can give: of all their orders, the two that separate them."""
    return 2 / math.comb(first + second, first)


def superiority(first: Sequence[float], second: Sequence[float]) -> float:
    """Share of the pairs (one value of each) in which the first is smaller, ties counting half; 0.5 for no pairs."""
    if not len(first) or not len(second):
        return 0.5
    a, b = np.asarray(first, dtype=float)[:, np.newaxis], np.asarray(second, dtype=float)[np.newaxis]
    return float(np.mean((a < b) + 0.5 * (a == b)))


def holm(values: Sequence[float]) -> list[float]:
    """P-values after Holm's correction for their number, in the order given.

    The k-th smallest of m (from 0) is multiplied by m - k, and none may fall below one that was smaller.
    """
    adjusted = [0.0] * len(values)
    floor = 0.0
    for position, index in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        floor = max(floor, min(1.0, (len(values) - position) * values[index]))
        adjusted[index] = floor
    return adjusted


def pairwise(samples: Mapping[str, Sequence[float]]) -> list[Pair]:
    """Every sample against every other; smaller values are better. The correction is for all pairs of the call."""
    pairs = list(combinations(samples, 2))
    values = [mann_whitney(samples[a], samples[b]) for a, b in pairs]
    return [
        Pair(a, b, superiority(samples[a], samples[b]), p, adjusted)
        for (a, b), p, adjusted in zip(pairs, values, holm(values), strict=True)
    ]


def ranks(samples: Mapping[str, Sequence[Score]]) -> dict[str, list[float]]:
    """Scores as numbers in the same order, smaller for better: how many scores of all samples are better than each."""
    every = [score for scores in samples.values() for score in scores]
    return {
        name: [float(sum(other.better_than(score) for other in every)) for score in scores]
        for name, scores in samples.items()
    }
