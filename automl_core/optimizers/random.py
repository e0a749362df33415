"""Random search: a scrambled Sobol sequence, the baseline that every other optimizer has to beat.

Source: Owen, "Scrambling Sobol' and Niederreiter-Xing points" (1998), as scipy.stats.qmc implements it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from scipy.stats import qmc

from automl_core.budget import Budget
from automl_core.problem import Trial
from automl_core.space import Array, DesignSpace
from automl_core.specs import Specs

__all__ = ["RandomSearch"]


class RandomSearch:
    """Points of low discrepancy; trials teach it nothing."""

    def __init__(self, space: DesignSpace, specs: Specs, seed: int, budget: Budget) -> None:
        self._sobol = qmc.Sobol(space.dim, scramble=True, rng=np.random.default_rng(seed))

    def ask(self, n: int) -> Array:
        """The next ``n`` points of the sequence, shape (n, dim)."""
        with warnings.catch_warnings():  # a balanced sequence needs powers of two; an anytime search does not
            warnings.simplefilter("ignore", UserWarning)
            return np.asarray(self._sobol.random(n), dtype=float)

    @property
    def drawn(self) -> int:
        """How many points were asked for so far."""
        return int(self._sobol.num_generated)

    def skip(self, n: int) -> None:
        """Go on after the next ``n`` points."""
        if n:  # scipy takes 0 for 2**32 - 1 at the beginning
            self._sobol.fast_forward(n)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Nothing to learn."""
