"""One-shot episodes: one action is the whole design."""

from __future__ import annotations

from automl_core.environment.episode import Info, StudyEnv
from automl_core.problem import Trial
from automl_core.space import Array, Relaxation
from automl_core.study import Study

__all__ = ["OneShot"]


class OneShot(StudyEnv):
    """A contextual bandit: the specs are seen, a design is given, and its loss, negated, is the reward.

    The observation: the targets, and what was reached of them, 0 before the step.

    Args:
        study: where designs are evaluated.
    """

    def __init__(self, study: Study) -> None:
        self._relaxation = Relaxation(study.problem.space)
        super().__init__(study, shown=0, width=self._relaxation.dim)

    def _first(self, options: Info) -> None:
        return None

    def _act(self, action: Array) -> Array:
        return self._relaxation.collapse((action + 1.0) / 2.0)

    def _judge(self, trial: Trial | None) -> tuple[float, bool, bool]:
        return (0.0, False, True) if trial is None else (-self._loss(trial), True, False)
