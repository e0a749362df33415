"""The smallest cost at which something holds, found with few trials, each of which is a training."""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["next_cost"]

_STEP = 0.75
"""A cost at which it held is followed by this share of it, while nothing has failed below."""
_NEAR = 1.03
"""Two costs that differ by no more than this factor are not told apart."""


def next_cost(held: Mapping[float, bool], least: float, whole: float) -> float | None:
    """The cost to try next: down while it holds, then the geometric mean of what held and what failed below it.

    Args:
        held: of each cost that was tried, whether it held.
        least: the smallest cost there is.
        whole: the cost at which it holds without a trial.

    Returns:
        the cost, or ``None`` where no trial would tell more.
    """
    good = min([cost for cost, holds in held.items() if holds], default=whole)
    bad = max([cost for cost, holds in held.items() if not holds and cost <= good], default=None)
    if bad is None:
        return max(_STEP * good, least) if good > least else None
    return math.sqrt(bad * good) if good > _NEAR * bad else None
