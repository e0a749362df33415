"""The values of a tensor's weights: by a table and codes, by a grid of integers, or byte by byte.

- bytes: of each value the first byte, the second, ...; each with its own frequencies where that is cheaper. The sign of
  a float is moved behind its exponent, which then fills a byte: exponents cluster, mantissas do not.
- table: the different values (the codebook of a shared layer: its centroids), and a code for each weight.
- grid: integers; the scales of the channels are a tensor that came before.

A float32 that float16 or bfloat16 holds exactly is kept as that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nn_compression.coding.byte_fields import ByteReader, damaged, number
from nn_compression.coding.entropy import Drawn, Even, Frequencies, Piece, StreamReader, Symbols, cheapest

__all__ = ["WIDEST_GRID", "Mesh", "Patterns", "Places", "read_values", "value_piece"]

Patterns: TypeAlias = NDArray[np.uint64]
"""The bits of values, a number each."""

WIDEST_GRID = 1 << 16
"""Integers that a grid may have from its least to its largest."""
_LONGEST_TABLE = 4096


@dataclass(frozen=True, eq=False)
class Mesh:
    """Weights on a grid.

    Args:
        integers: shape (weights,).
        channels: shape (weights,), of each weight.
        scales: shape (channels,).
        source: the place of the tensor that the scales are, among those of the file.
    """

    integers: NDArray[np.int64]
    channels: NDArray[np.int64]
    scales: NDArray[np.float32]
    source: int = 0

    @property
    def values(self) -> NDArray[np.float32]:
        """Shape (weights,)."""
        return self.integers.astype(np.float32) * self.scales[self.channels]

    @property
    def spread(self) -> int:
        """Integers from the least to the largest."""
        return int(np.ptp(self.integers)) + 1 if len(self.integers) else 1

    def at(self, chosen: NDArray[np.bool_]) -> Mesh:
        """Some of the weights."""
        return Mesh(self.integers[chosen], self.channels[chosen], self.scales, self.source)


class Places(NamedTuple):
    """Where values belong.

    Attributes:
        indices: shape (weights,), among the elements of the tensor.
        elements: of the tensor.
        channels: of it, along the first axis.
        scales: of each float32 tensor read before, flat; ``None`` for others.
    """

    indices: NDArray[np.int64]
    elements: int
    channels: int
    scales: Sequence[NDArray[np.float32] | None]


def value_piece(values: Patterns, width: int, floating: bool, mesh: Mesh | None = None) -> Piece:
    """The cheapest code of values.

    Args:
        values: shape (weights,).
        width: bytes of each.
        floating: they are float32.
        mesh: of the same weights, where they lie on a grid.
    """
    form, kept = _narrowed(values) if floating else (0, values)
    wide = _FORMS[form] or width
    planes = Piece(number(form)) + _planes(kept, wide, rotated=floating)
    table = _table(kept, form, wide)
    return cheapest([planes, table, _grid(mesh) if mesh is not None and len(values) else None])


def read_values(fields: ByteReader, stream: StreamReader, width: int, floating: bool, places: Places) -> Patterns:
    """Read what ``value_piece`` wrote.

    Args:
        fields: the header.
        stream: the symbols.
        width: bytes of a value.
        floating: they are float32.
        places: where they belong.

    Returns:
        shape (weights,).

    Raises:
        InputError: it is damaged.
    """
    kind = fields.number()
    if kind == _GRID and floating:
        return _read_grid(fields, stream, places)
    form = fields.number()
    if kind > _TABLE or form >= len(_FORMS) or (form and not floating):
        raise damaged("a way to write values is unknown")
    wide = _FORMS[form] or width
    if kind == _TABLE:
        return _widened(_read_table(fields, stream, len(places.indices), wide), form)
    return _widened(_read_planes(fields, stream, len(places.indices), wide, floating), form)


_TABLE, _GRID = 1, 2
_FORMS = (0, 2, 2)
"""Bytes of a value as it is (0: those of its type), as float16 and as bfloat16."""


def _narrowed(values: Patterns) -> tuple[int, Patterns]:
    """The narrowest form that holds these float32 to the bit, and their patterns in it."""
    singles = values.astype(np.uint32).view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        halves = singles.astype(np.float16)
        exact = np.array_equal(halves.astype(np.float32).view(np.uint32), singles.view(np.uint32))
    if exact:
        return 1, halves.view(np.uint16).astype(np.uint64)
    if not (values & 0xFFFF).any():
        return 2, values >> np.uint64(16)
    return 0, values


def _widened(values: Patterns, form: int) -> Patterns:
    if form == 1:
        halves = values.astype(np.uint16).view(np.float16)
        return halves.astype(np.float32).view(np.uint32).astype(np.uint64)
    return values << np.uint64(16) if form == 2 else values


def _raw(values: Patterns, width: int) -> bytes:
    return values.astype(f"<u{width}").tobytes()


def _planes(values: Patterns, width: int, rotated: bool) -> Piece:
    if rotated:  # the sign to the end
        values = (values << np.uint64(1) | values >> np.uint64(8 * width - 1)) & np.uint64((1 << 8 * width) - 1)
    planes = [(values >> np.uint64(8 * place) & np.uint64(0xFF)).astype(np.int32) for place in range(width)]
    return sum((_plane(plane) for plane in planes), Piece())


def _plane(plane: Symbols) -> Piece:
    if not len(plane):
        return Piece(number(0))
    frequencies = Frequencies.of(plane, 256)
    drawn = Piece(frequencies.field, [Drawn(plane, frequencies)])
    constant = Piece(bytes(plane[:1].tolist())) if (plane == plane[0]).all() else None
    return cheapest([Piece(b"", [Even(plane)]), drawn, constant])


def _read_planes(fields: ByteReader, stream: StreamReader, count: int, width: int, rotated: bool) -> Patterns:
    values = np.zeros(count, np.uint64)
    for place in range(width):
        values |= _read_plane(fields, stream, count).astype(np.uint64) << np.uint64(8 * place)
    if rotated:
        values = values >> np.uint64(1) | (values & np.uint64(1)) << np.uint64(8 * width - 1)
    return values


def _read_plane(fields: ByteReader, stream: StreamReader, count: int) -> Symbols:
    kind = fields.number()
    if kind == 0:
        return stream.even(count)
    if kind == 1:
        return stream.drawn(count, Frequencies.read(fields, 256))
    if kind == 2:
        return np.full(count, fields.raw(1)[0], np.int32)
    raise damaged("a row of bytes is of no known kind")


def _table(values: Patterns, form: int, width: int) -> Piece | None:
    entries, codes = np.unique(values, return_inverse=True)
    if not 0 < len(entries) <= _LONGEST_TABLE:
        return None
    frequencies = Frequencies.of(codes.astype(np.int32), len(entries))
    header = number(form) + number(len(entries)) + _raw(entries, width) + frequencies.field
    return Piece(header, [Drawn(codes.astype(np.int32), frequencies)])


def _read_table(fields: ByteReader, stream: StreamReader, count: int, width: int) -> Patterns:
    length = fields.number()
    if not 0 < length <= _LONGEST_TABLE:
        raise damaged("a table of values is too long")
    entries = fields.array(length, width)
    codes = stream.drawn(count, Frequencies.read(fields, length))
    if count and codes.max() >= length:
        raise damaged("a code lies beyond its table")
    return entries[codes]


def _grid(mesh: Mesh) -> Piece:
    least = int(mesh.integers.min(initial=0))  # at most 0, as the field has no sign
    symbols = (mesh.integers - least).astype(np.int32)
    frequencies = Frequencies.of(symbols, int(symbols.max(initial=0)) + 1)
    header = number(mesh.source) + number(-least) + number(len(frequencies.codes)) + frequencies.field
    return Piece(header, [Drawn(symbols, frequencies)])


def _read_grid(fields: ByteReader, stream: StreamReader, places: Places) -> Patterns:
    source = fields.number()
    scales = places.scales[source] if source < len(places.scales) else None
    if scales is None or len(scales) not in (1, places.channels):
        raise damaged("the scales of a grid do not fit its tensor")
    least, alphabet = -fields.number(), fields.number()
    if not 0 < alphabet <= WIDEST_GRID or -least > WIDEST_GRID:
        raise damaged("a grid is too wide")
    integers = stream.drawn(len(places.indices), Frequencies.read(fields, alphabet)).astype(np.int64) + least
    mesh = Mesh(integers, places.indices * len(scales) // max(places.elements, 1), scales)
    return mesh.values.view(np.uint32).astype(np.uint64)
