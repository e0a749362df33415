"""Whether channels can be removed: the smaller model must give what the larger one gives with their weights zeroed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.utils._pytree import tree_leaves

from nn_compression.channels.attention import heads_width
from nn_compression.channels.axes import channels_mixed, depthwise
from nn_compression.channels.groups import ChannelGroup, Kept, best_channels
from nn_compression.channels.recurrent import RECURRENT, Recurrent, copies, directions, tensor_names
from nn_compression.channels.surgery import prune, stays
from nn_compression.graph.execution import evaluation_copy

__all__ = ["faulty_groups", "zeroed"]

_SHARE = 1e-3
"""Of the change that zeroing makes, how much the smaller model may deviate."""
_ROUNDING = 1e-5
"""Of the outputs, how much the smaller model may deviate by rounding."""


def faulty_groups(
    model: nn.Module, groups: Sequence[ChannelGroup], inputs: tuple[Tensor, ...], seed: int = 0
) -> list[ChannelGroup]:
    """Groups without which the model fails, also in training, or gives other outputs than with their weights zeroed.

    Norms over the channels must run, but make way: with them, fewer channels give other outputs.
    All groups are tried together; only where that fails, each by itself: first with any half of its channels, then with
    its last ones, at counts that differ from group to group.
    """
    if not groups:
        return []
    model = evaluation_copy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        inputs, original = _tried(model, inputs, generator)
        halves = {group.name: _half(group, generator) for group in groups}
        lasts = {group.name: _last(group, number) for number, group in enumerate(groups)}
        for kept in (halves, lasts):
            if faulty := _faulty(groups, kept, lambda some: _agrees(model, groups, some, inputs, original)):
                return faulty
        if not _trains(evaluation_copy(model), inputs):
            return []
        return _faulty(groups, halves, lambda some: _trains(prune(model, groups, some), inputs))


def _faulty(groups: Sequence[ChannelGroup], kept: Kept, right: Callable[[Kept], bool]) -> list[ChannelGroup]:
    if right(kept):
        return []
    return [group for group in groups if not right({group.name: kept[group.name]})] or list(groups)


def _tried(
    model: nn.Module, example: tuple[Tensor, ...], generator: torch.Generator
) -> tuple[tuple[Tensor, ...], list[Tensor]]:
    """Inputs that tell channels apart, and what the model gives for them: the first of which all is finite, or most.

    Noise, in place of an example that may be all zeros; where the model does not take it (it demands pixels, or takes
    a logarithm), noise from 0 to 1, or near the example. Indices stay.
    """
    noises = (
        lambda tensor: torch.randn(tensor.shape, generator=generator).to(tensor),
        lambda tensor: torch.rand(tensor.shape, generator=generator).to(tensor),
        lambda tensor: tensor * (1 + 0.1 * torch.randn(tensor.shape, generator=generator).to(tensor)),
        lambda tensor: tensor,
    )
    tried: list[tuple[float, tuple[Tensor, ...], list[Tensor]]] = []
    for noise in noises:
        inputs = tuple(noise(tensor) if tensor.is_floating_point() else tensor for tensor in example)
        outputs = _outputs(model, inputs) or []
        known = [tensor.isfinite().flatten() for tensor in outputs if tensor.is_floating_point()]
        share = float(torch.cat(known).double().mean()) if sum(map(len, known)) else 0.0
        if share == 1:
            return inputs, outputs
        tried.append((share, inputs, outputs))
    return max(tried, key=lambda one: one[0])[1:]


def _half(group: ChannelGroup, generator: torch.Generator) -> Tensor:
    counts = group.counts()
    count = counts[(len(counts) - 1) // 2]
    return best_channels(torch.rand(group.copies, group.channels, generator=generator), group, count)


def _last(group: ChannelGroup, number: int) -> Tensor:
    """The last channels, as many as no constant number of parts has, and of two such counts by turns one."""
    whole = group.channels
    counts = sorted(group.counts()[:-1], key=lambda n: (n == 1, math.gcd(n, whole), abs(2 * n - whole))) or [whole]
    count = counts[number % 2] if len(counts) > 1 else counts[0]
    return best_channels(torch.arange(whole).expand(group.copies, -1), group, count)


def _outputs(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor] | None:
    """The tensors that a model gives without its norms over the channels, or nothing where it fails."""
    norms = [module for module in model.modules() if channels_mixed(module)]
    hooks = [norm.register_forward_hook(_unmixed, with_kwargs=True) for norm in norms]
    try:
        return list(_tensors(model(*(tensor.clone() for tensor in inputs))))
    except Exception:  # a forward that needs its own number of channels raises what it likes
        return None
    finally:
        for hook in hooks:
            hook.remove()


def _unmixed(norm: nn.Module, inputs: tuple[Tensor, ...], named: Mapping[str, Tensor], made: Tensor) -> Tensor:
    """In place of what a norm over the channels made: of each number by itself, and as bounded."""
    features = next(iter((*inputs, *named.values())))
    return functional.softsign(features) if features.shape == made.shape else made


def _tensors(made: object) -> Iterator[Tensor]:
    """All tensors in what a model gives, however nested."""
    for leaf in tree_leaves(made):
        if isinstance(leaf, Tensor):
            yield leaf
        elif is_dataclass(leaf):
            yield from _tensors([getattr(leaf, one.name) for one in fields(leaf)])


def _agrees(
    model: nn.Module, groups: Sequence[ChannelGroup], kept: Kept, inputs: tuple[Tensor, ...], original: list[Tensor]
) -> bool:
    smaller = _outputs(prune(model, groups, kept), inputs)
    if smaller is None or [one.shape for one in smaller] != [one.shape for one in original]:
        return False
    masked = _outputs(zeroed(model, groups, kept), inputs)
    if masked is None:
        return False
    close = [_close(*three) for three in zip(smaller, masked, original, strict=True)]
    return True in close and False not in close


def _trains(model: nn.Module, inputs: tuple[Tensor, ...]) -> bool:
    """Whether a model runs in training mode, where it may have other layers; on twice the examples, for batch norms."""
    twice = tuple(torch.cat([tensor, tensor]) if tensor.dim() else tensor for tensor in inputs)
    return _outputs(model.train(), twice) is not None


def _close(smaller: Tensor, masked: Tensor, original: Tensor) -> bool | None:
    """Whether one output deviates by rounding alone; nothing where that cannot be said."""
    known = masked.isfinite() & original.isfinite()
    if not masked.is_floating_point() or not known.any():
        return None  # token numbers and the like jump where a score moves by its rounding
    smaller, masked, original = smaller[known], masked[known], original[known]
    error, change = (smaller - masked).abs().max(), (masked - original).abs().max()
    return bool(error <= _SHARE * change + _ROUNDING * masked.abs().max())


def zeroed(model: nn.Module, groups: Sequence[ChannelGroup], kept: Kept) -> nn.Module:
    """A copy at full size, in which the weights are zero that read channels which do not stay."""
    masked = evaluation_copy(model)
    modules = dict(masked.named_modules())
    with torch.no_grad():
        for (layer, axis), mask in stays(model, groups, kept).items():
            _zero(modules.get(layer), axis, ~mask)
    return masked


def _zero(module: nn.Module | None, axis: str, lost: Tensor) -> None:
    if isinstance(module, RECURRENT):
        _zero_units(module, lost) if axis == "out" else _zero_inputs(module, 0, lost)
    elif isinstance(module, nn.MultiheadAttention):
        module.out_proj.weight[:, lost[: heads_width(module)]] = 0
    elif axis == "in" and isinstance(module, nn.Linear):
        module.weight[:, lost] = 0
    elif axis == "in" and isinstance(module, _ConvNd) and not depthwise(module):
        _zero_channels(module, lost)


def _zero_channels(conv: _ConvNd, lost: Tensor) -> None:
    if isinstance(conv, _ConvTransposeNd):
        conv.weight[lost] = 0
        return
    columns = conv.weight.shape[1]
    for part, weight in enumerate(conv.weight.chunk(conv.groups)):
        weight[:, lost[part * columns : (part + 1) * columns]] = 0


def _zero_inputs(module: Recurrent, layer: int, lost: Tensor) -> None:
    for way in range(directions(module)):
        getattr(module, tensor_names(module, layer * directions(module) + way)["weight_ih"])[:, lost] = 0


def _zero_units(module: Recurrent, lost: Tensor) -> None:
    """The recurrence and the layer above no longer read the units."""
    rows, both = lost.chunk(copies(module)), directions(module)
    for copy, own in enumerate(rows):
        getattr(module, tensor_names(module, copy)["weight_hh"])[:, own] = 0
    for layer in range(1, copies(module) // both):
        _zero_inputs(module, layer, torch.cat(rows[(layer - 1) * both : layer * both]))
