"""Channel pruning: which channels are coupled, which matter, and the smaller model without the others."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from nn_compression.groups import ChannelGroup, Kept, Member, best_channels

__all__ = ["ChannelGroup", "Kept", "Member", "best_channels", "channel_groups", "importance", "prune"]


def channel_groups(
    model: nn.Module, example_input: Tensor | tuple[Tensor, ...], *, keep: Sequence[str] = (), round_to: int = 1
) -> tuple[ChannelGroup, ...]:
    """The groups of coupled channels that may be pruned, in data-flow order."""
    raise NotImplementedError


def importance(model: nn.Module, group: ChannelGroup) -> Tensor:
    """L1 norm of each channel's weights, (channels,), or (copies, channels) for a recurrent group of several copies."""
    raise NotImplementedError


def prune(model: nn.Module, groups: Sequence[ChannelGroup], kept: Kept) -> nn.Module:
    """A new, smaller model; the given one is untouched. A group without an entry in ``kept`` keeps all its channels."""
    raise NotImplementedError
