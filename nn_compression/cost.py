"""What a network costs: multiply-accumulates and bytes, also of one with fewer channels that nobody has built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from torch import nn

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from nn_compression.channels.groups import ChannelGroup
from nn_compression.graph.layer import Layer
from nn_compression.graph.layer_widths import Integers, LayerWidths, SpreadNumbers
from nn_compression.graph.tracing import NetworkGraph
from nn_compression.quantization.bits import FLOAT_BITS

__all__ = ["ChannelCost", "raw_bytes"]


def raw_bytes(model: nn.Module) -> int:
    """Bytes of a state dict as it is in memory, tied weights once: what a budget of bytes is a share of."""
    tensors = {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


class ChannelCost:
    """The exact cost of a network with fewer channels, reckoned from its layers.

    The channels that a layer reads and makes are linear in the counts of the groups, and its MACs and weights are
    polynomials in both. All figures equal those of the graph of the smaller model, ``trace(prune(model, ...))``. All of
    them grow with every count. Designs come as a mapping (group -> channels that stay; a group that is not named keeps
    all), or many at once as integers of shape (..., groups), in the order of the groups and unchecked.

    Args:
        graph: of the whole network.
        groups: its groups of coupled channels.

    Raises:
        InputError: a group of which a layer that multiplies by itself (kind ``other``) reads channels: how its products
            shrink is not known.
    """

    def __init__(self, graph: NetworkGraph, groups: Sequence[ChannelGroup]) -> None:
        self.graph = graph
        self.groups = tuple(groups)
        self.names = tuple(group.name for group in self.groups)
        self._check_products()
        self._widths = LayerWidths(graph.layers, self.groups)
        self._rest = SpreadNumbers(graph.rest, self.groups)

    def _check_products(self) -> None:
        others = {layer.name: layer.name for layer in self.graph.layers if layer.kind == "other"}
        readers = {edge.source: edge.target for edge in self.graph.edges if edge.target in others} | others
        for group in self.groups:
            for member in group.members:
                if member.layer in others or (member.axis == "out" and member.layer in readers):
                    raise InputError(
                        f"the channels of {member.layer!r} are multiplied in the forward of "
                        f"{readers[member.layer] or 'the model'!r} itself: how that shrinks with them is not known",
                        place=f"channel group {group.name!r}",
                        remedy=f"keep this layer: --keep {member.layer}",
                    )

    # One design.

    def counts(self, kept: Mapping[str, int]) -> Integers:
        """Channels that stay by group as an array, shape (groups,); a group that is not named keeps all.

        Raises:
            InputError: a name of no group, or a count that is not from 1 to its channels.
        """
        for name, count in kept.items():
            if name not in self._whole:
                raise InputError(
                    f"there is no channel group {name!r}", remedy=did_you_mean(name, self.names, "the groups")
                )
            if not 1 <= count <= self._whole[name]:
                raise InputError(
                    f"{count} channels cannot be kept of {self._whole[name]}",
                    place=f"channel group {name!r}",
                    remedy=f"keep 1 to {self._whole[name]}",
                )
        return np.array([kept.get(group.name, group.channels) for group in self.groups], dtype=np.int64)

    @cached_property
    def _whole(self) -> Mapping[str, int]:
        return {group.name: group.channels for group in self.groups}

    def macs(self, counts: Mapping[str, int]) -> int:
        """Multiply-accumulates of one example."""
        return int(self.macs_of(self.counts(counts)))

    def weights(self, counts: Mapping[str, int]) -> int:
        """Multiplying parameters, biases apart, each once."""
        return int(self.weights_of(self.counts(counts)))

    def parameters(self, counts: Mapping[str, int]) -> int:
        """All parameters: weights, biases, those of norms and of what else the model holds."""
        return int(self.parameters_of(self.counts(counts)))

    def layers(self, counts: Mapping[str, int]) -> tuple[Layer, ...]:
        """The layers of the smaller network, as tracing it would give them."""
        return tuple(self._widths.narrowed(self.counts(counts)))

    # Many designs.

    def macs_of(self, counts: Integers) -> Integers:
        """Multiply-accumulates of one example: shape (..., groups) to (...)."""
        total: Integers = self._widths.macs(counts).sum(-1)
        return total

    def weights_of(self, counts: Integers) -> Integers:
        """Multiplying parameters: shape (..., groups) to (...)."""
        total: Integers = self.layer_weights_of(counts).sum(-1)
        return total

    def layer_weights_of(self, counts: Integers) -> Integers:
        """Multiplying parameters by layer: shape (..., groups) to (..., layers)."""
        return self._widths.weights(counts)

    def parameters_of(self, counts: Integers) -> Integers:
        """All parameters: shape (..., groups) to (...)."""
        biases: Integers = self._widths.biases(counts).sum(-1)
        return self.weights_of(counts) + biases + self._rest.parameters(counts)

    def bytes_of(self, counts: Integers) -> Integers:
        """Bytes of all numbers of the smaller model, stored densely in 32 bits: shape (..., groups) to (...)."""
        return FLOAT_BITS // 8 * (self.parameters_of(counts) + self._rest.buffers(counts))
