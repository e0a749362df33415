"""A machine given by its peaks, modelled: the slower of its arithmetic and its memory (Williams et al., CACM 2009).

One YAML file::

    name: my board
    peak_macs_per_second: {32: 20e9, 8: 80e9}     # or one number, for every width
    bytes_per_second: 4e9
    joules_per_mac: {32: 4.6e-12, 8: 0.23e-12}    # these two may be left out: there are no energies then
    joules_per_byte: 160e-12

A layer is computed at the narrowest width listed that holds both its weights and its activations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from automl_core.errors import InputError
from automl_core.validation import read_document
from nn_compression.graph.tracing import Layer
from nn_compression.hardware.workload import traffic_bits
from nn_compression.quantization.bits import FLOAT, FLOAT_BITS, Bits

__all__ = ["Roofline", "read_roofline"]


@dataclass(frozen=True)
class Roofline:
    """A machine by its peaks. Every figure is modelled.

    Args:
        name: for tables.
        peak_macs_per_second: by the width of the arithmetic in bits; the widest serves what is wider still.
        bytes_per_second: of the memory.
        joules_per_mac: by width; ``None``: unknown.
        joules_per_byte: of the memory; ``None``: unknown.
    """

    name: str
    peak_macs_per_second: Mapping[int, float]
    bytes_per_second: float
    joules_per_mac: Mapping[int, float] | None = None
    joules_per_byte: float | None = None

    def latency(self, layer: Layer, bits: Bits = FLOAT) -> float:
        """Seconds for one example."""
        arithmetic = layer.macs / _at_width(self.peak_macs_per_second, bits)
        return max(arithmetic, traffic_bits(layer, bits) / 8 / self.bytes_per_second)

    def energy(self, layer: Layer, bits: Bits = FLOAT) -> float:
        """Joules for one example.

        Raises:
            InputError: the machine's energies are not known.
        """
        if self.joules_per_mac is None or self.joules_per_byte is None:
            remedy = "add joules_per_mac and joules_per_byte to its file"
            raise InputError("its energies are not given", place=f"hardware {self.name}", remedy=remedy)
        arithmetic = layer.macs * _at_width(self.joules_per_mac, bits)
        return arithmetic + traffic_bits(layer, bits) / 8 * self.joules_per_byte


def _at_width(figures: Mapping[int, float], bits: Bits) -> float:
    needed = max(bits.weights, bits.activations)
    return figures[min((width for width in figures if width >= needed), default=max(figures))]


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is no number; write it as 20e9") from None
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{value} is not above zero; give a positive number")
    return number


def _by_width(value: Any) -> dict[int, float]:
    if not isinstance(value, dict):
        return {FLOAT_BITS: _number(value)}
    if not value:
        raise ValueError("there is no width; write {32: 20e9, 8: 80e9}")
    widths = {}
    for width, figure in value.items():
        if not str(width).isdecimal() or not 1 <= int(width) <= FLOAT_BITS:
            raise ValueError(f"{width!r} is no width in bits; give 1 to {FLOAT_BITS}")
        widths[int(width)] = _number(figure)
    return widths


_Positive = Annotated[float, BeforeValidator(_number)]
_ByWidth = Annotated[dict[int, float], BeforeValidator(_by_width)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = None
    peak_macs_per_second: _ByWidth
    bytes_per_second: _Positive
    joules_per_mac: _ByWidth | None = None
    joules_per_byte: _Positive | None = None


def read_roofline(path: Path) -> Roofline:
    """Read a machine from its file.

    Raises:
        InputError: with file, line and value: whatever is wrong with it.
    """
    source, document = read_document(path, _Document)
    if (document.joules_per_mac is None) != (document.joules_per_byte is None):
        given, missing = ("joules_per_byte", "joules_per_mac")
        if document.joules_per_mac is not None:
            given, missing = missing, given
        place = source.place((given,))
        raise InputError(f"{given} is given without {missing}", place=place, remedy=f"add {missing}, or leave both out")
    return Roofline(
        document.name or path.stem,
        document.peak_macs_per_second,
        document.bytes_per_second,
        document.joules_per_mac,
        document.joules_per_byte,
    )
