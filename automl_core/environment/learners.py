"""DDPG, TD3, SAC and PPO of Stable-Baselines3 on one-shot episodes, driven from outside.

Their ``learn()`` owns its loop. Here whoever asks and tells does: these classes act, fill the buffers and call
``train()``, which for an episode of one step is all that ``learn()`` does (decision 0011).

The settings are for 500 to 2,000 evaluations. They were the best of a dozen by the medians of three seeds at 600
evaluations, on spheres of 6 and 20 variables and Rosenbrock's valley of 6.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from stable_baselines3 import DDPG, PPO, SAC, TD3
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from automl_core.environment.episode import Vector
from automl_core.one_thread import one_thread
from automl_core.space import Array

__all__ = ["Algorithm", "OffPolicyLearner", "OnPolicyLearner", "Sampled", "rewards_of"]

Algorithm: TypeAlias = Literal["ddpg", "td3", "sac"]

_SEEN = np.ones((1, 1), np.float32)
"""One problem with one set of specs: there is nothing to tell apart, hence one constant to be seen."""
_NET = (64, 64)
_MEMORY = 10_000
"""Designs that an off-policy learner remembers."""
_WARM_UP = 64
"""Known designs before the policy is asked, at random till then; an eighth of the budget where that is less, but 16."""
_GRADIENT_STEPS = 2
"""For each design told of."""
_BATCH = 64
_NOISE = 0.1
"""Standard deviation of DDPG's and TD3's exploration, in units of the action's range of [-1, 1]."""
_ROLLOUT, _EPOCHS, _LOG_STD = 32, 20, -1.2
"""PPO: designs between updates, passes over them, and the log of the first standard deviation."""


def rewards_of(losses: Array, among: Array) -> Array:
    """Losses as rewards in [-1, 1], by their rank among all that are known; equal losses share theirs.

    A loss saturates, fails and jumps at the first feasible design; its rank does not, so that one learning rate suits
    every problem. As CMA-ES does (Hansen, 2016), it makes a search invariant to monotone changes of its objective.

    Args:
        losses: shape (n,).
        among: shape (m,), m > 0.

    Returns:
        Shape (n,): 1 for the least, -1 for the greatest of ``among``.
    """
    ordered = np.sort(among)
    rank = 0.5 * (np.searchsorted(ordered, losses, "left") + np.searchsorted(ordered, losses, "right") - 1)
    return np.asarray(1.0 - 2.0 * rank / max(len(among) - 1, 1))


class _Interface(gymnasium.Env[Vector, Vector]):
    """The spaces that an algorithm learns between; it is never stepped."""

    def __init__(self, dim: int) -> None:
        self.observation_space = Box(0.0, 1.0, (1,), np.float32)
        self.action_space = Box(-1.0, 1.0, (dim,), np.float32)


class _Generators:
    """Random numbers of a learner's own, though SB3 draws from the process's: they are put in place and back.

    torch runs on one thread meanwhile: nets as small as these are slower on more, and so the sums do not depend on
    how many cores there are.
    """

    def __init__(self, seed: int) -> None:
        self.seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
        self._own: tuple[object, ...] | None = None

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Whatever is drawn inside comes from the learner's own state."""
        others = _states()
        with one_thread():
            if self._own is not None:
                _set_states(self._own)
            try:
                yield
            finally:
                self._own = _states()
                _set_states(others)


def _states() -> tuple[object, ...]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _set_states(states: tuple[object, ...]) -> None:
    ours, numpys, torchs = states
    random.setstate(ours)  # type: ignore[arg-type]
    np.random.set_state(numpys)  # type: ignore[arg-type]
    torch.set_rng_state(torchs)  # type: ignore[arg-type]


class OffPolicyLearner:
    """DDPG, TD3 or SAC: learns from any design, whoever proposed it.

    Args:
        algorithm: which.
        dim: numbers of an action.
        seed: of its own generators; the process's are left as they were.
        evaluations: how many are planned; ``inf`` where nobody knows.
    """

    def __init__(self, algorithm: Algorithm, dim: int, seed: int, evaluations: float) -> None:
        self._generators = _Generators(seed)
        self._warm_up = int(min(max(evaluations / 8, 16), _WARM_UP))
        with self._generators.in_place():
            self._model = _off_policy(algorithm, dim, self._generators.seed)
            self._model.set_logger(Logger(None, []))
        self._losses = np.zeros(_MEMORY)
        self._known = 0

    def act(self, n: int) -> Array:
        """Actions with exploration, shape (n, dim), in [-1, 1]."""
        model = self._model
        with self._generators.in_place():
            if self._known < self._warm_up:
                actions = np.stack([model.action_space.sample() for _ in range(n)])
            else:
                actions, _ = model.predict(np.repeat(_SEEN, n, axis=0), deterministic=False)
                if model.action_noise is not None:
                    actions = actions + np.stack([model.action_noise() for _ in range(n)])
        return np.asarray(np.clip(actions, -1.0, 1.0), dtype=float)

    def learn(self, actions: Array, losses: Array) -> None:
        """Remember designs, and take gradient steps for them once enough are known.

        Args:
            actions: shape (n, dim), in [-1, 1].
            losses: shape (n,); smaller is better.
        """
        memory = self._model.replay_buffer
        if memory is None or not len(losses):
            return
        over = np.array([True])
        for action, loss in zip(actions, losses, strict=True):
            self._losses[memory.pos] = loss
            memory.add(_SEEN, _SEEN, action[np.newaxis], np.zeros(1), over, [{}])
        self._known = memory.size()
        known = self._losses[: self._known]
        memory.rewards[: self._known, 0] = rewards_of(known, known)
        if self._known >= self._warm_up:
            with self._generators.in_place():
                self._model.train(gradient_steps=_GRADIENT_STEPS * len(losses), batch_size=_BATCH)


def _off_policy(algorithm: Algorithm, dim: int, seed: int) -> OffPolicyAlgorithm:
    policy = {"net_arch": list(_NET)}  # made anew each time: SB3 writes into it
    settings: dict[str, Any] = {"learning_rate": 1e-3, "buffer_size": _MEMORY, "policy_kwargs": policy, "device": "cpu"}
    if algorithm == "sac":  # the temperature begins low: the rewards of one step lie in [-1, 1]
        return SAC("MlpPolicy", _Interface(dim), ent_coef="auto_0.02", seed=seed, **settings)
    noise = NormalActionNoise(np.zeros(dim), np.full(dim, _NOISE))
    kind: type[TD3] = DDPG if algorithm == "ddpg" else TD3
    return kind("MlpPolicy", _Interface(dim), action_noise=noise, seed=seed, **settings)


@dataclass(frozen=True)
class Sampled:
    """An action that the policy drew, and what PPO has to know of that moment.

    Args:
        action: shape (dim,), before it is clipped to [-1, 1].
        value: what the critic expected.
        log_probability: of the action.
    """

    action: Array
    value: torch.Tensor
    log_probability: torch.Tensor


class OnPolicyLearner:
    """PPO: learns from what it proposed itself, a rollout at a time.

    Args:
        dim: numbers of an action.
        seed: of its own generators; the process's are left as they were.
    """

    def __init__(self, dim: int, seed: int) -> None:
        self._generators = _Generators(seed)
        with self._generators.in_place():
            self._model = PPO(
                "MlpPolicy",
                _Interface(dim),
                learning_rate=3e-3,
                n_steps=_ROLLOUT,
                batch_size=_ROLLOUT,
                n_epochs=_EPOCHS,
                policy_kwargs={"net_arch": list(_NET), "log_std_init": _LOG_STD},
                device="cpu",
                seed=self._generators.seed,
            )
            self._model.set_logger(Logger(None, []))
        self._waiting: list[tuple[Sampled, float]] = []

    def act(self, n: int) -> list[Sampled]:
        """``n`` actions drawn from the policy."""
        with self._generators.in_place(), torch.no_grad():
            actions, values, log_probabilities = self._model.policy(torch.from_numpy(np.repeat(_SEEN, n, axis=0)))
        rows = zip(actions.numpy().astype(float), values.flatten(), log_probabilities, strict=True)
        return [Sampled(action, value, log_probability) for action, value, log_probability in rows]

    def learn(self, sampled: Sequence[tuple[Sampled, float]], known: Array) -> None:
        """Hear of actions, with their losses; each full rollout is learnt from.

        Args:
            sampled: what ``act`` gave, in any order.
            known: losses of all designs told so far, shape (m,), which rank these.
        """
        self._waiting += sampled
        while len(self._waiting) >= _ROLLOUT:
            rollout, self._waiting = self._waiting[:_ROLLOUT], self._waiting[_ROLLOUT:]
            rewards = rewards_of(np.array([loss for _, loss in rollout]), known)
            with self._generators.in_place():
                self._update([step for step, _ in rollout], rewards)

    def _update(self, rollout: Sequence[Sampled], rewards: Array) -> None:
        buffer = self._model.rollout_buffer
        buffer.reset()
        over = np.array([True])
        for step, reward in zip(rollout, rewards, strict=True):
            action = step.action[np.newaxis]
            buffer.add(_SEEN, action, np.array([reward]), over, step.value, step.log_probability.reshape(1))
        buffer.compute_returns_and_advantage(last_values=torch.zeros(1), dones=over)
        self._model.train()
