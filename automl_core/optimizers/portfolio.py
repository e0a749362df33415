"""``auto``: picks an optimizer by what one evaluation costs, how many variables there are and what may be spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from automl_core.budget import Budget
from automl_core.optimizers import make
from automl_core.problem import Trial
from automl_core.space import Array, DesignSpace
from automl_core.specs import Specs

__all__ = ["Auto", "Choice", "choose"]


@dataclass(frozen=True)
class Choice:
    """What was picked, and why, in words for a person."""

    name: str
    reason: str


def choose(space: DesignSpace, budget: Budget) -> Choice:
    """Pick an optimizer.

    * fewer evaluations than three a variable teach a model nothing: spread them (``random``);
    * mostly choices, hence mostly one-hot coordinates, where a covariance means little: ``de``;
    * anything else: ``cmaes``.
    """
    evaluations = budget.expected_evaluations
    planned = f"{evaluations:.0f} evaluations" if evaluations < float("inf") else "no limit on evaluations"
    cost = f" at {budget.evaluation_seconds * 1e3:.3g} ms each" if budget.evaluation_seconds else ""
    facts = f"{space.dim} variable{'s' if space.dim != 1 else ''}, {planned}{cost}"
    choices = sum(variable.choices is not None for variable in space.variables)
    if space.size <= evaluations / 4:
        return Choice("random", f"{facts}: all {space.size:.0f} designs fit into the budget")
    if evaluations < 3 * space.dim:
        return Choice("random", f"{facts}: too few to learn from, so they are spread evenly")
    if 2 * choices > space.dim:
        return Choice("de", f"{facts}, {choices} of them choices: a population that mixes choices")
    return Choice("cmaes", f"{facts}: enough to adapt a covariance to the numbers")


class Auto:
    """The optimizer that :func:`choose` picks."""

    def __init__(self, space: DesignSpace, specs: Specs, seed: int, budget: Budget) -> None:
        self.choice = choose(space, budget)
        self._optimizer = make(self.choice.name, space, specs, seed, budget)

    def ask(self, n: int) -> Array:
        """As the optimizer that was picked."""
        return self._optimizer.ask(n)

    def tell(self, trials: Sequence[Trial]) -> None:
        """As the optimizer that was picked."""
        self._optimizer.tell(trials)
