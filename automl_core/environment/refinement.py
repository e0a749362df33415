"""Refinement episodes: each action moves a design a little, and every step is evaluated.

Source: as AutoCkt steps through the parameters of a circuit towards its targets (Settaluri et al., 2020), here with
steps of any length up to a bound, and a reward that adds up to the improvement over the episode.
"""

from __future__ import annotations

from typing import Literal, cast, get_args

import numpy as np

from automl_core.environment.episode import Info, StudyEnv, evaluate
from automl_core.environment.observation import Seen
from automl_core.errors import InputError
from automl_core.problem import Observations, Trial
from automl_core.space import Array, Relaxation
from automl_core.study import Study

__all__ = ["Begin", "Refinement"]

Begin = Literal["start", "best", "random"]


class Refinement(StudyEnv):
    """From a design to a better one.

    A number moves by its coordinate of the action times ``reach``; what is less than a step of its grid adds up over
    steps. Of a choice the alternative with the greatest coordinate is taken, after 1 was added to the present one. The
    reward is the loss before the step less the loss after it. An episode terminates at a design that meets all specs
    where none of them has a goal, and is truncated after ``steps``.

    The observation: the targets; what the design reached of them; its relaxed coordinates; what the problem observed at
    the nodes, where it does. Its size follows from a first evaluation: where the study has none that succeeded, making
    the environment evaluates the start of the space, or its middle.

    Args:
        study: where designs are evaluated.
        steps: greatest length of an episode.
        reach: greatest move of a number in one step, in units of the cube's edge.
        begin: the ``start`` of the space, the ``best`` design of the study so far, or a ``random`` one; a space that
            has no start is begun at random. An option ``begin`` of ``reset``, one of these or a point, goes first.

    Raises:
        InputError: steps, reach or begin is none of these.
    """

    def __init__(self, study: Study, *, steps: int = 20, reach: float = 0.1, begin: Begin = "start") -> None:
        if steps < 1:
            raise InputError(f"an episode has at least 1 step, but steps is {steps}", remedy="give more steps")
        if not 0.0 < reach <= 1.0:
            raise InputError(f"reach must be in (0, 1], but is {reach:g}", remedy="give a share of the cube's edge")
        self._space = study.problem.space
        self._relaxation = Relaxation(self._space)
        self._seen = Seen(self._space, _first_observations(study))
        self._steps, self._begin = steps, _known_begin(begin)
        widths = [1 if v.choices is None else len(v.choices) for v in self._space.variables]
        self._reaches = np.repeat([reach if v.choices is None else 1.0 for v in self._space.variables], widths)
        self._taken = 0
        self._at = np.full(self._space.dim, 0.5)
        self._trial: Trial | None = None
        super().__init__(study, shown=self._relaxation.dim + self._seen.size, width=self._relaxation.dim)

    def _first(self, options: Info) -> Array:
        begin = options.get("begin", self._begin)
        self._taken, self._trial = 0, None
        self._at = self._first_design(_known_begin(begin)) if isinstance(begin, str) else self._space.encode(begin)
        return self._at

    def _first_design(self, begin: Begin) -> Array:
        best, start = self.study.best, self._space.start
        if begin == "best" and best is not None:
            return best.unit
        if begin == "random" or start is None:
            return self.np_random.random(self._space.dim)
        return self._space.encode(start)

    def _act(self, action: Array) -> Array:
        self._taken += 1
        present = self._relaxation.expand(self._at)
        self._at = self._relaxation.collapse(present + self._reaches * action)
        return self._at

    def _judge(self, trial: Trial | None) -> tuple[float, bool, bool]:
        if trial is None:
            return 0.0, False, True
        specs = self.study.specs
        before = specs.worst_violation if self._trial is None else self._loss(self._trial)
        met = trial.status == "ok" and specs.judge(trial).feasible and not specs.goals
        return before - self._loss(trial), met, self._taken >= self._steps

    def _take_in(self, trial: Trial | None) -> None:
        """Stand where the design was evaluated: as asked, but where a repair moved a variable at its value."""
        if trial is None:
            return
        self._trial = trial
        variables = zip(self._space.variables, self._at.tolist(), trial.unit.tolist(), strict=True)
        self._at = np.array([at if v.decode(at) == trial.point[v.name] else unit for v, at, unit in variables])

    def _known(self, trial: Trial | None) -> Trial | None:
        return self._trial

    def _shown(self) -> Array:
        observations: Observations = {} if self._trial is None else self._trial.observations
        return np.concatenate([2.0 * self._relaxation.expand(self._at) - 1.0, self._seen(observations)])


def _known_begin(begin: str) -> Begin:
    if begin not in get_args(Begin):
        known = ", ".join(get_args(Begin))
        raise InputError(f"an episode cannot begin at {begin!r}", remedy=f"begin at one of: {known}, or at a point")
    return cast(Begin, begin)


def _first_observations(study: Study) -> Observations:
    """What the first trial that succeeded observed; the start of the space is evaluated where there is none."""
    first = next((trial for trial in study.trials if trial.status == "ok"), None)
    if first is None:
        space = study.problem.space
        design = np.full(space.dim, 0.5) if space.start is None else space.encode(space.start)
        (first,) = evaluate(study, [design])
    return {} if first is None else first.observations
