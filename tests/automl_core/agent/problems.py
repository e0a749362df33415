"""Small problems with graphs, for the tests of the agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from automl_core.agent.critic import Critic
from automl_core.agent.graph import DesignGraph
from automl_core.agent.memory import Memory
from automl_core.agent.networks import POLICIES
from automl_core.agent.scales import Scales
from automl_core.agent.state import StateEncoder
from automl_core.problem import Evaluation, Trial
from automl_core.space import DesignSpace, Edge, Node, Point, Variable
from automl_core.specs import Spec, Specs

WIDTH = 16


@dataclass(frozen=True)
class Amplifier:
    """Four parts of two kinds, wired in a ring; each wants its own value, and says how far it is from it.

    Args:
        order: of the nodes.
        names: of the kinds: another technology names them otherwise.
    """

    order: tuple[int, ...] = (0, 1, 2, 3)
    names: tuple[str, str] = ("nmos", "resistor")
    wanted = (0.2, 0.7, 0.4, 0.9)
    scenarios = ("",)
    specs = Specs([Spec("error", maximum=1e-3)])

    @property
    def space(self) -> DesignSpace:
        """Four numbers."""
        nodes = [
            Node(f"part{i}", self.names[i % 2], {"size": float(i)}, {("w" if i % 2 == 0 else "r"): f"x{i}"})
            for i in self.order
        ]
        edges = [Edge(f"part{i}", f"part{(i + 1) % 4}", "gate" if i % 2 else "drain") for i in range(4)]
        return DesignSpace([Variable(f"x{i}") for i in self.order], nodes, edges)

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """The mean square error; each part observes its own."""
        errors = [float(point[f"x{i}"]) - wanted for i, wanted in enumerate(self.wanted)]
        seen = {f"part{i}": {"off": error} for i, error in enumerate(errors)}
        return Evaluation({"error": float(np.mean(np.square(errors)))}, seen)


def told(problem: Amplifier, units: Sequence[Sequence[float]]) -> list[Trial]:
    """Trials at some designs."""
    trials = []
    for number, unit in enumerate(units):
        point = problem.space.decode(np.array(unit))
        evaluation = problem.evaluate(point, "", 0)
        trials.append(
            Trial(
                number, np.array(unit), np.array(unit), point, evaluation.metrics, observations=evaluation.observations
            )
        )
    return trials


def remembered(problem: Amplifier, rows: int = 12) -> tuple[DesignGraph, Memory, Scales]:
    """A settled memory of designs drawn at random."""
    graph, scales = DesignGraph(problem.space), Scales()
    memory = Memory(graph, ("error",), scales)
    memory.add(told(problem, np.random.default_rng(0).random((rows, problem.space.dim)).tolist()))
    memory.settle()
    return graph, memory, scales


def policy_of(kind: str, graph: DesignGraph, memory: Memory, scales: Scales, reported: Sequence[str] = ()):  # type: ignore[no-untyped-def]
    """A small policy and its critic."""
    generator = torch.Generator().manual_seed(0)
    policy, body = POLICIES[kind]

    def encoder() -> StateEncoder:
        return StateEncoder(graph, memory.metrics, memory.observations, scales, WIDTH, generator)

    actor = policy(graph, encoder(), reported, WIDTH, generator)
    return actor, Critic(graph, encoder(), body(graph, WIDTH, generator), WIDTH, generator)
