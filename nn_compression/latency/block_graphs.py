"""A block as a small graph of ONNX Runtime's own nodes, in the memory layout that it has within a network.

ONNX Runtime computes convolutions in a blocked layout (NCHWc) where the channels allow, and reorders tensors where a
layout ends. A block alone would be charged for reordering at both its ends, and its second operand would be in the
wrong layout. So a block is optimized behind a convolution on each of its inputs, as it stands in a network; these, and
the reordering at its end, are then cut off. What layouts it takes and gives is kept, so that reordering is added where
two blocks do not agree.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper
from torch import Tensor, nn

from nn_compression.export import onnx_program
from nn_compression.latency.fused_blocks import Block
from nn_compression.latency.onnx_operators import IR_VERSION, OPSET, GraphBuilder, known, write
from nn_compression.latency.onnx_session import session_of
from nn_compression.latency.operations import Shaped
from nn_compression.latency.replay import example_tensor, replayed

__all__ = ["BlockGraph", "block_graph", "empty_graph", "reordering_graph"]

_NCHWC = "com.microsoft.nchwc"
_REORDER_IN, _REORDER_OUT = "ReorderInput", "ReorderOutput"


@dataclass(frozen=True)
class BlockGraph:
    """A graph to be timed.

    Args:
        model: its content; to be run as it is, without optimization.
        feeds: values for its inputs.
        takes: for each input, whether it is in the blocked layout.
        gives: whether the output is.
    """

    model: bytes
    feeds: dict[str, NDArray[Any]]
    takes: tuple[bool, ...]
    gives: bool


def block_graph(block: Block) -> BlockGraph:
    """The graph of a block."""
    if not all(known(operation) for operation in block.operations):
        return _exported(block)
    builder = GraphBuilder()
    names = {}
    for place, given in enumerate(block.inputs):
        names[-1 - place, given.shape] = _behind_a_convolution(builder, f"in{place}", given)
    last = ""
    for position, operation in enumerate(block.operations):
        last = write(builder, operation, names)[0]
        names[position, operation.outputs[0].shape] = last
    inputs = [(f"in{place}", given) for place, given in enumerate(block.inputs)]
    return _cut(_optimized(builder.model(inputs, [last])), block)


def _behind_a_convolution(builder: GraphBuilder, name: str, given: Shaped) -> str:
    """The input after a convolution that gives it the layout it has in a network; itself where it is no image."""
    if not _is_image(given):
        return name
    channels = given.shape[1]
    made = builder.add("Conv", [name, builder.weight([channels, channels, 1, 1])], kernel_shape=[1, 1])
    return str(builder.add("Relu", [made]))  # with an activation of its own, no addition is folded into it


def _is_image(given: Shaped) -> bool:
    return given.source != -1 and len(given.shape) == 4 and given.dtype == "float32"


def _optimized(model: ModelProto) -> ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        session_of(model.SerializeToString(), save=path)
        return onnx.load(path)


def _cut(model: ModelProto, block: Block) -> BlockGraph:
    graph = model.graph
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    feeds: dict[str, NDArray[Any]] = {}
    takes = []
    starts: list[onnx.ValueInfoProto] = []
    dropped: list[NodeProto] = []
    for place, given in enumerate(block.inputs):
        name, shape, blocked = f"in{place}", given.shape, False
        if _is_image(given):
            name, shape, blocked = _after_convolution(model, name, given, readers, dropped)
        starts.append(helper.make_tensor_value_info(name, _element_type(given), shape))
        feeds[name] = _values(given, shape)
        takes.append(blocked)
    end, gives = _before_reordering(model, dropped)
    kept = [node for node in graph.node if not any(node is other for other in dropped)]
    weights = {name for node in kept for name in node.input}
    cut = helper.make_graph(
        kept,
        "block",
        [start for start in starts if start.name in weights],
        [end],
        [weight for weight in graph.initializer if weight.name in weights],
    )
    trimmed = helper.make_model(cut, opset_imports=model.opset_import, ir_version=model.ir_version)
    used = {name: value for name, value in feeds.items() if name in weights}
    return BlockGraph(trimmed.SerializeToString(), used, tuple(takes), gives)


def _after_convolution(
    model: ModelProto,
    name: str,
    given: Shaped,
    readers: dict[str, list[NodeProto]],
    dropped: list[NodeProto],
) -> tuple[str, tuple[int, ...], bool]:
    """Where the block begins behind the convolution on one of its inputs: name, shape and whether it is blocked."""
    node = readers[name][0]
    if node.op_type == _REORDER_IN:
        dropped.append(node)
        node = readers[node.output[0]][0]
    dropped.append(node)
    blocked, value = node.domain == _NCHWC, node.output[0]
    channels = given.shape[1]
    if blocked:
        channels = next(weight.dims[0] for weight in model.graph.initializer if weight.name == node.input[1])
    elif readers[value][0].op_type in ("Relu", "Clip"):  # a plain convolution that its activation was not folded into
        dropped.append(readers[value][0])
        value = readers[value][0].output[0]
    after = readers.get(value, [])
    if blocked and len(after) == 1 and after[0].op_type == _REORDER_OUT:
        dropped.append(after[0])
        return after[0].output[0], given.shape, False
    return value, (given.shape[0], channels, *given.shape[2:]), blocked


def _before_reordering(model: ModelProto, dropped: list[NodeProto]) -> tuple[onnx.ValueInfoProto, bool]:
    end = model.graph.output[0]
    last = next(node for node in model.graph.node if end.name in node.output)
    if last.op_type != _REORDER_OUT:
        return helper.make_empty_tensor_value_info(end.name), False
    dropped.append(last)
    return helper.make_empty_tensor_value_info(last.input[0]), True


def _element_type(given: Shaped) -> int:
    return int(
        TensorProto.FLOAT if given.dtype == "float32" else helper.np_dtype_to_tensor_dtype(np.dtype(given.dtype))
    )


def _values(given: Shaped, shape: tuple[int, ...]) -> NDArray[Any]:
    """Any values: no time depends on them, if they are not denormal."""
    return np.ones(shape, given.dtype) if given.dtype == "float32" else np.zeros(shape, given.dtype)


def reordering_graph(shape: tuple[int, ...], *, into: bool) -> BlockGraph:
    """The reordering of an image alone: into the blocked layout, or out of it.

    Args:
        shape: of the plain image, shape (examples, channels, height, width).
        into: the direction.
    """
    padded = -(-shape[1] // _block_size()) * _block_size()
    given = shape if into else (shape[0], padded, *shape[2:])
    node = helper.make_node(_REORDER_IN if into else _REORDER_OUT, ["in0"], ["out"], domain=_NCHWC)
    if not into:
        node.attribute.append(helper.make_attribute("channels", shape[1]))
    return _graph_of([node], given)


def empty_graph(nodes: int) -> BlockGraph:
    """A graph that computes next to nothing: what calling a session costs.

    Args:
        nodes: how many, one after another.
    """
    names = ["in0", *(f"v{number}" for number in range(nodes))]
    chain = [helper.make_node("Relu", [before], [after]) for before, after in pairwise(names)]
    return _graph_of(chain, (1,))


def _graph_of(nodes: list[NodeProto], shape: tuple[int, ...]) -> BlockGraph:
    given = helper.make_tensor_value_info("in0", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "block", [given], [helper.make_empty_tensor_value_info(nodes[-1].output[0])])
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(_NCHWC, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    return BlockGraph(model.SerializeToString(), {"in0": np.ones(shape, np.float32)}, (False,), False)


@lru_cache(maxsize=1)
def _block_size() -> int:
    """Channels of one block in the blocked layout of this machine: 16 with AVX-512, 8 with AVX2."""
    builder = GraphBuilder()
    value = builder.add("Conv", ["in0", builder.weight([1, 64, 1, 1])], kernel_shape=[1, 1])
    model = _optimized(builder.model([("in0", Shaped((1, 64, 4, 4), "float32", 0))], [value]))
    blocked = next(node for node in model.graph.node if node.domain == _NCHWC and node.op_type == "Conv")
    return int(next(weight.dims[0] for weight in model.graph.initializer if weight.name == blocked.input[1]))


class _Replay(nn.Module):
    """The operations of a block, as a module that torch can export."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self._block = block

    def forward(self, *inputs: Tensor) -> Any:
        values: dict[int, Any] = {-1 - place: value for place, value in enumerate(inputs)}
        result: Any = None
        for position, operation in enumerate(self._block.operations):
            result = replayed(operation, values)
            values[position] = result[0] if isinstance(result, tuple) else result
        return values[len(self._block.operations) - 1]


def _exported(block: Block) -> BlockGraph:
    """A block with an operation that is not written here, as torch exports it; slow, and in the plain layout."""
    inputs = tuple(example_tensor(given) for given in block.inputs)
    model = onnx_program(_Replay(block), inputs)
    names = [given.name for given in model.graph.input]
    feeds = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    return BlockGraph(_optimized(model).SerializeToString(), feeds, (False,) * len(inputs), False)
