"""Linear quantization at 1 to 8 bits a layer, as HAQ searches it (Wang et al., CVPR 2019): rounded in float arithmetic.

Weights are rounded for each output channel to symmetric integers; the input of a layer to evenly spaced levels that
include zero, between two clipping points calibrated on data. Both ranges have the least squared error.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from nn_compression.graph.execution import refuse_computed_weights
from nn_compression.quantization.activation_range import ActivationRange, Histogram
from nn_compression.quantization.bits import FLOAT, FLOAT_BITS, Bits
from nn_compression.quantization.quantized_layers import (
    QuantizedLayer,
    QuantizedWeight,
    check_bits,
    plain_kind,
    quantized_kind,
    rounds_inputs,
    weights_of,
)
from nn_compression.tasks import Forward, call

__all__ = [
    "Bits",
    "Calibration",
    "QuantizedWeight",
    "frozen",
    "is_quantized",
    "plain",
    "quantizable",
    "quantize",
    "quantized_weights",
]


def quantize(
    model: nn.Module, bits: Mapping[str, Bits], calibration: Tensor | None, *, forward: Forward = call
) -> nn.Module:
    """A copy of a model that computes with rounded weights and activations, and can be trained on.

    Args:
        model: unchanged.
        bits: by the layer's name; layers that are not named stay as they are.
        calibration: inputs to choose the clipping of activations by, shape (examples, ...). ``None``: the ranges come
            from a state dict that is loaded afterwards.
        forward: (model, inputs) -> outputs.

    Raises:
        InputError: no layer has that name, or it cannot be quantized so.
    """
    if calibration is None:
        return _quantized(model, bits, {})
    rounded_inputs = [name for name, layer_bits in bits.items() if layer_bits.activations < FLOAT_BITS]
    return Calibration(model, calibration, layers=rounded_inputs, forward=forward).quantized(bits)


def quantizable(model: nn.Module) -> tuple[str, ...]:
    """The names of the layers that can be quantized, in the order of the model's modules; none with a tied weight."""
    tied = _tied(model)
    return tuple(
        name for name, layer in model.named_modules() if quantized_kind(layer) is not None and name not in tied
    )


class Calibration:
    """What a model's activations looked like, so that any candidate's ranges are looked up.

    The model is run once. Ranges and rounded weights are made when a width is first asked for, and kept.

    Args:
        model: unchanged; what it computes must not change afterwards either.
        inputs: shape (examples, ...).
        layers: those whose input may be quantized; by default every layer that can be.
        forward: (model, inputs) -> outputs.
        batch: examples at a time.

    Raises:
        InputError: no layer has one of these names.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        *,
        layers: Sequence[str] | None = None,
        forward: Forward = call,
        batch: int = 64,
    ) -> None:
        self.model = model
        by_name = dict(model.named_modules())
        names = quantizable(model) if layers is None else layers
        self._histograms = {name: Histogram() for name in names if rounds_inputs(_layer(by_name, name))}
        _observe(model, self._histograms, inputs, forward, batch)
        self._weights: dict[tuple[str, int], Mapping[str, QuantizedWeight]] = {}
        self._scratch: _Scratch | None = None

    def range(self, layer: str, bits: int) -> ActivationRange:
        """The range that a layer's input is clipped to.

        Raises:
            InputError: the layer was not looked at, the inputs never reach it, or reach it as what is no number.
        """
        if layer not in self._histograms:
            remedy = did_you_mean(layer, self._histograms, "the layers looked at")
            raise InputError(f"the input of the layer {layer!r} was not calibrated", remedy=remedy)
        if self._histograms[layer].empty:
            remedy = "leave its activations at 32 bits"
            raise InputError(f"no calibration input reaches the layer {layer!r}", remedy=remedy)
        if not self._histograms[layer].finite:
            remedy = "leave its activations at 32 bits, or see to it that what reaches it is finite"
            raise InputError(f"NaN or infinity reaches the layer {layer!r} in calibration", remedy=remedy)
        return self._histograms[layer].range(bits)

    def quantized(self, bits: Mapping[str, Bits]) -> nn.Module:
        """A quantized copy of the model, to be trained or kept.

        Raises:
            InputError: no layer has that name, or it cannot be quantized so.
        """
        return _quantized(self.model, bits, self._ranges(bits))

    @torch.no_grad()
    def candidate(self, bits: Mapping[str, Bits]) -> nn.Module:
        """The quantized model, to be evaluated and forgotten: valid until the next call, which writes over it.

        Raises:
            InputError: no layer has that name, or it cannot be quantized so.
        """
        ranges = self._ranges(bits)
        if self._scratch is None:
            self._scratch = _Scratch(self.model)
        self._scratch.restore()
        for name, layer_bits in bits.items():
            if layer_bits != FLOAT:
                layer = _turned(self._scratch.layers[name])
                layer.hold(layer_bits, self.rounded(name, layer_bits.weights), ranges.get(name))
        return self._scratch.model

    def _ranges(self, bits: Mapping[str, Bits]) -> dict[str, ActivationRange]:
        _check(self.model, bits)
        widths = {name: layer_bits.activations for name, layer_bits in bits.items()}
        return {name: self.range(name, width) for name, width in widths.items() if width < FLOAT_BITS}

    def rounded(self, name: str, bits: int) -> Mapping[str, QuantizedWeight]:
        """The rounded weights of a layer, by parameter; none where they stay floats."""
        if bits == FLOAT_BITS:
            return {}
        if (name, bits) not in self._weights:
            weights = weights_of(self.model.get_submodule(name))
            self._weights[name, bits] = {key: QuantizedWeight.of(weight, bits) for key, weight in weights}
        return self._weights[name, bits]


class _Scratch:
    """A copy of a model that candidates are written into."""

    def __init__(self, model: nn.Module) -> None:
        self.model = copy.deepcopy(model).eval()
        self.layers = dict(self.model.named_modules())
        self._pairs = list(zip(_tensors(self.model), _tensors(model), strict=True))

    def restore(self) -> None:
        """Make it the model again: weights may be rounded, and batch-norm statistics recalibrated."""
        for layer in self.layers.values():
            if isinstance(layer, QuantizedLayer):
                _turn_back(layer)
        for here, there in self._pairs:
            here.copy_(there)


def is_quantized(model: nn.Module) -> bool:
    """Whether a layer of the model computes with rounded weights or a rounded input."""
    return any(isinstance(layer, QuantizedLayer) for layer in model.modules())


def quantized_weights(model: nn.Module) -> dict[str, QuantizedWeight]:
    """The integers and scales of a quantized model's weights, by their key in its state dict."""
    return {
        f"{name}.{key}" if name else key: weight
        for name, layer in model.named_modules()
        if isinstance(layer, QuantizedLayer)
        for key, weight in layer.quantized_weights().items()
    }


@torch.no_grad()
def frozen(model: nn.Module) -> nn.Module:
    """A copy of a quantized model for inference: its parameters hold the rounded values, inputs are still rounded."""
    copied = copy.deepcopy(model).eval()
    for layer in copied.modules():
        if isinstance(layer, QuantizedLayer):
            for key, weight in layer.quantized_weights().items():
                cast(Tensor, getattr(layer, key)).copy_(weight.values())
            layer.frozen = True
    return copied


def plain(model: nn.Module) -> nn.Module:
    """A copy of a quantized model in torch's own layers: weights hold the rounded values, inputs stay as they are."""
    copied = frozen(model)
    for layer in copied.modules():
        if isinstance(layer, QuantizedLayer):
            _turn_back(layer)
    return copied


def _quantized(model: nn.Module, bits: Mapping[str, Bits], ranges: Mapping[str, ActivationRange]) -> nn.Module:
    _check(model, bits)
    copied = copy.deepcopy(model)
    layers = dict(copied.named_modules())
    for name, layer_bits in bits.items():
        if layer_bits != FLOAT:
            _turned(layers[name]).begin(layer_bits, ranges.get(name))
    return copied


def _check(model: nn.Module, bits: Mapping[str, Bits]) -> None:
    refuse_computed_weights(model)
    layers, tied = dict(model.named_modules()), _tied(model)
    for name, layer_bits in bits.items():
        check_bits(name, _layer(layers, name), layer_bits)
        if name in tied and layer_bits.weights < FLOAT_BITS:
            remedy = f"leave its weights at {FLOAT_BITS} bits, or give it a weight of its own"
            problem = f"the layer {name!r} shares its weight with {tied[name]!r}, which would be rounded with it"
            raise InputError(problem, remedy=remedy)


def _tied(model: nn.Module) -> dict[str, str]:
    """The layers of which another one holds a weight, too, and that other one."""
    holders: dict[int, list[str]] = {}
    for name, layer in model.named_modules():
        for parameter in layer.parameters(recurse=False):
            holders.setdefault(id(parameter), []).append(name)
    return {
        name: next((other for other in holders[id(weight)] if other != name), name)
        for name, layer in model.named_modules()
        for _, weight in weights_of(layer)
        if len(holders[id(weight)]) > 1
    }


def _turned(layer: nn.Module) -> QuantizedLayer:
    """A layer made its quantized kind, in place: whoever holds it, and hooks on it, go on with it."""
    kind = quantized_kind(layer)
    if kind is not None:
        layer.__class__ = kind
    return cast(QuantizedLayer, layer)


def _turn_back(layer: QuantizedLayer) -> None:
    layer.end()
    cast(nn.Module, layer).__class__ = plain_kind(layer)


def _layer(by_name: Mapping[str, nn.Module], name: str) -> nn.Module:
    if name not in by_name:
        names = [known for known, layer in by_name.items() if quantized_kind(layer) is not None]
        raise InputError(f"the model has no layer {name!r}", remedy=did_you_mean(name, names, "its layers"))
    return by_name[name]


@torch.no_grad()
def _observe(model: nn.Module, seen: Mapping[str, Histogram], inputs: Tensor, forward: Forward, batch: int) -> None:
    """Run the model in evaluation mode, and show the histograms what reaches their layers."""
    training = [module for module in model.modules() if module.training]
    device = next((parameter.device for parameter in model.parameters()), inputs.device)
    hooks = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda _, given, named, seen=histogram: seen.add([*given, *named.values()][0]), with_kwargs=True
        )
        for name, histogram in seen.items()
    ]
    try:
        model.eval()
        for part in torch.split(inputs, batch) if seen else ():
            forward(model, part.to(device))
    finally:
        for hook in hooks:
            hook.remove()
        for module in training:
            module.training = True


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
