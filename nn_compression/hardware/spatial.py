"""A spatial cloud accelerator, modelled: a large array of units that split into more, narrower ones.

A unit multiplies 8 by 8 bits in a cycle, or several narrower pairs of one sum: widths count as the next of 2, 4 and 8
bits (Bit Fusion, Sharma et al., ISCA 2018, sections III and IV). Rows hold the terms of a sum, columns the output
channels; what does not fill a row or a column is wasted. A depthwise layer sums nine terms at a time, which a narrower
width packs no better: on this machine its bits buy little time, where on a bit-serial one its activations' do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nn_compression.graph.tracing import Layer
from nn_compression.hardware.workload import Workload, traffic_bits
from nn_compression.quantization.bits import FLOAT, Bits

__all__ = ["Spatial"]

_UNIT = 8
"""Bits of a whole unit."""


@dataclass(frozen=True)
class Spatial:
    """A spatial accelerator. Every figure is modelled.

    Args:
        name: for tables.
        rows: units that add up into one sum.
        columns: sums at a time, each of an output channel, of any group.
        bus: bits that cross the memory bus in a cycle.
        clock: Hz (Bit Fusion, 45 nm).
        batch: examples that share one reading of the weights.
        joules_per_mac: of 8 by 8 bits (Horowitz, ISSCC 2014, figure 1.1.9: 45 nm, 0.2 pJ + 0.03 pJ).
        joules_per_bit: of the external memory (the same figure: 1.3 nJ for 64 bits at the least).
    """

    name: str = "cloud"
    rows: int = 16
    columns: int = 16
    bus: int = 1024
    clock: float = 500e6
    batch: int = 16
    joules_per_mac: float = 0.23e-12
    joules_per_bit: float = 1.3e-9 / 64

    def cycles(self, layer: Layer, bits: Bits = FLOAT) -> tuple[float, float]:
        """Cycles of the arithmetic and of the memory bus, for one example of a batch."""
        work = Workload.of(layer)
        units = math.ceil(work.reduction * _share(bits) / self.rows)
        columns = math.ceil(work.groups * work.outputs / self.columns)
        arithmetic = units * columns * work.positions if work.macs else 0
        return float(arithmetic), traffic_bits(layer, bits, self.batch) / self.bus

    def latency(self, layer: Layer, bits: Bits = FLOAT) -> float:
        """Seconds for one example: those of a batch over its size."""
        return max(self.cycles(layer, bits)) / self.clock

    def energy(self, layer: Layer, bits: Bits = FLOAT) -> float:
        """Joules for one example."""
        traffic = traffic_bits(layer, bits, self.batch)
        return layer.macs * _share(bits) * self.joules_per_mac + traffic * self.joules_per_bit


def _share(bits: Bits) -> float:
    """Units that one product takes: a quarter for 4 by 4 bits, four for 16 by 16."""
    return _width(bits.weights) * _width(bits.activations) / _UNIT**2


def _width(bits: int) -> int:
    return max(2, 1 << (bits - 1).bit_length())
