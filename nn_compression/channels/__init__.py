"""Channel pruning: which channels are coupled, which matter, and the smaller model without the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from automl_core.one_thread import one_thread
from nn_compression.channels.axes import depthwise
from nn_compression.channels.check import faulty_groups
from nn_compression.channels.coupling import Coupling, groups_of, makes_channels
from nn_compression.channels.groups import ChannelGroup, Kept, Member, best_channels
from nn_compression.channels.importance import importance
from nn_compression.channels.probed_coupling import probed_coupling
from nn_compression.channels.recurrent import refuse_projection
from nn_compression.channels.surgery import prune
from nn_compression.channels.traced_coupling import traceable, traced_coupling
from nn_compression.graph.execution import evaluation_copy, example_inputs, execution_order, without_fused_attention
from nn_compression.graph.layer import within

__all__ = ["ChannelGroup", "Kept", "Member", "best_channels", "channel_groups", "importance", "prune"]


def channel_groups(
    model: nn.Module,
    example_input: Tensor | tuple[Tensor, ...],
    *,
    keep: Sequence[str] = (),
    round_to: int = 1,
) -> tuple[ChannelGroup, ...]:
    """The groups of coupled channels that may be pruned, in the order in which their first layers run.

    The channels of the network's outputs are in no group, nor those that a model needs at their number (it reshapes to
    a constant, or mixes them outside a layer): each group is tried, and must give the outputs that zeroed weights give.
    The result is the same in every process.

    Args:
        model: any module; it is not changed.
        example_input: what its forward takes, with a batch dimension.
        keep: layers that must make all their channels, by path; the path of a block keeps all its layers.
        round_to: counts must be multiples of this (on top of what the layers demand).

    Raises:
        InputError: a path in ``keep`` that does not exist; ``round_to`` below 1; a model that fails on the example
            input, with the module where it does; an LSTM with projections that is not in ``keep``.
    """
    if round_to < 1:
        raise InputError(f"channels cannot be rounded to multiples of {round_to}", remedy="round to 1 or more")
    kept = _kept_layers(model, keep)
    for name, module in model.named_modules():
        if name not in kept:
            refuse_projection(module, name)
    inputs = tuple(tensor.detach() for tensor in example_inputs(example_input))
    with one_thread(), without_fused_attention(), torch.random.fork_rng():
        order = execution_order(evaluation_copy(model), inputs)
        groups = _traced(model, inputs, order, kept, round_to)
        return groups if groups is not None else _probed(model, inputs, order, kept, round_to)


def _kept_layers(model: nn.Module, keep: Sequence[str]) -> frozenset[str]:
    """The paths that ``keep`` names, and all below them."""
    paths = [name for name, _ in model.named_modules() if name]
    paths += [name for name, _ in model.named_parameters()]
    for layer in keep:
        if layer not in paths:
            raise InputError(
                f"the model has no layer {layer!r} to keep", remedy=did_you_mean(layer, paths, "its layers")
            )
    return frozenset(path for path in paths if any(within(path, layer) for layer in keep))


def _traced(
    model: nn.Module, inputs: tuple[Tensor, ...], order: Sequence[str], kept: frozenset[str], round_to: int
) -> tuple[ChannelGroup, ...] | None:
    """By torch-pruning, or nothing where it fails or is found wrong."""
    if not traceable(model):
        return None
    try:
        coupling = traced_coupling(evaluation_copy(model), inputs, order, kept)
        groups = tuple(groups_of(coupling, round_to))
    except Exception:  # torch-pruning raises whatever it trips over; the probe, slower, needs no autograd graph
        return None
    return groups if not faulty_groups(model, groups, inputs) else None


def _probed(
    model: nn.Module, inputs: tuple[Tensor, ...], order: Sequence[str], kept: frozenset[str], round_to: int
) -> tuple[ChannelGroup, ...]:
    """By marking channels; groups that are found wrong are kept whole."""
    coupling = probed_coupling(evaluation_copy(model), inputs, order, kept)
    while faulty := faulty_groups(model, groups := tuple(groups_of(coupling, round_to)), inputs):
        _fix(coupling, groups, faulty)
    return groups


def _fix(coupling: Coupling, groups: Sequence[ChannelGroup], faulty: Iterable[ChannelGroup]) -> None:
    """Gives the groups of one layer one count, as its halves may need; keeps whole what is faulty nevertheless."""
    made = [{member.layer for member in group.members if member.axis == "out"} for group in faulty]
    halved = {layer for layers in made for layer in layers - coupling.one_count if _halved(coupling, layer, groups)}
    coupling.one_count |= halved
    for layers in made:
        if not layers & halved:
            coupling.keep_whole(layers)


def _halved(coupling: Coupling, layer: str, groups: Sequence[ChannelGroup]) -> bool:
    """Whether a layer makes the channels of several groups, equally many of each."""
    part = coupling.parts[layer]
    if not isinstance(part, nn.Module) or not makes_channels(part) or depthwise(part):
        return False
    channels = [group.channels for group in groups if any((m.layer, m.axis) == (layer, "out") for m in group.members)]
    return len(channels) > 1 and len(set(channels)) == 1
