"""A layer as an accelerator sees it: a matrix product for each group, and what crosses its memory bus."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nn_compression.graph.tracing import Layer
from nn_compression.quantization.bits import Bits

__all__ = ["Workload", "traffic_bits"]


@dataclass(frozen=True)
class Workload:
    """Products of a matrix (outputs, reduction) and one (reduction, positions), one a group, for one example.

    Args:
        groups: of a convolution; 1 otherwise.
        outputs: channels of one group.
        reduction: terms of one sum: input channels of the group times the kernel's area.
        positions: of the output, or time steps.
        macs: of the layer, all groups.
    """

    groups: int
    outputs: int
    reduction: int
    positions: int
    macs: int

    @staticmethod
    def of(layer: Layer) -> Workload:
        """The products of a layer; exact for convolutions and linear layers.

        A recurrent or an attention layer is taken as one product with all its weights, of as many positions as give
        its multiplications.
        """
        groups = max(layer.groups, 1)
        if layer.kind in ("lstm", "gru", "rnn", "attention", "embedding", "other"):
            reduction = max(layer.inputs + (layer.outputs if layer.kind in ("lstm", "gru", "rnn") else 0), 1)
            outputs = max(math.ceil(layer.weights / reduction), 1)
        else:
            outputs, reduction = layer.outputs // groups, layer.weights // layer.outputs
        positions = math.ceil(layer.macs / (groups * outputs * reduction))
        return Workload(groups, outputs, reduction, positions, layer.macs)


def traffic_bits(layer: Layer, bits: Bits, batch: int = 1) -> float:
    """Bits that cross the memory bus for one example: weights once a batch, each value of the input twice.

    Of an embedding only the rows that are looked up, which examples do not share. A value is written and read at the
    width that its reader rounds it to, and its reader is charged for both; were a layer charged for its output at the
    width of its own input, a search could have wide maps written at the bits of narrow ones. A network's last output is
    charged to nobody.
    """
    values = 2 * layer.calls * math.prod(layer.input_shape)
    read: float = layer.weights * bits.weights / batch
    if layer.kind == "embedding":
        read = layer.calls * math.prod(layer.input_shape) * layer.outputs * bits.weights
    return read + values * bits.activations
