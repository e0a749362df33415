"""Many episodes side by side, for the algorithms of Stable-Baselines3: each step evaluates one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from automl_core.environment.episode import Info, StudyEnv, Vector, evaluate
from automl_core.errors import InputError

__all__ = ["StudyVecEnv", "UntilSpent"]

_Steps: TypeAlias = tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[Info]]


class StudyVecEnv(DummyVecEnv):
    """Environments over one study, stepped together.

    All designs that become complete in a step are evaluated by one call of the study, and so are those that the
    episodes which then begin anew start from. As everywhere in Stable-Baselines3, an episode that is over begins anew
    at once, and its last observation stands in ``info["terminal_observation"]``.

    Args:
        environments: one at least, of one kind and all over the same study.

    Raises:
        InputError: there is none, or there are two studies.
    """

    envs: list[StudyEnv]  # type: ignore[assignment]

    def __init__(self, environments: Sequence[StudyEnv]) -> None:
        if len({id(environment.study) for environment in environments}) != 1:
            raise InputError("environments that step together are over one study", remedy="make all with one study")
        super().__init__([lambda environment=environment: environment for environment in environments])  # type: ignore[misc]
        self._study = environments[0].study

    def reset(self) -> Vector:
        """Begin all episodes; observations of shape (environments, size)."""
        self._begin(range(self.num_envs))
        self._reset_seeds()
        self._reset_options()
        return self._observations()

    def step_wait(self) -> _Steps:
        """Act in all episodes: (observations, rewards, whether each is over, infos)."""
        designs = [environment.propose(action) for environment, action in zip(self.envs, self.actions, strict=True)]
        trials = evaluate(self._study, designs)
        infos: list[Info] = []
        for position, (environment, trial) in enumerate(zip(self.envs, trials, strict=True)):
            seen, reward, terminated, truncated, info = environment.conclude(trial)
            self._save_obs(position, seen)
            self.buf_rews[position], self.buf_dones[position] = reward, terminated or truncated
            infos.append(info | {"TimeLimit.truncated": truncated})
            if terminated or truncated:
                infos[-1]["terminal_observation"] = seen
        self._begin(np.flatnonzero(self.buf_dones).tolist())
        return self._observations(), self.buf_rews.copy(), self.buf_dones.copy(), infos

    def _begin(self, positions: Sequence[int]) -> None:
        designs = [self.envs[at].begin(seed=self._seeds[at], options=self._options[at]) for at in positions]
        for at, trial in zip(positions, evaluate(self._study, designs), strict=True):
            seen, self.reset_infos[at] = self.envs[at].opened(trial)
            self._save_obs(at, seen)

    def _observations(self) -> Vector:
        observations: Vector = self._obs_from_buf()  # type: ignore[assignment]
        return observations


class UntilSpent(BaseCallback):
    """Ends ``learn`` where the study's budget ends, before anything is learnt from a step that was not evaluated."""

    def _on_step(self) -> bool:
        return not any(info["exhausted"] for info in self.locals["infos"])
