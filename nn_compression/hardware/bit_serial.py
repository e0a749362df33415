"""A bit-serial edge accelerator, modelled: time goes with weight bits times activation bits, or with the memory bus.

One lane multiplies one bit by one bit in a cycle, so that a product of w by a bits takes w·a lane cycles (Stripes, Judd
et al., MICRO 2016; Loom, Sharify et al., DAC 2018; BISMO, Umuroglu et al., FPL 2018). Reads, writes and arithmetic
overlap, so that the slower of them counts. A layer with few multiplications a value, as a depthwise convolution has, is
bound by the bus: halving its weight bits changes nothing, halving its activation bits halves its time, which is what
HAQ's latency table of such a machine shows (Wang et al., CVPR 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nn_compression.graph.tracing import Layer
from nn_compression.hardware.workload import Workload, traffic_bits
from nn_compression.quantization.bits import FLOAT, Bits

__all__ = ["BitSerial"]


@dataclass(frozen=True)
class BitSerial:
    """A bit-serial accelerator. Every figure is modelled.

    The defaults are of the size of BISMO on a PYNQ-Z1, the board of a Zynq-7020: 6.5 binary Tops, which are 16,384
    products and as many additions at 200 MHz; four memory ports of 64 bits.

    Args:
        name: for tables.
        lanes: products of single bits in a cycle.
        bus: bits that cross the memory bus in a cycle.
        clock: Hz.
        joules_per_product: of a product of single bits, with its share of the addition: 0.23 pJ for 8 by 8 bits
            (Horowitz, ISSCC 2014, figure 1.1.9: 45 nm, 0.2 pJ + 0.03 pJ) over 64.
        joules_per_bit: of the external memory (the same figure: 1.3 nJ for 64 bits at the least).
    """

    name: str = "edge"
    lanes: int = 16384
    bus: int = 256
    clock: float = 200e6
    joules_per_product: float = 0.23e-12 / 64
    joules_per_bit: float = 1.3e-9 / 64

    def cycles(self, layer: Layer, bits: Bits = FLOAT) -> tuple[int, int]:
        """Cycles of the arithmetic and of the memory bus."""
        products = Workload.of(layer).macs * bits.weights * bits.activations
        return math.ceil(products / self.lanes), math.ceil(traffic_bits(layer, bits) / self.bus)

    def latency(self, layer: Layer, bits: Bits = FLOAT) -> float:
        """Seconds for one example."""
        return max(self.cycles(layer, bits)) / self.clock

    def energy(self, layer: Layer, bits: Bits = FLOAT) -> float:
        """Joules for one example."""
        products = layer.macs * bits.weights * bits.activations
        return products * self.joules_per_product + traffic_bits(layer, bits) * self.joules_per_bit
