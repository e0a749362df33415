"""Entropy coding: pieces of a coded file, and the one stream of symbols that they share.

The coder is the asymmetric numeral system of the package constriction (Duda et al. 2015). A decoder must see the very
probabilities that the encoder saw, on any machine: they are made of whole numbers by +, -, * and / alone, which
IEEE 754 rounds in one way only; no logarithm or power is on that path.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import constriction
import numpy as np
from numpy.typing import NDArray

from nn_compression.coding.byte_fields import ByteReader, damaged, number

__all__ = ["Bernoulli", "Drawn", "Frequencies", "Piece", "StreamReader", "Symbols", "cheapest", "coded_stream"]

Symbols: TypeAlias = NDArray[np.int32]
Probabilities: TypeAlias = NDArray[np.float64]

_models = constriction.stream.model
_AnsCoder = constriction.stream.stack.AnsCoder
_BIT = _models.Bernoulli(perfect=False)


@dataclass(frozen=True, eq=False)
class Frequencies:
    """How often each symbol of an alphabet occurs, in one byte a symbol.

    A byte is a small float, two bits of mantissa under an exponent: frequencies are known to 12 %, which costs less
    than 0.005 bits a symbol; 0 stands for a symbol that does not occur.

    Args:
        codes: shape (alphabet,).
    """

    codes: NDArray[np.uint8]

    @staticmethod
    def of(symbols: Symbols, alphabet: int) -> Frequencies:
        """Count the symbols.

        Args:
            symbols: whole numbers below ``alphabet``.
            alphabet: how many symbols there are.
        """
        counts = np.bincount(symbols, minlength=alphabet)
        return Frequencies(np.where(counts > 0, 1 + np.abs(counts[:, None] - _SIZES).argmin(1), 0).astype(np.uint8))

    @staticmethod
    def read(fields: ByteReader, alphabet: int) -> Frequencies:
        """Read the bytes of an alphabet.

        Raises:
            InputError: there are not as many, or none of the symbols occurs.
        """
        codes = np.frombuffer(fields.raw(alphabet), np.uint8)
        if not codes.any() or codes.max() > len(_SIZES):
            raise damaged("a table of frequencies is none")
        return Frequencies(codes)

    @cached_property
    def probabilities(self) -> Probabilities:
        """Shape (alphabet,)."""
        sizes = np.where(self.codes > 0, _SIZES[np.maximum(self.codes, 1) - 1], 0.0)
        return np.asarray(sizes / sizes.sum())

    @cached_property
    def model(self) -> Any:
        """The coder's model; constriction wants two symbols at least."""
        return _models.Categorical(np.append(self.probabilities, 0.0), perfect=False)

    @property
    def field(self) -> bytes:
        """As ``read`` reads it."""
        return self.codes.tobytes()


_SIZES = np.array([(4 + mantissa) << exponent for exponent in range(40) for mantissa in range(4)], np.float64) / 4
"""The frequencies that there are bytes for: 1, 1.25, 1.5, 1.75, 2, 2.5, ..."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Symbols drawn from one distribution, one after another."""

    symbols: Symbols
    frequencies: Frequencies

    @property
    def bits(self) -> float:
        """What they take up."""
        return float(-np.log2(self.frequencies.probabilities[self.symbols]).sum())

    def push(self, coder: Any) -> None:
        """Onto the coder's stack, from the last to the first."""
        coder.encode_reverse(self.symbols, self.frequencies.model)


@dataclass(frozen=True, eq=False)
class Bernoulli:
    """Zeros and ones, each with its own probability to be a one."""

    symbols: Symbols
    ones: Probabilities

    @property
    def bits(self) -> float:
        """What they take up."""
        return float(-np.log2(np.where(self.symbols > 0, self.ones, 1 - self.ones)).sum())

    def push(self, coder: Any) -> None:
        """Onto the coder's stack, from the last to the first."""
        coder.encode_reverse(self.symbols, _BIT, self.ones)


@dataclass(frozen=True, eq=False)
class Even:
    """Bytes that nothing is known about."""

    symbols: Symbols

    @property
    def bits(self) -> float:
        """What they take up."""
        return 8.0 * len(self.symbols)

    def push(self, coder: Any) -> None:
        """Onto the coder's stack, from the last to the first."""
        coder.encode_reverse(self.symbols, _EVEN)


_EVEN = _models.Uniform(256)


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of a coded file: its fields of the header, and its symbols of the stream.

    Args:
        header: bytes.
        steps: symbols, in the order in which they are read.
    """

    header: bytes = b""
    steps: Sequence[Drawn | Bernoulli | Even] = ()

    @cached_property
    def bits(self) -> float:
        """What it takes up, before the header is deflated."""
        return 8.0 * len(self.header) + sum(step.bits for step in self.steps)

    def __add__(self, other: Piece) -> Piece:
        return Piece(self.header + other.header, [*self.steps, *other.steps])


def cheapest(pieces: Iterable[Piece | None]) -> Piece:
    """The piece that takes up least, the number of its place among them before it; ``None`` is a way that is barred."""
    numbered = [Piece(number(index)) + piece for index, piece in enumerate(pieces) if piece is not None]
    return min(numbered, key=lambda piece: piece.bits)


def coded_stream(steps: Sequence[Drawn | Bernoulli | Even]) -> bytes:
    """The symbols of all pieces in one stream.

    Returns:
        words of four bytes, little endian.
    """
    coder = _AnsCoder()
    for step in reversed(steps):
        if len(step.symbols):
            step.push(coder)
    return bytes(coder.get_compressed().astype("<u4").tobytes())


class StreamReader:
    """Reads symbols in the order in which the steps were given.

    Args:
        data: as ``coded_stream`` returned it.

    Raises:
        InputError: that it cannot be.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) % 4 or data[-4:] == b"\0\0\0\0":
            raise damaged("its stream of symbols is cut off")
        self._coder = _AnsCoder(np.frombuffer(data, "<u4").astype(np.uint32))

    def drawn(self, count: int, frequencies: Frequencies) -> Symbols:
        """So many symbols from one distribution."""
        return np.asarray(self._coder.decode(frequencies.model, count), np.int32) if count else np.zeros(0, np.int32)

    def bits(self, ones: Probabilities) -> Symbols:
        """As many bits as there are probabilities."""
        return np.asarray(self._coder.decode(_BIT, ones), np.int32) if len(ones) else np.zeros(0, np.int32)

    def even(self, count: int) -> Symbols:
        """So many bytes."""
        return np.asarray(self._coder.decode(_EVEN, count), np.int32) if count else np.zeros(0, np.int32)

    @property
    def ended(self) -> bool:
        """Whether every symbol was read."""
        return bool(self._coder.is_empty())
