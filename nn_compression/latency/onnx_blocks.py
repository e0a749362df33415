"""A network in ONNX Runtime as a sum of its fused blocks, and of the reordering where two of them differ in layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from nn_compression.latency.block_graphs import BlockGraph, block_graph, empty_graph, reordering_graph
from nn_compression.latency.design_shapes import Counts, DesignShapes
from nn_compression.latency.fused_blocks import Block, blocks_of, origins, wired
from nn_compression.latency.onnx_operators import FREE
from nn_compression.latency.onnx_session import session_of
from nn_compression.latency.table import LatencyTable, Time
from nn_compression.latency.timing import least_seconds

__all__ = ["OnnxParts"]

_CALL = "InferenceSession.run"
_ALIGNED = 4
"""Channels that can be brought into the blocked layout are a multiple of this."""
_LEAST = 1e-7
"""Seconds: a block takes some time, even if it is lost in that of the call."""


class OnnxParts:
    """The blocks of a network.

    Args:
        shapes: of its operations.
        table: where times are kept.
    """

    def __init__(self, shapes: DesignShapes, table: LatencyTable) -> None:
        self.shapes, self.table = shapes, table
        self._origin = origins(shapes.operations)
        wiring = blocks_of(shapes.operations)
        self.parts = tuple(_FusedBlock(self, positions) for positions in wiring)
        self._by_end = {part.positions[-1]: part for part in self.parts}
        self.readers = self._readers()

    def fixed(self, model: nn.Module, example_input: Tensor | Sequence[Tensor]) -> float:
        """Seconds that do not depend on the channels: calling the session."""
        del model, example_input
        return self.call

    @property
    def call(self) -> float:
        """Seconds of a call of a session, its graph apart."""
        return self.table.time("onnxruntime", _CALL, _session_call).seconds

    def block(self, counts: Counts, positions: Sequence[int]) -> Block:
        """A block with the shapes of a design."""
        return wired(self.shapes.at(counts, positions), positions, self._origin)

    def time(self, block: Block) -> Time:
        """The time of a block, the call apart."""
        return self.table.time("onnxruntime", block.text, lambda: self._measured(block_graph(block)))

    def reordering(self, shape: tuple[int, ...], *, into: bool) -> float:
        """Seconds of reordering an image, the call apart."""
        text = f"{'into' if into else 'out of'} the blocked layout [{'x'.join(map(str, shape))}]"
        return self.table.time("onnxruntime", text, lambda: self._measured(reordering_graph(shape, into=into))).seconds

    def _measured(self, graph: BlockGraph) -> Time:
        return Time(max(_seconds(graph) - self.call, _LEAST), graph.takes, graph.gives)

    def _readers(self) -> dict[int, list[tuple[_FusedBlock, int] | None]]:
        """Who reads the output of each block, by its last operation: a block and its input's place, or something else.

        None stands for a reader in the plain layout: an operation that only changes the shape, or the network's caller.
        """
        found: dict[int, list[tuple[_FusedBlock, int] | None]] = {end: [] for end in self._by_end}
        for part in self.parts:
            for place, given in enumerate(self.block({}, part.positions).inputs):
                if given.source in found:
                    found[given.source].append((part, place))
        for position, operation in enumerate(self.shapes.operations):
            if operation.name in FREE and self._origin[position] == position:
                sources = [self._origin[shaped.source] for shaped in operation.tensors() if shaped.source is not None]
                for source in sources:
                    if source in found:
                        found[source].append(None)
        return found


@dataclass(frozen=True)
class _FusedBlock:
    """A block, and the reordering of its output for those who read it."""

    network: OnnxParts
    positions: tuple[int, ...]

    @property
    def name(self) -> str:
        first = self.network.shapes.operations[self.positions[0]]
        return f"{first.name} {self.positions[0]}"

    def seconds(self, counts: Counts) -> float:
        block = self.network.block(counts, self.positions)
        time = self.network.time(block)
        return time.seconds + self._reordering(block, time.gives, counts)

    def _reordering(self, block: Block, gives: bool, counts: Counts) -> float:
        """What it takes until all readers have the output in their layout: each way at most once."""
        if len(block.output.shape) != 4:
            return 0.0
        wanted = {reader is not None and self._takes(reader, counts) for reader in self._readers()}
        if wanted == {gives}:
            return 0.0
        # What cannot be brought into the blocked layout makes its reader bring its other operand out of it.
        into = not gives and block.output.shape[1] % _ALIGNED == 0
        return self.network.reordering(block.output.shape, into=into)

    def _readers(self) -> list[tuple[_FusedBlock, int] | None]:
        return self.network.readers[self.positions[-1]] or [None]

    def _takes(self, reader: tuple[_FusedBlock, int], counts: Counts) -> bool:
        """The layout in which a reader takes the output, with all other channels kept."""
        part, place = reader
        takes = self.network.time(self.network.block(counts, part.positions)).takes
        return place < len(takes) and takes[place]


def _session_call() -> Time:
    """The time of a call, from graphs of one node and of eleven."""
    one, eleven = _seconds(empty_graph(1)), _seconds(empty_graph(11))
    return Time(max(one - (eleven - one) / 10, 0.0))


def _seconds(graph: BlockGraph) -> float:
    session = session_of(graph.model, optimized=False)
    return least_seconds(lambda: session.run(None, graph.feeds))[0]
