"""The learner: deep deterministic policy gradients over interchangeable policies.

Source: Lillicrap et al., "Continuous control with deep reinforcement learning" (2015), equations 4-6 and the soft
target updates; the moving baseline that is taken off the reward, and the noise that decays after a warm-up: AMC (He et
al., 2018) and HAQ (Wang et al., 2019). The defaults differ from theirs (rates 1e-4 and 1e-3, 300-800 episodes) where a
study has far fewer updates.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from automl_core.agent.legal import Ask
from automl_core.agent.state import State

__all__ = ["Ddpg", "Transitions"]

_CLIP = 1.0


@dataclass(frozen=True)
class Transitions:
    """What was done in situations, and what came of it.

    Args:
        state: the situations.
        action: shape (rows, coordinates).
        reward: shape (rows,): the negative loss of the design.
        following: the situations that the designs lead to.
        ends: shape (rows,): 1 where the episode ends with the design.
    """

    state: State
    action: Tensor
    reward: Tensor
    following: State
    ends: Tensor


class Ddpg:
    """An actor, a critic, and slow copies of both.

    Args:
        actor: situations to designs.
        critic: situations and designs to returns.
        discount: of the next refinement; the first guess of an episode counts as much as what it becomes.
        soft: how far the copies move towards the networks at an update.
        actor_rate: of Adam.
        critic_rate: of Adam.
        baseline_decay: of the moving mean of rewards.
    """

    def __init__(
        self,
        actor: nn.Module,
        critic: nn.Module,
        *,
        discount: float = 0.5,
        soft: float = 0.02,
        actor_rate: float = 1e-3,
        critic_rate: float = 2e-3,
        baseline_decay: float = 0.95,
    ) -> None:
        self.actor, self.critic = actor, critic
        self._slow_actor, self._slow_critic = copy.deepcopy(actor), copy.deepcopy(critic)
        self._discount, self._soft, self._decay = discount, soft, baseline_decay
        self._actor_adam = torch.optim.Adam(actor.parameters(), lr=actor_rate)
        self._critic_adam = torch.optim.Adam(critic.parameters(), lr=critic_rate)
        self.baseline: float | None = None

    def catch_up(self) -> None:
        """Make the slow copies equal to the networks: after weights were loaded."""
        self._slow_actor.load_state_dict(self.actor.state_dict())
        self._slow_critic.load_state_dict(self.critic.state_dict())

    def learn_values(self, batch: Transitions) -> None:
        """One update of the critic; equation 5."""
        mean = float(batch.reward.mean())
        self.baseline = mean if self.baseline is None else self._decay * self.baseline + (1 - self._decay) * mean
        with torch.no_grad():
            later = self._slow_critic(batch.following, self._slow_actor(batch.following))
            goal = batch.reward - self.baseline + self._discount * (1 - batch.ends) * later
        error = nn.functional.mse_loss(self.critic(batch.state, batch.action), goal)
        self._step(self._critic_adam, self.critic, error)
        self._follow(self._slow_critic, self.critic)

    def improve(
        self, state: State, imagined: Callable[[Tensor], Tensor] | None = None, *, ask: Ask | None = None
    ) -> None:
        """One update of the actor: up the critic's gradient (equation 6), and down that of an imagined loss.

        Args:
            state: the situations.
            imagined: designs to a loss for each, where there is a model.
            ask: ``allowed`` of the problem.
        """
        designs = self.actor(state, ask=ask)
        objective = -self.critic(state, designs).mean()
        if imagined is not None:
            objective = objective + imagined(designs).mean()
        self._step(self._actor_adam, self.actor, objective)
        self._follow(self._slow_actor, self.actor)

    def _step(self, adam: torch.optim.Adam, module: nn.Module, objective: Tensor) -> None:
        parameters = list(module.parameters())
        gradients = torch.autograd.grad(objective, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(parameters, _CLIP)
        adam.step()

    def _follow(self, slow: nn.Module, fast: nn.Module) -> None:
        with torch.no_grad():
            for old, new in zip(slow.parameters(), fast.parameters(), strict=True):
                old.lerp_(new, self._soft)

    def state_dict(self) -> dict[str, Any]:
        """All that :meth:`load_state_dict` needs to go on."""
        return {"parts": [part.state_dict() for part in self._parts()], "baseline": self.baseline}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        for part, saved in zip(self._parts(), state["parts"], strict=True):
            part.load_state_dict(saved)
        self.baseline = state["baseline"]

    def _parts(self) -> tuple[nn.Module | torch.optim.Optimizer, ...]:
        networks = (self.actor, self.critic, self._slow_actor, self._slow_critic)
        return (*networks, self._actor_adam, self._critic_adam)
