"""Where the weights are that were not pruned: a bit for each position, or the gaps from one weight to the next.

Two ways, of which the codec takes the cheaper:

- gaps: the distances between weights in storage order, as Deep Compression keeps them (Han et al. 2016, section 2); a
  gap too long for its few bits is cut up by steps that hold no weight.
- lines: a bit for every position, line after line, with probabilities that both ends learn from the lines before.
  Pruning leaves some inputs and units nearly empty and others full; what is known of a position is how full its cross
  line is so far, how full the lines near it were, and whether its neighbours hold weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nn_compression.coding.byte_fields import ByteReader, damaged, number
from nn_compression.coding.entropy import Bernoulli, Drawn, Frequencies, Piece, Probabilities, StreamReader, cheapest

__all__ = ["position_piece", "read_positions"]

Flags: TypeAlias = NDArray[np.bool_]

_GAP_BITS = (3, 4, 5, 6, 8)
_LEAST = 2.0**-16
"""The least probability of a bit: the coder itself knows 24 bits of it."""
_NEAR, _CELL = 24.0, 12.0
"""How many positions of average fullness the lines near and a cell of the table begin with."""
_EDGES = np.array([mantissa * 2.0**exponent for exponent in range(-14, 6) for mantissa in (1.0, 1.5)])
"""The odds between which the table's cells lie."""
_LAGS = range(2, 65)
"""How far back a line may lie that resembles this one: the pixel above in a row-wise image of 64 columns at most."""
_PROBED = 1024
"""Lines, from the middle, on which the ways to read a matrix by lines are compared."""
_MOST_LINES = 1 << 14
"""Lines that are read one by one, each in some 50 microseconds."""


def position_piece(present: Flags) -> Piece:
    """The cheapest way to say where the weights are.

    Args:
        present: shape (rows, columns), where a weight is.
    """
    count = Piece(number(int(present.sum())))
    if present.all() or not present.any():
        return count
    by_lines = _by_lines(present) if min(present.shape) <= _MOST_LINES else None
    return count + cheapest([_gaps(present.reshape(-1)), by_lines])


def read_positions(fields: ByteReader, stream: StreamReader, shape: tuple[int, int]) -> Flags:
    """Read what ``position_piece`` wrote.

    Args:
        fields: the header.
        stream: the symbols.
        shape: rows and columns.

    Returns:
        shape (rows, columns).

    Raises:
        InputError: it is damaged.
    """
    size, count = shape[0] * shape[1], fields.number()
    if count > size:
        raise damaged("it has more weights than places")
    if count in (0, size):
        return np.full(shape, count > 0)
    kind = fields.number()
    if kind > 1:
        raise damaged("a way to write positions is unknown")
    if kind == 0:
        return _read_gaps(fields, stream, size, count).reshape(shape)
    return _read_lines(fields, stream, shape, count)


def _gaps(present: Flags) -> Piece:
    """Gaps of as many bits as come out cheapest; the largest symbol is a step of that many places without a weight."""
    distances = np.diff(np.flatnonzero(present), prepend=-1) - 1
    pieces = []
    for bits in _GAP_BITS:
        step = (1 << bits) - 1
        steps = distances // step
        symbols = np.full(len(distances) + int(steps.sum()), step, np.int32)
        symbols[np.arange(len(distances)) + steps.cumsum()] = distances % step
        frequencies = Frequencies.of(symbols, step + 1)
        pieces.append(Piece(number(len(symbols)) + frequencies.field, [Drawn(symbols, frequencies)]))
    return cheapest(pieces)


def _read_gaps(fields: ByteReader, stream: StreamReader, size: int, count: int) -> Flags:
    choice, length = fields.number(), fields.number()
    if choice >= len(_GAP_BITS) or not count <= length <= count + size:
        raise damaged("its gaps between weights do not fit")
    step = (1 << _GAP_BITS[choice]) - 1
    symbols = stream.drawn(length, Frequencies.read(fields, step + 1)).astype(np.int64)
    ends = symbols < step
    places = (np.where(ends, symbols + 1, step).cumsum() - 1)[ends]
    if len(places) != count or places[-1] >= size:
        raise damaged("its gaps between weights do not add up")
    present = np.zeros(size, np.bool_)
    present[places] = True
    return present


@dataclass(frozen=True)
class _Reading:
    """How a matrix is read by lines.

    Args:
        columns: lines are columns, not rows.
        lag: a line resembles the one before and the one so far back.
        fullness: of a line: as all, as those it resembles, or as is told before (a power of two).
    """

    columns: bool
    lag: int
    fullness: int

    @property
    def field(self) -> bytes:
        return number((self.lag * 3 + self.fullness) * 2 + self.columns)

    @staticmethod
    def read(fields: ByteReader) -> _Reading:
        code = fields.number()
        if not 1 <= code // 6 < _LAGS.stop:
            raise damaged("its lines lie out of reach")
        return _Reading(bool(code % 2), code // 6, code // 2 % 3)


_AS_ALL, _AS_NEAR, _AS_TOLD = range(3)


def _by_lines(present: Flags) -> Piece:
    """By the reading that is cheapest for the lines in its middle."""
    readings = [each for each in _readings(present) if len(_turned(present, each)) <= _MOST_LINES]

    def bits_a_position(reading: _Reading) -> float:
        lines = _turned(present, reading)
        start = max(0, len(lines) - _PROBED) // 2
        probe = lines[start : start + _PROBED]
        return _line_piece(probe, reading).bits / probe.size

    best = min(readings, key=bits_a_position)
    return _line_piece(_turned(present, best), best)


def _turned(flags: Flags, reading: _Reading) -> Flags:
    return flags.T if reading.columns else flags


def _readings(present: Flags) -> list[_Reading]:
    """Rows, whose order means nothing but in kernels; columns, with the lag at which they are most alike."""
    alike = {lag: int((present[:, lag:] & present[:, :-lag]).sum()) for lag in _LAGS if lag < present.shape[1]}
    lags = [1, max(alike, key=lambda lag: alike[lag])] if alike else [1]
    columns = [_Reading(True, lag, fullness) for lag in lags for fullness in (_AS_ALL, _AS_NEAR, _AS_TOLD)]
    return [*(_Reading(False, 1, fullness) for fullness in (_AS_ALL, _AS_NEAR, _AS_TOLD)), *columns]


def _line_piece(lines: Flags, reading: _Reading) -> Piece:
    held = lines.sum(1).tolist()
    told, piece = np.array([count.bit_length() for count in held], np.int32), Piece(reading.field)
    if reading.fullness == _AS_TOLD:
        frequencies = Frequencies.of(told, int(told.max()) + 1)
        piece += Piece(number(len(frequencies.codes)) + frequencies.field, [Drawn(told, frequencies)])
    model, ones, bits = _LineModel(lines.shape[1], sum(held) / lines.size, reading, told), [], lines.astype(np.int32)
    for line in bits:
        ones.append(model.probabilities())
        model.learn(line)
    return piece + Piece(b"", [Bernoulli(bits.reshape(-1), np.concatenate(ones))])


def _read_lines(fields: ByteReader, stream: StreamReader, shape: tuple[int, int], count: int) -> Flags:
    reading = _Reading.read(fields)
    rows, columns = shape[::-1] if reading.columns else shape
    if rows > _MOST_LINES:
        raise damaged("it has too many lines")
    told = np.zeros(0, np.int32)
    if reading.fullness == _AS_TOLD:
        told = stream.drawn(rows, Frequencies.read(fields, min(fields.number(), 64)))
    model, lines = _LineModel(columns, count / (rows * columns), reading, told), np.zeros((rows, columns), np.int32)
    for index in range(rows):
        lines[index] = stream.bits(model.probabilities())
        model.learn(lines[index])
    if int(lines.sum()) != count:
        raise damaged("its weights are not as many as it says")
    return _turned(lines > 0, reading)


class _LineModel:
    """The probabilities of a line's bits, from the lines before it.

    The odds of a weight are those of its line times those of its cross line over the average (naive Bayes). A table of
    what came of such odds beside such neighbours corrects them.

    Args:
        width: bits of a line.
        mean: the share of weights among all.
        reading: how lines are read.
        told: the bit length of each line's count of weights, where that is told.
    """

    def __init__(self, width: int, mean: float, reading: _Reading, told: NDArray[np.int32]) -> None:
        self._width, self._mean, self._reading = width, mean, reading
        self._told = told
        self._prior = 1.0 if reading.fullness == _AS_TOLD else 2 * mean
        self._crossed = np.zeros(width)
        self._expected = 0.0
        self._before: list[NDArray[np.int32]] = []
        self._seen = np.zeros((len(_EDGES) + 1) * 4)
        self._held = np.zeros((len(_EDGES) + 1) * 4)
        self._cell = np.zeros(width, np.int64)

    def probabilities(self) -> Probabilities:
        """Of a one at each position of the next line."""
        lags = sorted({1, self._reading.lag})
        near = [self._before[-lag] for lag in lags if lag <= len(self._before)]
        share = self._share(near)
        crossed = self._mean * (self._crossed + self._prior) / (self._expected + self._prior)
        self._expected += share if self._reading.fullness == _AS_TOLD else self._mean
        odds = _odds(crossed) * (_odds(share) / _odds(self._mean))
        neighbours = sum((line << index for index, line in enumerate(near)), np.zeros(self._width, np.int32))
        self._cell = np.searchsorted(_EDGES, odds) * 4 + neighbours
        learnt = (self._held[self._cell] + _CELL * (odds / (1 + odds))) / (self._seen[self._cell] + _CELL)
        return np.asarray(np.clip(learnt, _LEAST, 1 - _LEAST))

    def learn(self, line: NDArray[np.int32]) -> None:
        """The line that ``probabilities`` was asked about."""
        self._seen += np.bincount(self._cell, minlength=len(self._seen))
        self._held += np.bincount(self._cell, line, len(self._held))
        self._crossed += line
        self._before.append(line)

    def _share(self, near: list[NDArray[np.int32]]) -> float:
        """Of weights in the next line."""
        if self._reading.fullness == _AS_TOLD:
            length = int(self._told[len(self._before)])
            return _SIZES_TOLD[length] / self._width
        if self._reading.fullness == _AS_NEAR and near:
            held = sum(int(line.sum()) for line in near)
            return (held + _NEAR * self._mean) / (self._width * len(near) + _NEAR)
        return self._mean


def _odds(probability: Any) -> Any:
    bounded = np.clip(probability, _LEAST, 1 - _LEAST)
    return bounded / (1 - bounded)


_SIZES_TOLD = (0.0, 1.0, *(1.4 * 2.0**length for length in range(1, 63)))
"""How many weights a line may hold whose count has so many bits."""
