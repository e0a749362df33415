"""The vectors of one analysis, as a measure sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["NotFound", "Plot", "Plots", "read"]


class NotFound(Exception):
    """The figure does not exist in these waveforms; the message says why, with values."""


class Plot(Protocol):
    """The vectors of one analysis that was run."""

    @property
    def scale(self) -> NDArray[np.float64]:
        """Frequency (Hz), time (s) or the swept value, shape (n,)."""

    def vector(self, name: str) -> NDArray[Any]:
        """The values of "v(out)", "i(vdd)", "@m1[gm]" or "inoise_spectrum", shape (n,) or (1,); complex for ac.

        Raises:
            KeyError: the plot has no such vector.
        """


Plots = Mapping[str, Plot]


def read(plots: Plots, analysis: str) -> Plot:
    """The plot of an analysis.

    Raises:
        NotFound: it gave none.
    """
    try:
        return plots[analysis]
    except KeyError:
        raise NotFound(f"the analysis {analysis!r} gave no data") from None
