"""What was kept of each layer of a network: channels, weights, MACs and bits, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from nn_compression.graph.tracing import Layer, NetworkGraph
from nn_compression.quantization.bits import FLOAT, Bits

__all__ = ["KeptLayer", "kept_layers", "nonzero_weights"]


@dataclass(frozen=True)
class KeptLayer:
    """One layer, before and after.

    Args:
        name: dotted path of the module.
        kind: as :class:`nn_compression.graph.tracing.Layer` has it.
        inputs, inputs_before: channels, features or units that it reads.
        outputs, outputs_before: that it makes.
        weights, weights_before: multiplying weights that are not zero.
        macs, macs_before: of one example; those of weights that are zero are counted, for they are computed.
        weight_bits, activation_bits: 32 where the layer is not quantized.
    """

    name: str
    kind: str
    inputs: int
    inputs_before: int
    outputs: int
    outputs_before: int
    weights: int
    weights_before: int
    macs: int
    macs_before: int
    weight_bits: int = 32
    activation_bits: int = 32

    def as_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def kept_layers(
    before: tuple[NetworkGraph, nn.Module], after: tuple[NetworkGraph, nn.Module], bits: Mapping[str, Bits]
) -> tuple[KeptLayer, ...]:
    """Two states of one network, layer by layer, in data-flow order.

    Args:
        before: the graph of the network that was compressed, and the network.
        after: the same of what became of it, before its numbers are rounded.
        bits: of the layers whose numbers are.
    """
    smaller = {layer.name: layer for layer in after[0].layers}
    rows = []
    for layer in before[0].layers:
        now, width = smaller[layer.name], bits.get(layer.name, FLOAT)
        rows.append(
            KeptLayer(
                name=layer.name,
                kind=layer.kind,
                inputs=now.inputs,
                inputs_before=layer.inputs,
                outputs=now.outputs,
                outputs_before=layer.outputs,
                weights=_nonzero(after[1], layer),
                weights_before=_nonzero(before[1], layer),
                macs=now.macs,
                macs_before=layer.macs,
                weight_bits=width.weights,
                activation_bits=width.activations,
            )
        )
    return tuple(rows)


def _nonzero(model: nn.Module, layer: Layer) -> int:
    """Multiplying weights of a layer that are not zero; those of two axes and more."""
    parameters = model.get_submodule(layer.name).parameters(recurse=layer.kind != "other")  # it has layers inside
    return sum(int(tensor.count_nonzero()) for tensor in parameters if tensor.dim() > 1)


def nonzero_weights(model: nn.Module) -> int:
    """Multiplying weights of a network that are not zero."""
    return sum(int(tensor.count_nonzero()) for tensor in model.parameters() if tensor.dim() > 1)
