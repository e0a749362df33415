"""Where the channels of a layer lie in its tensors: their number, and the tensors of the layer with fewer of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from automl_core.errors import InputError

__all__ = [
    "Axis",
    "Narrowed",
    "axis_size",
    "channel_dimension",
    "channels_mixed",
    "depthwise",
    "narrowed",
    "norm_channels",
    "parts",
]

Axis: TypeAlias = Literal["out", "in"]
Indices: TypeAlias = Tensor | None
"""Entries that stay, sorted; ``None`` for all."""


@dataclass
class Narrowed:
    """What a layer with fewer channels has in place of what it had.

    Args:
        tensors: new parameters and buffers by their name in the layer.
        attributes: new values of the layer's attributes.
        replaced: a module to stand in for the layer, where its own class cannot have such a shape.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    attributes: dict[str, object] = field(default_factory=dict)
    replaced: nn.Module | None = None


def depthwise(module: nn.Module) -> bool:
    """Whether each output channel of a convolution reads one input channel only."""
    return isinstance(module, _ConvNd) and module.groups == module.in_channels > 1


def parts(module: nn.Module) -> int:
    """Of how many equal parts a layer must keep equally many channels."""
    if isinstance(module, _ConvNd):
        return 1 if depthwise(module) else module.groups
    return module.num_groups if isinstance(module, nn.GroupNorm) else 1


def norm_channels(module: nn.Module) -> int | None:
    """Channels of a norm or another layer that treats each channel by itself; ``None`` for all other modules.

    Layer and group norms mix the channels when they measure them, but have one weight for each.
    """
    if isinstance(module, (_BatchNorm, _InstanceNorm)):
        return module.num_features
    if isinstance(module, nn.GroupNorm):
        return module.num_channels
    if isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        return module.normalized_shape[0] if len(module.normalized_shape) == 1 else None
    if isinstance(module, nn.PReLU) and module.num_parameters > 1:
        return module.num_parameters
    return None


def channels_mixed(module: nn.Module) -> bool:
    """Whether a norm measures several channels together."""
    return isinstance(module, (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm))


def axis_size(module: nn.Module | Tensor, axis: Axis) -> int:
    """How many channels a layer makes or reads; of a plain parameter the length of its channel dimension."""
    if isinstance(module, Tensor):
        return module.shape[channel_dimension(module)]
    if isinstance(module, _ConvNd):
        return module.out_channels if axis == "out" else module.in_channels
    if isinstance(module, nn.Linear):
        return module.out_features if axis == "out" else module.in_features
    if isinstance(module, nn.Embedding):
        return module.embedding_dim
    channels = norm_channels(module)
    return _refuse(module) if channels is None else channels


def _refuse(module: nn.Module) -> NoReturn:
    raise InputError(
        f"channels of a {type(module).__name__} cannot be pruned", remedy="keep this layer, or build it of others"
    )


def channel_dimension(parameter: Tensor) -> int:
    """The last dimension longer than 1 of a parameter that belongs to no layer (scales and positions have it there)."""
    longer = [dimension for dimension, size in enumerate(parameter.shape) if size > 1]
    return longer[-1] if longer else 0


def narrowed(module: nn.Module, out: Indices, inputs: Indices) -> Narrowed:
    """The layer's tensors and attributes when only these channels stay.

    Raises:
        InputError: the layer's weight is not a plain parameter (weight norm, pruning hooks, parametrizations).
    """
    _check_plain(module)
    for kind, narrow in _NARROW.items():
        if isinstance(module, kind):
            return narrow(module, out, inputs)
    _refuse(module)


def _check_plain(module: nn.Module) -> None:
    if any(name.startswith("parametrizations.") or name.endswith(("_orig", "_g")) for name in module.state_dict()):
        raise InputError(
            f"the weight of a {type(module).__name__} is computed from other parameters",
            remedy="remove the parametrization (torch.nn.utils.parametrize.remove_parametrizations) before compressing",
        )


def _take(tensor: Tensor, dimension: int, indices: Indices) -> Tensor:
    return tensor if indices is None else tensor.detach().index_select(dimension, indices.to(tensor.device))


def _rows_and_columns(weight: Tensor, rows: Indices, columns: Indices, groups: int) -> Tensor:
    """(rows, columns / groups, ...), where each of ``groups`` parts of the rows has columns of its own."""
    if columns is None or groups == 1:
        return _take(_take(weight, 0, rows), 1, columns)
    weight = _take(weight, 0, rows)
    columns = columns.reshape(groups, -1) - torch.arange(groups).unsqueeze(1) * weight.shape[1]
    blocks = [_take(part, 1, own) for part, own in zip(weight.chunk(groups), columns, strict=True)]
    return torch.cat(blocks)


def _narrow_convolution(conv: Any, out: Indices, inputs: Indices) -> Narrowed:
    each = depthwise(conv)
    rows, columns = (inputs, out) if isinstance(conv, _ConvTransposeNd) else (out, inputs)
    new = Narrowed({"weight": _rows_and_columns(conv.weight, rows, None if each else columns, conv.groups)})
    if conv.bias is not None:
        new.tensors["bias"] = _take(conv.bias, 0, out)
    new.attributes["out_channels"] = conv.out_channels if out is None else len(out)
    new.attributes["in_channels"] = conv.in_channels if inputs is None else len(inputs)
    if each:
        new.attributes["groups"] = new.attributes["in_channels"]
    return new


def _narrow_linear(linear: Any, out: Indices, inputs: Indices) -> Narrowed:
    new = Narrowed({"weight": _rows_and_columns(linear.weight, out, inputs, 1)})
    if linear.bias is not None:
        new.tensors["bias"] = _take(linear.bias, 0, out)
    new.attributes["out_features"], new.attributes["in_features"] = new.tensors["weight"].shape
    return new


def _narrow_embedding(embedding: Any, out: Indices, _: Indices) -> Narrowed:
    weight = _take(embedding.weight, 1, out)
    return Narrowed({"weight": weight}, {"embedding_dim": weight.shape[1]})


def _narrow_norm(norm: nn.Module, out: Indices, _: Indices) -> Narrowed:
    channels = norm_channels(norm)
    kept = channels if out is None else len(out)
    new = Narrowed()
    for name, tensor in [*norm.named_parameters(recurse=False), *norm.named_buffers(recurse=False)]:
        if tensor.shape == (channels,):
            new.tensors[name] = _take(tensor, 0, out)
    new.attributes = {name: kept for name in ("num_features", "num_channels", "num_parameters") if hasattr(norm, name)}
    if hasattr(norm, "normalized_shape"):
        new.attributes["normalized_shape"] = (kept,)
    return new


_NARROW: dict[type[nn.Module] | tuple[type[nn.Module], ...], Callable[[nn.Module, Indices, Indices], Narrowed]] = {
    _ConvNd: _narrow_convolution,
    nn.Linear: _narrow_linear,
    nn.Embedding: _narrow_embedding,
    (_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.PReLU): _narrow_norm,
}
