"""What optimizers that work in whole generations share: a queue of proposals and a generation that fills up.

The study asks for any number of designs and tells of any number, in any order; a population method wants its whole
population at once. Proposals are handed out in order; a generation is learnt from once all of it was told.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from automl_core.problem import Trial
from automl_core.space import Array
from automl_core.specs import Score, Specs

__all__ = ["Generations"]


class Generations(ABC):
    """An optimizer in generations: subclasses say how to propose one and how to learn from one."""

    def __init__(self, specs: Specs) -> None:
        self.specs = specs
        self.best: Trial | None = None
        self._best_score: Score | None = None
        self._queue: list[tuple[Array, Any]] = []
        self._open: dict[bytes, list[int]] = {}
        self._members: list[Any] = []
        self._told: list[Trial | None] = []

    @abstractmethod
    def propose(self) -> Sequence[tuple[Array, Any]]:
        """A generation: (coordinates of the space, what ``learn`` gets back), one a member."""

    @abstractmethod
    def learn(self, population: Sequence[tuple[Any, Trial | None]]) -> None:
        """Learn from a generation: (what ``propose`` gave, its trial or None where nobody told of it), as proposed."""

    def loss(self, trial: Trial | None) -> float:
        """One finite number for a member of a generation, smaller is better; one that nobody told of ranks last."""
        return self.specs.worst_violation + 1.0 if trial is None else self.specs.judge(trial).loss

    def ask(self, n: int) -> Array:
        """The rest of the generation, at most ``n`` designs; a new generation begins where the last is handed out."""
        if not self._queue:
            self._begin()
        asked, self._queue = self._queue[:n], self._queue[n:]
        return np.stack([coordinates for coordinates, _ in asked])

    def tell(self, trials: Sequence[Trial]) -> None:
        """Take in trials; those of the open generation count towards it, every one towards the best."""
        for trial in trials:
            score = self.specs.judge(trial)
            if trial.status == "ok" and score.better_than(self._best_score):
                self.best, self._best_score = trial, score
            waiting = self._open.get(trial.asked.tobytes())
            if waiting:
                self._told[waiting.pop(0)] = trial
        if self._members and all(trial is not None for trial in self._told):
            self._finish()

    def _begin(self) -> None:
        """Begin a generation; what was never told of the last one is left out of what it teaches."""
        if self._members:
            self._finish()
        self._queue = list(self.propose())
        self._members = [member for _, member in self._queue]
        self._told = [None] * len(self._queue)
        self._open = {}
        for position, (coordinates, _) in enumerate(self._queue):
            self._open.setdefault(coordinates.tobytes(), []).append(position)

    def _finish(self) -> None:
        """Hand the generation over."""
        members, self._members, self._open = self._members, [], {}
        self.learn(list(zip(members, self._told, strict=True)))
