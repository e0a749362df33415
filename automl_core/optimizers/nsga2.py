"""NSGA-II, through pymoo: the goals of the specs are kept apart, so that it ends with a front of designs.

Source: Deb, Pratap, Agarwal and Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II" (2002), with
its constrained domination: a feasible design beats an infeasible one, and infeasible ones are ordered by their
violation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem as PymooProblem
from pymoo.core.termination import NoTermination
from scipy.stats import qmc

from automl_core.budget import Budget
from automl_core.front import goal_merits
from automl_core.optimizers.generations import Generations
from automl_core.problem import Trial
from automl_core.space import Array, DesignSpace, Relaxation
from automl_core.specs import Specs

__all__ = ["NonDominatedSorting"]

_LARGEST, _LEAST = 96, 32
"""Bounds of the population; between them, four members a variable and a twentieth of the budget at most."""


class NonDominatedSorting(Generations):
    """A population spread along the front of the goals; of what it is told before it begins, the best are members.

    The objectives are the goals, one each; the total violation is the constraint. One goal makes it an elitist genetic
    algorithm. Where no spec has a goal the violation is the objective: all the goal there is.
    """

    def __init__(self, space: DesignSpace, specs: Specs, seed: int, budget: Budget) -> None:
        super().__init__(specs)
        self._relaxation = Relaxation(space)
        planned = min(4 * self._relaxation.dim, budget.expected_evaluations / 20, _LARGEST)
        self._size = max(int(planned), _LEAST)
        self._seed = seed
        self._algorithm: NSGA2 | None = None
        self._infill = Population.create()
        self._known: dict[bytes, Trial] = {}

    def tell(self, trials: Sequence[Trial]) -> None:
        """Take in trials; what is told before the first generation may become a member of it."""
        if self._algorithm is None:
            self._known |= {trial.unit.tobytes(): trial for trial in trials}
        super().tell(trials)

    def propose(self) -> list[tuple[Array, int]]:
        """One generation, with the position of each member; those that are known already are not proposed."""
        if self._algorithm is None:
            self._algorithm = self._begin_evolution()
        self._infill = self._algorithm.ask()
        return [
            (self._relaxation.collapse(np.asarray(member.X, dtype=float)), position)
            for position, member in enumerate(self._infill)
            if not member.evaluated
        ]

    def learn(self, population: Sequence[tuple[int, Trial | None]]) -> None:
        """One generation, by goals and violation; a member is what was evaluated, not what was asked for."""
        if self._algorithm is None:
            return
        for position, trial in population:
            self._grade(self._infill[position], trial)
        self._algorithm.tell(infills=self._infill)

    def _grade(self, member: Individual, trial: Trial | None) -> None:
        """Objectives, all to be minimised, and violation of a member; one that nobody told of ranks last."""
        violation, objectives = self.specs.worst_violation + 1.0, np.zeros(max(len(self.specs.goals), 1))
        if trial is not None:
            member.set("X", self._relaxation.expand(trial.unit))
            violation = self.specs.judge(trial).violation
            objectives = -goal_merits(trial, self.specs) if self.specs.goals else np.array([violation])
        member.set("F", np.clip(objectives, -1e12, 1e12))
        member.set("G", np.array([violation]))
        member.evaluated.update(("F", "G", "H"))

    def _begin_evolution(self) -> NSGA2:
        dim = self._relaxation.dim
        box = PymooProblem(
            n_var=dim, n_obj=max(len(self.specs.goals), 1), n_ieq_constr=1, xl=np.zeros(dim), xu=np.ones(dim)
        )
        algorithm = NSGA2(pop_size=self._size)
        algorithm.setup(box, seed=self._seed, termination=NoTermination())
        known = self._best_known(algorithm, box)
        fresh = qmc.LatinHypercube(dim, rng=np.random.default_rng(self._seed)).random(self._size - len(known))
        algorithm.initialization.sampling = Population.merge(known, Population.new(X=fresh))
        return algorithm

    def _best_known(self, algorithm: NSGA2, box: PymooProblem) -> Population:
        """Of what was told before it began, the best by its own selection: half the population at most."""
        members = [Individual(X=None) for _ in self._known]
        for member, trial in zip(members, self._known.values(), strict=True):
            self._grade(member, trial)
        known = Population.create(*members)
        self._known = {}
        if len(known) <= self._size // 2:
            return known
        return algorithm.survival.do(
            box, known, n_survive=self._size // 2, random_state=np.random.default_rng(self._seed), algorithm=algorithm
        )
