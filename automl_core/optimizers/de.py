"""Differential evolution, through pymoo.

Source: Storn and Price, "Differential Evolution" (1997); the variant DE/best/1/bin.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymoo.algorithms.soo.nonconvex.de import DE
from pymoo.core.population import Population
from pymoo.core.problem import Problem as PymooProblem
from pymoo.core.termination import NoTermination
from scipy.stats import qmc

from automl_core.budget import Budget
from automl_core.optimizers.generations import Generations
from automl_core.problem import Trial
from automl_core.space import Array, DesignSpace, Relaxation
from automl_core.specs import Specs

__all__ = ["DifferentialEvolution"]

_LARGEST, _LEAST = 48, 24
"""Bounds of the population; between them, four members a variable and a twentieth of the budget at most."""


class DifferentialEvolution(Generations):
    """A population that moves along its own differences; the best design told before it begins is a member."""

    def __init__(self, space: DesignSpace, specs: Specs, seed: int, budget: Budget) -> None:
        super().__init__(specs)
        self._relaxation = Relaxation(space)
        planned = min(4 * self._relaxation.dim, budget.expected_evaluations / 20, _LARGEST)
        self._size = max(int(planned), _LEAST)
        self._seed = seed
        self._algorithm: DE | None = None
        self._infill: Population | None = None

    def propose(self) -> list[tuple[Array, int]]:
        """One generation, with the position of each member."""
        if self._algorithm is None:
            self._algorithm = self._begin_evolution()
        self._infill = self._algorithm.ask()
        points = np.asarray(self._infill.get("X"), dtype=float)
        return [(self._relaxation.collapse(point), position) for position, point in enumerate(points)]

    def learn(self, population: Sequence[tuple[int, Trial | None]]) -> None:
        """One generation, by its losses."""
        if self._algorithm is None or self._infill is None:
            return
        for position, trial in population:
            self._infill[position].set("F", np.array([self.loss(trial)]))
            self._infill[position].evaluated.update(("F", "G", "H"))
        self._algorithm.tell(infills=self._infill)

    def _begin_evolution(self) -> DE:
        dim = self._relaxation.dim
        sampling = qmc.LatinHypercube(dim, rng=np.random.default_rng(self._seed)).random(self._size)
        if self.best is not None:
            sampling[0] = self._relaxation.expand(self.best.unit)
        algorithm = DE(pop_size=self._size, sampling=sampling, variant="DE/best/1/bin", CR=0.9, F=0.7)
        box = PymooProblem(n_var=dim, n_obj=1, xl=np.zeros(dim), xu=np.ones(dim))
        algorithm.setup(box, seed=self._seed, termination=NoTermination())
        return algorithm
