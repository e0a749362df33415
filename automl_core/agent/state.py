"""What a policy sees: the graph, the specs, and where it stands (a design, what was observed in it, its margins)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from automl_core.agent.graph import DesignGraph
from automl_core.agent.named import NamedRows
from automl_core.agent.scales import Scales

__all__ = ["SPEC_FIELDS", "Slots", "State", "StateEncoder", "draw_weights"]

SPEC_FIELDS = ("minimum", "has minimum", "maximum", "has maximum", "goal", "shortfall", "measured")
"""What is said of each metric: its bounds on the metric's scale, its goal, and where the present design stands."""


@dataclass(frozen=True)
class State:
    """Several situations, one a row.

    Args:
        current: shape (rows, coordinates): the design to improve, relaxed; 0.5 where there is none.
        present: shape (rows, 1): 1 where there is one.
        observed: shape (rows, nodes, observations): scaled; 0 where nothing was seen.
        specs: shape (rows, metrics, SPEC_FIELDS).
    """

    current: Tensor
    present: Tensor
    observed: Tensor
    specs: Tensor

    def __len__(self) -> int:
        return len(self.current)


class Slots(nn.Module):
    """Puts the coordinates of a design onto the nodes that use them.

    Args:
        graph: whose coordinates.
        width: of a token.
        generator: draws the weights.
    """

    placement: Tensor

    def __init__(self, graph: DesignGraph, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.rows = NamedRows(graph.heads, width, generator)
        self.columns = [use.column for use in graph.uses]
        self.heads = [use.head for use in graph.uses]
        placement = torch.zeros(graph.size, len(graph.uses))
        placement[[use.node for use in graph.uses], range(len(graph.uses))] = 1.0
        self.register_buffer("placement", placement, persistent=False)

    def forward(self, coordinates: Tensor) -> Tensor:
        """Shape (rows, coordinates) in [0, 1] to (rows, nodes, width)."""
        signed = 2.0 * coordinates[:, self.columns] - 1.0
        placed: Tensor = self.placement @ (signed.unsqueeze(-1) * self.rows(self.heads))
        return placed


class StateEncoder(nn.Module):
    """Situations to one token a node.

    Args:
        graph: of the problem.
        metrics: that specs may name.
        observations: names of what is seen at nodes.
        scales: of features.
        width: of a token.
        generator: draws the weights.
    """

    static: Tensor

    def __init__(
        self,
        graph: DesignGraph,
        metrics: Sequence[str],
        observations: Sequence[str],
        scales: Scales,
        width: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.width = width
        self._kinds = graph.kinds
        self._metrics, self._observations = tuple(metrics), tuple(observations)
        names = tuple(dict.fromkeys(name for features in graph.features for name in features))
        self._features = names
        for name in names:  # by this problem's own numbers, unless the scales came with a policy
            scales.learn(f"feature {name}", np.array([f[name] for f in graph.features if name in f], dtype=float))
        static = torch.zeros(graph.size, len(names))
        for row, features in enumerate(graph.features):
            for name, value in features.items():
                static[row, names.index(name)] = scales.apply(f"feature {name}", np.array([value], dtype=float))[0]
        self.register_buffer("static", static, persistent=False)
        self.kinds = NamedRows(graph.kinds, width, generator)
        self.features = NamedRows(names, width, generator)
        self.observations = NamedRows(observations, width, generator)
        self.metrics = NamedRows(metrics, width * len(SPEC_FIELDS), generator, gain=float(len(SPEC_FIELDS)) ** 0.5)
        self.present = nn.Parameter(torch.zeros(width))
        self.slots = Slots(graph, width, generator)
        self.context = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        draw_weights(self.context, generator)

    def forward(self, state: State) -> Tensor:
        """Shape (rows, nodes, width)."""
        nodes = self.kinds(self._kinds) + self.static @ self.features(self._features)
        observed = state.observed @ self.observations(self._observations)
        placed = self.slots(state.current) * state.present.unsqueeze(-1)
        rows = self.metrics(self._metrics).view(len(self._metrics), len(SPEC_FIELDS), self.width)
        specs = state.specs.flatten(1) @ rows.flatten(0, 1) / max(len(self._metrics), 1) ** 0.5
        context = self.context(specs + state.present * self.present)
        tokens: Tensor = nodes + observed + placed + context.unsqueeze(1)
        return tokens


def draw_weights(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of a module of torch from a generator, uniform in ± 1/sqrt(inputs) as torch itself does."""
    with torch.no_grad():
        for parameter in module.parameters():
            bound = 1 / parameter.shape[-1] ** 0.5
            parameter.copy_((torch.rand(parameter.shape, generator=generator) * 2 - 1) * bound)
