"""The networks of an agent for one problem, and what is drawn from memory to train them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from automl_core.agent.critic import Critic
from automl_core.agent.ddpg import Ddpg, Transitions
from automl_core.agent.gcn import GcnBody, GcnPolicy
from automl_core.agent.graph import DesignGraph
from automl_core.agent.imagination import Imagination, Standing, hopes
from automl_core.agent.legal import Ask
from automl_core.agent.memory import Memory
from automl_core.agent.model import MANY, MetricModel, Warp
from automl_core.agent.named import load_named, saved_tensors
from automl_core.agent.policy_files import Parts, Policy
from automl_core.agent.scales import Scales
from automl_core.agent.scoring import SpecTensors
from automl_core.agent.seq2seq import Seq2SeqBody, Seq2SeqPolicy
from automl_core.agent.state import StateEncoder
from automl_core.specs import Specs

__all__ = ["POLICIES", "Networks", "Settings"]

POLICIES: Mapping[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "seq2seq": (Seq2SeqPolicy, Seq2SeqBody),
    "gcn": (GcnPolicy, GcnBody),
}
"""Policy and body of the critic, by name."""


_SETTLED, _LEAST_STEPS = 400, 4
"""Trials after which the model needs half as many steps for a new one, and the fewest it gets."""
_STUDIED, _MOST_STUDIED = 4, 2000
"""Gradient steps for each trial that was known before the first ask, and the most there are."""


@dataclass(frozen=True)
class Settings:
    """What an agent is made of.

    Args:
        policy: a name of :data:`POLICIES`.
        model: whether it imagines.
        width: of a token.
        rows: situations in an update.
        updates: of the policy and its critic, for each evaluation.
        model_steps: gradient steps of the model for each evaluation at first; fewer once it has seen many.
    """

    policy: str = "seq2seq"
    model: bool = True
    width: int = 48
    rows: int = 48
    updates: float = 0.125
    model_steps: int = 14


class Networks:
    """Policy, critic, learner and model.

    Args:
        graph: of the problem.
        memory: settled: its scales and observations are known.
        scales: of features, observations and metrics.
        reported: names of what ``allowed`` reports.
        settings: what they are made of.
        seed: of their weights and of what is drawn.
    """

    def __init__(
        self,
        graph: DesignGraph,
        memory: Memory,
        scales: Scales,
        reported: Sequence[str],
        settings: Settings,
        seed: int,
    ) -> None:
        self._memory, self._settings = memory, settings
        self.generator = torch.Generator().manual_seed(seed)
        policy, body = POLICIES[settings.policy]
        width, draw = settings.width, self.generator

        def encoder() -> StateEncoder:
            return StateEncoder(graph, memory.metrics, memory.observations, scales, width, draw)

        self.actor = policy(graph, encoder(), reported, width, draw)
        self.critic = Critic(graph, encoder(), body(graph, width, draw), width, draw)
        self.learner = Ddpg(self.actor, self.critic)
        inputs = [f"{graph.space.variables[entry.variable].name}|{entry.heads[0]}" for entry in graph.entries]
        self.model = MetricModel(inputs, memory.metrics, seed, additive=graph.space.dim > MANY)
        self.imagination = Imagination(graph, self.model, draw)

    def observe(self) -> None:
        """Show the model the trials of the memory that it has not seen."""
        seen = len(self.model)
        if self._settings.model and len(self._memory) > seen:
            self.model.add(self._memory.designs[seen:], [trial.metrics for trial in self._memory.trials[seen:]])

    def study(self) -> None:
        """Train the model on all that there was before the first ask."""
        if self._settings.model:
            self.model.fit(min(_STUDIED * len(self._memory), _MOST_STUDIED))

    def learn(self, evaluations: int, specs: Sequence[Specs], ask: Ask | None) -> None:
        """Learn from memory.

        Args:
            evaluations: that are about to be asked for; what is learnt before is in proportion.
            specs: what the policy is trained towards: one, or several to draw from.
            ask: ``allowed`` of the problem.
        """
        losses = self._memory.losses(SpecTensors(specs))
        focus = _focus(losses.mean(0))
        if self._settings.model:
            steps = self._settings.model_steps * _SETTLED / (_SETTLED + len(self._memory))
            self.model.fit(round(max(steps, _LEAST_STEPS) * evaluations), focus=focus)
        for _ in range(max(round(self._settings.updates * evaluations), 1)):
            self._update(specs, losses, focus, ask)

    def _update(self, specs: Sequence[Specs], losses: Tensor, focus: Tensor, ask: Ask | None) -> None:
        rows, draw, memory = self._settings.rows, self.generator, self._memory
        which = torch.randint(len(specs), (rows,), generator=draw)
        chosen = [specs[int(at)] for at in which] if len(specs) > 1 else list(specs)
        taken = torch.multinomial(focus, rows, replacement=True, generator=draw)
        parents = torch.multinomial(focus, rows, replacement=True, generator=draw)
        parents = torch.where(torch.rand(rows, generator=draw) < 0.5, torch.tensor(-1), parents)
        state = memory.states(parents.tolist(), chosen)
        reward = -losses[which, taken]
        batch = Transitions(
            state, memory.designs[taken], reward, memory.states(taken.tolist(), chosen), (reward > 0).float()
        )
        self.learner.learn_values(batch)
        if not self._settings.model:
            self.learner.improve(state, ask=ask)
            return
        tensors = SpecTensors(chosen)
        standing = memory.standing(tensors)
        with self.model.frozen():
            self.learner.improve(state, lambda designs: self._imagined(designs, tensors, standing), ask=ask)

    def _imagined(self, designs: Tensor, specs: SpecTensors, standing: Standing) -> Tensor:
        """Shape (rows,): what the ensemble expects the loss to be."""
        return hopes(self.model.predict(designs), specs, standing).mean(0)

    # What is kept for other problems.

    def parts(self) -> Parts:
        """What was learnt, by name; of the model nothing where there is none."""
        tensors: dict[str, Tensor] = {}
        names: dict[str, Sequence[str]] = {}
        modules: dict[str, nn.Module] = {"actor": self.actor, "critic": self.critic}
        warps: dict[str, Warp] = {}
        if self._settings.model:
            modules["model"] = self.model.network
            warps = dict(zip(self.model.metrics, self.model.warps, strict=True))
        for prefix, module in modules.items():
            own_tensors, own_names = saved_tensors(module)
            tensors |= {f"{prefix}.{path}": tensor for path, tensor in own_tensors.items()}
            names |= {f"{prefix}.{path}": rows for path, rows in own_names.items()}
        return Parts(tensors, names, warps, self.model.inputs)

    def begin_from(self, policy: Policy) -> None:
        """Take over what a policy knows; what it does not know stays fresh."""
        for prefix, module in (("actor", self.actor), ("critic", self.critic)):
            load_named(module, *policy.under(prefix))
        self.learner.catch_up()
        tensors, _ = policy.under("model")
        if tensors and self._settings.model:
            self.model.begin_from(tensors, policy.parts.inputs, policy.parts.warps)

    def state_dict(self) -> dict[str, Any]:
        """All that :meth:`load_state_dict` needs to go on."""
        return {
            "learner": self.learner.state_dict(),
            "model": self.model.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.learner.load_state_dict(state["learner"])
        self.model.load_state_dict(state["model"])
        self.generator.set_state(state["generator"])


def _focus(losses: Tensor) -> Tensor:
    """How often each trial is looked at: the better, the more often; the best some twenty times as often as the worst.

    A model that is as right everywhere is wrong by as much where it matters.
    """
    ranks = torch.argsort(torch.argsort(losses)).float()
    return 0.05 + 1.0 / (1.0 + ranks / (0.05 * len(losses) + 8.0))
