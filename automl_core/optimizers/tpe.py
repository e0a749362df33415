"""Tree-structured Parzen estimator, through optuna.

Source: Bergstra, Bardenet, Bengio and Kegl, "Algorithms for Hyper-Parameter Optimization" (2011); over all variables
jointly: Falkner, Klein and Hutter, "BOHB" (2018); what each part of it does: Watanabe, "Tree-Structured Parzen
Estimator: Understanding Its Algorithm Components" (2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, create_trial

from automl_core.budget import Budget
from automl_core.problem import Trial
from automl_core.space import Array, DesignSpace, Point, Value, Variable
from automl_core.specs import Specs

__all__ = ["TreeParzen"]

_KEPT = 300
"""Most trials it is handed: its cost grows with them. 300 trials of 12 variables cost 8 ms a design on one core."""
_NUMBERS, _FEWEST = 30_000, 100
"""Most numbers in what it is handed, hence fewer trials of more than 100 variables; and the fewest trials then."""
_GOOD = 25
"""Most trials that optuna counts as good: a tenth, and 25 at most (its default ``gamma``)."""
_PATIENCE = 16
"""Further proposals, at most, for a batch of which some are known designs."""


class TreeParzen:
    """Two densities, of the good designs and of the others; proposes where their ratio is greatest.

    Constraints need no machinery of their own: optuna ranks feasible trials first, by value, then infeasible ones by
    their violation, which is the order of ``Score.loss``. As it looks at the order alone, both propose the same.

    Every ``ask`` sets up a study in memory, of the trials that matter, with a sampler seeded by the number of the ask,
    so that the cost of a design stays bounded.
    """

    def __init__(self, space: DesignSpace, specs: Specs, seed: int, budget: Budget) -> None:
        self._space = space
        self._specs = specs
        self._seed = seed
        self._asks = 0
        self._limit = min(_KEPT, max(_NUMBERS // space.dim, _FEWEST))
        self._axes = {v.name: _Axis(v) for v in space.variables}
        self._distributions = {name: axis.distribution for name, axis in self._axes.items() if axis.variable.count != 1}
        self._told: list[FrozenTrial] = []
        self._seen: set[bytes] = set()

    def ask(self, n: int) -> Array:
        """``n`` designs, shape (n, dim), or fewer where it keeps to known ones.

        What was proposed counts as a bad design for the next, known or not (a "constant liar"): it keeps a batch apart,
        and leads out of a corner of a small space where every design is known.
        """
        study = self._study()
        fresh: dict[bytes, Array] = {}
        for _ in range(n + _PATIENCE):
            unit = self._propose(study)
            if unit.tobytes() not in self._seen:
                fresh[unit.tobytes()] = unit
            if len(fresh) == n:
                break
        return np.stack(list(fresh.values()) or [unit])

    def tell(self, trials: Sequence[Trial]) -> None:
        """Take in trials, each once; a failed one is a bad one.

        What was asked for and turned out to be a known design, by repair, counts as a bad one: it is of no use again.
        """
        for trial in trials:
            if trial.unit.tobytes() not in self._seen:
                self._learn(trial.point, self._specs.judge(trial).loss)
            elif trial.asked.tobytes() not in self._seen:
                self._learn(self._space.decode(trial.asked), self._specs.worst_violation)
            self._seen |= {trial.unit.tobytes(), trial.asked.tobytes()}

    def _learn(self, point: Point, loss: float) -> None:
        params = {name: self._axes[name].parameter(point[name]) for name in self._distributions}
        self._told.append(create_trial(params=params, distributions=self._distributions, value=loss))

    def _study(self) -> optuna.Study:
        """The trials that matter and a sampler, for one ask."""
        seed = int(np.random.default_rng((self._seed, self._asks)).integers(2**31))
        self._asks += 1
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would log every study that is set up
        try:
            study = optuna.create_study(sampler=TPESampler(seed=seed, multivariate=True, constant_liar=True))
        finally:
            optuna.logging.set_verbosity(verbosity)
        study.add_trials(self._window())
        return study

    def _window(self) -> list[FrozenTrial]:
        """The good trials and the latest of the others, which are those that weigh most, in the order they came."""
        told = self._told
        if len(told) <= self._limit:
            return told
        good = set(sorted(range(len(told)), key=lambda position: told[position].value or 0.0)[:_GOOD])
        others = [position for position in range(len(told)) if position not in good]
        return [told[position] for position in sorted([*good, *others[_GOOD - self._limit :]])]

    def _propose(self, study: optuna.Study) -> Array:
        params: Mapping[str, float | int] = study.ask(self._distributions).params
        return np.array([axis.coordinate(params[name]) if name in params else 0.5 for name, axis in self._axes.items()])


class _Axis:
    """A variable as optuna has it: a choice has no order, and a grid has masses where a number has a density.

    A continuous variable goes by its coordinate, which is logarithmic already where the variable is. So does a
    logarithmic grid, except for whole numbers in steps of 1, as optuna has no distribution of others; they are fine.
    """

    def __init__(self, variable: Variable) -> None:
        self.variable = variable
        self._first: int | None = None
        """The least of the whole numbers that are optuna's parameters; ``None``: the coordinate is the parameter."""
        self.distribution: BaseDistribution = FloatDistribution(0.0, 1.0)
        last = (variable.count or 1) - 1
        if variable.choices is not None:
            self._first, self.distribution = 0, CategoricalDistribution(range(last + 1))
        elif variable.grid is not None and variable.scale == "linear":
            self._first, self.distribution = 0, IntDistribution(0, last)
        elif variable.integer and variable.grid == 1:
            self._first = int(variable.low)
            self.distribution = IntDistribution(self._first, self._first + last, log=True)

    def parameter(self, value: Value) -> float | int:
        """Optuna's parameter for a physical value."""
        if self._first is None:
            return self.variable.encode(value)
        if self.variable.choices is not None:
            return self.variable.choices.index(value)
        return self._first + round((float(value) - self.variable.low) / (self.variable.grid or 1.0))

    def coordinate(self, parameter: float | int) -> float:
        """Coordinate in [0, 1] of optuna's parameter."""
        if self._first is None:
            return parameter
        return self.variable.encode(self.variable.value(int(parameter) - self._first))
