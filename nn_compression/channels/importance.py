"""How much a channel matters, by the size of its weights."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from nn_compression.channels.attention import heads_width
from nn_compression.channels.axes import depthwise
from nn_compression.channels.groups import ChannelGroup, Member
from nn_compression.channels.recurrent import RECURRENT, Recurrent, copies, directions, tensor_names

__all__ = ["Norm", "importance"]

Norm: TypeAlias = Literal["l1", "l2"]


def importance(model: nn.Module, group: ChannelGroup, norm: Norm = "l1") -> Tensor:
    """The norm of each channel's weights over all layers that make or read it (AMC; Li et al. 2017).

    Norms and biases do not count.

    Args:
        model: the model that the group was found in.
        group: the group.
        norm: ``l1``, the sum of magnitudes, or ``l2``, the root of the sum of squares.

    Returns:
        Float64, (channels,), or (copies, channels) for a group of several copies. ``best_channels`` takes either.
    """
    power = 1 if norm == "l1" else 2
    scores = torch.zeros(group.copies, group.channels, dtype=torch.float64)
    for member in group.members:
        module = model.get_submodule(member.layer) if _is_module(model, member.layer) else None
        begin = 0 if isinstance(module, RECURRENT) and member.axis == "out" else member.offset
        for weight in _weights(module, member):
            sizes = weight.detach().double().abs().pow(power).flatten(1).sum(1).cpu()
            own = sizes[begin : begin + group.channels * member.block]
            scores[member.copy] += own.reshape(group.channels, member.block).sum(1)
    scores = scores.sqrt() if norm == "l2" else scores
    return scores if group.copies > 1 else scores[0]


def _is_module(model: nn.Module, path: str) -> bool:
    owner, _, name = path.rpartition(".")
    return name in model.get_submodule(owner)._modules


def _weights(module: nn.Module | None, member: Member) -> list[Tensor]:
    """The weights that belong to a side, its entries first."""
    out = member.axis == "out"
    if isinstance(module, RECURRENT):
        return _units(module, member.offset // int(module.hidden_size)) if out else _read(module, 0)
    if isinstance(module, nn.MultiheadAttention):
        weight: Tensor = module.in_proj_weight
        projected = weight.reshape(3, heads_width(module), -1).transpose(0, 1)
        return [projected, module.out_proj.weight.t()]
    if isinstance(module, _ConvNd):
        if depthwise(module) and not out:
            return []  # counted with the channels it makes
        rows_first = out != isinstance(module, _ConvTransposeNd)
        return [module.weight if rows_first else _columns_first(module.weight, module.groups)]
    if isinstance(module, nn.Linear):
        return [module.weight if out else module.weight.t()]
    return [module.weight.t()] if isinstance(module, nn.Embedding) else []


def _columns_first(weight: Tensor, groups: int) -> Tensor:
    """(columns, rows / groups, ...) of a convolution's weight, the columns of one group after those of another."""
    return weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)


def _units(module: Recurrent, copy: int) -> list[Tensor]:
    """Of each unit of a copy: the weights of its gates, of the recurrence that reads it, and of the layer above."""
    hidden, both = int(module.hidden_size), directions(module)
    names = tensor_names(module, copy)
    weights: list[Tensor] = [getattr(module, names[kind]) for kind in ("weight_ih", "weight_hh")]
    gates = [weight.reshape(-1, hidden, weight.shape[1]).transpose(0, 1) for weight in weights]
    layer, backward = divmod(copy, both)
    above = _read(module, layer + 1) if (layer + 1) * both < copies(module) else []
    return [*gates, weights[1].t(), *(weight[backward * hidden : (backward + 1) * hidden] for weight in above)]


def _read(module: Recurrent, layer: int) -> list[Tensor]:
    """The weights by which a layer reads what is below it, in each direction, the features first."""
    both = directions(module)
    return [getattr(module, tensor_names(module, layer * both + way)["weight_ih"]).t() for way in range(both)]
