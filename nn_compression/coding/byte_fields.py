"""Small fields in a row of bytes: whole numbers in as few bytes as they need, texts, arrays; read back with care."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from automl_core.errors import InputError

__all__ = ["ByteReader", "damaged", "deflated", "inflated", "number"]

_LONGEST_HEADER = 1 << 26
"""Bytes that a header may have once inflated."""


def damaged(what: str) -> InputError:
    """The error for a coded file that is not as it was written."""
    remedy = "it is damaged or was cut off: copy or write it again"
    return InputError(f"the coded model cannot be read: {what}", remedy=remedy)


def number(value: int) -> bytes:
    """A whole number of 0 or more in seven bits a byte, the least significant first (LEB128)."""
    field = bytearray()
    while value > 0x7F:
        field.append(value & 0x7F | 0x80)
        value >>= 7
    field.append(value)
    return bytes(field)


class ByteReader:
    """Reads fields one after another.

    Args:
        data: the bytes.

    Raises:
        InputError: every method, where the bytes end before the field does.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self) -> int:
        """A whole number, as ``number`` writes it."""
        value = 0
        for shift in range(0, 63, 7):
            byte = self.raw(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise damaged("a number has no end")

    def raw(self, count: int) -> bytes:
        """So many bytes."""
        if count > len(self._data) - self._at:
            raise damaged("it ends too early")
        self._at += count
        return self._data[self._at - count : self._at]

    def array(self, count: int, width: int) -> NDArray[np.uint64]:
        """Whole numbers of so many bytes each, little endian."""
        return np.frombuffer(self.raw(count * width), f"<u{width}").astype(np.uint64)

    def text(self) -> str:
        """A text, its length before it."""
        try:
            return self.raw(self.number()).decode()
        except UnicodeDecodeError:
            raise damaged("a name is no text") from None

    def rest(self) -> bytes:
        """All that was not read."""
        return self.raw(len(self._data) - self._at)

    @property
    def ended(self) -> bool:
        """Whether all was read."""
        return self._at == len(self._data)


def deflated(data: bytes) -> bytes:
    """The bytes, compressed without a frame (RFC 1951)."""
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return coder.compress(data) + coder.flush()


def inflated(data: bytes) -> bytes:
    """What ``deflated`` was given.

    Raises:
        InputError: it is none of that, or far too long for a header.
    """
    coder = zlib.decompressobj(-15)
    try:
        header = coder.decompress(data, _LONGEST_HEADER)
    except zlib.error:
        raise damaged("its header does not inflate") from None
    if not coder.eof or coder.unused_data:
        raise damaged("its header is longer than any, or has no end")
    return header
