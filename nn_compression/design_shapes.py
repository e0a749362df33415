"""The operations of a pruned network without building it: every size in them grows evenly with the channels kept.

What grows with which group, and how fast, is found once, by pruning one group at a time and recording the operations;
whatever the forward does with its sizes is covered, and a network whose sizes do not grow evenly is told so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl_core.errors import InputError
from nn_compression.groups import ChannelGroup, best_channels
from nn_compression.operations import Argument, Operation, Shaped, record
from nn_compression.surgery import prune

__all__ = ["Counts", "DesignShapes"]

Counts: TypeAlias = Mapping[str, int]
"""Channels kept, by the name of their group; a group that is not named keeps all."""

_Sizes: TypeAlias = NDArray[np.int64]


class DesignShapes:
    """The operations of a network, for any numbers of channels.

    Args:
        model: unchanged.
        example_input: what its forward takes.
        groups: of its channels.

    Raises:
        InputError: the model cannot be run, or its operations change with its channels otherwise than in size.
    """

    def __init__(
        self, model: nn.Module, example_input: Tensor | Sequence[Tensor], groups: Sequence[ChannelGroup]
    ) -> None:
        self.groups = {group.name: group for group in groups}
        self.operations = record(model, example_input)
        sizes = [_sizes(operation) for operation in self.operations]
        self._starts = np.cumsum([0, *(len(part) for part in sizes)])
        self._whole: _Sizes = np.concatenate(sizes)
        self._growth = np.zeros((len(groups), len(self._whole)), np.int64)
        for row, group in enumerate(groups):
            if len(group.counts()) > 1:
                self._growth[row] = self._growth_with(model, example_input, groups, group)
        self._check(model, example_input, groups)

    def _growth_with(
        self,
        model: nn.Module,
        example_input: Tensor | Sequence[Tensor],
        groups: Sequence[ChannelGroup],
        group: ChannelGroup,
    ) -> _Sizes:
        count = group.counts()[-2]
        change, removed = (
            self._whole - self._recorded(model, example_input, groups, [(group, count)]),
            group.channels - count,
        )
        if (change % removed).any():
            raise _uneven(group.name)
        return np.asarray(change // removed)

    def _recorded(
        self,
        model: nn.Module,
        example_input: Tensor | Sequence[Tensor],
        groups: Sequence[ChannelGroup],
        counts: Sequence[tuple[ChannelGroup, int]],
    ) -> _Sizes:
        kept = {group.name: _some(group, count) for group, count in counts}
        operations = record(prune(model, groups, kept), example_input)
        if [operation.name for operation in operations] != [operation.name for operation in self.operations]:
            raise _uneven(counts[0][0].name)
        return np.concatenate([_sizes(operation) for operation in operations])

    def _check(
        self, model: nn.Module, example_input: Tensor | Sequence[Tensor], groups: Sequence[ChannelGroup]
    ) -> None:
        """The smallest network is recorded, too: products of two groups' channels would show there."""
        least = [(group, group.counts()[0]) for group in groups]
        if (
            least
            and (
                self._recorded(model, example_input, groups, least)
                != self._sizes_at({group.name: count for group, count in least})
            ).any()
        ):
            raise _uneven(least[0][0].name)

    def _sizes_at(self, counts: Counts) -> _Sizes:
        removed = np.array([counts.get(name, group.channels) - group.channels for name, group in self.groups.items()])
        return np.asarray(self._whole + removed @ self._growth) if len(removed) else self._whole

    def at(self, counts: Counts, positions: Sequence[int] | None = None) -> dict[int, Operation]:
        """Operations of the network with these channels kept, by position; all of them unless some are asked for."""
        wanted = range(len(self.operations)) if positions is None else positions
        sizes = self._sizes_at(counts)
        return {
            at: _resized(self.operations[at], iter(sizes[self._starts[at] : self._starts[at + 1]].tolist()))
            for at in wanted
        }

    def groups_of(self, positions: Sequence[int]) -> tuple[str, ...]:
        """The groups that the sizes of some operations depend on, in the groups' order."""
        touched = [self._growth[:, self._starts[at] : self._starts[at + 1]].any(axis=1) for at in positions]
        some = np.any(touched, axis=0) if touched else np.zeros(len(self.groups), bool)
        return tuple(name for name, present in zip(self.groups, some, strict=True) if present)


def _some(group: ChannelGroup, count: int) -> Tensor:
    first = best_channels(torch.arange(group.channels, 0, -1), group, count)
    return first if group.copies == 1 else first.expand(group.copies, -1)


def _uneven(name: str) -> InputError:
    return InputError(
        f"the network's operations do not grow evenly with the channels of the group {name!r}",
        remedy="keep its layers as they are (--keep), or give a budget in MACs or bytes",
    )


def _sizes(operation: Operation) -> _Sizes:
    values = (operation.arguments, tuple(value for _, value in operation.named), operation.outputs)
    return np.fromiter(_integers(values), np.int64)


def _integers(argument: Argument) -> Iterator[int]:
    if isinstance(argument, Shaped):
        yield from argument.shape
    elif isinstance(argument, tuple):
        for part in argument:
            yield from _integers(part)
    elif type(argument) is int:
        yield argument


def _resized(operation: Operation, sizes: Iterator[int]) -> Operation:
    return replace(
        operation,
        arguments=_with(operation.arguments, sizes),
        named=tuple((name, _with(value, sizes)) for name, value in operation.named),
        outputs=_with(operation.outputs, sizes),
    )


def _with(argument: Argument, sizes: Iterator[int]) -> Argument:
    if isinstance(argument, Shaped):
        return replace(argument, shape=tuple(next(sizes) for _ in argument.shape))
    if isinstance(argument, tuple):
        return tuple(_with(part, sizes) for part in argument)
    return next(sizes) if type(argument) is int else argument
