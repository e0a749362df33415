"""Where a sampled waveform crosses a level, by the rules of ngspice's ``meas`` (com_measure2.c; checked on ngspice 39).

- Linear between neighbouring points, on the scale as it is (frequency, not its logarithm).
- ``rise`` counts arrivals at the level from below, ``fall`` from above.
- A crossing between the first two points of the window is not seen as one (``meas`` only learns there on which side it
  starts; asked for the first crossing it then returns an extrapolation). Here it counts as not found, with that reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from circuits.measures.plot import NotFound

__all__ = ["between", "crossing", "passage", "value_at"]

Floats = NDArray[np.float64]


def crossing(x: Floats, y: Floats, level: float, edge: Literal["rise", "fall"], which: str = "first") -> float | None:
    """The abscissa of the first or last crossing of a level; None where there is none.

    Args:
        x: ascending scale, shape (n,).
        y: values, shape (n,).
        level: in the unit of ``y``.
        edge: the direction in which ``y`` passes it.
        which: "first" or "last".

    Raises:
        NotFound: it lies between the first two points.
    """
    k = passage(x, y, level, edge, which)
    return None if k is None else between(x, k, y[k : k + 2].tolist(), level)


def passage(x: Floats, y: Floats, level: float, edge: Literal["rise", "fall"], which: str = "first") -> int | None:
    """The index of the last point before a crossing; None where there is none. As for :func:`crossing`."""
    up = edge == "rise"
    hits = (y[:-1] < level) & (y[1:] >= level) if up else (y[:-1] > level) & (y[1:] <= level)
    indices = hits.nonzero()[0]
    if indices.size == 0:
        return None
    k = int(indices[0] if which == "first" else indices[-1])
    if k == 0:
        raise NotFound(
            f"it crosses {level:.4g} between the first two points, {x[0]:.4g} and {x[1]:.4g}: start the analysis lower"
            " or make its steps smaller"
        )
    return k


def between(x: Floats, k: int, values: Sequence[float], level: float) -> float:
    """Where a line through the values at points k and k + 1 has a level."""
    left, right = x[k : k + 2].tolist()
    before, after = values
    return float(left + (level - before) * (right - left) / (after - before))


def value_at(x: Floats, y: Floats, at: float) -> float:
    """The value at an abscissa, linear between points.

    Raises:
        NotFound: it lies outside the analysis.
    """
    if not min(x[0], x[-1]) <= at <= max(x[0], x[-1]):
        raise NotFound(f"{at:.6g} lies outside the analysis, which runs from {x[0]:.6g} to {x[-1]:.6g}")
    if x[0] > x[-1]:
        x, y = x[::-1], y[::-1]
    return float(np.interp(at, x, y))
