"""A network as a graph: its layers as nodes, the tensors between them as edges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn

from automl_core.space import Edge
from nn_compression.graph.layer import Layer, OtherParameters
from nn_compression.graph.recording import record

__all__ = ["Layer", "NetworkGraph", "OtherParameters", "trace"]


@dataclass(frozen=True)
class NetworkGraph:
    """The layers of a network, as they ran on one example.

    Args:
        layers: in data-flow order.
        edges: between layers, by the path that a tensor takes: ``forward``; ``residual`` (added to what another layer
            made), ``concatenated``, ``scale`` (multiplied with it); ``state`` (the first state of a recurrent module);
            ``memory`` (keys and values of an attention); ``recurrent`` (to a layer that runs again).
        rest: every parameter that is in no layer, and the buffers that are saved with the model.
    """

    layers: tuple[Layer, ...]
    edges: tuple[Edge, ...]
    rest: tuple[OtherParameters, ...] = ()

    @cached_property
    def by_name(self) -> Mapping[str, Layer]:
        """Layers by their names."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one example."""
        return sum(layer.macs for layer in self.layers)

    @cached_property
    def weights(self) -> int:
        """Multiplying parameters, each once."""
        return sum(layer.weights - layer.shared for layer in self.layers)

    @property
    def parameters(self) -> int:
        """All parameters of the model, each once."""
        return self.weights + sum(layer.biases for layer in self.layers) + sum(other.parameters for other in self.rest)

    @property
    def buffers(self) -> int:
        """Numbers that are saved with the model and not trained."""
        return sum(other.buffers for other in self.rest)

    def features(self) -> Mapping[str, Mapping[str, float]]:
        """What AMC's agent sees of each layer (He et al., "AMC", ECCV 2018, section 3.1), by name.

        ``index`` is 0 for the first layer and 1 for the last. Counts are logarithms (base 2 of channels, base 10 of
        weights and MACs), so that they mean the same in networks of other sizes; ``share_of_weights`` and
        ``share_of_macs`` are those of the whole network. AMC's "reduced" and "rest" change along a design: they come
        from a problem's ``allowed``.
        """
        return {layer.name: self._features(position, layer) for position, layer in enumerate(self.layers)}

    def _features(self, position: int, layer: Layer) -> Mapping[str, float]:
        return {
            "index": position / max(len(self.layers) - 1, 1),
            "inputs": math.log2(max(layer.inputs, 1)),
            "outputs": math.log2(max(layer.outputs, 1)),
            "stride": float(max(layer.stride, default=1)),
            "kernel": float(max(layer.kernel, default=1)),
            "weights": math.log10(1 + layer.weights),
            "macs": math.log10(1 + layer.macs),
            "share_of_weights": layer.weights / max(self.weights, 1),
            "share_of_macs": layer.macs / max(self.macs, 1),
            "depthwise": float(layer.kind == "depthwise"),
        }


def trace(model: nn.Module, example_input: Tensor | tuple[Tensor, ...]) -> NetworkGraph:
    """The graph of any module, by running it once, in evaluation mode and without gradients.

    The model stays as it was, bit for bit: a copy runs that shares its parameters. Data flow is followed through every
    operation, whatever Python code is between the layers; matrix products outside the known layers are counted too, at
    the innermost module that computes them. A layer that runs several times is one node: its MACs are added up, its
    weights count once. Only edges are lost where numbers leave torch on their way (numpy, ``tolist``).

    Args:
        model: any module.
        example_input: one example, as the model's forward takes it, with a batch axis of 1.

    Raises:
        InputError: the model cannot be run or followed (the module is named), or there are several examples.
    """
    layers, edges, rest = record(model, example_input)
    return NetworkGraph(layers, edges, rest)
