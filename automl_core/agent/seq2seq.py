"""The sequence-to-sequence policy: an encoder over the nodes in order, a decoder that emits node by node.

Source: Wang et al., "Learning to Design Circuits" (arXiv 1812.02734), figure 1; attention as in Luong et al. (2015),
the dot product.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from automl_core.agent.actions import coordinates, explored
from automl_core.agent.graph import DesignGraph, Step
from automl_core.agent.legal import Ask, Decision, Told
from automl_core.agent.named import NamedRows
from automl_core.agent.state import State, StateEncoder, draw_weights

__all__ = ["Seq2SeqBody", "Seq2SeqPolicy"]


class Seq2SeqBody(nn.Module):
    """A gated recurrent network over the nodes, in order and in reverse.

    Args:
        width: of a token; even.
        generator: draws the weights.
    """

    def __init__(self, graph: DesignGraph, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.network = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)
        draw_weights(self.network, generator)

    def forward(self, tokens: Tensor) -> Tensor:
        """Shape (rows, nodes, width) to the same."""
        read: Tensor = self.network(tokens)[0]
        return tokens + read


class Seq2SeqPolicy(nn.Module):
    """Decides node by node, fed with what it decided last and what is still allowed.

    What it says of a node comes from the node's own token, from what it attends to and from its memory, added up: the
    bounds of the specs reach the heads without having to pass through a gate that saturates.

    Args:
        graph: of the problem.
        encoder: makes tokens.
        reported: names of what ``allowed`` reports along the sequence.
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
        self._reported = tuple(reported)
        self._names = tuple(
            entry.heads[0] for entry in graph.entries
        )  # in the order of the columns, hence of the steps
        self.encoder = encoder
        self.body = Seq2SeqBody(graph, width, generator)
        self.norm = nn.LayerNorm(width)
        self.previous = NamedRows(graph.heads, width, generator)
        self.reported = NamedRows(reported, width, generator)
        self.cell = nn.GRUCell(2 * width, width)
        self.query = nn.Linear(width, width)
        self.last = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU())
        for part in (self.cell, self.query, self.last[1]):
            draw_weights(part, generator)
        self.heads = NamedRows(graph.heads, width, generator, gain=0.1)
        self.levels = NamedRows(graph.heads, 1, generator, gain=0.0)

    def forward(
        self,
        state: State,
        *,
        ask: Ask | None = None,
        deviation: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Designs for situations.

        Args:
            state: the situations.
            ask: ``allowed`` of the problem, if it limits its designs.
            deviation: of the exploration, in units of the cube's edge.
            generator: draws the exploration.

        Returns:
            Shape (rows, coordinates), in [0, 1].
        """
        memory = self.norm(self.body(self.encoder(state)))
        hidden = memory.mean(1)
        fed = torch.zeros_like(hidden)
        decision = Decision(self._graph, ask, len(state))
        heads, levels = self.heads(self._names), self.levels(self._names)[:, 0]
        previous = self.previous(self._names)
        decided: list[Tensor] = []
        for step in self._graph.steps:
            told = decision.told()
            hidden = self.cell(torch.cat([memory[:, step.node], fed + self._said(told)], dim=1), hidden)
            out = self.last(hidden + self._attend(hidden, memory) + memory[:, step.node])
            columns = slice(step.entries[0].column, step.entries[-1].column + 1)
            raw = torch.addmm(levels[columns], out, heads[columns].T)
            wanted = coordinates(raw, state.current[:, columns], state.present, step.entries)
            if deviation > 0 and generator is not None:
                wanted = explored(wanted, deviation, step.entries, generator)
            values = _settled(wanted, step, decision, told)
            decided.append(values)
            fed = (2 * values - 1) @ previous[columns]
        return torch.cat(decided, dim=1)

    def _said(self, told: Told | None) -> Tensor:
        """What ``allowed`` reported, as an embedding."""
        if told is None or not self._reported:
            return torch.zeros(())
        said: Tensor = told.features(self._reported) @ self.reported(self._reported)
        return said

    def _attend(self, hidden: Tensor, memory: Tensor) -> Tensor:
        scores = torch.bmm(memory, self.query(hidden).unsqueeze(2)) / memory.shape[-1] ** 0.5
        return (torch.softmax(scores, dim=1) * memory).sum(1)


def _settled(wanted: Tensor, step: Step, decision: Decision, told: Told | None) -> Tensor:
    """The variables of one step, each moved onto what is allowed once those before it are fixed."""
    if told is None:
        return wanted
    parts = []
    for position, variable in enumerate(step.variables):
        columns = [column for column, entry in enumerate(step.entries) if entry.variable == variable]
        parts.append(decision.decide(variable, wanted[:, columns], told if position == 0 else decision.told()))
    return torch.cat(parts, dim=1)
