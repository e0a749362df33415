"""An episode over a study, as a ``gymnasium.Env``: every design goes through :meth:`automl_core.study.Study.evaluate`.

A step is in two halves, ``propose`` and ``conclude``, with the evaluation between them, so that many environments can
have theirs in one batch (:class:`automl_core.environment.vector.StudyVecEnv`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box
from numpy.typing import NDArray

from automl_core.environment.observation import Reached, targets
from automl_core.problem import Trial
from automl_core.space import Array
from automl_core.study import Study

__all__ = ["Info", "Step", "StudyEnv", "Vector", "evaluate"]

Vector: TypeAlias = NDArray[np.float32]
Info: TypeAlias = dict[str, Any]
Step: TypeAlias = tuple[Vector, float, bool, bool, Info]


class StudyEnv(gymnasium.Env[Vector, Vector], ABC):
    """What all episodes share.

    Observations and actions are boxes of [-1, 1]. A choice is as many coordinates of an action as it has alternatives,
    the greatest of which is taken. Rewards come from the loss of a trial (:meth:`automl_core.specs.Specs.judge`).

    ``info`` holds ``exhausted``: the study's budget is spent, and the episode truncated if it was not over; and of a
    step that evaluated a design its ``trial`` (the number), ``status``, ``loss`` and ``feasible``.

    Args:
        study: where designs are evaluated.
        shown: numbers that an observation holds after the specs and what was reached of them.
        width: numbers of an action.
    """

    def __init__(self, study: Study, *, shown: int, width: int) -> None:
        self.study = study
        self._targets = targets(study.specs)
        self._reached = Reached(study.specs)
        self._open = False
        size = len(self._targets) + self._reached.size + shown
        self.observation_space = Box(-1.0, 1.0, (size,), np.float32)
        self.action_space = Box(-1.0, 1.0, (width,), np.float32)

    # gymnasium's interface.

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Vector, Info]:
        """Begin an episode; the first design of a refinement is evaluated here."""
        (trial,) = evaluate(self.study, [self.begin(seed=seed, options=options)])
        return self.opened(trial)

    def step(self, action: Vector) -> Step:
        """Act: (observation, reward, terminated, truncated, info).

        Raises:
            ResetNeeded: the episode is over, or none was begun.
        """
        (trial,) = evaluate(self.study, [self.propose(action)])
        return self.conclude(trial)

    # Its halves.

    def begin(self, *, seed: int | None = None, options: Info | None = None) -> Array | None:
        """The first half of ``reset``: the design to begin from, shape (dim,), or None where there is none."""
        super().reset(seed=seed)
        self._open = True
        return self._first(options or {})

    def opened(self, trial: Trial | None) -> tuple[Vector, Info]:
        """The second half of ``reset``: told of the design that ``begin`` gave."""
        self._take_in(trial)
        return self._observe(trial), self._info(trial)

    def propose(self, action: Vector) -> Array | None:
        """The first half of ``step``: the design that the action completed, shape (dim,), or None."""
        if not self._open:
            raise ResetNeeded("the episode is over: call reset() before step()")
        return self._act(np.clip(np.asarray(action, dtype=float), -1.0, 1.0))

    def conclude(self, trial: Trial | None) -> Step:
        """The second half of ``step``: told of the design that ``propose`` gave, None where the budget was spent."""
        reward, terminated, truncated = self._judge(trial)
        self._take_in(trial)
        truncated = not terminated and (truncated or self.study.exhausted)
        self._open = not (terminated or truncated)
        return self._observe(trial), float(reward), terminated, truncated, self._info(trial)

    # What a kind of episode says.

    @abstractmethod
    def _first(self, options: Info) -> Array | None:
        """Begin anew; the design to be evaluated for that, or None."""

    @abstractmethod
    def _act(self, action: Array) -> Array | None:
        """Take an action in [-1, 1]; the design that it completed, or None."""

    @abstractmethod
    def _judge(self, trial: Trial | None) -> tuple[float, bool, bool]:
        """(reward, terminated, truncated) of the action taken."""

    def _take_in(self, trial: Trial | None) -> None:
        """Go on from a trial."""
        return

    def _shown(self) -> Array:
        """What an observation holds after the specs, shape (shown,)."""
        return np.zeros(0)

    def _known(self, trial: Trial | None) -> Trial | None:
        """The trial whose figures an observation shows."""
        return trial

    def _loss(self, trial: Trial) -> float:
        return self.study.specs.judge(trial).loss

    def _observe(self, trial: Trial | None) -> Vector:
        parts = [self._targets, self._reached(self._known(trial)), self._shown()]
        return np.clip(np.concatenate(parts), -1.0, 1.0).astype(np.float32)

    def _info(self, trial: Trial | None) -> Info:
        info: Info = {"exhausted": self.study.exhausted}
        if trial is not None:
            score = self.study.specs.judge(trial)
            info |= {"trial": trial.number, "status": trial.status, "loss": score.loss, "feasible": score.feasible}
        return info


def evaluate(study: Study, designs: Sequence[Array | None]) -> list[Trial | None]:
    """Evaluate the designs there are, in one batch.

    Args:
        study: where.
        designs: of each shape (dim,), in [0, 1], or None.

    Returns:
        A trial for each design; None for none, and for those that the budget did not reach.
    """
    complete = [design for design in designs if design is not None]
    if not complete or study.exhausted:
        return [None] * len(designs)
    trials = {trial.asked.tobytes(): trial for trial in study.evaluate(np.stack(complete))}
    return [None if design is None else trials.get(design.tobytes()) for design in designs]
