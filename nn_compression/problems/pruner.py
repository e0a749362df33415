"""Designs of channels made into networks: the channels of greatest L1 norm stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from torch import Tensor, nn

from automl_core.space import Point
from nn_compression.channels import ChannelGroup, best_channels, importance, prune
from nn_compression.channels.groups import Kept

__all__ = ["Pruner"]


class Pruner:
    """A network and its groups; what each channel matters is reckoned once.

    Args:
        model: unchanged.
        groups: all its groups.
    """

    def __init__(self, model: nn.Module, groups: Sequence[ChannelGroup]) -> None:
        self._model, self.groups = model, tuple(groups)

    def counts(self, point: Point) -> dict[str, int]:
        """Channels kept, of every group: all of them where the point does not name it."""
        return {group.name: int(point.get(group.name, group.channels)) for group in self.groups}

    def kept(self, point: Point) -> Kept:
        """Which channels are kept, of the groups that lose some."""
        counts = self.counts(point)
        return {
            group.name: best_channels(self._importance[group.name], group, counts[group.name])
            for group in self.groups
            if counts[group.name] < group.channels
        }

    def pruned(self, kept: Kept) -> nn.Module:
        """The smaller network, its batch norms as they were."""
        return prune(self._model, self.groups, kept)

    def shares(self, kept: Kept) -> Mapping[str, float]:
        """By group: the share of its channels' importance that is kept."""
        shares = dict.fromkeys((group.name for group in self.groups), 1.0)
        for name, chosen in kept.items():
            scores = self._importance[name]
            whole = float(scores.sum())
            shares[name] = float(scores.gather(-1, chosen).sum()) / whole if whole else 1.0
        return shares

    @cached_property
    def _importance(self) -> dict[str, Tensor]:
        return {group.name: importance(self._model, group) for group in self.groups}
