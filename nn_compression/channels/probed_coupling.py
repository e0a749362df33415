"""Coupled channels of any network, found by marking channels and looking where the marks arrive.

The model runs with a NaN in chosen channels of one layer. A NaN passes through sums, concatenations, reshapes,
permutations and element-wise functions and stays in its channel; whatever layer reads it has it in the entries that
belong to that channel. Every layer is replaced for the run by one that notes the marks it reads and gives its outputs
of a clean run, so that no mark passes through a layer. Channel c is marked in the runs of the bits set in c, and in the
runs of the opposites of the others: 2 log2(channels) runs tell for every entry which channel it belongs to, or that it
mixes several (a gate and what it scales). Those are then marked one by one, and what one entry mixes stays together.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_leaves, tree_map_only

from nn_compression.channels.axes import depthwise, norm_channels
from nn_compression.channels.coupling import Coupling, Side, makes_channels
from nn_compression.channels.recurrent import RECURRENT, Recurrent, copies, directions
from nn_compression.graph.execution import faults_by_module

__all__ = ["probed_coupling"]

Flags = NDArray[np.bool_]
Mark = tuple[str, int, Flags]
"""The layer, the copy of a recurrent module, and the channels that are marked."""

_MOST_MIXED = 1024
"""Channels of a layer that are marked one by one; of wider layers that are mixed none are removed."""


def probed_coupling(
    model: nn.Module, inputs: tuple[Tensor, ...], order: Sequence[str], keep: frozenset[str]
) -> Coupling:
    """The links between a model's layers.

    Args:
        model: a copy that may be changed; in evaluation mode.
        inputs: what its forward takes.
        order: paths of its modules in the order of execution.
        keep: paths of the layers that must make all their channels.

    Raises:
        InputError: the model does not run with marked channels (it turns features to indices, say).
    """
    coupling = Coupling(dict(model.named_modules()), order, keep)
    problem = "channels cannot be followed through the model, which fails where features are NaN"
    remedy = "in evaluation mode, make its forward a function of its features alone, without checks or indices of them"
    with torch.no_grad(), faults_by_module(model, inputs, problem, remedy):
        probe = _Probe(model, inputs, coupling)
        probe.fix_what_is_read(inputs=True)
        for name, module in model.named_modules():
            if name in coupling.order and _opaque(module):
                probe.fix_what_is_read(layer=name)
            elif name in coupling.order and makes_channels(module):
                for copy in range(copies(module) if isinstance(module, RECURRENT) else 1):
                    probe.follow(name, module, copy)
    return coupling


class _Probe:
    """A model whose layers note the marks that they read."""

    def __init__(self, model: nn.Module, inputs: tuple[Tensor, ...], coupling: Coupling) -> None:
        self.model, self.inputs, self.coupling = model, inputs, coupling
        self.clean: dict[str, list[Any]] = {}
        self.calls: dict[str, int] = {}
        self.read: dict[Side, Flags] = {}
        self.mixed: set[str] = set()
        self.mark: Mark | None = None
        self._record_clean_outputs()
        for name, module in model.named_modules():
            stub = self._stub(name, module)
            if stub is not None:
                module.forward = stub

    def _record_clean_outputs(self) -> None:
        def keep(name: str) -> Callable[..., None]:
            return lambda module, inputs, outputs: self.clean.setdefault(name, []).append(outputs)

        hooks = [module.register_forward_hook(keep(name)) for name, module in self.model.named_modules()]
        self.model(*self.inputs)
        for hook in hooks:
            hook.remove()

    def _stub(self, name: str, module: nn.Module) -> Callable[..., Any] | None:
        if _opaque(module):
            return self._whole(name)
        if isinstance(module, RECURRENT):
            return self._recurrent(name, module)
        if norm_channels(module) is not None:
            return self._norm(name, module, -1 if isinstance(module, (nn.LayerNorm, nn.RMSNorm)) else 1)
        return self._layer(name, module) if makes_channels(module) else None

    def _layer(self, name: str, module: nn.Module) -> Callable[..., Any]:
        dimension = -module.weight.dim() + 1 if isinstance(module, _ConvNd) else -1

        given = _arguments(module)

        def forward(*inputs: object, **named: object) -> Tensor:
            features, *_ = given(*inputs, **named)
            arrived = self._note(Side(name, "in"), features, dimension)
            marked = self._marked(name)
            if depthwise(module) and arrived is not None:  # its channels are linked to those it reads: marks pass
                marked = marked | np.repeat(arrived, len(marked) // len(arrived))
            return _with_nans(self._clean(name), dimension, marked)

        return forward

    def _norm(self, name: str, module: nn.Module, dimension: int) -> Callable[..., Any]:
        given = _arguments(module)

        def forward(*inputs: object, **named: object) -> Tensor:
            features: Tensor = given(*inputs, **named)[0]
            self._note(Side(name, "out"), features, dimension)
            return features

        return forward

    def _whole(self, name: str) -> Callable[..., Any]:
        def forward(*inputs: object, **others: object) -> Any:
            tensors = [leaf for leaf in tree_leaves((inputs, others)) if isinstance(leaf, Tensor)]
            if any(bool(tensor.isnan().any()) for tensor in tensors if tensor.is_floating_point()):
                self.mixed.add(name)
            marked = self.mark is not None and self.mark[0] == name
            return tree_map_only(Tensor, _nan_like, self._clean(name)) if marked else self._clean(name)

        return forward

    def _recurrent(self, name: str, module: Recurrent) -> Callable[..., Any]:
        given = _arguments(module)

        def forward(*inputs: object, **named: object) -> Any:
            features, state, *_ = *given(*inputs, **named), None
            self._note(Side(name, "in"), features.data if isinstance(features, PackedSequence) else features, -1)
            for tensor in tree_leaves(() if state is None else state):
                self._note_state(name, module, tensor)
            return self._marked_units(name, module, self._clean(name))

        return forward

    def _note_state(self, name: str, module: Recurrent, state: Tensor) -> None:
        rows = state if isinstance(module, nn.RNNBase) else state.unsqueeze(0)
        flags = np.concatenate([_marked_entries(row, -1) for row in rows])
        self._merge(Side(name, "out"), flags)

    def _marked_units(self, name: str, module: Recurrent, outputs: Any) -> Any:
        if self.mark is None or self.mark[0] != name:
            return outputs
        _, copy, units = self.mark
        if not isinstance(module, nn.RNNBase):
            return tree_map_only(Tensor, lambda tensor: _with_nans(tensor, -1, units), outputs)
        sequence, state = outputs
        state = tree_map_only(Tensor, lambda tensor: _with_nans_in_row(tensor, copy, units), state)
        top = copies(module) - directions(module)
        if copy >= top:
            width = np.zeros((directions(module), len(units)), bool)
            width[copy - top] = units
            marked = _with_nans(sequence.data, -1, width.ravel())
            sequence = sequence._replace(data=marked) if isinstance(sequence, PackedSequence) else marked
        return sequence, state

    def _clean(self, name: str) -> Any:
        call = self.calls.get(name, 0)
        self.calls[name] = call + 1
        return self.clean[name][call]

    def _marked(self, name: str) -> Flags:
        size = self.coupling.size(Side(name, "out"))
        return self.mark[2] if self.mark is not None and self.mark[0] == name else np.zeros(size, bool)

    def _note(self, side: Side, features: Tensor, dimension: int) -> Flags | None:
        if not features.is_floating_point() or not self.coupling.has(side):
            return None
        flags = _marked_entries(features, dimension)
        self._merge(side, flags)
        return flags

    def _merge(self, side: Side, flags: Flags) -> None:
        self.read[side] = self.read[side] | flags if side in self.read else flags

    def run(self, mark: Mark | None, inputs: tuple[Tensor, ...]) -> bool:
        """Runs once; ``read`` then has where marks arrived. Whether they reached the outputs or a layer that mixes."""
        self.mark, self.calls, self.read, self.mixed = mark, {}, {}, set()
        outputs = self.model(*inputs)
        leaves = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
        leaves = [leaf.data if isinstance(leaf, PackedSequence) else leaf for leaf in leaves]
        return bool(self.mixed) or any(bool(leaf.isnan().any()) for leaf in leaves)

    def fix_what_is_read(self, *, inputs: bool = False, layer: str | None = None) -> None:
        """Keeps whatever reads the network's inputs, or the outputs of a layer whose width must stay."""
        mark = None if layer is None else (layer, 0, np.ones(1, bool))
        self.run(mark, tuple(_nan_like(tensor) for tensor in self.inputs) if inputs else self.inputs)
        for side, flags in self.read.items():
            self.coupling.fix(side, np.flatnonzero(flags))

    def follow(self, name: str, module: nn.Module, copy: int) -> None:
        """Links the channels that a layer makes to the entries that read them."""
        source = Side(name, "out")
        channels = int(module.hidden_size) if isinstance(module, RECURRENT) else self.coupling.size(source)
        every, first = np.arange(channels), copy * channels
        bits = [(every >> bit & 1).astype(bool) for bit in range(max(1, int(channels - 1).bit_length()))]
        runs = [self._arrivals(name, copy, marked) for chosen in bits for marked in (chosen, ~chosen)]
        if any(run is None for run in runs):
            self.coupling.fix(source, first + every)
            return
        reached = [run for run in runs if run is not None]
        sides = list(reached[0])
        ones = {side: np.array([run[side] for run in reached[::2]]) for side in sides}
        zeros = {side: np.array([run[side] for run in reached[1::2]]) for side in sides}
        if any(bool((ones[side] & zeros[side]).any()) for side in sides):
            self._follow_each(name, copy, source, first, channels)
            return
        for side in sides:
            entries = np.flatnonzero((ones[side] ^ zeros[side]).all(0))
            channel = (ones[side][:, entries] * (1 << np.arange(len(bits)))[:, None]).sum(0)
            self.coupling.link(source, first + channel, side, entries)

    def _arrivals(self, name: str, copy: int, marked: Flags) -> dict[Side, Flags] | None:
        """Where these channels arrive; nothing where they reach the outputs or a layer that mixes."""
        return None if self.run((name, copy, marked), self.inputs) else self.read

    def _follow_each(self, name: str, copy: int, source: Side, first: int, channels: int) -> None:
        """Channel by channel, where entries mix several: linked to all of them, so that they stay together."""
        if channels > _MOST_MIXED:
            self.coupling.fix(source, first + np.arange(channels))
            return
        for channel in range(channels):
            for side, flags in (self._arrivals(name, copy, np.arange(channels) == channel) or {}).items():
                entries = np.flatnonzero(flags)
                self.coupling.link(source, np.full_like(entries, first + channel), side, entries)


def _opaque(module: nn.Module) -> bool:
    """Whether a layer's inputs and outputs keep their width: an attention, an LSTM with projections."""
    return isinstance(module, nn.MultiheadAttention) or bool(getattr(module, "proj_size", 0))


def _arguments(module: nn.Module) -> Callable[..., list[Any]]:
    """What a module's own forward is given, in its order, by whatever names."""
    signature = inspect.signature(module.forward)
    return lambda *inputs, **named: list(signature.bind(*inputs, **named).arguments.values())


def _marked_entries(features: Tensor, dimension: int) -> Flags:
    """Which entries of a dimension have a NaN anywhere."""
    return features.isnan().movedim(dimension, 0).reshape(features.shape[dimension], -1).any(1).cpu().numpy()


def _with_nans(features: Tensor, dimension: int, marked: Flags) -> Tensor:
    """The features with NaN in the marked entries of a dimension."""
    if not marked.any():
        return features
    return features.clone().index_fill_(
        dimension, torch.from_numpy(np.flatnonzero(marked)).to(features.device), torch.nan
    )


def _with_nans_in_row(state: Tensor, row: int, marked: Flags) -> Tensor:
    state = state.clone()
    state[row] = _with_nans(state[row], -1, marked)
    return state


def _nan_like(tensor: Tensor) -> Tensor:
    return torch.full_like(tensor, torch.nan) if tensor.is_floating_point() else tensor
