"""The critic: what a design is worth in a situation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from automl_core.agent.graph import DesignGraph
from automl_core.agent.named import NamedRows
from automl_core.agent.state import Slots, State, StateEncoder, draw_weights

__all__ = ["Critic"]


class Critic(nn.Module):
    """Tokens of the situation and the action, read by the same kind of body as the policy's; a value head a kind.

    Args:
        graph: of the problem.
        encoder: makes tokens.
        body: shape (rows, nodes, width) to the same.
        width: of a token.
        generator: draws the weights.
    """

    def __init__(
        self, graph: DesignGraph, encoder: StateEncoder, body: nn.Module, width: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self._kinds = graph.kinds
        self.encoder = encoder
        self.actions = Slots(graph, width, generator)
        self.body = body
        self.values = NamedRows(graph.kinds, width, generator)
        self.read = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))
        for part in (self.read[1], self.read[3]):
            draw_weights(part, generator)

    def forward(self, state: State, action: Tensor) -> Tensor:
        """Shape (rows,): the return expected of an action of shape (rows, coordinates)."""
        tokens = self.body(self.encoder(state) + self.actions(action))
        pooled = (tokens * (1.0 + self.values(self._kinds))).mean(1)
        value: Tensor = self.read(pooled)[:, 0]
        return value
