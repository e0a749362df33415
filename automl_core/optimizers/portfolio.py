"""``auto``: picks an optimizer by what one evaluation costs, how many variables and goals there are, and the budget.

Bayesian optimisation opens: of a few dozen trials a Gaussian process learns more than a network does. The agent goes on
from its trials, and where it has not improved the best design for long it hands over to an evolution strategy and back:
an agent whose model is wrong somewhere and a strategy that has no model rarely stall at the same place. All of them
hear of every trial. ``benchmarks/compare_circuits.py`` and ``compare_toys.py`` hold it against each single one.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from automl_core.budget import Budget
from automl_core.optimizers import Checkpointed, Masked, Optimizer, make
from automl_core.problem import Allowed, Trial
from automl_core.space import Array, DesignSpace, Point
from automl_core.specs import Specs

__all__ = ["Auto", "Choice", "choose"]

_DEAR = 2.0
"""Seconds: an evaluation that costs more is worth a Gaussian process, which costs about as much."""
_FEW = 500
"""Evaluations that a Gaussian process still keeps up with."""
_CHEAP, _MANY = 1e-3, 20_000
"""Seconds and evaluations: where so many so cheap ones are planned, learning costs more than it saves."""
_UNTOLD = 2000
"""Evaluations to plan for, where the budget does not say."""
_WIDE = 100
"""Variables beyond which a sequence of decisions costs more than what it finds."""
_NARROW = 40
"""Variables up to which a Gaussian process, which has a length scale for each, thinks no longer than the agent."""
_SEVERAL_GOALS = 3
_PATIENCE = 15
"""Evaluations per variable (and 150 at least) without a better design, after which another optimizer takes over."""
_NUMBERS = struct.Struct("<qqqd")


@dataclass(frozen=True)
class Choice:
    """What was picked, and why, in words for a person.

    Args:
        names: the optimizers, in the order they take turns.
        reason: why.
        opening: who goes first, and never again.
    """

    names: tuple[str, ...]
    reason: str
    opening: str | None = None

    @property
    def words(self) -> str:
        """The optimizers in words: ``trust-region to begin with, then seq2seq, where it stalls cmaes``."""
        turns = ", where it stalls ".join(self.names)
        return turns if self.opening is None else f"{self.opening} to begin with, then {turns}"


def choose(space: DesignSpace, specs: Specs, budget: Budget) -> Choice:
    """Pick an optimizer.

    * all designs fit into a quarter of the budget, or there are fewer than three evaluations a variable: spread them;
    * three goals or more: a population that keeps their trade-offs (``nsga2``);
    * evaluations that cost seconds, and few of them: a Gaussian process in a trust region;
    * evaluations that cost less than what an agent spends on thinking, or more variables than it can decide in turn: an
      evolution strategy, or a population that mixes choices where most variables are choices;
    * anything else: the agent, and the evolution strategy where it stalls; where the variables are numbers and not too
      many, after a Gaussian process in a trust region, which opens.
    """
    evaluations, cost = budget.expected_evaluations, budget.evaluation_seconds
    planned = f"{evaluations:.0f} evaluations" if evaluations < float("inf") else "no limit on evaluations"
    price = f" at {cost * 1e3:.3g} ms each" if cost else ""
    facts = f"{space.dim} variable{'s' if space.dim != 1 else ''}, {planned}{price}"
    choices = sum(variable.choices is not None for variable in space.variables)
    evolution = "de" if 2 * choices > space.dim else "cmaes"
    if space.size <= (evaluations if math.isfinite(evaluations) else _UNTOLD) / 4:
        return Choice(("random",), f"{facts}: all {space.size:.0f} designs fit into the budget")
    if evaluations < 3 * space.dim:
        return Choice(("random",), f"{facts}: too few to learn from, so they are spread evenly")
    if len(specs.goals) >= _SEVERAL_GOALS:
        return Choice(("nsga2",), f"{facts}, {len(specs.goals)} goals: a population that keeps their trade-offs")
    if cost is not None and cost >= _DEAR and evaluations <= _FEW and not choices:
        return Choice(("trust-region",), f"{facts}: dear and few enough for a Gaussian process")
    if space.dim > _WIDE:
        return Choice((evolution,), f"{facts}: too many to decide one after another")
    if cost is not None and cost < _CHEAP and evaluations >= _MANY:
        return Choice((evolution,), f"{facts}: so cheap that thinking would cost more than trying")
    second = (evolution,) if evaluations >= 2 * _patience(space) else ()
    opening = "trust-region" if space.dim <= _NARROW and not choices else None
    return Choice(("seq2seq", *second), f"{facts}: worth a model of the metrics", opening)


def _patience(space: DesignSpace) -> int:
    return max(150, _PATIENCE * space.dim)


class Auto:
    """The optimizers that :func:`choose` picks, one at a time."""

    def __init__(self, space: DesignSpace, specs: Specs, seed: int, budget: Budget) -> None:
        self.choice = choice = choose(space, specs, budget)
        self._specs = specs
        opening = () if choice.opening is None else (choice.opening,)
        self._members: list[Optimizer] = [make(name, space, specs, seed, budget) for name in (*opening, *choice.names)]
        self._patience = _patience(space)
        self._turn = 0
        self._spent = 0
        self._fruitless = 0
        self._best = float("inf")

    @property
    def observes(self) -> bool:
        """Whether one of them reads the observations of trials."""
        return any(getattr(member, "observes", False) for member in self._members)

    def restrict(self, allowed: Callable[[Sequence[Point]], Sequence[Allowed]]) -> None:
        """Pass it on to those who decide variable by variable."""
        for member in self._members:
            if isinstance(member, Masked):
                member.restrict(allowed)

    def ask(self, n: int) -> Array:
        """As the one whose turn it is."""
        long_open = self._turn < self._opening and self._spent >= _FEW
        if self._fruitless >= self._patience or long_open:
            self._turn += len(self._members) > 1
            self._fruitless = 0
        return self._members[self._active].ask(n)

    @property
    def _opening(self) -> int:
        """How many go first, and never again."""
        return len(self._members) - len(self.choice.names)

    @property
    def _active(self) -> int:
        """Whose turn it is."""
        after = self._turn - self._opening
        return self._turn if after < 0 else self._opening + after % len(self.choice.names)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Tell all of them."""
        for trial in trials:
            loss = self._specs.judge(trial).loss
            self._fruitless = 0 if loss < self._best else self._fruitless + trial.cost
            self._best = min(loss, self._best)
            self._spent += trial.cost
        for member in self._members:
            member.tell(trials)

    def checkpoint(self) -> bytes | None:
        """The state of the one whose turn it is, while no other has a state that matters; later turns are replayed."""
        active = self._members[self._active]
        alone = self._turn <= self._opening
        state = active.checkpoint() if alone and isinstance(active, Checkpointed) else None
        return None if state is None else _NUMBERS.pack(self._turn, self._spent, self._fruitless, self._best) + state

    def restore(self, state: bytes, trials: Sequence[Trial]) -> None:
        """Go on from there."""
        self._turn, self._spent, self._fruitless, self._best = _NUMBERS.unpack(state[: _NUMBERS.size])
        for position, member in enumerate(self._members):
            if position == self._active and isinstance(member, Checkpointed):
                member.restore(state[_NUMBERS.size :], trials)
            else:
                member.tell(trials)
