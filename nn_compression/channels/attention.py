"""Attention with fewer heads than its width has room for, which ``nn.MultiheadAttention`` cannot have."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from automl_core.errors import InputError
from nn_compression.channels.axes import Indices, Narrowed

__all__ = ["HeadAttention", "head_size", "heads_prunable", "heads_width", "narrowed_attention"]


class HeadAttention(nn.MultiheadAttention):
    """``nn.MultiheadAttention`` whose heads need not fill the embedding width: ``num_heads * head_dim`` may be less.

    It takes the place of ``nn.MultiheadAttention`` in ``nn.TransformerEncoderLayer`` and its kin: same call, same names
    of tensors; ``in_proj_weight`` is (3 · heads · head size, width), ``out_proj`` (width, heads · head size).

    Args:
        width: the embedding width, of the inputs and the outputs.
        heads: how many.
        head_dim: of each head.
        dropout: of the attention weights, in training.
        bias: whether the projections have biases.
        batch_first: (batch, length, width) instead of (length, batch, width).
    """

    def __init__(
        self, width: int, heads: int, head_dim: int, dropout: float = 0.0, bias: bool = True, batch_first: bool = False
    ) -> None:
        nn.Module.__init__(self)  # that of MultiheadAttention makes tensors of other shapes
        self.embed_dim = self.kdim = self.vdim = width
        self.num_heads, self.head_dim, self.dropout, self.batch_first = heads, head_dim, dropout, batch_first
        self._qkv_same_embed_dim = False  # keeps TransformerEncoderLayer off its fused kernel, which assumes full heads
        self.bias_k = self.bias_v = None
        self.add_zero_attn = False
        inner = heads * head_dim
        self.in_proj_weight = nn.Parameter(torch.empty(3 * inner, width))
        self.register_parameter("in_proj_bias", nn.Parameter(torch.zeros(3 * inner)) if bias else None)
        for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
            self.register_parameter(name, None)
        self.out_proj = nn.modules.linear.NonDynamicallyQuantizableLinear(inner, width, bias=bias)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As ``nn.MultiheadAttention.forward``."""
        batched = query.dim() == 3
        if not batched:
            query, key, value = (tensor.unsqueeze(0) for tensor in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = (tensor.transpose(0, 1) for tensor in (query, key, value))
        queries, keys, values = self._projected(query, key, value)
        mask = self._mask(attn_mask, key_padding_mask, queries)
        dropout = self.dropout if self.training else 0.0
        weights: Tensor | None = None
        if need_weights:
            scores = queries @ keys.transpose(-2, -1) / math.sqrt(self.head_dim)
            weights = functional.dropout((scores if mask is None else scores + mask).softmax(-1), dropout)
            mixed = weights @ values
        else:
            mixed = functional.scaled_dot_product_attention(queries, keys, values, mask, dropout)
        outputs = self.out_proj(mixed.transpose(1, 2).flatten(2))
        weights = weights.mean(1) if weights is not None and average_attn_weights else weights
        if not batched:
            return outputs.squeeze(0), None if weights is None else weights.squeeze(0)
        return outputs if self.batch_first else outputs.transpose(0, 1), weights

    def _projected(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (batch, heads, length, head size)."""
        weights = self.in_proj_weight.chunk(3)
        biases = self.in_proj_bias.chunk(3) if self.in_proj_bias is not None else (None, None, None)
        queries, keys, values = (
            functional.linear(tensor, weight, bias)
            .reshape(*tensor.shape[:2], self.num_heads, self.head_dim)
            .transpose(1, 2)
            for tensor, weight, bias in zip(inputs, weights, biases, strict=True)
        )
        return queries, keys, values

    def _mask(self, mask: Tensor | None, padding: Tensor | None, like: Tensor) -> Tensor | None:
        """What is added to the scores, broadcast to (batch, heads, queries, keys)."""
        total: Tensor | None = None
        if mask is not None:
            total = _additive(mask, like)
            total = total.reshape(-1, self.num_heads, *total.shape[1:]) if total.dim() == 3 else total
        if padding is not None:
            padded = _additive(padding, like)[:, None, None, :]
            total = padded if total is None else total + padded
        return total


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros(mask.shape, dtype=like.dtype, device=like.device).masked_fill(mask, -math.inf)


def heads_prunable(attention: nn.MultiheadAttention) -> bool:
    """Whether heads can go: queries, keys and values have one width, and nothing is appended to the keys."""
    same = attention.embed_dim == attention.kdim == attention.vdim
    return same and attention.in_proj_weight is not None and attention.bias_k is None and not attention.add_zero_attn


def heads_width(attention: nn.MultiheadAttention) -> int:
    """Heads times their size."""
    return int(attention.num_heads) * head_size(attention)


def head_size(attention: nn.MultiheadAttention) -> int:
    """Channels of one head."""
    return int(attention.head_dim)


def narrowed_attention(attention: nn.MultiheadAttention, out: Indices) -> Narrowed:
    """The attention with the heads that these channels make up.

    Raises:
        InputError: the attention has parts that only ``nn.MultiheadAttention`` knows.
    """
    if not heads_prunable(attention):
        raise InputError(
            "heads of an attention with separate key or value widths, bias_kv or zero attention are not pruned",
            remedy="keep this layer",
        )
    inner = heads_width(attention)
    own = torch.arange(inner) if out is None else out
    bias = attention.in_proj_bias is not None
    heads = len(own) // head_size(attention)
    new = HeadAttention(
        attention.embed_dim, heads, head_size(attention), attention.dropout, bias, bool(attention.batch_first)
    )
    rows = (torch.arange(3).unsqueeze(1) * inner + own).reshape(-1)
    _fill(new.in_proj_weight, attention.in_proj_weight, 0, rows)
    _fill(new.out_proj.weight, attention.out_proj.weight, 1, own)
    if bias:
        _fill(new.in_proj_bias, attention.in_proj_bias, 0, rows)
        _fill(new.out_proj.bias, attention.out_proj.bias, 0, torch.arange(attention.embed_dim))
    return Narrowed(replaced=new.train(attention.training))


def _fill(parameter: Tensor, source: Tensor, dimension: int, indices: Tensor) -> None:
    parameter.data = source.detach().index_select(dimension, indices.to(source.device))
    parameter.requires_grad_(source.requires_grad)
