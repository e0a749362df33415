"""The graph-convolutional policy: every node hears its neighbours by the role of the edge, then decides its values.

Sources: Wang et al., "GCN-RL Circuit Designer" (arXiv 2005.00406), section III: layers over the circuit graph, heads
for each kind of part; relations with shared bases: Schlichtkrull et al. (2018), equation 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from automl_core.agent.actions import coordinates, explored
from automl_core.agent.graph import DesignGraph
from automl_core.agent.legal import Ask, Decision
from automl_core.agent.named import NamedRows
from automl_core.agent.state import State, StateEncoder, draw_weights

__all__ = ["GcnBody", "GcnPolicy"]

_LAYERS = 4
"""GCN-RL uses seven; devices of an amplifier are four edges apart at most, and each layer costs a simulation's time."""
_BASES = 4


class GcnBody(nn.Module):
    """Graph convolutions with residual connections.

    Args:
        graph: its roles and their edges.
        width: of a token.
        generator: draws the weights.
    """

    adjacency: Tensor

    def __init__(self, graph: DesignGraph, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self._roles = tuple(graph.adjacency)
        empty = torch.zeros(0, graph.size, graph.size)
        adjacency = torch.stack([graph.adjacency[role] for role in self._roles]) if self._roles else empty
        self.register_buffer("adjacency", adjacency, persistent=False)
        self.own = nn.ModuleList(nn.Linear(width, width) for _ in range(_LAYERS))
        self.heard = nn.ModuleList(nn.Linear(width, _BASES * width, bias=False) for _ in range(_LAYERS))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(_LAYERS))
        for part in (self.own, self.heard):
            draw_weights(part, generator)
        self.roles = nn.ModuleList(NamedRows(self._roles, _BASES, generator) for _ in range(_LAYERS))

    def forward(self, tokens: Tensor) -> Tensor:
        """Shape (rows, nodes, width) to the same; permuting the nodes permutes what comes out."""
        for own, heard, norm, roles in zip(self.own, self.heard, self.norms, self.roles, strict=True):
            normed = norm(tokens)
            mixed = torch.einsum("rk,rnm->knm", roles(self._roles), self.adjacency)
            said = heard(normed).view(*normed.shape[:2], _BASES, -1)
            tokens = tokens + nn.functional.silu(own(normed) + torch.einsum("knm,bmkw->bnw", mixed, said))
        return tokens


class GcnPolicy(nn.Module):
    """Decides all nodes at once; a shared variable is decided by all nodes that use it, in the mean.

    Args:
        graph: of the problem.
        encoder: makes tokens.
        reported: as for the sequential policy; a policy that decides at once hears nothing on the way.
        width: of a token.
        generator: draws the weights.
    """

    def __init__(
        self,
        graph: DesignGraph,
        encoder: StateEncoder,
        reported: Sequence[str],
        width: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self._graph = graph
        self.encoder = encoder
        self.body = GcnBody(graph, width, generator)
        self.last = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU())
        draw_weights(self.last[1], generator)
        self.heads = NamedRows(graph.heads, width, generator, gain=0.1)
        self.levels = NamedRows(graph.heads, 1, generator, gain=0.0)
        self._nodes = [use.node for use in graph.uses]
        self._names = [use.head for use in graph.uses]
        gather = torch.zeros(len(graph.uses), len(graph.entries))
        gather[range(len(graph.uses)), [use.column for use in graph.uses]] = 1.0
        self.register_buffer("gather", gather / gather.sum(0), persistent=False)

    gather: Tensor

    def forward(
        self,
        state: State,
        *,
        ask: Ask | None = None,
        deviation: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Designs for situations; arguments and shape as those of the sequential policy."""
        tokens = self.last(self.body(self.encoder(state)))[:, self._nodes]
        said = (tokens * self.heads(self._names)).sum(-1) + self.levels(self._names)[:, 0]
        wanted = coordinates(said @ self.gather, state.current, state.present, self._graph.entries)
        if deviation > 0 and generator is not None:
            wanted = explored(wanted, deviation, self._graph.entries, generator)
        return Decision(self._graph, ask, len(state)).clip(wanted)
