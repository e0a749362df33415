"""Layers with fewer channels as polynomials: of the channels that they read and make, which are linear in the counts.

With i channels read and o made, a convolution of g groups and kernel area k holds k i o / g weights, a depthwise one
k o; a linear layer i o; an LSTM of one layer 4 o (i + o), stacked layers more of the second kind; an attention whose
heads are o wide in all holds 4 E o, where the width E it reads and makes is fixed. MACs are the weights times the
positions where they are used; an attention has its two products besides, which go with o as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from automl_core.errors import InputError
from nn_compression.channels.groups import ChannelGroup
from nn_compression.graph.layer import Layer, OtherParameters

__all__ = ["Integers", "LayerWidths", "SpreadNumbers"]

Integers = NDArray[np.int64]

_RECURRENT = ("lstm", "gru", "rnn")

_UNITS = 3
"""Biases for each channel of the heads of an attention: of its query, key and value."""


class _Polynomial(NamedTuple):
    """``both * (i / groups) * o + made * o + squared * o * o + fixed``."""

    both: int = 0
    made: int = 0
    squared: int = 0
    fixed: int = 0

    def times(self, factor: int) -> _Polynomial:
        return _Polynomial(*(factor * coefficient for coefficient in self))


@dataclass(frozen=True)
class _Rule:
    """How the figures of one layer go with its channels; ``made`` is what ``o`` is at full width."""

    made: int
    weights: _Polynomial
    macs: _Polynomial
    biases: _Polynomial


class _Sizes:
    """Linear in the counts: what a side of each of several parts still holds."""

    def __init__(self, whole: Sequence[int], members: Sequence[Sequence[tuple[int, int]]], groups: Integers) -> None:
        """``members``: of each part, (position of the group, entries a channel)."""
        self._slopes = np.zeros((len(groups), len(whole)))  # floats multiply faster, and hold these numbers exactly
        for part, own in enumerate(members):
            for group, entries in own:
                self._slopes[group, part] += entries
        self._full = np.array(whole, dtype=np.int64)
        self._groups = groups

    def at(self, counts: Integers) -> Integers:
        """Shape (..., groups) to (..., parts)."""
        lost: Integers = ((self._groups - counts) @ self._slopes).astype(np.int64)
        return self._full - lost


class LayerWidths:
    """The layers of a network at any counts of its channel groups.

    Args:
        layers: of the whole network.
        groups: of coupled channels.

    Raises:
        InputError: channels of a layer that shares a part of its weights with another, or whose weights are no
            parameters.
    """

    def __init__(self, layers: Sequence[Layer], groups: Sequence[ChannelGroup]) -> None:
        self.layers = tuple(layers)
        full = np.array([group.channels for group in groups], dtype=np.int64)
        made = [_made(layer, groups) for layer in layers]
        read = [_members(layer.name, "in", groups) for layer in layers]
        touching = [[groups[at] for at, _ in (*one, *other)] for one, other in zip(made, read, strict=True)]
        rules = [_rule(layer, own, groups) for layer, own in zip(layers, made, strict=True)]
        self._inputs = _Sizes([layer.inputs for layer in layers], read, full)
        self._outputs = _Sizes([rule.made for rule in rules], made, full)
        self._divisor = np.array([layer.groups if layer.kind == "grouped" else 1 for layer in layers], dtype=np.int64)
        self._undivided = bool((self._divisor == 1).all())
        self._weights = _columns([rule.weights for rule in rules])
        self._macs = _columns([rule.macs for rule in rules])
        self._biases = _columns([rule.biases for rule in rules])
        self._held = _columns([_held(*each) for each in zip(layers, rules, touching, strict=True)])

    def macs(self, counts: Integers) -> Integers:
        """Shape (..., groups) to (..., layers)."""
        return self._value(self._macs, counts)

    def weights(self, counts: Integers) -> Integers:
        """Those that no earlier layer holds: shape (..., groups) to (..., layers)."""
        return self._value(self._held, counts)

    def biases(self, counts: Integers) -> Integers:
        """Shape (..., groups) to (..., layers)."""
        return self._value(self._biases, counts)

    def _value(self, columns: Integers, counts: Integers) -> Integers:
        inputs, outputs = self._inputs.at(counts), self._outputs.at(counts)
        both, made, squared, fixed = columns
        read = inputs if self._undivided else inputs // self._divisor  # grouped convolutions read multiples of it
        value: Integers = (both * read + made + squared * outputs) * outputs + fixed
        return value

    def narrowed(self, counts: Integers) -> Iterator[Layer]:
        """The layers at one design, shape (groups,), as tracing the smaller model gives them."""
        columns = (
            self._inputs.at(counts),
            self._outputs.at(counts),
            self._value(self._weights, counts),
            self.biases(counts),
            self.macs(counts),
            self.weights(counts),
        )
        for layer, *row in zip(self.layers, *(column.tolist() for column in columns), strict=True):
            inputs, outputs, weights, biases, macs, held = row
            figures = {"weights": weights, "biases": biases, "macs": macs, "shared": weights - held}
            yield replace(_reshaped(layer, inputs, outputs), **figures)


class SpreadNumbers:
    """Parameters and buffers that go along with channels, at any counts.

    Args:
        others: what a network holds beside its layers.
        groups: of coupled channels.
    """

    def __init__(self, others: Sequence[OtherParameters], groups: Sequence[ChannelGroup]) -> None:
        full = np.array([group.channels for group in groups], dtype=np.int64)
        members = [_members(other.name, "out", groups) for other in others]
        self._channels = _Sizes([other.channels for other in others], members, full)
        self._divisor = np.array([other.channels for other in others], dtype=np.int64)
        self._parameters = np.array([other.parameters for other in others], dtype=np.int64)
        self._buffers = np.array([other.buffers for other in others], dtype=np.int64)

    def parameters(self, counts: Integers) -> Integers:
        """Shape (..., groups) to (...)."""
        return self._total(self._parameters, counts)

    def buffers(self, counts: Integers) -> Integers:
        """Shape (..., groups) to (...)."""
        return self._total(self._buffers, counts)

    def _total(self, whole: Integers, counts: Integers) -> Integers:
        total: Integers = (whole * self._channels.at(counts) // self._divisor).sum(-1)
        return total


def _members(name: str, axis: str, groups: Sequence[ChannelGroup]) -> list[tuple[int, int]]:
    """(position of the group, entries a channel) of every group that has channels in a side of a layer."""
    return [
        (position, member.block)
        for position, group in enumerate(groups)
        for member in group.members
        if (member.layer, member.axis) == (name, axis)
    ]


def _made(layer: Layer, groups: Sequence[ChannelGroup]) -> list[tuple[int, int]]:
    """Of the channels that a layer makes; the copies of a recurrent module have one width, and it counts once."""
    found = _members(layer.name, "out", groups)
    return found[:1] if layer.kind in _RECURRENT else found


def _columns(polynomials: Sequence[_Polynomial]) -> Integers:
    """Shape (4, layers)."""
    return np.array(polynomials, dtype=np.int64).reshape(-1, 4).T


def _held(layer: Layer, rule: _Rule, groups: Sequence[ChannelGroup]) -> _Polynomial:
    """The weights that no earlier layer holds."""
    if not layer.weights and layer.kind in _WEIGHTS:
        _refuse(groups, f"the layer {layer.name!r} has weights that are no parameters")
    if layer.shared == layer.weights:
        return _Polynomial()
    if layer.shared:
        _refuse(groups, f"the layer {layer.name!r} shares {layer.shared} of its {layer.weights} weights with another")
    return rule.weights._replace(fixed=rule.weights.fixed - layer.shared)


def _refuse(groups: Sequence[ChannelGroup], problem: str) -> None:
    """Refuse the groups that have channels in a layer, if there are any."""
    for group in groups:
        maker = next((member.layer for member in group.members if member.axis == "out"), group.name)
        remedy = f"keep these channels: --keep {maker}"
        raise InputError(problem, place=f"channel group {group.name!r}", remedy=remedy)


def _rule(layer: Layer, made: Sequence[tuple[int, int]], groups: Sequence[ChannelGroup]) -> _Rule:
    if layer.kind == "attention" and made:
        return _heads(layer, groups[made[0][0]].channels)
    if layer.kind not in _WEIGHTS or not layer.weights:
        fixed = (_Polynomial(fixed=number) for number in (layer.weights, layer.macs, layer.biases))
        return _Rule(layer.outputs, *fixed)
    weights = _WEIGHTS[layer.kind](layer, bool(made))
    biases = _Polynomial(made=layer.biases // layer.outputs)
    return _Rule(layer.outputs, weights, weights.times(layer.macs // layer.weights), biases)


def _heads(layer: Layer, inner: int) -> _Rule:
    biases = _Polynomial(made=_UNITS, fixed=layer.biases - _UNITS * inner) if layer.biases else _Polynomial()
    return _Rule(inner, _Polynomial(made=layer.weights // inner), _Polynomial(made=layer.macs // inner), biases)


def _of_both(layer: Layer, _: bool) -> _Polynomial:
    return _Polynomial(both=layer.weights * layer.groups // (layer.inputs * layer.outputs))


def _of_made(layer: Layer, _: bool) -> _Polynomial:
    return _Polynomial(made=layer.weights // layer.outputs)


def _of_units(layer: Layer, pruned: bool) -> _Polynomial:
    both = (layer.weights - layer.square) // (layer.inputs * layer.outputs)
    if not pruned:  # an LSTM with projections has other numbers of weights, and is never pruned
        return _Polynomial(both=both, fixed=layer.square)
    return _Polynomial(both=both, squared=layer.square // layer.outputs**2)


_WEIGHTS: Mapping[str, Callable[[Layer, bool], _Polynomial]] = {
    "conv": _of_both,
    "grouped": _of_both,
    "linear": _of_both,
    "depthwise": _of_made,
    "embedding": _of_made,
    **dict.fromkeys(_RECURRENT, _of_units),
}


def _reshaped(layer: Layer, inputs: int, outputs: int) -> Layer:
    """With other channels; the figures that follow from them are still the old ones."""
    if layer.kind in ("attention", "other"):
        return layer
    axis = -len(layer.kernel) - 1
    made = layer.output_shape[axis] * outputs // layer.outputs
    read = layer.input_shape if layer.kind == "embedding" else _with(layer.input_shape, axis, inputs)
    parts = inputs if layer.kind == "depthwise" else layer.groups
    kind = layer.kind
    if layer.kernel:
        kind = "conv" if parts == 1 else "depthwise" if parts == inputs else "grouped"
    square = layer.square if outputs == layer.outputs else layer.square * outputs**2 // layer.outputs**2
    changed = replace(layer, kind=kind, inputs=inputs, outputs=outputs, groups=parts, square=square)
    return replace(changed, input_shape=read, output_shape=_with(layer.output_shape, axis, made))


def _with(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    changed = list(shape)
    changed[axis] = size
    return tuple(changed)
