"""The agent behind ask and tell: a policy that proposes, a learner, and a model that it imagines on.

An ask learns from all trials told so far, then proposes. Without its model the agent is DDPG: the policy's designs with
exploration. With it, the policy's designs and pseudo-samples around the best ones are improved on the model first.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from automl_core.agent.graph import DesignGraph
from automl_core.agent.legal import Ask
from automl_core.agent.memory import Memory
from automl_core.agent.model import MANY
from automl_core.agent.networks import Networks, Settings
from automl_core.agent.policy_files import Policy, read_policy, write_policy
from automl_core.agent.scales import Scales
from automl_core.agent.scoring import SpecTensors
from automl_core.budget import Budget
from automl_core.one_thread import one_thread
from automl_core.optimizers.random import RandomSearch
from automl_core.problem import Trial
from automl_core.space import Array, DesignSpace
from automl_core.specs import Specs
from automl_core.targets import Targets

__all__ = ["Agent", "Gcn", "GcnWithoutModel", "Seq2Seq", "Seq2SeqWithoutModel"]

_LEAST_WARMUP, _MOST_WARMUP = 16, 64
_MOVED, _STEP = 0.2, 0.25
"""Of the first designs of many variables: the share that is moved, and how far (a standard deviation, in the cube)."""
_ELITES = 24
_COPIES = 128
"""Pseudo-samples of the elites."""
_NOISE, _LEAST_NOISE = 0.5, 0.03
"""Exploration: a standard deviation that decays geometrically over the budget (AMC, HAQ: 0.5 · 0.95ⁿ, 0.5 · 0.99ⁿ)."""
_GUESSES = 24
"""Designs that the policy proposes to imagination."""
_UNIMPROVED = 6
"""Of so many designs one is evaluated as the policy or chance drew it."""
_LESSONS = 64
"""Targets drawn at an ask to train the policy on."""
_FEW = 2
"""Designs proposed at once by an agent that begins from a policy."""
_RADIUS, _LEAST_RADIUS, _MOST_RADIUS = 0.2, 0.008, 0.4
_KEPT_EVERY = 4
"""Asks between two checkpoints: what comes after the last one is replayed."""
_PLANNED = 2000.0
"""Evaluations to plan the exploration for, where the budget does not say."""


class Agent:
    """The shared agent.

    Args:
        space: what can be chosen.
        specs: what it must reach.
        seed: of all that is drawn.
        budget: what may be spent: the exploration decays over it.
    """

    settings: ClassVar[Settings] = Settings()
    observes = True

    def __init__(self, space: DesignSpace, specs: Specs, seed: int, budget: Budget) -> None:
        self.space, self.specs = space, specs
        self._seed = seed
        self._graph = DesignGraph(space)
        self._scales = Scales()
        self._memory = Memory(self._graph, tuple(spec.metric for spec in specs.specs), self._scales)
        self._random = RandomSearch(space, specs, seed, budget)
        self._planned = min(budget.expected_evaluations, _PLANNED)
        self._warmup = max(min(2 * space.dim, _MOST_WARMUP, int(self._planned / 4)), _LEAST_WARMUP)
        self._allowed: Ask | None = None
        self._policy: Policy | None = None
        self._networks: Networks | None = None
        self._asked = 0
        self._asks = 0
        self._radius = _RADIUS
        self._best = float("inf")
        self._targets: Targets | None = None
        self._generator = np.random.default_rng([seed, 1])

    # What it hears.

    def restrict(self, allowed: Ask) -> None:
        """Hear how to ask what is allowed."""
        self._allowed = allowed

    def tell(self, trials: Sequence[Trial]) -> None:
        """Remember trials, and see whether the trust region is worth its size."""
        fresh = self._memory.add(trials)
        if not fresh:
            return
        best = min(self.specs.judge(trial).loss for trial in fresh)
        if self._networks is not None:
            self._networks.observe()
            self._resize(improved=best < self._best - 1e-9)
        self._best = min(best, self._best)

    def _resize(self, *, improved: bool) -> None:
        """The trust region grows with success and shrinks without; too small, it begins anew."""
        self._radius = min(self._radius * 1.3, _MOST_RADIUS) if improved else self._radius * 0.85
        if self._radius < _LEAST_RADIUS:
            self._radius = _RADIUS

    # What it proposes.

    def aim(self, targets: Targets) -> None:
        """Train the policy over a range of targets: every design is then proposed for a target drawn from it."""
        self._targets = targets

    def ask(self, n: int) -> Array:
        """Learn, then propose up to ``n`` designs; with a policy few at first, for the first ones may well do."""
        if self._policy is not None and self._targets is None:
            n = min(n, _FEW + self._asked // 4)
        self._asked += n
        self._asks += 1
        if len(self._memory) < (self._warmup if self._policy is None else 1):
            return self._first(n)
        with one_thread():
            networks = self._ready()
            if self._targets is None:
                networks.learn(n, [self.specs], self._allowed)
                return self._proposals(networks, [self.specs], n)
            networks.learn(n, self._targets.draw(_LESSONS, self._generator), self._allowed)
            return self._proposals(networks, self._targets.draw(n, self._generator), 1)

    def _first(self, n: int) -> Array:
        """Designs to learn from at first: all over the space, or around its start where there are many variables.

        A random design of many variables is bad whatever becomes of one of them, so that it tells of none.
        """
        if self.space.start is None or self.space.dim <= MANY:
            return self._random.ask(n)
        start, shape = self.space.encode(self.space.start), (n, self.space.dim)
        step = self._generator.normal(0.0, _STEP, shape)
        return np.clip(np.where(self._generator.random(shape) < _MOVED, start + step, start), 0.0, 1.0)

    def _ready(self) -> Networks:
        if self._networks is None:
            self._memory.settle()
            self._networks = self._make_networks()
            self._networks.observe()
            if self._policy is not None:
                self._networks.begin_from(self._policy)
            self._networks.study()
        return self._networks

    def _make_networks(self) -> Networks:
        reported = sorted(self._allowed([{}])[0].features) if self._allowed is not None else []
        return Networks(self._graph, self._memory, self._scales, reported, self.settings, self._seed)

    def _proposals(self, networks: Networks, specs: Sequence[Specs], count: int) -> Array:
        """Designs worth a real evaluation, none of them known: ``count`` for each of the specs."""
        tensors = SpecTensors(specs)
        elites = torch.topk(-self._memory.losses(tensors), min(_ELITES, len(self._memory)), dim=1).indices
        if not self.settings.model:
            ranked = [self._drawn(networks, specs[row], elites[row], 2 * count) for row in range(len(specs))]
        else:
            share = 1 / len(specs)  # of the candidates, for each of the specs
            bases = torch.stack([self._bases(networks, specs[row], elites[row], share) for row in range(len(specs))])
            standing = self._memory.standing(tensors)
            improved = networks.imagination.improve(bases, tensors, standing, self._radius)
            picks = networks.imagination.pick(improved, tensors, standing, count, self._radius)
            # Not clipped in order: what imagination has too much of would come off the last variables alone. Repair,
            # which is the problem's own, takes a little of each.
            ranked = [self._with_trials(networks, *pair) for pair in zip(picks, bases, strict=True)]
        return self._unknown(ranked, count)

    def _bases(self, networks: Networks, specs: Specs, elites: Tensor, share: float) -> Tensor:
        """Where imagination begins: pseudo-samples around the best designs, and what the policy proposes."""
        designs = self._memory.designs[elites]
        which = torch.randint(len(designs), (max(int(_COPIES * share), 16),), generator=networks.generator)
        copies = networks.imagination.pseudo_samples(designs[which], self._radius)
        return torch.cat([copies, self._drawn(networks, specs, elites, max(int(_GUESSES * share), 4))])

    def _with_trials(self, networks: Networks, picks: Tensor, bases: Tensor) -> Tensor:
        """Some picks give way to designs that the model had no say in, so that it hears where it is wrong.

        Where every network errs alike, as between the last data and a wall of the cube, none of them asks to look.
        """
        turn = torch.arange(len(picks)) + self._asks * len(picks)
        replaced = turn % _UNIMPROVED == _UNIMPROVED - 1
        drawn = torch.randint(len(bases), (len(picks),), generator=networks.generator)
        return torch.where(replaced.unsqueeze(1), bases[drawn], picks)

    def _drawn(self, networks: Networks, specs: Specs, elites: Tensor, count: int) -> Tensor:
        """What the policy makes of the best designs, and of none, with exploration; shape (count, coordinates)."""
        parents = torch.randint(len(elites), (count,), generator=networks.generator)
        rows = [int(elites[at]) if turn % 2 else -1 for turn, at in enumerate(parents)]
        state = self._memory.states(rows, [specs])
        with torch.no_grad():
            drawn: Tensor = networks.actor(
                state, ask=self._allowed, deviation=self._deviation(), generator=networks.generator
            )
        return drawn

    def _deviation(self) -> float:
        """Of the exploration; 0.03 once the budget is spent."""
        spent = max(self._asked - self._warmup, 0) / max(self._planned - self._warmup, 1.0)
        return float(_NOISE * (_LEAST_NOISE / _NOISE) ** min(spent, 1.0))

    def _unknown(self, ranked: Sequence[Tensor], count: int) -> Array:
        """The first designs of each ranking that no trial has; one at random where all are known."""
        chosen: dict[bytes, Array] = {}
        for ranking in ranked:
            wanted = len(chosen) + count
            for row in ranking.double().numpy():
                design = np.clip(self._graph.relaxation.collapse(row), 0.0, 1.0)
                key = self.space.encode(self.space.decode(design)).tobytes()
                if len(chosen) < wanted and key not in self._memory:
                    chosen.setdefault(key, design)
        return np.stack(list(chosen.values())) if chosen else self._random.ask(1)

    # What is kept of it.

    def checkpoint(self) -> bytes | None:
        """Its state; ``None`` where replaying is as good."""
        if self._networks is None or self._asks % _KEPT_EVERY:
            return None
        buffer = io.BytesIO()
        state = {
            "networks": self._networks.state_dict(),
            "generator": self._generator.bit_generator.state,
            "observations": list(self._memory.observations),
            "scales": self._scales.as_json(),
            "counts": [self._asked, self._asks],
            "drawn": self._random.drawn,
            "radius": self._radius,
        }
        torch.save(state, buffer)
        return buffer.getvalue()

    def restore(self, state: bytes, trials: Sequence[Trial]) -> None:
        """Go on from a state; weights and numbers are read, nothing else (no pickled code)."""
        saved = torch.load(io.BytesIO(state), weights_only=True)
        self.tell(trials)
        self._scales.warps.update(Scales.from_json(saved["scales"]).warps)
        self._memory.observations = tuple(saved["observations"])
        self._networks = self._make_networks()
        self._networks.observe()
        self._networks.load_state_dict(saved["networks"])
        self._generator.bit_generator.state = saved["generator"]
        self._asked, self._asks = saved["counts"]
        self._random.skip(saved.get("drawn", 0))  # older states do not say
        self._radius = saved["radius"]

    def load(self, policy: Path) -> str:
        """Begin from a policy that another problem, target or technology has taught."""
        self._policy = read_policy(policy, self.settings.policy)
        self._scales.warps = dict(self._policy.scales.warps)
        return self._policy.summary(self._graph, self._memory.metrics)

    def save(self, policy: Path) -> None:
        """Write what was learnt into a folder."""
        write_policy(policy, self.settings.policy, self._ready().parts(), self._scales)


class Seq2Seq(Agent):
    """The sequence-to-sequence agent."""


class Gcn(Agent):
    """The graph-convolutional agent."""

    settings = Settings(policy="gcn")


class Seq2SeqWithoutModel(Agent):
    """The sequence-to-sequence agent that never imagines: DDPG."""

    settings = Settings(model=False)


class GcnWithoutModel(Agent):
    """The graph-convolutional agent that never imagines: DDPG."""

    settings = Settings(policy="gcn", model=False)
