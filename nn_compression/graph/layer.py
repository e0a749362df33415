"""One layer of a network as numbers: what it reads, makes, holds and multiplies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Layer", "OtherParameters", "within"]


@dataclass(frozen=True)
class Layer:
    """A layer that multiplies, or looks up, weights.

    Args:
        name: dotted module path in the model; ``""`` for what the model's own ``forward`` multiplies by itself.
        kind: ``conv``, ``depthwise``, ``grouped``, ``linear``, ``lstm``, ``gru``, ``rnn``, ``attention``,
            ``embedding``; ``other`` for the matrix products that a user's module computes by itself, of its own
            parameters or of activations alone.
        inputs: channels or features that it reads; rows of an embedding.
        outputs: channels, features or units that it makes; of a recurrent module the units of one layer and direction.
        kernel: of a convolution; empty otherwise.
        stride: of a convolution; empty otherwise.
        groups: of a convolution; 1 otherwise.
        weights: multiplying parameters, biases apart.
        biases: those that no earlier layer holds.
        macs: multiply-accumulates of one example, all calls together.
        input_shape: of the first call, without the batch axis.
        output_shape: of the first call, without the batch axis.
        calls: how often it runs in one forward pass; its weights count once.
        shared: of the weights, those that an earlier layer holds too (tied weights).
        square: of the weights, those that multiply the module's own units, so that their number goes with the square
            of the units (recurrent and stacked layers).
    """

    name: str
    kind: str
    inputs: int
    outputs: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    groups: int
    weights: int
    biases: int
    macs: int
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    calls: int = 1
    shared: int = 0
    square: int = 0


@dataclass(frozen=True)
class OtherParameters:
    """Numbers that a model holds and no layer multiplies by.

    Args:
        name: dotted path of the norm, or of the parameter or buffer itself.
        kind: ``norm``; ``parameter`` (a scale, positions); ``buffer``; ``unused`` where the example input never gets to
            them.
        parameters: how many of them are trained.
        buffers: how many of them are not, and belong to the saved model (running statistics).
        channels: among how many channels they are spread evenly.
    """

    name: str
    kind: Literal["norm", "parameter", "buffer", "unused"]
    parameters: int
    buffers: int
    channels: int


def within(layer: str, path: str) -> bool:
    """Whether a layer is the module of a path, or lies in it."""
    return layer == path or layer.startswith(f"{path}.")
