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

from nn_compression.byte_fields import ByteReader, damaged, number
from nn_compression.entropy import Bits, Drawn, Frequencies, Piece, Probabilities, StreamReader, cheapest

__all__ = ["position_piece", "read_positions"]

Flags: TypeAlias = NDArray[np.bool_]

_GAP_BITS = (3, 4, 5, 6, 8)
_LEAST = 2.0**-16
"""The least probability of a bit: the coder itself knows 24 bits of it."""
_CROSS, _NEAR, _CELL = 2.0, 24.0, 12.0
"""How many positions of average fullness a cross line, the lines near and a cell of the table begin with."""
_EDGES = np.array([mantissa * 2.0**exponent for exponent in range(-14, 6) for mantissa in (1.0, 1.5)])
"""The odds between which the table's cells lie."""
_LAGS = range(2, 65)
"""How far back a line may lie that resembles this one: the pixel above in a row-wise image of 64 columns at most."""
_PROBED = 1024
"""Lines on which the ways to read a matrix by lines are compared."""


def position_piece(present: Flags) -> Piece:
    """The cheapest way to say where the weights are.

    Args:
        present: shape (rows, columns), where a weight is.
    """
    count = Piece(number(int(present.sum())))
    if present.all() or not present.any():
        return count
    return count + cheapest([_gaps(present.reshape(-1)), _by_lines(present)])


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
        follow: it is as full as they are, too.
    """

    columns: bool
    lag: int
    follow: bool

    @property
    def field(self) -> bytes:
        return number(self.lag << 2 | self.follow << 1 | self.columns)

    @staticmethod
    def read(fields: ByteReader) -> _Reading:
        code = fields.number()
        if not 1 <= code >> 2 <= _LAGS.stop:
            raise damaged("its lines lie out of reach")
        return _Reading(bool(code & 1), code >> 2, bool(code & 2))


def _by_lines(present: Flags) -> Piece:
    readings = _readings(present)
    probes = [_bits(_lines(present, reading)[:_PROBED], reading) for reading in readings]
    best = min(range(len(readings)), key=lambda index: probes[index].bits / len(probes[index].symbols))
    return Piece(readings[best].field, [_bits(_lines(present, readings[best]), readings[best])])


def _lines(present: Flags, reading: _Reading) -> Flags:
    return present.T if reading.columns else present


def _readings(present: Flags) -> list[_Reading]:
    """Rows, whose order means nothing but in kernels; columns, with the lag at which they are most alike."""
    alike = {lag: int((present[:, lag:] & present[:, :-lag]).sum()) for lag in _LAGS if lag < present.shape[1]}
    lags = [1, max(alike, key=lambda lag: alike[lag])] if alike else [1]
    columns = [_Reading(True, lag, follow) for lag in lags for follow in (False, True)]
    return [_Reading(False, 1, False), _Reading(False, 1, True), *columns]


def _bits(lines: Flags, reading: _Reading) -> Bits:
    model = _LineModel(len(lines), lines.shape[1], int(lines.sum()), reading)
    ones = []
    for line in lines.astype(np.int32):
        ones.append(model.probabilities())
        model.learn(line)
    return Bits(lines.astype(np.int32).reshape(-1), np.concatenate(ones))


def _read_lines(fields: ByteReader, stream: StreamReader, shape: tuple[int, int], count: int) -> Flags:
    reading = _Reading.read(fields)
    rows, columns = shape[::-1] if reading.columns else shape
    model = _LineModel(rows, columns, count, reading)
    lines = np.zeros((rows, columns), np.int32)
    for index in range(rows):
        lines[index] = stream.bits(model.probabilities())
        model.learn(lines[index])
    if int(lines.sum()) != count:
        raise damaged("its weights are not as many as it says")
    return _lines(lines > 0, reading)


class _LineModel:
    """The probabilities of a line's bits, from the lines before it.

    The odds of a weight are those of its cross line, times those of the lines near over the average (naive Bayes). A
    table of what came of such odds beside such neighbours corrects them.
    """

    def __init__(self, lines: int, width: int, count: int, reading: _Reading) -> None:
        self._reading = reading
        self._mean = (count + 0.5) / (lines * width + 1)
        self._crossed = np.zeros(width)
        self._before: list[NDArray[np.int32]] = []
        self._seen = np.zeros((len(_EDGES) + 1) * 4)
        self._held = np.zeros((len(_EDGES) + 1) * 4)
        self._cell = np.zeros(width, np.int64)

    def probabilities(self) -> Probabilities:
        """Of a one at each position of the next line."""
        odds = _odds((self._crossed + _CROSS * self._mean) / (len(self._before) + _CROSS))
        near = self._near()
        if self._reading.follow and near:
            places, held = sum(len(line) for line in near), sum(int(line.sum()) for line in near)
            odds = odds * (_odds((held + _NEAR * self._mean) / (places + _NEAR)) / _odds(self._mean))
        neighbours = sum((line << index for index, line in enumerate(near)), np.zeros(len(odds), np.int32))
        self._cell = np.searchsorted(_EDGES, odds) * 4 + neighbours
        learnt = (self._held[self._cell] + _CELL * (odds / (1 + odds))) / (self._seen[self._cell] + _CELL)
        return np.asarray(np.clip(learnt, _LEAST, 1 - _LEAST))

    def learn(self, line: NDArray[np.int32]) -> None:
        """The line that ``probabilities`` was asked about."""
        self._seen += np.bincount(self._cell, minlength=len(self._seen))
        self._held += np.bincount(self._cell, line, len(self._held))
        self._crossed += line
        self._before.append(line)

    def _near(self) -> list[NDArray[np.int32]]:
        """The line before, and the one a lag back."""
        lags = sorted({1, self._reading.lag})
        return [self._before[-lag] for lag in lags if lag <= len(self._before)]


def _odds(probability: Any) -> Any:
    return probability / (1 - probability)
