"""Recorded torch operations as ONNX nodes, with weights of their shapes: graphs to be timed, not to be believed.

What torch's exporter makes of an operation is made here too, without its seconds a graph: a search over channels needs
thousands of shapes. An operation that is not here is exported by torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from nn_compression.latency.operations import Argument, Operation, Shaped

__all__ = ["FREE", "IR_VERSION", "OPSET", "GraphBuilder", "Names", "known", "write"]

OPSET = 20
IR_VERSION = 10
_TYPES = {
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "bool": TensorProto.BOOL,
}

FREE = frozenset(
    (
        *("dropout", "dropout1d", "dropout2d", "alpha_dropout", "feature_dropout", "identity", "contiguous", "detach"),
        *(
            "view",
            "reshape",
            "flatten",
            "unflatten",
            "squeeze",
            "unsqueeze",
            "expand",
            "view_as",
            "to",
            "float",
            "clone",
        ),
        *("transpose", "permute", "swapaxes", "t", "chunk", "split", "__getitem__", "select", "narrow", "unbind"),
        *("zeros", "ones", "arange", "full", "zeros_like", "ones_like", "empty", "tensor"),
    )
)
"""Operations that move no data to speak of, or that a runtime folds away: they take no time in a table."""


class GraphBuilder:
    """A small ONNX graph in the making. Weights are small random numbers: no time depends on them."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._generator = np.random.default_rng(0)

    def add(self, operator: str, inputs: Sequence[str], *, count: int = 1, domain: str = "", **attributes: Any) -> Any:
        """Add a node; the name of its output, or a list of them where there are several."""
        outputs = [f"v{len(self.nodes)}_{position}" for position in range(count)]
        self.nodes.append(helper.make_node(operator, list(inputs), outputs, domain=domain, **attributes))
        return outputs if count > 1 else outputs[0]

    def weight(self, shape: Sequence[int]) -> str:
        """Add a weight."""
        return self.constant(self._generator.uniform(0.01, 0.02, shape).astype(np.float32))

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant."""
        name = f"w{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def model(self, inputs: Sequence[tuple[str, Shaped]], outputs: Sequence[str]) -> ModelProto:
        """The graph as a model."""
        graph = helper.make_graph(
            self.nodes,
            "block",
            [helper.make_tensor_value_info(name, _TYPES[shaped.dtype], shaped.shape) for name, shaped in inputs],
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            self.initializers,
        )
        for output in graph.output:
            output.type.tensor_type.elem_type = TensorProto.FLOAT
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


Names: TypeAlias = Mapping[tuple[int, tuple[int, ...]], str]
"""Values that were computed, by the position of the operation that made them, and their shape."""

Handler: TypeAlias = Callable[["Call"], Any]


class Call:
    """An operation to be written, and the names of the values that it reads."""

    def __init__(self, builder: GraphBuilder, operation: Operation, names: Names) -> None:
        self.builder, self.operation = builder, operation
        self._named = dict(operation.named)
        self._names = names

    def argument(self, position: int, name: str, default: Argument = None) -> Argument:
        """An argument, wherever it was given."""
        if position < len(self.operation.arguments):
            return self.operation.arguments[position]
        return self._named.get(name, default)

    def value(self, argument: Shaped) -> str:
        """The name of a tensor: one that was computed, or a new weight."""
        if argument.source is None:
            return self.builder.weight(argument.shape)
        return self._names[argument.source, argument.shape]

    def value_or_constant(self, argument: Argument) -> str:
        """The name of a tensor, or of a number made one."""
        if isinstance(argument, Shaped):
            return self.value(argument)
        return self.builder.constant(np.array(argument, np.float32))

    def first(self) -> str:
        """The name of the first tensor."""
        return self.value(self.operation.tensors()[0])


def known(operation: Operation) -> bool:
    """Whether an operation is written here."""
    handler = _HANDLERS.get(operation.name)
    return handler is not None and operation.outputs[0].dtype == "float32"


def write(builder: GraphBuilder, operation: Operation, names: Names) -> list[str]:
    """Write a known operation.

    Args:
        builder: the graph.
        operation: the operation.
        names: of the tensors among its arguments that were computed.

    Returns:
        The names of its outputs; what a layer also returns and nobody reads may be left out.
    """
    written = _HANDLERS[operation.name](Call(builder, operation, names))
    return written if isinstance(written, list) else [written]


def _pair(value: Any, count: int) -> list[int]:
    return (
        [int(value)] * count
        if isinstance(value, int)
        else [int(part) for part in value] * (1 if len(value) == count else count)
    )


def _conv(call: Call) -> str:
    data, weight, bias = call.argument(0, "input"), call.argument(1, "weight"), call.argument(2, "bias")
    axes = len(weight.shape) - 2
    padding = call.argument(4, "padding", 0)
    attributes: dict[str, Any] = {"auto_pad": "SAME_UPPER"} if padding == "same" else {}
    if not isinstance(padding, str):
        attributes["pads"] = _pair(padding, axes) * 2
    inputs = [call.value(data), call.value(weight), *([call.value(bias)] if isinstance(bias, Shaped) else [])]
    return str(
        call.builder.add(
            "Conv",
            inputs,
            kernel_shape=list(weight.shape[2:]),
            strides=_pair(call.argument(3, "stride", 1), axes),
            dilations=_pair(call.argument(5, "dilation", 1), axes),
            group=int(call.argument(6, "groups", 1)),
            **attributes,
        )
    )


def _linear(call: Call) -> str:
    data, weight, bias = call.argument(0, "input"), call.argument(1, "weight"), call.argument(2, "bias")
    if len(data.shape) == 2:
        inputs = [call.value(data), call.value(weight), *([call.value(bias)] if isinstance(bias, Shaped) else [])]
        return str(call.builder.add("Gemm", inputs, transB=1))
    product = call.builder.add("MatMul", [call.value(data), call.builder.weight(weight.shape[::-1])])
    return str(call.builder.add("Add", [product, call.value(bias)])) if isinstance(bias, Shaped) else str(product)


def _batch_norm(call: Call) -> str:
    data = call.argument(0, "input")
    channels = [data.shape[1]]
    weights = [call.builder.weight(channels) for _ in range(4)]
    return str(call.builder.add("BatchNormalization", [call.value(data), *weights], epsilon=1e-5))


def _layer_norm(call: Call) -> str:
    data, shape = call.argument(0, "input"), call.argument(1, "normalized_shape")
    weights = [call.builder.weight(shape), call.builder.weight(shape)]
    return str(call.builder.add("LayerNormalization", [call.value(data), *weights], axis=-len(shape), epsilon=1e-5))


def _elementwise(operator: str, **attributes: Any) -> Handler:
    return lambda call: call.builder.add(operator, [call.first()], **attributes)


def _clip(low: float | None = None, high: float | None = None) -> Handler:
    def write_clip(call: Call) -> str:
        least = low if low is not None else call.argument(1, "min_val", call.argument(1, "min"))
        most = high if high is not None else call.argument(2, "max_val", call.argument(2, "max"))
        ends = [call.builder.constant(np.array(end, np.float32)) if end is not None else "" for end in (least, most)]
        return str(call.builder.add("Clip", [call.first(), *ends]))

    return write_clip


def _gated(operator: str) -> Handler:
    def write_gated(call: Call) -> str:
        data = call.first()
        return str(call.builder.add("Mul", [data, call.builder.add(operator, [data])]))

    return write_gated


def _binary(operator: str) -> Handler:
    def write_binary(call: Call) -> str:
        sides = [call.argument(0, "input"), call.argument(1, "other")]
        return str(call.builder.add(operator, [call.value_or_constant(side) for side in sides]))

    return write_binary


def _pool(operator: str) -> Handler:
    def write_pool(call: Call) -> str:
        data, kernel = call.argument(0, "input"), call.argument(1, "kernel_size")
        axes = len(data.shape) - 2
        stride = call.argument(2, "stride", None)
        return str(
            call.builder.add(
                operator,
                [call.value(data)],
                kernel_shape=_pair(kernel, axes),
                strides=_pair(kernel if stride in (None, ()) else stride, axes),
                pads=_pair(call.argument(3, "padding", 0), axes) * 2,
            )
        )

    return write_pool


def _adaptive_average(call: Call) -> str:
    data, size = call.argument(0, "input"), call.argument(1, "output_size")
    axes = len(data.shape) - 2
    if set(_pair(size, axes)) == {1}:
        return _mean_over(call, list(range(-axes, 0)), keep=True)
    steps = [length // wanted for length, wanted in zip(data.shape[2:], _pair(size, axes), strict=True)]
    return str(call.builder.add("AveragePool", [call.value(data)], kernel_shape=steps, strides=steps))


def _mean(call: Call) -> str:
    data, axes = call.argument(0, "input"), call.argument(1, "dim")
    wanted = list(range(len(data.shape))) if axes is None else [axes] if isinstance(axes, int) else list(axes)
    return _mean_over(call, wanted, keep=bool(call.argument(2, "keepdim", False)))


def _mean_over(call: Call, axes: list[int], *, keep: bool) -> str:
    named = [call.first(), call.builder.constant(np.array(axes, np.int64))]
    return str(call.builder.add("ReduceMean", named, keepdims=int(keep)))


def _cat(call: Call) -> str:
    parts, axis = call.argument(0, "tensors"), call.argument(1, "dim", 0)
    return str(call.builder.add("Concat", [call.value(part) for part in parts], axis=int(axis)))


def _matmul(call: Call) -> str:
    return str(
        call.builder.add("MatMul", [call.value(call.argument(0, "input")), call.value(call.argument(1, "other"))])
    )


def _softmax(call: Call) -> str:
    return str(call.builder.add("Softmax", [call.first()], axis=int(call.argument(1, "dim", -1) or -1)))


def _attention(call: Call) -> str:
    """As torch exports it: query and key scaled before their product."""
    query, key, value = (call.argument(place, name) for place, name in enumerate(("query", "key", "value")))
    mask, causal = call.argument(3, "attn_mask"), bool(call.argument(5, "is_causal", False))
    add, scale = call.builder.add, call.builder.constant(np.array(0.5, np.float32))
    turned = add(
        "Transpose", [call.value(key)], perm=[*range(len(key.shape) - 2), len(key.shape) - 1, len(key.shape) - 2]
    )
    product = add("MatMul", [add("Mul", [call.value(query), scale]), add("Mul", [turned, scale])])
    if isinstance(mask, Shaped) or causal:
        product = add("Add", [product, call.builder.weight([query.shape[-2], key.shape[-2]])])
    return str(add("MatMul", [add("Softmax", [product], axis=-1), call.value(value)]))


def _embedding(call: Call) -> str:
    indices, weight = call.argument(0, "input"), call.argument(1, "weight")
    return str(call.builder.add("Gather", [call.builder.weight(weight.shape), call.value(indices)]))


def _recurrent(operator: str, gates: int) -> Handler:
    def write_recurrent(call: Call) -> Any:
        data, weights = call.argument(0, "input"), call.argument(2, "params")
        has_bias, layers = bool(call.argument(3, "has_biases")), int(call.argument(4, "num_layers"))
        directions, first = 2 if call.argument(7, "bidirectional") else 1, bool(call.argument(8, "batch_first"))
        units = weights[1].shape[1]
        states = 2 if operator == "LSTM" else 1
        direction = "bidirectional" if directions == 2 else "forward"
        reset: dict[str, Any] = {"linear_before_reset": 1} if operator == "GRU" else {}
        value = call.value(data)
        value = call.builder.add("Transpose", [value], perm=[1, 0, 2]) if first else value
        for layer in range(layers):
            inputs = weights[layer * directions * (4 if has_bias else 2)].shape[1]
            named = [
                call.builder.weight([directions, gates * units, inputs]),
                call.builder.weight([directions, gates * units, units]),
                call.builder.weight([directions, 2 * gates * units]),
            ]
            state = [call.builder.weight([directions, data.shape[0 if first else 1], units]) for _ in range(states)]
            value, *_ = call.builder.add(
                operator,
                [value, *named, "", *state],
                count=1 + states,
                hidden_size=units,
                direction=direction,
                **reset,
            )
            value = call.builder.add("Transpose", [value], perm=[0, 2, 1, 3])
            shape = call.builder.constant(np.array([0, 0, -1], np.int64))
            value = call.builder.add("Reshape", [value, shape])
        return [call.builder.add("Transpose", [value], perm=[1, 0, 2])] if first else [value]

    return write_recurrent


_HANDLERS: Mapping[str, Handler] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    "linear": _linear,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    **dict.fromkeys(("relu", "relu_"), _elementwise("Relu")),
    **dict.fromkeys(("sigmoid", "sigmoid_"), _elementwise("Sigmoid")),
    **dict.fromkeys(("tanh", "tanh_"), _elementwise("Tanh")),
    **dict.fromkeys(("hardsigmoid", "hardsigmoid_"), _elementwise("HardSigmoid", alpha=1 / 6)),
    **dict.fromkeys(("hardswish", "hardswish_"), _elementwise("HardSwish")),
    "gelu": _elementwise("Gelu"),
    **dict.fromkeys(("leaky_relu", "leaky_relu_"), _elementwise("LeakyRelu")),
    **dict.fromkeys(("silu", "silu_"), _gated("Sigmoid")),
    **dict.fromkeys(("hardtanh", "hardtanh_", "clamp", "clamp_", "clip"), _clip()),
    **dict.fromkeys(("relu6", "relu6_"), _clip(0.0, 6.0)),
    **dict.fromkeys(("add", "add_", "__add__", "__radd__", "__iadd__"), _binary("Add")),
    **dict.fromkeys(("mul", "mul_", "__mul__", "__rmul__", "__imul__"), _binary("Mul")),
    **dict.fromkeys(("sub", "sub_", "__sub__", "__isub__"), _binary("Sub")),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "_max_pool2d", "_max_pool1d"), _pool("MaxPool")),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), _pool("AveragePool")),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d"), _adaptive_average),
    "mean": _mean,
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
    **dict.fromkeys(("matmul", "bmm", "__matmul__"), _matmul),
    "softmax": _softmax,
    "scaled_dot_product_attention": _attention,
    "embedding": _embedding,
    "lstm": _recurrent("LSTM", 4),
    "gru": _recurrent("GRU", 3),
}
