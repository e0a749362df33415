"""Coupled channels: what must be kept or removed together is one group, and a search decides one number for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from automl_core.errors import InputError

__all__ = [
    "LEAST_SHARE",
    "ChannelGroup",
    "Kept",
    "Member",
    "best_channels",
    "group_from_json",
    "group_to_json",
    "searched_counts",
]

LEAST_SHARE = 0.2
"""Of its channels, what each group keeps at least; AMC's lower bound."""

Kept: TypeAlias = Mapping[str, Tensor]
"""Channels that stay, by group: sorted indices, (count,), or (copies, count) where a group has copies."""


@dataclass(frozen=True)
class Member:
    """One side of one layer that holds the channels of a group.

    Channel ``c`` of the group is the entries ``offset + c * block ... offset + c * block + block - 1`` of that side.
    Not only the layers of a ``NetworkGraph`` are members: batch norms, other norms and plain parameters that go along
    are too. A depthwise convolution is a member with both its sides.

    Args:
        layer: dotted module path in the model (or the path of a parameter that belongs to no layer).
        axis: ``out``, the channels that the layer makes, or ``in``, those it reads. The units of an LSTM or GRU and the
            heads of an attention are its ``out``.
        block: consecutive entries for each channel (a flatten after a convolution: its spatial size).
        offset: where the first channel begins: a concatenation puts one group behind another, and the ``out`` of a
            recurrent module is the units of all its layers and directions, one after another.
        copy: which row of ``kept`` this side follows, where the group has copies.
    """

    layer: str
    axis: Literal["out", "in"]
    block: int = 1
    offset: int = 0
    copy: int = 0


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are coupled: one variable of the search.

    Args:
        name: of its first layer in data-flow order; unique, and the same in every process.
        channels: how many there are.
        members: the sides of the layers that hold them.
        multiple: counts that are kept must be multiples of this (grouped convolutions, heads, ``round_to``).
        least: the smallest count that may be kept.
        parts: of each of this many equal, contiguous parts equally many channels stay (grouped convolutions).
        span: channels stay in whole contiguous runs of this many (attention heads: their size).
        copies: the layers and directions of a recurrent module, or the halves of a layer's outputs, have one width, but
            each may keep its own units: ``kept`` then has one row a copy.
    """

    name: str
    channels: int
    members: tuple[Member, ...]
    multiple: int = 1
    least: int = 1
    parts: int = 1
    span: int = 1
    copies: int = 1

    def counts(self) -> list[int]:
        """The counts that may be kept, ascending; the last is ``channels``."""
        least = max(self.least, 1)
        legal = [n for n in range(self.multiple, self.channels, self.multiple) if n >= least]
        return [*legal, self.channels]


def searched_counts(group: ChannelGroup, least_share: float, most: int | None = None) -> list[int]:
    """The counts of a group that a search chooses from, ascending; the last is all of its channels.

    Args:
        group: it takes multiples of what its layers, or the user, demand.
        least_share: of its channels, what it keeps at least.
        most: larger multiples are taken where there would be more of them than these.
    """
    step = group.multiple
    while most is not None and group.channels * (1 - least_share) / step > most:
        step *= 2
    least = math.ceil(least_share * group.channels - 1e-9)
    return [n for n in group.counts() if n >= least and (n % step == 0 or n == group.channels)]


def best_channels(scores: Tensor, group: ChannelGroup, count: int) -> Tensor:
    """The ``count`` most important channels that may be kept together, sorted.

    Whole runs are ranked by the sum of their scores, and each part gives equally many. Of equal scores the first wins,
    so that the choice is the same on every machine.

    Args:
        scores: importance of each channel, (channels,) or (copies, channels).
        group: the group.
        count: how many stay; one of ``group.counts()``.

    Returns:
        Indices, (count,) or (copies, count), of type int64.

    Raises:
        InputError: the count is not one of the group's.
    """
    if count not in group.counts():
        raise InputError(
            f"{count} channels cannot be kept of {group.name!r}: it has {group.channels}, and keeps at least "
            f"{group.least} in multiples of {group.multiple}",
            remedy="take one of group.counts()",
        )
    if scores.dim() == 2:
        return torch.stack([best_channels(row, group, count) for row in scores])
    runs = scores.detach().cpu().double().reshape(group.parts, -1, group.span).sum(-1)
    ranked = runs.argsort(dim=1, descending=True, stable=True)[:, : count // (group.parts * group.span)]
    first = ranked + torch.arange(group.parts).unsqueeze(1) * runs.shape[1]
    channels = first.reshape(-1, 1) * group.span + torch.arange(group.span)
    return channels.reshape(-1).sort().values


def group_to_json(group: ChannelGroup) -> dict[str, object]:
    """The group as plain data, so that a saved model is pruned again without being traced."""
    return asdict(group)


def group_from_json(data: Mapping[str, object]) -> ChannelGroup:
    """The inverse of ``group_to_json``.

    Raises:
        InputError: the data are not those of a group.
    """
    try:
        members = data["members"]
        if not isinstance(members, Sequence):
            raise TypeError("members must be a list")
        return ChannelGroup(**{**data, "members": tuple(Member(**member) for member in members)})  # type: ignore[arg-type]
    except (KeyError, TypeError) as fault:
        raise InputError(f"this is not a channel group: {fault}", remedy="write the model's file again") from fault
