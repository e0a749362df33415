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
from nn_compression.channels.groups import ChannelGroup, best_channels
from nn_compression.channels.surgery import prune
from nn_compression.latency.operations import Argument, Operation, Shaped, record

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
        self._network = model, example_input, groups
        self._recordings: dict[frozenset[tuple[str, int]], tuple[Operation, ...]] = {}
        self._begun = self._first_counts(self._pruned({}))
        self.operations = self._record({})
        sizes = [_sizes(operation) for operation in self.operations]
        self._starts = np.cumsum([0, *(len(part) for part in sizes)])
        self._first: _Sizes = np.concatenate(sizes)
        self._growth = np.zeros((len(groups), len(self._first)))
        for row, group in enumerate(groups):
            smaller = [count for count in group.counts() if count < self._begun[group.name]]
            if smaller:
                self._growth[row] = self._growth_with(group, smaller[-1])
        self._check()
        self._recordings.clear()

    def _first_counts(self, whole: Sequence[Operation]) -> dict[str, int]:
        """The channels to begin with: all, or the next fewer where pruning replaces a module.

        An attention that lost heads computes with other operations than torch's own; it is taken to do so with all its
        heads, too.
        """
        first = {name: group.channels for name, group in self.groups.items()}
        for name, group in self.groups.items():
            fewer = group.counts()[-2:][0]
            if fewer < group.channels and _names(self._pruned({name: fewer})) != _names(whole):
                first[name] = fewer
        return first

    def _record(self, counts: Counts) -> tuple[Operation, ...]:
        return self._pruned({**self._begun, **counts})

    def _pruned(self, counts: Counts) -> tuple[Operation, ...]:
        model, example_input, groups = self._network
        fewer = {name: count for name, count in counts.items() if count < self.groups[name].channels}
        key = frozenset(fewer.items())
        if key not in self._recordings:
            kept = {name: _some(self.groups[name], count) for name, count in fewer.items()}
            self._recordings[key] = record(prune(model, groups, kept) if kept else model, example_input)
        return self._recordings[key]

    def _growth_with(self, group: ChannelGroup, count: int) -> NDArray[np.float64]:
        """What each size grows by with a channel; a share of one where channels come in heads."""
        change = self._first - self._recorded({group.name: count})
        return np.asarray(change / (self._begun[group.name] - count))

    def _recorded(self, counts: dict[str, int]) -> _Sizes:
        operations = self._record(counts)
        if _names(operations) != _names(self.operations):
            raise _uneven(next(iter(counts)))
        return np.concatenate([_sizes(operation) for operation in operations])

    def _check(self) -> None:
        """Two smaller networks are recorded, too: products of two groups' channels, or steps, would show there."""
        if not self.groups:
            return
        for place in (lambda count: 0, lambda count: count // 2):
            counts = {name: group.counts()[place(len(group.counts()))] for name, group in self.groups.items()}
            counts = {name: min(count, self._begun[name]) for name, count in counts.items()}
            if (self._recorded(counts) != self._sizes_at(counts)).any():
                raise _uneven(next(iter(counts)))

    def _sizes_at(self, counts: Counts) -> _Sizes:
        added = [counts.get(name, group.channels) - self._begun[name] for name, group in self.groups.items()]
        if not added:
            return self._first
        return np.rint(self._first + np.array(added) @ self._growth).astype(np.int64)

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


def _names(operations: Sequence[Operation]) -> list[str]:
    return [operation.name for operation in operations]


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
