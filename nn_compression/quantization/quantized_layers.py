"""Layers that compute with rounded weights and inputs, and train through the rounding.

A quantized layer is the layer it was, of a subclass: its parameters keep their names and their float values, which
training goes on to change; scales are buffers beside them, saved in the state dict.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from automl_core.errors import InputError
from nn_compression.quantization.activation_range import ActivationRange
from nn_compression.quantization.bits import FLOAT_BITS, Bits
from nn_compression.quantization.levels import (
    activation_levels,
    along_first,
    best_weight_scale,
    integers_of,
    rounded,
    weight_levels,
)

__all__ = [
    "QuantizedConv1d",
    "QuantizedConv2d",
    "QuantizedConv3d",
    "QuantizedGRU",
    "QuantizedLSTM",
    "QuantizedLayer",
    "QuantizedLinear",
    "QuantizedWeight",
    "check_bits",
    "plain_kind",
    "quantized_kind",
    "rounds_inputs",
    "weights_of",
]

if TYPE_CHECKING:
    _Module = nn.Module
else:
    _Module = object


@dataclass(frozen=True, eq=False)
class QuantizedWeight:
    """A weight as it is stored: what it computes with is ``integers * scale``, exactly.

    Args:
        bits: width of an integer.
        integers: int8, shape (channels, ...); -1 and 1 where there is one bit.
        scale: float32, shape (channels,).
    """

    bits: int
    integers: Tensor
    scale: Tensor

    @staticmethod
    def of(weight: Tensor, bits: int, scale: Tensor | None = None) -> QuantizedWeight:
        """Round a weight, shape (channels, ...), with its best scale or a given one."""
        values = weight.detach()
        scale = best_weight_scale(values, bits) if scale is None else scale.detach()
        integers = integers_of(values, along_first(scale, values.ndim), weight_levels(bits))
        return QuantizedWeight(bits, integers.to(torch.int8), scale)

    def values(self) -> Tensor:
        """The weight in float32."""
        return self.integers.float().mul_(along_first(self.scale, self.integers.ndim))


def _stay_in_use(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
    """A hook that changes nothing: where one is, ``nn.TransformerEncoderLayer`` calls its layers.

    Without, its fast path takes their float weights and leaves their ``forward`` out.
    """


class QuantizedLayer(_Module):
    """What quantized layers have in common; always beside a torch layer.

    Attributes:
        bits: of the weights and of the input.
        frozen: whether the parameters hold rounded values, so that nothing is left to be done to them.
    """

    bits: Bits
    frozen: bool
    _lowest: int
    _bypass: RemovableHandle

    def begin(self, bits: Bits, clipped: ActivationRange | None) -> None:
        """Find the scales of the weights, and make the buffers.

        Args:
            bits: of the layer.
            clipped: the range of the input; ``None``: to come from a state dict (until then outputs are NaN).
        """
        self._begin(bits, frozen=False)
        if bits.weights < FLOAT_BITS:
            for name, weight in weights_of(self):
                self.register_buffer(f"{name}_scale", best_weight_scale(weight, bits.weights))
        self._clip(clipped)

    @torch.no_grad()
    def hold(self, bits: Bits, weights: Mapping[str, QuantizedWeight], clipped: ActivationRange | None) -> None:
        """Take rounded weights into the parameters, for a model that is not trained on."""
        self._begin(bits, frozen=True)
        for name, weight in weights.items():
            cast(Tensor, getattr(self, name)).copy_(weight.values())
            self.register_buffer(f"{name}_scale", weight.scale)
        self._clip(clipped)

    def end(self) -> None:
        """Take the buffers away, before the layer becomes what it was."""
        self._bypass.remove()
        for name in [name for name in self._buffers if name.endswith("_scale") or name == "activation_low"]:
            del self._buffers[name]

    def _begin(self, bits: Bits, *, frozen: bool) -> None:
        self.bits, self.frozen = bits, frozen
        self._bypass = self.register_forward_pre_hook(_stay_in_use)

    def _clip(self, clipped: ActivationRange | None) -> None:
        self._lowest = clipped.low if clipped else 0
        if self.bits.activations < FLOAT_BITS:
            scale, device = clipped.scale if clipped else float("nan"), next(self.parameters()).device
            self.register_buffer("activation_scale", torch.tensor(scale, device=device))
            self.register_buffer("activation_low", torch.tensor(self._lowest, dtype=torch.int32, device=device))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *others)
        if self.bits.activations < FLOAT_BITS:
            self._lowest = int(cast(Tensor, self.activation_low))

    def quantized_weights(self) -> dict[str, QuantizedWeight]:
        """The weights as integers and scales, by parameter; none where they stay floats."""
        if self.bits.weights == FLOAT_BITS:
            return {}
        scales = {name: cast(Tensor, getattr(self, f"{name}_scale")) for name, _ in weights_of(self)}
        return {name: QuantizedWeight.of(weight, self.bits.weights, scales[name]) for name, weight in weights_of(self)}

    def rounded_weight(self, name: str) -> Tensor:
        """The weight that the layer computes with."""
        weight = cast(Tensor, getattr(self, name))
        if self.frozen or self.bits.weights == FLOAT_BITS:
            return weight
        scale = along_first(cast(Tensor, getattr(self, f"{name}_scale")), weight.ndim)
        return rounded(weight, scale, weight_levels(self.bits.weights), clips=False)

    def rounded_input(self, values: Tensor) -> Tensor:
        """The input that the layer computes with."""
        if self.bits.activations == FLOAT_BITS:
            return values
        levels = activation_levels(self.bits.activations, self._lowest)
        return rounded(values, cast(Tensor, self.activation_scale), levels)


_WEIGHT = re.compile(r"weight(_(ih|hh|hr)_l\d+(_reverse)?)?")


def weights_of(layer: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters that are rounded, by name: the weights, not the biases."""
    return [(name, value) for name, value in layer.named_parameters(recurse=False) if _WEIGHT.fullmatch(name)]


class QuantizedConv1d(QuantizedLayer, nn.Conv1d):
    """A convolution with rounded weights and input."""

    def forward(self, input: Tensor) -> Tensor:
        """As the layer that it was."""
        output: Tensor = self._conv_forward(self.rounded_input(input), self.rounded_weight("weight"), self.bias)
        return output


class QuantizedConv2d(QuantizedLayer, nn.Conv2d):
    """A convolution with rounded weights and input."""

    def forward(self, input: Tensor) -> Tensor:
        """As the layer that it was."""
        output: Tensor = self._conv_forward(self.rounded_input(input), self.rounded_weight("weight"), self.bias)
        return output


class QuantizedConv3d(QuantizedLayer, nn.Conv3d):
    """A convolution with rounded weights and input."""

    def forward(self, input: Tensor) -> Tensor:
        """As the layer that it was."""
        output: Tensor = self._conv_forward(self.rounded_input(input), self.rounded_weight("weight"), self.bias)
        return output


class QuantizedLinear(QuantizedLayer, nn.Linear):
    """A linear layer with rounded weights and input."""

    def forward(self, input: Tensor) -> Tensor:
        """As the layer that it was."""
        return functional.linear(self.rounded_input(input), self.rounded_weight("weight"), self.bias)


class _QuantizedRecurrent(QuantizedLayer):
    """Rounded weights of a recurrent layer: its kernel takes them as one list, which is set for the call."""

    _flat_weights: list[nn.Parameter | None]
    _flat_weights_names: list[str]

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """As the layer that it was."""
        plain = self._flat_weights
        rounded_weights = [
            self.rounded_weight(name) if name.startswith("weight") else weight
            for name, weight in zip(self._flat_weights_names, plain, strict=True)
        ]
        self._flat_weights = cast(list[nn.Parameter | None], rounded_weights)
        try:
            return super().forward(*arguments, **named)
        finally:
            self._flat_weights = plain


class QuantizedLSTM(_QuantizedRecurrent, nn.LSTM):
    """An LSTM with rounded weights."""


class QuantizedGRU(_QuantizedRecurrent, nn.GRU):
    """A GRU with rounded weights."""


_KINDS: Mapping[type[nn.Module], type[QuantizedLayer]] = {
    nn.Conv1d: QuantizedConv1d,
    nn.Conv2d: QuantizedConv2d,
    nn.Conv3d: QuantizedConv3d,
    nn.Linear: QuantizedLinear,
    nn.LSTM: QuantizedLSTM,
    nn.GRU: QuantizedGRU,
}


def quantized_kind(layer: nn.Module) -> type[QuantizedLayer] | None:
    """The quantized form of a layer; ``None`` where it has none, as a user's subclass, which has its own forward."""
    return _KINDS.get(type(layer))


def plain_kind(layer: QuantizedLayer) -> type[nn.Module]:
    """The class that a quantized layer was before."""
    return next(kind for kind, quantized in _KINDS.items() if quantized is type(layer))


def rounds_inputs(layer: nn.Module) -> bool:
    """Whether the layer's input can be quantized, too: that of recurrent layers cannot."""
    return not isinstance(layer, nn.RNNBase)


def check_bits(name: str, layer: nn.Module, bits: Bits) -> None:
    """That a layer can be quantized so.

    Raises:
        InputError: it cannot; what to do instead.
    """
    if bits == Bits():
        return
    if quantized_kind(layer) is None:
        known = ", ".join(sorted(kind.__name__ for kind in _KINDS))
        remedy = f"leave it at {FLOAT_BITS} bits; what can be quantized is {known}"
        raise InputError(f"the layer {name!r} is a {type(layer).__name__}, which cannot be quantized", remedy=remedy)
    if bits.activations < FLOAT_BITS and not rounds_inputs(layer):
        remedy = f"give its activations {FLOAT_BITS} bits"
        raise InputError(
            f"the layer {name!r} is a {type(layer).__name__}, of which only weights can be quantized", remedy=remedy
        )
