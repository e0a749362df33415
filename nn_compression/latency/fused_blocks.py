"""The operations of a network in the blocks that ONNX Runtime computes at one go: a convolution and what follows it.

A block is an operation and the elementwise ones, norms and pools that only its result goes through: ONNX Runtime folds
most of them into the kernel, and keeps the rest in the convolution's own memory layout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nn_compression.latency.onnx_operators import FREE
from nn_compression.latency.operations import Argument, Operation, Shaped

__all__ = ["Block", "blocks_of", "origins", "wired"]

_FOLLOWERS = frozenset(
    (
        *("batch_norm", "relu", "relu_", "relu6", "relu6_", "hardtanh", "hardtanh_", "clamp", "clamp_", "clip"),
        *("sigmoid", "sigmoid_", "tanh", "tanh_", "silu", "silu_", "gelu", "leaky_relu", "leaky_relu_"),
        *("hardswish", "hardswish_", "hardsigmoid", "hardsigmoid_", "elu", "elu_", "mish", "softplus"),
        *("add", "add_", "__add__", "__radd__", "__iadd__", "mul", "mul_", "__mul__", "__rmul__", "__imul__"),
        *("sub", "sub_", "__sub__", "div", "div_", "__truediv__"),
        *("max_pool2d", "_max_pool2d", "avg_pool2d", "cat", "concat"),
    )
)


@dataclass(frozen=True)
class Block:
    """A block with its shapes. Tensors from outside have sources below zero: -1 - k is input k.

    Args:
        operations: in order.
        inputs: the tensors from outside; their source is the operation of the network that computed them, -1 for its
            input.
    """

    operations: tuple[Operation, ...]
    inputs: tuple[Shaped, ...]

    @property
    def output(self) -> Shaped:
        """What the block gives."""
        return self.operations[-1].outputs[0]

    @property
    def text(self) -> str:
        """The block with its shapes: equal texts take equal time."""
        text = " > ".join(operation.wired_text for operation in self.operations)
        return f"{text} of the input" if any(given.source == -1 for given in self.inputs) else text


def blocks_of(operations: Sequence[Operation]) -> tuple[tuple[int, ...], ...]:
    """The positions of the operations of each block, in the order of the blocks' ends; free operations are in none."""
    origin = origins(operations)
    readers = Counter(
        origin[source]
        for position, operation in enumerate(operations)
        if not _transparent(operations, position)
        for source in {shaped.source for shaped in operation.tensors() if shaped.source is not None}
    )
    members: dict[int, list[int]] = {}  # by the position of the last operation
    for position, operation in enumerate(operations):
        if operation.name in FREE:
            continue
        earlier = _joined(operation, origin, members, readers)
        members[position] = [*members.pop(earlier), position] if earlier is not None else [position]
    return tuple(tuple(positions) for _, positions in sorted(members.items()))


def _joined(
    operation: Operation, origin: Sequence[int], members: dict[int, list[int]], readers: Counter[int]
) -> int | None:
    """The last operation of the block that an operation goes on with, if any."""
    if operation.name not in _FOLLOWERS:
        return None
    sources = {origin[shaped.source] for shaped in operation.tensors() if shaped.source is not None}
    ends = [source for source in sources if source in members and readers[source] == 1]
    return max(ends, default=None)


def _transparent(operations: Sequence[Operation], position: int) -> bool:
    """Whether an operation hands its only tensor on, as it is (dropout in evaluation mode)."""
    operation = operations[position]
    given = operation.tensors()
    return (
        operation.name in FREE
        and len(given) == 1
        and given[0].source is not None
        and [given[0].shape] == [made.shape for made in operation.outputs]
    )


def origins(operations: Sequence[Operation]) -> list[int]:
    """For every operation the one that computed what it gives: another one where it only hands a tensor on.

    One entry more, the last, is that of source -1, the network's input.
    """
    origin: list[int] = []
    for position, operation in enumerate(operations):
        source = operation.tensors()[0].source if _transparent(operations, position) else None
        origin.append(position if source is None else source if source < 0 else origin[source])
    return [*origin, -1]


def wired(operations: Mapping[int, Operation], positions: Sequence[int], origin: Sequence[int]) -> Block:
    """A block with its shapes, and its tensors numbered within it.

    Args:
        operations: those of the block, by position, with the shapes of one design.
        positions: of the block's.
        origin: of the network's operations, from ``origins``.
    """
    inner = {position: place for place, position in enumerate(positions)}
    inputs: dict[tuple[int, tuple[int, ...]], Shaped] = {}

    def renumbered(argument: Argument) -> Argument:
        if isinstance(argument, tuple):
            return tuple(map(renumbered, argument))
        if not isinstance(argument, Shaped) or argument.source is None:
            return argument
        source = origin[argument.source]
        if source in inner:
            return replace(argument, source=inner[source])
        key = (source, argument.shape)
        inputs.setdefault(key, replace(argument, source=source))
        return replace(argument, source=-1 - list(inputs).index(key))

    made = tuple(
        replace(
            operations[position],
            arguments=renumbered(operations[position].arguments),
            named=tuple((name, renumbered(value)) for name, value in operations[position].named),
        )
        for position in positions
    )
    return Block(made, tuple(inputs.values()))
