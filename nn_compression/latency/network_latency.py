"""The latency of a network for any number of channels, without building it: a sum of times measured on this machine.

``seconds = scale * (fixed + the terms' raw seconds)``; each term depends on few groups of channels, so that the least
latency of what is not decided yet can be found from the terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor, nn

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from nn_compression.channels import ChannelGroup
from nn_compression.latency.design_shapes import Counts, DesignShapes
from nn_compression.latency.eager import EagerParts
from nn_compression.latency.onnx_blocks import OnnxParts
from nn_compression.latency.table import Engine, LatencyTable

__all__ = ["MOST_COUNTS", "NetworkLatency", "Term"]

MOST_COUNTS = 8
"""Counts of a group whose latencies are measured, each with each of its neighbours'; and that of all its channels."""


class Part(Protocol):
    """What a network's latency is a sum of."""

    @property
    def name(self) -> str:
        """Of the operator or the block's first one, with its place among the operations."""

    @property
    def positions(self) -> Sequence[int]:
        """The operations whose sizes decide its time."""

    def seconds(self, counts: Counts) -> float:
        """Seconds of one thread, with these channels kept; measured where the table lacks them."""


class Term:
    """A part of a network's latency, and the few groups of channels that it depends on.

    Args:
        name: of the operator or block.
        groups: names of the channel groups that decide its sizes.
        part: what is measured.
        network: whose scale the table's times are multiplied by.
    """

    def __init__(
        self, name: str, groups: tuple[str, ...], part: Callable[[Counts], float], network: NetworkLatency
    ) -> None:
        self.name, self.groups = name, groups
        self._part, self._network = part, network
        self._known: dict[tuple[int | None, ...], float] = {}

    def raw_seconds(self, counts: Counts) -> float:
        """Seconds by the table, not scaled."""
        key = tuple(counts.get(group) for group in self.groups)
        if key not in self._known:
            self._known[key] = self._part({group: counts[group] for group in self.groups if group in counts})
        return self._known[key]

    def seconds(self, counts: Counts) -> float:
        """Seconds with these channels kept; a group that is not named keeps all. Measured where they are not known."""
        return self.raw_seconds(counts) * self._network.scale


class NetworkLatency:
    """The latency of a network for any numbers of channels, as a sum of measured terms.

    Args:
        model: unchanged.
        example_input: what its forward takes, with a batch axis: the latency is that of this batch.
        groups: of its channels.
        table: where times are kept; what it lacks is measured when first asked for.
        engine: "onnxruntime", by fused blocks, or "eager", by operators.

    Raises:
        InputError: the model cannot be run, or its sizes do not grow evenly with its channels.
    """

    def __init__(
        self,
        model: nn.Module,
        example_input: Tensor | Sequence[Tensor],
        groups: Sequence[ChannelGroup],
        table: LatencyTable,
        engine: Engine = "onnxruntime",
    ) -> None:
        self.engine, self._table = engine, table
        shapes = DesignShapes(model, example_input, groups)
        kind = OnnxParts if engine == "onnxruntime" else EagerParts
        made = kind(shapes, table)
        self._names = tuple(shapes.groups)
        self.fixed = made.fixed(model, example_input)
        self.scale = table.scales.get(engine, 1.0)
        self.terms = tuple(Term(part.name, shapes.groups_of(part.positions), part.seconds, self) for part in made.parts)

    def seconds(self, counts: Counts | None = None) -> float:
        """The latency of a design, in seconds of one thread.

        Args:
            counts: channels kept by group; a group that is not named keeps all.

        Raises:
            InputError: there is no such group.
        """
        return self.raw_seconds(counts) * self.scale

    def raw_seconds(self, counts: Counts | None = None) -> float:
        """The same by the table alone, not scaled."""
        design = counts or {}
        for name in design:
            if name not in self._names:
                remedy = did_you_mean(name, self._names, "the groups")
                raise InputError(f"there is no channel group {name!r}", remedy=remedy)
        return self.fixed + sum(term.raw_seconds(design) for term in self.terms)

    def set_scale(self, scale: float) -> None:
        """Multiply the table's times by this from now on; kept in the table."""
        self.scale = scale
        self._table.scales[self.engine] = scale
