"""The layers that are known as such: their sizes, and their multiply-accumulates in closed form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_leaves

from nn_compression.channels.attention import heads_width
from nn_compression.channels.axes import depthwise
from nn_compression.channels.recurrent import RECURRENT, Recurrent, directions

__all__ = ["KnownLayer", "bare_shape", "known_layer"]


class KnownLayer(NamedTuple):
    """What is known of a layer before it runs.

    Args:
        kind, inputs, outputs, kernel, stride, groups, square: as in :class:`nn_compression.graph.layer.Layer`.
        macs: (inputs of a call by their names, its first output) -> multiply-accumulates.
        batch_axis: of its inputs and outputs that have ``rank`` axes; ``None``: not fixed.
        rank: axes of an input that has a batch axis.
    """

    kind: str
    inputs: int
    outputs: int
    macs: Callable[[Mapping[str, Any], Tensor], int]
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    groups: int = 1
    square: int = 0
    batch_axis: int | None = None
    rank: int = 0

    def bare_shape(self, tensor: Tensor) -> tuple[int, ...]:
        """The shape of an input or output without its batch axis."""
        if self.batch_axis is None:
            return bare_shape(tensor)
        axis = self.batch_axis
        batched = tensor.dim() == self.rank and tensor.shape[axis] == 1
        return tuple(tensor.shape[:axis] + tensor.shape[axis + 1 :]) if batched else tuple(tensor.shape)


_OWN = re.compile(
    r"(parametrizations\.)?((out_proj|in_proj|[qkv]_proj)[._])?(weight|bias)(_(ih|hh|hr|k|v)(_l\d+)?(_reverse)?)?"
    r"([._](orig|g|v|original\d*))?"
)
"""Names of the parameters that a torch layer has, also where another one is computed from them."""


def known_layer(module: nn.Module) -> KnownLayer | None:
    """A layer that is known; ``None`` for all other modules, and for one to which a user has added parameters."""
    if not all(_OWN.fullmatch(name) for name, _ in module.named_parameters()):
        return None
    for types, describe in _KINDS:
        if isinstance(module, types):
            return describe(module)
    return None


def bare_shape(tensor: Tensor) -> tuple[int, ...]:
    """A shape without its batch axis: the first axis of size 1 among the first two.

    Where a model folds frames or windows into the batch axis, that axis stays: its values are those of one example.
    """
    shape = tuple(tensor.shape)
    axis = next((axis for axis in range(min(2, len(shape) - 1)) if shape[axis] == 1), None)
    return shape if axis is None else shape[:axis] + shape[axis + 1 :]


def _first(inputs: Mapping[str, Any]) -> Any:
    """The first tensor or packed sequence that a call is given, whatever a user's class calls it."""
    return next(leaf for leaf in tree_leaves(list(inputs.values())) if isinstance(leaf, (Tensor, PackedSequence)))


def _convolution(conv: Any) -> KnownLayer:
    each = int(conv.weight.numel())
    turned = isinstance(conv, _ConvTransposeNd)

    def macs(inputs: Mapping[str, Any], output: Tensor) -> int:
        """Every weight meets every position: of the output, or of the input where the convolution is transposed."""
        positions = _first(inputs).numel() // conv.in_channels if turned else output.numel() // conv.out_channels
        return each * int(positions)

    kind = "depthwise" if depthwise(conv) else "grouped" if conv.groups > 1 else "conv"
    kernel, stride = tuple(conv.kernel_size), tuple(conv.stride)
    rank = len(kernel) + 2
    return KnownLayer(kind, conv.in_channels, conv.out_channels, macs, kernel, stride, conv.groups, 0, 0, rank)


def _linear(linear: Any) -> KnownLayer:
    features, outputs = int(linear.in_features), int(linear.out_features)
    return KnownLayer("linear", features, outputs, lambda _, output: output.numel() * features)


def _recurrent(module: Recurrent) -> KnownLayer:
    """Every weight is used once at each step: 4 h (x + h) MACs a step and layer of an LSTM, 3 h (x + h) of a GRU."""
    weights = sum(tensor.numel() for name, tensor in module.named_parameters() if name.startswith("weight"))
    first = directions(module) * _gates(module) * int(module.hidden_size) * int(module.input_size)

    def macs(inputs: Mapping[str, Any], _: Tensor) -> int:
        given = _first(inputs)
        steps = given.data.shape[0] if isinstance(given, PackedSequence) else given.numel() // int(module.input_size)
        return weights * int(steps)

    batch_axis = 0 if getattr(module, "batch_first", True) else 1
    return KnownLayer(
        _recurrent_kind(module),
        int(module.input_size),
        int(module.hidden_size),
        macs,
        square=weights - first,
        batch_axis=batch_axis,
        rank=3 if isinstance(module, nn.RNNBase) else 2,
    )


def _gates(module: Recurrent) -> int:
    return {"lstm": 4, "gru": 3}.get(_recurrent_kind(module), 1)


def _recurrent_kind(module: Recurrent) -> str:
    if isinstance(module, (nn.LSTM, nn.LSTMCell)):
        return "lstm"
    return "gru" if isinstance(module, (nn.GRU, nn.GRUCell)) else "rnn"


def _attention(attention: Any) -> KnownLayer:
    """Projections of queries, keys, values and outputs, and the two products of the attention itself."""
    width, inner = int(attention.embed_dim), heads_width(attention)
    added = int(attention.bias_k is not None) + int(attention.add_zero_attn)

    def macs(inputs: Mapping[str, Any], _: Tensor) -> int:
        query = inputs.get("query", _first(inputs))
        key = inputs.get("key", query)
        value = inputs.get("value", key)
        queries, keys = query.numel() // width, key.numel() // attention.kdim
        projections = queries * width + keys * attention.kdim + value.numel() // attention.vdim * attention.vdim
        examples = 1 if query.dim() == 2 else int(query.shape[0 if attention.batch_first else 1])
        products = 2 * queries * (keys // examples + added)
        return inner * int(projections + products + queries * width)

    return KnownLayer("attention", width, width, macs, batch_axis=0 if attention.batch_first else 1, rank=3)


def _embedding(embedding: Any) -> KnownLayer:
    """A row is looked up, nothing is multiplied."""
    return KnownLayer("embedding", embedding.num_embeddings, embedding.embedding_dim, lambda *_: 0)


_KINDS: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], Callable[[Any], KnownLayer]], ...] = (
    (_ConvNd, _convolution),
    (nn.Linear, _linear),
    (RECURRENT, _recurrent),
    (nn.MultiheadAttention, _attention),
    ((nn.Embedding, nn.EmbeddingBag), _embedding),
)
