"""Multiply-accumulates of the operations that torch runs: matrix products, convolutions, attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

__all__ = ["is_product", "product_macs", "terms"]

_aten = torch.ops.aten


def is_product(operation: Any) -> bool:
    """Whether an operation is counted as a whole."""
    return operation.overloadpacket in _MORE or operation.overloadpacket in flop_registry


def product_macs(operation: Any, arguments: Sequence[Any], named: Mapping[str, Any], output: Any) -> int:
    """Multiply-accumulates of one operation; 0 where it is no product of matrices.

    As ``torch.utils.flop_counter`` counts them (two operations each), and in closed form what it leaves out:
    products with a vector, attention and LSTMs on the CPU, ``nn.Bilinear``.

    Args:
        operation: an overload of an operation of ``torch.ops.aten``.
        arguments: its positional arguments.
        named: its keyword arguments.
        output: what it gave.
    """
    packet = operation.overloadpacket
    if packet in _MORE:
        return int(_MORE[packet](arguments))
    if packet in flop_registry:
        return int(flop_registry[packet](*arguments, **named, out_val=output)) // 2
    return 0


def terms(operation: Any, arguments: Sequence[Any]) -> list[Tensor]:
    """What is added to a product, and is no factor of it: biases."""
    places = _TERMS.get(operation.overloadpacket, ())
    return [term for at in places if at < len(arguments) and isinstance(term := arguments[at], Tensor)]


def _matrix_vector(arguments: Sequence[Any]) -> int:
    return int(next(one for one in arguments if isinstance(one, Tensor) and one.dim() == 2).numel())


def _attention(arguments: Sequence[Any]) -> int:
    """Scores of every query with every key, and the weighted sums of the values; (..., length, width) each."""
    query, key, value = arguments[:3]
    return int(query.numel() * key.shape[-2] + query.numel() // query.shape[-1] * key.shape[-2] * value.shape[-1])


def _bilinear(arguments: Sequence[Any]) -> int:
    """``_trilinear`` of (batch, x), (outputs, x, y) and (batch, y)."""
    first, weight = arguments[:2]
    return int(first.shape[0] * weight.numel())


def _recurrent(arguments: Sequence[Any]) -> int:
    """One layer and direction of an LSTM: every weight of inputs and of states is used once at each step."""
    inputs, of_inputs, of_states = arguments[:3]
    return int(inputs.numel() // inputs.shape[-1] * (of_inputs.numel() + of_states.numel()))


_MORE: Mapping[Any, Callable[[Sequence[Any]], int]] = {
    _aten.mv: _matrix_vector,
    _aten.addmv: _matrix_vector,
    _aten.addmv_: _matrix_vector,
    _aten.dot: lambda arguments: int(arguments[0].numel()),
    _aten.vdot: lambda arguments: int(arguments[0].numel()),
    _aten.addbmm: lambda arguments: int(arguments[1].numel() * arguments[2].shape[-1]),
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    _aten._scaled_dot_product_fused_attention_overrideable: _attention,
    _aten._trilinear: _bilinear,
    _aten.mkldnn_rnn_layer: _recurrent,
}

_TERMS: Mapping[Any, Sequence[int]] = {
    **dict.fromkeys((_aten.addmm, _aten.addmv, _aten.addbmm, _aten.baddbmm), (0,)),
    _aten.convolution: (2,),
    _aten.mkldnn_rnn_layer: (3, 4),
}
