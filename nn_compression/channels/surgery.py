"""A smaller model from a larger one: every tensor keeps the entries of the channels that stay.

The smaller model is a deep copy for which the narrowed tensors were put in place beforehand, so that no large tensor is
copied and the given model is only read.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from nn_compression.channels.attention import heads_width, narrowed_attention
from nn_compression.channels.axes import Narrowed, axis_size, channel_dimension, narrowed
from nn_compression.channels.groups import ChannelGroup, Kept, Member
from nn_compression.channels.recurrent import RECURRENT, copies, narrowed_recurrent, refuse_projection

__all__ = ["check_kept", "prune", "side_size", "stays"]

Sides = dict[tuple[str, str], Tensor]
"""Which entries stay, as booleans, by layer and axis."""


def prune(model: nn.Module, groups: Sequence[ChannelGroup], kept: Kept) -> nn.Module:
    """A new, smaller model; the given one is untouched, bit for bit.

    Its outputs are those of the given model with the weights zeroed that read the channels removed. Where a norm over
    the channels lies between (layer norm, group norm), only the shapes agree.

    Args:
        model: the model that the groups were found in.
        groups: its groups.
        kept: sorted indices of the channels that stay, by group; (count,), or (copies, count) for a group of several
            copies. A group that is not named keeps all.

    Raises:
        InputError: a name of no group, or indices that are empty, unsorted, out of range or not legal together; a model
            that does not have the groups' channels.
    """
    sides = stays(model, groups, kept)
    known: dict[int, object] = {}
    attributes: dict[str, Mapping[str, object]] = {}
    for layer in sorted({layer for layer, _ in sides}):
        part = _find(model, layer)
        if isinstance(part, Tensor):
            _narrow_parameter(part, sides[layer, "out"], known)
            continue
        new = _narrow(part, layer, sides)
        if new.replaced is not None:
            known[id(part)] = new.replaced
            continue
        for name, tensor in new.tensors.items():
            _remember(known, getattr(part, name), tensor, f"{layer}.{name}")
        attributes[layer] = new.attributes
    smaller = copy.deepcopy(model, known)
    for layer, values in attributes.items():
        module = smaller.get_submodule(layer)
        for name, value in values.items():
            setattr(module, name, value)
    return smaller


def stays(model: nn.Module, groups: Sequence[ChannelGroup], kept: Kept) -> Sides:
    """Which entries of each layer's sides stay; sides that lose nothing are left out.

    Raises:
        InputError: as ``prune`` says.
    """
    by_name = {group.name: group for group in groups}
    sides: Sides = {}
    for name, indices in kept.items():
        if name not in by_name:
            raise InputError(f"there is no channel group {name!r}", remedy=did_you_mean(name, by_name, "the groups"))
        group = by_name[name]
        rows = check_kept(group, indices)
        if rows.shape[1] == group.channels:
            continue
        lost = torch.ones(len(rows), group.channels, dtype=torch.bool).scatter_(1, rows, False)
        for member in group.members:
            _mark(sides, model, group, member, lost[min(member.copy, len(lost) - 1)])
    return sides


def check_kept(group: ChannelGroup, indices: Tensor) -> Tensor:
    """The kept channels as one row for all copies or one row a copy, (1 or copies, count), checked.

    Raises:
        InputError: they are empty, unsorted, out of range, or not legal together.
    """
    rows = torch.as_tensor(indices).detach().cpu().to(torch.int64)
    rows = rows.unsqueeze(0) if rows.dim() == 1 else rows
    place = f"channel group {group.name!r}"
    if rows.dim() != 2 or rows.shape[0] not in (1, group.copies) or rows.shape[1] == 0:
        raise InputError(
            f"kept channels of shape {tuple(rows.shape)} do not fit {group.copies} copies",
            place=place,
            remedy="give at least one index, as (count,) or (copies, count)",
        )
    if rows[:, 0].min() < 0 or rows[:, -1].max() >= group.channels or bool((rows.diff(dim=1) <= 0).any()):
        raise InputError(
            f"kept channels must be distinct, sorted and from 0 to {group.channels - 1}, but are {rows.tolist()}",
            place=place,
            remedy="sort the indices, each once",
        )
    if group.parts > 1 or group.span > 1:
        _check_blocks(group, rows, place)
    return rows


def _check_blocks(group: ChannelGroup, rows: Tensor, place: str) -> None:
    mask = torch.zeros(len(rows), group.channels, dtype=torch.bool).scatter_(1, rows, True)
    in_part = mask.reshape(len(rows), group.parts, -1).sum(-1)
    in_run = mask.reshape(len(rows), -1, group.span).sum(-1)
    if bool((in_part != in_part[:, :1]).any()) or bool(((in_run != 0) & (in_run != group.span)).any()):
        raise InputError(
            f"of each of {group.parts} parts equally many channels must stay, in whole runs of {group.span}",
            place=place,
            remedy="choose them with best_channels",
        )


def _mark(sides: Sides, model: nn.Module, group: ChannelGroup, member: Member, lost: Tensor) -> None:
    """Takes the lost channels off a side of a layer."""
    part = _find(model, member.layer)
    key = (member.layer, member.axis)
    size = side_size(part, member.axis)
    end = member.offset + group.channels * member.block
    if end > size:
        raise InputError(
            f"{member.layer!r} has {size} channels where the group {group.name!r} needs {end}",
            place=f"channel group {group.name!r}",
            remedy="prune the model that the groups were found in, or find the groups of this one",
        )
    if key not in sides:
        sides[key] = torch.ones(size, dtype=torch.bool)
    sides[key][member.offset : end] &= ~lost.repeat_interleave(member.block)


def side_size(part: nn.Module | Tensor, axis: str) -> int:
    """Entries of one side of a layer: channels, features, units of all copies, or channels of all heads."""
    if isinstance(part, RECURRENT):
        return int(part.hidden_size) * copies(part) if axis == "out" else int(part.input_size)
    if isinstance(part, nn.MultiheadAttention):
        return heads_width(part)
    return axis_size(part, "out" if axis == "out" else "in")


def _find(model: nn.Module, path: str) -> nn.Module | Tensor:
    part: object = model
    for name in path.split("."):
        part = getattr(part, name, None)
    if not isinstance(part, (nn.Module, Tensor)):
        raise InputError(
            f"the model has no layer {path!r}",
            remedy=did_you_mean(path, (name for name, _ in model.named_modules() if name), "its layers"),
        )
    return part


def _narrow(module: nn.Module, layer: str, sides: Sides) -> Narrowed:
    """The layer with what stays of its sides."""

    def side(axis: str) -> Tensor | None:
        return sides[layer, axis].nonzero().flatten() if (layer, axis) in sides else None

    if isinstance(module, RECURRENT):
        units = None
        if (layer, "out") in sides:
            refuse_projection(module, layer)
            units = [own.nonzero().flatten() for own in sides[layer, "out"].chunk(copies(module))]
        return narrowed_recurrent(module, units, side("in"))
    if isinstance(module, nn.MultiheadAttention):
        return narrowed_attention(module, side("out"))
    return narrowed(module, side("out"), side("in"))


def _narrow_parameter(parameter: Tensor, mask: Tensor, known: dict[int, object]) -> None:
    indices = mask.nonzero().flatten().to(parameter.device)
    _remember(known, parameter, parameter.detach().index_select(channel_dimension(parameter), indices), "a parameter")


def _remember(known: dict[int, object], old: Tensor, new: Tensor, place: str) -> None:
    """Notes what stands in for a tensor in the copy. Layers that share it must agree about it."""
    before = known.get(id(old))
    if isinstance(before, Tensor) and not torch.equal(before, new):
        raise InputError(
            f"{place} is shared by layers that would keep different channels of it",
            place=place,
            remedy="keep the layers that share the weight",
        )
    if new is old:
        return
    known[id(old)] = nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new
