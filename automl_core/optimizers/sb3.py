"""DDPG, TD3, SAC and PPO of Stable-Baselines3, a design an episode.

Sources: Lillicrap et al., "Continuous control with deep reinforcement learning" (2016); Fujimoto et al., "Addressing
Function Approximation Error in Actor-Critic Methods" (2018); Haarnoja et al., "Soft Actor-Critic" (2018); Schulman et
al., "Proximal Policy Optimization Algorithms" (2017); all as SB3 implements them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from automl_core.budget import Budget
from automl_core.environment.learners import Algorithm, OffPolicyLearner, OnPolicyLearner, Sampled
from automl_core.problem import Trial
from automl_core.space import Array, DesignSpace, Point, Relaxation, Value
from automl_core.specs import Specs

__all__ = ["Ddpg", "Ppo", "Sac", "Td3"]


class _OffPolicy:
    """Asks a policy that learns from every trial it is told of, as it was evaluated.

    A design that is known already teaches it nothing: one at random takes its place, so that a policy which has
    settled on one of few designs still spends its budget.
    """

    algorithm: ClassVar[Algorithm]

    def __init__(self, space: DesignSpace, specs: Specs, seed: int, budget: Budget) -> None:
        self._space = space
        self._specs = specs
        self._relaxation = Relaxation(space)
        self._learner = OffPolicyLearner(self.algorithm, self._relaxation.dim, seed, budget.expected_evaluations)
        self._generator = np.random.default_rng(seed)
        self._known: set[tuple[Value, ...]] = set()

    def ask(self, n: int) -> Array:
        """``n`` designs of the policy, with exploration, shape (n, dim)."""
        return np.stack([self._new(design) for design in _designs(self._relaxation, self._learner.act(n))])

    def tell(self, trials: Sequence[Trial]) -> None:
        """Remember all, and take gradient steps for each."""
        self._known.update(self._key(trial.point) for trial in trials)
        actions = np.array([2.0 * self._relaxation.expand(trial.unit) - 1.0 for trial in trials])
        self._learner.learn(actions, np.array([self._specs.judge(trial).loss for trial in trials]))

    def _new(self, design: Array) -> Array:
        if self._key(self._space.decode(design)) in self._known:
            design = self._generator.random(self._space.dim)
        self._known.add(self._key(self._space.decode(design)))
        return design

    def _key(self, point: Point) -> tuple[Value, ...]:
        return tuple(point[variable.name] for variable in self._space.variables)


class Ddpg(_OffPolicy):
    """A deterministic actor, moved along the gradient of its critic."""

    algorithm = "ddpg"


class Td3(_OffPolicy):
    """DDPG with two critics, of which the lower counts, and an actor that moves half as often."""

    algorithm = "td3"


class Sac(_OffPolicy):
    """A stochastic actor that keeps its entropy as high as the rewards allow."""

    algorithm = "sac"


class Ppo:
    """A stochastic policy that learns from its own proposals alone, 32 at a time; others set the scale of rewards."""

    def __init__(self, space: DesignSpace, specs: Specs, seed: int, budget: Budget) -> None:
        self._specs = specs
        self._relaxation = Relaxation(space)
        self._learner = OnPolicyLearner(self._relaxation.dim, seed)
        self._asked: dict[bytes, list[Sampled]] = {}
        self._losses: list[float] = []

    def ask(self, n: int) -> Array:
        """``n`` designs drawn from the policy, shape (n, dim)."""
        sampled = self._learner.act(n)
        designs = _designs(self._relaxation, np.stack([step.action for step in sampled]))
        for design, step in zip(designs, sampled, strict=True):
            self._asked.setdefault(design.tobytes(), []).append(step)
        return designs

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn from those that it asked for."""
        own: list[tuple[Sampled, float]] = []
        for trial in trials:
            loss = self._specs.judge(trial).loss
            self._losses.append(loss)
            if waiting := self._asked.pop(key := trial.asked.tobytes(), None):
                own.append((waiting.pop(0), loss))
                if waiting:
                    self._asked[key] = waiting
        self._learner.learn(own, np.array(self._losses))


def _designs(relaxation: Relaxation, actions: Array) -> Array:
    return np.stack([relaxation.collapse((np.clip(action, -1.0, 1.0) + 1.0) / 2.0) for action in actions])
