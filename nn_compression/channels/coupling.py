"""Coupled channels: which entries of which layers must be kept or removed together.

Every layer has sides: the channels it makes (``out``) and those it reads (``in``). What couples two entries is a link;
entries that are linked, over any number of others, are one channel. Entries linked to ``FIXED`` stay: the network's
inputs and outputs, and what no rule covers. Channels that run through the same sides make up a group.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from nn_compression.channels.attention import head_size, heads_prunable, heads_width
from nn_compression.channels.axes import Axis, axis_size, depthwise, norm_channels, parts
from nn_compression.channels.groups import ChannelGroup, Member
from nn_compression.channels.recurrent import RECURRENT, copies

__all__ = ["Coupling", "Side", "groups_of", "makes_channels"]

Integers: TypeAlias = NDArray[np.int64]


class Side(NamedTuple):
    """The channels that a layer makes or reads; of a recurrent module the units of all copies, one after another."""

    layer: str
    axis: Axis


def makes_channels(module: nn.Module) -> bool:
    """Whether a module is a layer whose outputs are channels that can be removed."""
    return isinstance(module, (_ConvNd, nn.Linear, nn.Embedding)) or isinstance(module, RECURRENT)


class Coupling:
    """Links between the entries of the sides of a model's layers.

    Args:
        parts: modules and plain parameters by path.
        order: their paths in the order of execution; of what is not in it no channel is removed.
        keep: paths of the layers that must make all their channels.

    Attributes:
        one_count: paths of the layers whose groups must keep equally many channels: their outputs are cut in halves.
    """

    def __init__(self, parts: Mapping[str, nn.Module | Tensor], order: Sequence[str], keep: Set[str]) -> None:
        self.parts = dict(parts)
        self.keep: set[str] = set()
        self.one_count: set[str] = set()
        self.order = {path: position for position, path in enumerate(order)}
        self.sides: list[Side] = []
        self._base: dict[Side, int] = {}
        self._end: dict[Side, int] = {}
        self._size = 1  # entry 0 is FIXED
        self._pairs: list[tuple[Integers, Integers]] = []
        for path, part in self.parts.items():
            self._add_sides(path, part)
        self._link_within()
        self._link_shared()
        self.keep_whole(keep)

    def _add_sides(self, path: str, part: nn.Module | Tensor) -> None:
        if isinstance(part, RECURRENT):
            self._add(Side(path, "out"), copies(part) * int(part.hidden_size))
            self._add(Side(path, "in"), int(part.input_size))
        elif isinstance(part, Tensor) or norm_channels(part) is not None or isinstance(part, nn.Embedding):
            self._add(Side(path, "out"), axis_size(part, "out"))
        elif isinstance(part, (_ConvNd, nn.Linear)):
            self._add(Side(path, "out"), axis_size(part, "out"))
            self._add(Side(path, "in"), axis_size(part, "in"))

    def _add(self, side: Side, size: int) -> None:
        self.sides.append(side)
        self._base[side] = self._size
        self._size += size
        self._end[side] = self._size

    def has(self, side: Side) -> bool:
        """Whether there is such a side."""
        return side in self._base

    def size(self, side: Side) -> int:
        """Entries of a side."""
        return self._end[side] - self._base[side]

    def entries(self, side: Side) -> Integers:
        """Numbers of a side's entries."""
        return np.arange(self._base[side], self._end[side])

    def link(self, one: Side, entries: Integers, other: Side, others: Integers) -> None:
        """Couples entries of two sides, one to one; not where a side has a single entry, a gate of all the others."""
        if 1 in (self.size(one), self.size(other)):
            return
        self._pairs.append((self._base[one] + entries, self._base[other] + others))

    def fix(self, side: Side, entries: Integers | None = None) -> None:
        """Keeps entries of a side, or all of them."""
        own = self.entries(side) if entries is None else self._base[side] + entries
        self._pairs.append((own, np.zeros_like(own)))

    def keep_whole(self, layers: Iterable[str]) -> None:
        """Keeps all channels that these layers make."""
        for layer in layers:
            self.keep.add(layer)
            if self.has(Side(layer, "out")):
                self.fix(Side(layer, "out"))

    def channels(self) -> tuple[Integers, int]:
        """The channel of every entry, and the channel of those that are fixed."""
        one, other = (np.concatenate(ends) for ends in zip(*[*self._pairs, (np.zeros(1, int),) * 2], strict=True))
        graph = coo_array((np.ones(len(one), bool), (one, other)), shape=(self._size, self._size))
        labels = connected_components(graph, directed=False)[1].astype(np.int64)
        return labels, int(labels[0])

    def _link_within(self) -> None:
        """A depthwise convolution makes its channels from those it reads, a few from each."""
        for path, part in self.parts.items():
            if isinstance(part, _ConvNd) and depthwise(part):
                made = np.arange(part.out_channels)
                self.link(Side(path, "out"), made, Side(path, "in"), made // (part.out_channels // part.in_channels))

    def _link_shared(self) -> None:
        """Layers that share a weight share its channels (an embedding and the output layer of a language model)."""
        first: dict[int, str] = {}
        for path, part in self.parts.items():
            if not isinstance(part, (_ConvNd, nn.Linear, nn.Embedding)):
                continue
            other = first.setdefault(id(part.weight), path)
            if other != path:
                for dimension in (0, 1):
                    self._link_dimension(path, other, dimension)

    def _link_dimension(self, path: str, other: str, dimension: int) -> None:
        sides = [Side(name, axis) for name in (path, other) if (axis := _axis_at(self.parts[name], dimension))]
        if len(sides) == 2 and self.size(sides[0]) == self.size(sides[1]):
            every = np.arange(self.size(sides[0]))
            self.link(sides[0], every, sides[1], every)
        else:
            for side in sides:
                self.fix(side)


def _axis_at(part: nn.Module | Tensor, dimension: int) -> Axis | None:
    """Which side lies along a dimension of a layer's weight."""
    if isinstance(part, nn.Embedding):
        return "out" if dimension == 1 else None
    return "out" if (dimension == 0) != isinstance(part, _ConvTransposeNd) else "in"


class _Bundle(NamedTuple):
    """Channels that run through the same sides, (channels,) numbers, and where they lie in each."""

    members: list[Member]
    channels: int


def groups_of(coupling: Coupling, round_to: int = 1) -> list[ChannelGroup]:
    """The groups of channels that can be removed, in the order in which their first layers run.

    Args:
        coupling: the links between the model's layers.
        round_to: counts are multiples of this, too.
    """
    bundles = _without_fixed_copies(coupling, _bundles(coupling))
    found = [_group(coupling, joined, round_to) for joined in _joined(coupling, bundles)]
    groups = [group for group in found if group is not None] + _heads(coupling, round_to)
    return sorted(groups, key=lambda group: (_position(coupling, group.members[0]), group.name))


def _position(coupling: Coupling, member: Member) -> tuple[int, int]:
    return coupling.order.get(member.layer, len(coupling.order)), member.offset


def _bundles(coupling: Coupling) -> list[_Bundle]:
    labels, fixed = coupling.channels()
    where: dict[int, dict[int, list[int]]] = {}
    for number in sorted(range(len(coupling.sides)), key=lambda number: _side_order(coupling, coupling.sides[number])):
        for entry, label in enumerate(labels[coupling.entries(coupling.sides[number])].tolist()):
            where.setdefault(label, {}).setdefault(number, []).append(entry)
    where.pop(fixed, None)
    alike: dict[tuple[tuple[int, int, int], ...], list[dict[int, list[int]]]] = {}
    for entries in where.values():
        alike.setdefault(_signature(coupling, entries), []).append(entries)
    bundles = [_bundle(coupling, channels) for channels in alike.values()]
    return [bundle for bundle in bundles if bundle is not None]


def _signature(coupling: Coupling, entries: Mapping[int, Sequence[int]]) -> tuple[tuple[int, int, int], ...]:
    """What channels of one group have in common: their sides, how often each, and the copies of recurrent modules."""
    signature = []
    for number, own in entries.items():
        side = coupling.sides[number]
        part = coupling.parts[side.layer]
        copy = own[0] // int(part.hidden_size) if isinstance(part, RECURRENT) and side.axis == "out" else 0
        signature.append((number, len(own), copy))
    return tuple(signature)


def _side_order(coupling: Coupling, side: Side) -> tuple[bool, int, bool]:
    """Sides that make channels first, as their layers run."""
    part = coupling.parts[side.layer]
    leads = side.axis == "out" and isinstance(part, nn.Module) and makes_channels(part)
    return not leads, coupling.order.get(side.layer, len(coupling.order)), side.axis == "in"


def _bundle(coupling: Coupling, channels: Sequence[Mapping[int, Sequence[int]]]) -> _Bundle | None:
    """Channels of the same sides; nothing where they are not made, not read, or do not lie in blocks in one order."""
    members: list[Member] = []
    for number in channels[0]:
        side = coupling.sides[number]
        blocks = _blocks(np.array([channel[number] for channel in channels]))
        if blocks is None:
            return None
        members += [Member(side.layer, side.axis, block, offset) for offset, block in blocks]
    layers = [(member, part) for member in members if isinstance(part := coupling.parts[member.layer], nn.Module)]
    made = any(member.axis == "out" and makes_channels(part) for member, part in layers)
    read = any(member.axis == "in" or isinstance(part, RECURRENT) for member, part in layers)
    run = all(member.layer in coupling.order for member, _ in layers)
    return _Bundle(members, len(channels)) if made and read and run else None


def _blocks(entries: Integers) -> list[tuple[int, int]] | None:
    """(offset, block) of each run of entries that every channel has, from (channels, entries of each), or nothing."""
    whole = entries.shape[1]
    runs = [0, *(np.flatnonzero(np.diff(entries[0]) != 1) + 1).tolist(), whole]
    return _cut(entries, runs) or _cut(entries, range(whole + 1))  # where channels lie within one another, one by one


def _cut(entries: Integers, starts: Sequence[int]) -> list[tuple[int, int]] | None:
    """The same, where the runs of the first channel are known."""
    first = entries[0]
    runs = []
    for start, end in pairwise(starts):
        expected = first[start] + np.arange(len(entries) * (end - start)).reshape(len(entries), -1)
        if not np.array_equal(entries[:, start:end], expected):
            return None
        runs.append((int(first[start]), end - start))
    return runs


def _without_fixed_copies(coupling: Coupling, bundles: Sequence[_Bundle]) -> list[_Bundle]:
    """Without those that hold units of a recurrent module some of whose copies are in no bundle."""
    remaining = list(bundles)
    while True:
        whole = [one for one in remaining if all(_complete(coupling, remaining, member) for member in one.members)]
        if len(whole) == len(remaining):
            return whole
        remaining = whole


def _complete(coupling: Coupling, bundles: Sequence[_Bundle], member: Member) -> bool:
    part = coupling.parts[member.layer]
    if member.axis == "in" or not isinstance(part, RECURRENT):
        return True
    hidden = int(part.hidden_size)
    covered = {
        other.offset
        for bundle in bundles
        for other in bundle.members
        if (other.layer, other.axis, other.block, bundle.channels) == (member.layer, "out", 1, hidden)
    }
    return covered == {copy * hidden for copy in range(copies(part))}


def _joined(coupling: Coupling, bundles: Sequence[_Bundle]) -> list[list[_Bundle]]:
    """Bundles that have one count, because they have a layer in common that demands it, are the copies of one group."""
    joined: list[list[_Bundle]] = []
    for bundle in bundles:
        layers = _of_one_count(coupling, bundle)
        same = [others for others in joined if any(layers & _of_one_count(coupling, other) for other in others)]
        joined = [others for others in joined if all(others is not one for one in same)]
        joined.append([*(other for others in same for other in others), bundle])
    return joined


def _of_one_count(coupling: Coupling, bundle: _Bundle) -> set[str]:
    """The recurrent modules, and other layers of one count, that make channels of a bundle."""
    made = {one.layer for one in bundle.members if one.axis == "out"}
    return {layer for layer in made if layer in coupling.one_count or isinstance(coupling.parts[layer], RECURRENT)}


def _group(coupling: Coupling, bundles: Sequence[_Bundle], round_to: int) -> ChannelGroup | None:
    ordered = sorted(bundles, key=lambda bundle: _position(coupling, bundle.members[0]))
    members = [replace(member, copy=row) for row, bundle in enumerate(ordered) for member in bundle.members]
    channels = ordered[0].channels
    shares = math.lcm(*(_parts(coupling, member) for member in members))
    if any(bundle.channels != channels for bundle in ordered):
        return None
    if channels < 2 or channels % shares or not all(_spread(coupling, member, channels) for member in members):
        return None
    name = _name(coupling, members, channels)
    return ChannelGroup(name, channels, tuple(members), math.lcm(shares, round_to), parts=shares, copies=len(ordered))


def _name(coupling: Coupling, members: Sequence[Member], channels: int) -> str:
    """The first layer's, with the range of its channels where the group has not all of them."""
    lead = members[0]
    own = [member for member in members if (member.layer, member.axis) == (lead.layer, lead.axis)]
    if sum(channels * member.block for member in own) == coupling.size(Side(lead.layer, lead.axis)):
        return lead.layer
    return f"{lead.layer}[{lead.offset}:{lead.offset + channels * lead.block}]"


def _parts(coupling: Coupling, member: Member) -> int:
    part = coupling.parts[member.layer]
    return parts(part) if isinstance(part, nn.Module) else 1


def _spread(coupling: Coupling, member: Member, channels: int) -> bool:
    """Whether the parts of a side, where it has any, are as many equal parts of the group."""
    whole = member.offset == 0 and channels * member.block == coupling.size(Side(member.layer, member.axis))
    return _parts(coupling, member) == 1 or whole


def _heads(coupling: Coupling, round_to: int) -> list[ChannelGroup]:
    groups = []
    for path, part in coupling.parts.items():
        if not isinstance(part, nn.MultiheadAttention) or path not in coupling.order or path in coupling.keep:
            continue
        if heads_prunable(part) and part.num_heads > 1:
            size = head_size(part)
            multiple = math.lcm(size, round_to)
            groups.append(ChannelGroup(path, heads_width(part), (Member(path, "out"),), multiple, span=size))
    return groups
