"""One tensor in a coded file: where it is not zero, and its values by a table and codes, by a grid, or as bytes.

A tensor is read from its bits, so that what comes back is what was there, minus zero and NaN included. Nothing has to
be told about pruning or weight sharing: a tensor with many zeros is cheapest by positions, one of few different values
by a table of them and a code a weight, and any other by its bytes, the exponents of which are entropy-coded. Only
linear-quantized weights come with their grid (integers and scales), which is cheaper than a table a channel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from automl_core.errors import InputError
from nn_compression.coding.byte_fields import ByteReader, damaged, number
from nn_compression.coding.entropy import Piece, StreamReader, cheapest
from nn_compression.coding.positions import position_piece, read_positions
from nn_compression.coding.value_code import WIDEST_GRID, Mesh, Patterns, Places, read_values, value_piece

__all__ = ["Grid", "check_size", "check_type", "read_tensor", "tensor_piece"]

_TYPES = (
    *(torch.float32, torch.float16, torch.bfloat16, torch.float64),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool),
)
_MOST_AXES = 8


@dataclass(frozen=True, eq=False)
class Grid:
    """Linear-quantized weights: each is its integer times the scale of its channel, in float32.

    Args:
        integers: the shape of the weights.
        scales: shape (channels,), along the first axis, or (1,).
        source: the place of the tensor of the scales among those of the file; it comes before.
    """

    integers: Tensor
    scales: Tensor
    source: int


def check_type(tensor: Tensor, place: str | None = None) -> None:
    """That a tensor can be coded.

    Raises:
        InputError: its type is not coded, or it has too many axes.
    """
    if tensor.ndim > _MOST_AXES:
        remedy = f"keep it in another shape: {_MOST_AXES} axes at most"
        raise InputError(f"a tensor of {tensor.ndim} axes cannot be coded", place=place, remedy=remedy)
    if tensor.dtype not in _TYPES:
        remedy = f"these can: {', '.join(str(kind).removeprefix('torch.') for kind in _TYPES)}"
        raise InputError(f"tensors of {tensor.dtype} cannot be coded", place=place, remedy=remedy)


def check_size(elements: int, most: int) -> None:
    """That a tensor which is to be read is no larger than it may be.

    Raises:
        InputError: it is.
    """
    if elements > most:
        remedy = f"if that is meant, decode it with most={elements}"
        raise InputError(f"a tensor of {elements:,} elements is too much for so small a file", remedy=remedy)


def tensor_piece(tensor: Tensor, grid: Grid | None = None) -> Piece:
    """The cheapest code of a tensor.

    Args:
        tensor: as ``check_type`` takes it.
        grid: of its values, where they lie on one; a grid that does not give them is not used.
    """
    kind, shape = _TYPES.index(tensor.dtype), _matrix(tuple(tensor.shape))
    header = Piece(number(kind) + number(tensor.ndim) + b"".join(map(number, tensor.shape)))
    values, mesh = _patterns(tensor), _mesh(tensor, grid)
    present = values != 0 if mesh is None else mesh.integers != 0
    width, floating = tensor.element_size(), tensor.dtype == torch.float32
    whole = value_piece(values, width, floating, mesh)
    if present.all():
        return header + Piece(number(0)) + whole
    few = None if mesh is None else mesh.at(present)
    sparse = position_piece(present.reshape(shape)) + value_piece(values[present], width, floating, few)
    return header + cheapest([whole, sparse])


def read_tensor(fields: ByteReader, stream: StreamReader, most: int, before: Sequence[Tensor] = ()) -> Tensor:
    """Read what ``tensor_piece`` wrote.

    Args:
        fields: the header.
        stream: the symbols.
        most: elements that it may have.
        before: the tensors of the file that were read before.

    Raises:
        InputError: it is damaged, or larger than that.
    """
    kind, axes = fields.number(), fields.number()
    if kind >= len(_TYPES) or axes > _MOST_AXES:
        raise damaged("a tensor is of no known type")
    sizes = tuple(fields.number() for _ in range(axes))
    count = math.prod(sizes)
    check_size(max((count, *sizes)), most)
    sparse = fields.number()
    if sparse > 1:
        raise damaged("a tensor is neither whole nor sparse")
    shape = _matrix(sizes)
    present = read_positions(fields, stream, shape).reshape(-1) if sparse else np.ones(count, np.bool_)
    values = np.zeros(count, np.uint64)
    scales = [each.reshape(-1).numpy() if each.dtype == torch.float32 else None for each in before]
    places = Places(np.flatnonzero(present), count, sizes[0] if sizes else 1, scales)
    values[present] = read_values(fields, stream, _TYPES[kind].itemsize, _TYPES[kind] == torch.float32, places)
    return _tensor(values, kind, sizes)


def _matrix(sizes: tuple[int, ...]) -> tuple[int, int]:
    """A kernel or matrix as (outputs, the rest); a vector as one row."""
    return (sizes[0], math.prod(sizes[1:])) if len(sizes) > 1 else (1, math.prod(sizes))


def _patterns(tensor: Tensor) -> Patterns:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    if not len(flat):
        return np.zeros(0, np.uint64)
    return flat.view(torch.uint8).numpy().view(f"u{tensor.element_size()}").astype(np.uint64)


def _tensor(values: Patterns, kind: int, sizes: tuple[int, ...]) -> Tensor:
    if not len(values):
        return torch.empty(sizes, dtype=_TYPES[kind])
    raw = torch.from_numpy(values.astype(f"u{_TYPES[kind].itemsize}").view(np.uint8).copy())
    return raw.view(_TYPES[kind]).reshape(sizes)


def _mesh(tensor: Tensor, grid: Grid | None) -> Mesh | None:
    """The grid, if it gives the tensor (of the two zeros, plus zero)."""
    if grid is None or tensor.dtype != torch.float32 or grid.integers.shape != tensor.shape or not tensor.numel():
        return None
    scales = grid.scales.detach().cpu().float().reshape(-1).numpy()
    if len(scales) not in (1, len(tensor) if tensor.ndim else 1):
        return None
    integers = grid.integers.detach().cpu().reshape(-1).numpy().astype(np.int64)
    mesh = Mesh(integers, np.arange(len(scales)).repeat(tensor.numel() // len(scales)), scales, grid.source)
    if mesh.spread > WIDEST_GRID:
        return None
    same = np.array_equal(mesh.values, tensor.detach().cpu().reshape(-1).numpy())
    return mesh if same else None
