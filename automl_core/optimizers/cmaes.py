"""CMA-ES with restarts, through the ``cmaes`` package.

Source: Hansen, "The CMA Evolution Strategy: A Tutorial" (2016); restarts with alternating large and small populations:
Hansen, "Benchmarking a BI-population CMA-ES" (2009); many variables: Ros and Hansen, "A Simple Modification in CMA-ES
Achieving Linear Time and Space Complexity" (2008).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cmaes import CMA, SepCMA

from automl_core.budget import Budget
from automl_core.optimizers.generations import Generations
from automl_core.problem import Trial
from automl_core.space import Array, DesignSpace, Relaxation
from automl_core.specs import Specs

__all__ = ["CmaEs"]

_SIGMA = 0.25
"""First step size, in units of the cube's edge."""
_DENSE = 100
"""More coordinates than these get a diagonal covariance (sep-CMA-ES): a full one costs the cube of their number."""


class CmaEs(Generations):
    """Covariance matrix adaptation, begun at the best design it was told of, restarted when it has converged."""

    def __init__(self, space: DesignSpace, specs: Specs, seed: int, budget: Budget) -> None:
        super().__init__(specs)
        self._relaxation = Relaxation(space)
        self._generator = np.random.default_rng(seed)
        self._population = 4 + int(3 * np.log(self._relaxation.dim)) if self._relaxation.dim > 1 else 4
        self._spent = {"large": 0, "small": 0}
        self._regime = "large"
        self._restarts = 0
        self._cma: CMA | SepCMA | None = None

    def propose(self) -> list[tuple[Array, Array]]:
        """One population: (coordinates of the space, coordinates of the relaxation)."""
        if self._cma is None or self._cma.should_stop():
            self._cma = self._restart(first=self._cma is None)
        drawn = [self._cma.ask() for _ in range(self._cma.population_size)]
        return [(self._relaxation.collapse(point[: self._relaxation.dim]), point) for point in drawn]

    def learn(self, population: Sequence[tuple[Array, Trial | None]]) -> None:
        """One generation, by its losses."""
        if self._cma is not None:
            self._spent[self._regime] += len(population)
            self._cma.tell([(point, self.loss(trial)) for point, trial in population])

    def _restart(self, *, first: bool) -> CMA | SepCMA:
        """The first start is at the best known design; later ones are anywhere (BIPOP)."""
        dim = self._relaxation.dim
        population, sigma = self._population, _SIGMA
        if first and self.best is not None:
            mean = np.clip(self._relaxation.expand(self.best.unit), 0.02, 0.98)
        else:
            mean = self._generator.random(dim)
            population, sigma = self._next_regime()
        # `cmaes` works on two dimensions at least: a lone variable gets a companion that nothing reads.
        mean, bounds = np.resize(mean, max(dim, 2)), np.tile([0.0, 1.0], (max(dim, 2), 1))
        seed = int(self._generator.integers(2**31))
        strategy = SepCMA if dim > _DENSE else CMA
        return strategy(mean=mean, sigma=sigma, bounds=bounds, seed=seed, population_size=population)

    def _next_regime(self) -> tuple[int, float]:
        if self._spent["small"] < self._spent["large"]:
            self._regime = "small"
            ratio = 0.5 * 2**self._restarts
            scale: float = self._generator.random() ** 2
            return max(int(self._population * ratio**scale), 4), _SIGMA * 10 ** (-2 * self._generator.random())
        self._regime = "large"
        self._restarts += 1
        return self._population * 2**self._restarts, _SIGMA
