"""How many bytes a weight takes in a coded file, without coding it: the entropy of what is written.

The codec (:mod:`nn_compression.coding.codec`) comes within a few per cent of these figures; the file itself is what
counts in the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from automl_core.space import Array
from nn_compression.graph.ties import first_keys
from nn_compression.quantization.linear import QuantizedWeight

__all__ = ["SHARED_BITS", "float_bytes", "position_bits", "quantized_bytes", "rest_bytes", "sparse_bytes"]

_MANTISSA = 23
"""Bits of a float32 that nothing can be made of; its sign and exponent are entropy-coded."""
SHARED_BITS = 32
"""Bits of a scale, a bias or a centroid."""


def position_bits(share: Array) -> Array:
    """Bits a weight for where the kept ones are, of the same shape."""
    inner = np.clip(share, 1e-12, 1 - 1e-12)
    bits = -(inner * np.log2(inner) + (1 - inner) * np.log2(1 - inner))
    return np.where(share >= 1, 0.0, bits)


def quantized_bytes(weights: Iterable[QuantizedWeight]) -> float:
    """Bytes of integers and scales."""
    bits = 0.0
    for weight in weights:
        counts = torch.bincount(weight.integers.flatten().int() + 128, minlength=256).double().numpy()
        bits += _bits_a_symbol(counts) * weight.integers.numel() + SHARED_BITS * weight.scale.numel()
    return bits / 8


def float_bytes(values: Tensor) -> float:
    """Bytes of float32 numbers that are not zero, and of where those are."""
    return float(sparse_bytes([values], np.array([1.0]))[0])


def rest_bytes(model: nn.Module, counted: Collection[str]) -> float:
    """Bytes of all that stays in floats, each tensor once, but for the keys that are counted elsewhere."""
    first = first_keys(model)
    rest = [tensor for key, tensor in model.state_dict().items() if first.get(key, key) == key and key not in counted]
    return sum(float_bytes(tensor) for tensor in rest if tensor.is_floating_point() and tensor.numel())


def sparse_bytes(weights: Sequence[Tensor], shares: Array) -> Array:
    """Bytes of the largest weights as floats, and of their positions, by the share that is kept; it never falls.

    Args:
        weights: of one layer; each keeps this share, and what is zero already costs nothing.
        shares: rising, shape (shares,).
    """
    total = np.zeros(len(shares))
    for weight in weights:
        whole = weight.numel()
        sizes = np.sort(np.abs(weight.detach().flatten().double().numpy()))[::-1]
        present = int((sizes > 0).sum())
        kept = np.minimum(np.maximum(np.rint(shares * whole), 1), max(present, 1)).astype(int)
        exponents = np.frexp(sizes[:present])[1]
        bits = np.array([count * (_MANTISSA + 1 + _spread(exponents[:count])) for count in kept.tolist()])
        total += (bits + whole * position_bits(kept / whole)) / 8
    return np.maximum.accumulate(total)


def _bits_a_symbol(counts: Array) -> float:
    """The entropy of symbols that occur so often."""
    some = counts[counts > 0] / max(float(counts.sum()), 1.0)
    return float(-(some * np.log2(some)).sum())


def _spread(exponents: Array) -> float:
    return _bits_a_symbol(np.unique(exponents, return_counts=True)[1].astype(float)) if len(exponents) else 0.0
