"""Least-squares reconstruction: layers that lost input channels are refitted to what the whole network computes.

He, Zhang, Sun, Channel Pruning for Accelerating Very Deep Neural Networks (2017), equation 3, as AMC uses it: of the
original network, sampled once, X are the inputs of a layer at random positions and Y its outputs there; the weights W
of the layer with the input channels S minimise |Y - X_S W|². All that the minimum needs are the products XᵀX and XᵀY:
they are summed once, and a candidate solves a linear system in XᵀX[S, S].
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from automl_core.errors import EvaluationError, InputError
from nn_compression.channels.groups import ChannelGroup, Kept
from nn_compression.channels.surgery import stays
from nn_compression.graph.data_flow import tensors_in

__all__ = ["Reconstruction"]


@dataclass
class _Sums:
    """Sums over the samples of one layer: its inputs by themselves, (features, features), and by its outputs."""

    inputs: Tensor
    outputs: Tensor
    samples: int


_SAMPLES = 4
"""Samples for each feature that a layer needs to be refitted: with as many as it has features, a fit is to the samples
alone, and the error on other examples grows (by 1 / (1 - features / samples) in the mean, for independent samples)."""


_ROUNDING = 1e-2
"""Of a layer's outputs, how much they may be off what its weight and bias make of the samples."""


class Reconstruction:
    """Samples of the original's layers, taken once; a candidate then costs one small linear system a layer.

    Convolutions (grouped, depthwise and transposed ones apart) and linear layers are refitted, their biases too, where
    there are at least four samples for each feature that stays; whatever else reads pruned channels keeps the weights
    it has, and so does a layer that shares them with another, or computes something else than torch's own.

    Args:
        model: the original; it is not changed, and must not change afterwards.
        groups: its channel groups.
        inputs: (examples, ...), on the model's device. AMC takes 60 batches.
        batch: examples at a time.
        points: positions sampled of each layer's outputs, the same for all examples of a batch. AMC takes 10.
        seed: draws the positions.
        ridge: pull towards the weights as they are, relative to the mean square of the inputs: channels that are always
            zero then do no harm.
        largest: layers with more input features (channels times kernel) than this keep their weights: the products
            would take 8 · largest² bytes.
        forward: (model, inputs) -> outputs; ``model(inputs)`` where nothing is given.

    Raises:
        InputError: there are no inputs, or no examples a batch or points.
    """

    def __init__(
        self,
        model: nn.Module,
        groups: Sequence[ChannelGroup],
        inputs: Tensor,
        *,
        batch: int = 64,
        points: int = 10,
        seed: int = 0,
        ridge: float = 1e-6,
        largest: int = 4608,
        forward: Callable[[nn.Module, Tensor], object] | None = None,
    ) -> None:
        if min(len(inputs), batch, points) < 1:
            raise InputError(
                f"layers cannot be sampled on {len(inputs)} examples, {batch} at a time, at {points} points",
                remedy="give at least one of each",
            )
        self._model, self._groups, self._ridge = model, tuple(groups), ridge
        self._products: dict[str, _Sums] = {}
        self._others: set[str] = set()
        self._sample(inputs, batch, points, torch.Generator().manual_seed(seed), largest, forward)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are refitted when they lose channels, by path."""
        return tuple(self._products)

    def _sample(
        self,
        inputs: Tensor,
        batch: int,
        points: int,
        generator: torch.Generator,
        largest: int,
        forward: Callable[[nn.Module, Tensor], object] | None,
    ) -> None:
        readers = sorted({one.layer for group in self._groups for one in group.members if one.axis == "in"})
        modules = dict(self._model.named_modules())
        held = Counter(id(tensor) for module in modules.values() for tensor in module._parameters.values())
        modes = {module: module.training for module in modules.values()}
        hooks = [
            modules[layer].register_forward_hook(partial(self._add, layer, points, generator), with_kwargs=True)
            for layer in readers
            if layer in modules
            and 0 < _features(modules[layer]) <= largest
            and all(held[id(tensor)] == 1 for tensor in modules[layer].parameters())
        ]
        self._model.eval()
        try:
            with torch.no_grad():
                for examples in torch.split(inputs, batch):
                    self._model(examples) if forward is None else forward(self._model, examples)
        finally:
            for hook in hooks:
                hook.remove()
            for module, mode in modes.items():
                module.training = mode

    def _add(
        self,
        layer: str,
        points: int,
        generator: torch.Generator,
        module: nn.Module,
        inputs: tuple[Tensor, ...],
        named: Mapping[str, Tensor],
        made: Tensor,
    ) -> None:
        """Adds the samples of one call of a layer, unless it computes something else than torch's own."""
        if layer in self._others:
            return
        given = inspect.signature(module.forward).bind(*inputs, **named).arguments
        read = tensors_in(list(given.values()))[0]
        if isinstance(module, _ConvNd):
            samples = _sampled_convolution(module, read, made, points, generator)
        else:
            samples = _sampled_linear(read, made, points, generator)
        if samples is None or (layer not in self._products and not _fits(module, *samples)):
            self._others.add(layer)
            self._products.pop(layer, None)
            return
        features, outputs = (part.double() for part in samples)
        if module.bias is not None:
            features = torch.cat([features, torch.ones_like(features[:, :1])], 1)
        sums = self._products.setdefault(layer, _Sums(torch.zeros(()), torch.zeros(()), 0))
        sums.inputs = sums.inputs + (features.T @ features).cpu()
        sums.outputs = sums.outputs + (features.T @ outputs).cpu()
        sums.samples += len(features)

    def apply(self, pruned: nn.Module, kept: Kept) -> None:
        """Refits, in place, the weights of the layers that lost input channels.

        Args:
            pruned: what ``prune(model, groups, kept)`` gave.
            kept: the same.

        Raises:
            InputError: ``pruned`` has other channels.
        """
        sides = stays(self._model, self._groups, kept)
        for layer, products in self._products.items():
            if (layer, "in") in sides:
                outputs = sides.get((layer, "out"))
                self._refit(pruned.get_submodule(layer), layer, products, sides[layer, "in"], outputs)

    def _refit(self, module: Any, layer: str, products: _Sums, read: Tensor, made: Tensor | None) -> None:
        columns = read.repeat_interleave(module.weight[0, 0].numel())
        if module.bias is not None:
            columns = torch.cat([columns, torch.ones(1, dtype=torch.bool)])
        gram = products.inputs[columns][:, columns]
        moments = products.outputs[columns] if made is None else products.outputs[columns][:, made]
        now = _as_matrix(module)
        if now.shape != moments.shape:
            raise InputError(
                f"{layer!r} has a weight of shape {tuple(module.weight.shape)}, not what stays of the original",
                place=layer,
                remedy="give the model that prune() made with the same kept channels",
            )
        if products.samples < _SAMPLES * len(gram):
            return
        missing = moments - gram @ now  # that of the least squares for the change of the weights
        gram.diagonal().add_(self._ridge * products.inputs.diagonal().mean().clamp_min(1e-30))
        factor, fault = torch.linalg.cholesky_ex(gram)
        if fault:
            raise EvaluationError(f"the samples of {layer!r} are not finite, so that it cannot be refitted")
        _set_from_matrix(module, now + torch.cholesky_solve(missing, factor))


def _features(module: nn.Module) -> int:
    """Inputs of one output of a layer that can be refitted; 0 for other layers."""
    if isinstance(module, nn.Linear):
        return module.in_features
    if isinstance(module, _ConvNd) and module.groups == 1 and not isinstance(module, _ConvTransposeNd):
        return module.weight[0].numel()
    return 0


def _fits(module: Any, features: Tensor, outputs: Tensor) -> bool:
    """Whether a layer makes its outputs by its weight and bias alone: a subclass or a hook may scale or pad."""
    weight: Tensor = module.weight.flatten(1)
    if (features.shape[1], outputs.shape[1]) != (weight.shape[1], weight.shape[0]):
        return False
    error = functional.linear(features, weight, module.bias) - outputs
    return not bool(error.abs().max() > _ROUNDING * outputs.abs().max())


def _as_matrix(module: _ConvNd | nn.Linear) -> Tensor:
    """(features, outputs), the bias as the last feature; float64."""
    weight = module.weight.detach().cpu().double().flatten(1).T
    return weight if module.bias is None else torch.cat([weight, module.bias.detach().cpu().double().unsqueeze(0)])


def _set_from_matrix(module: _ConvNd | nn.Linear, matrix: Tensor) -> None:
    with torch.no_grad():
        if module.bias is not None:
            module.bias.copy_(matrix[-1])
            matrix = matrix[:-1]
        module.weight.copy_(matrix.T.reshape(module.weight.shape))


def _sampled_linear(
    features: Tensor, made: Tensor, points: int, generator: torch.Generator
) -> tuple[Tensor, Tensor] | None:
    """(samples, features) and (samples, outputs) at random positions of a sequence, or of each example whole."""
    if features.shape[:-1] != made.shape[:-1]:
        return None
    if features.dim() < 3:
        return features.reshape(-1, features.shape[-1]), made.reshape(-1, made.shape[-1])
    features, made = features.flatten(1, -2), made.flatten(1, -2)
    chosen = _drawn(features.shape[1], points, generator).to(features.device)
    return features[:, chosen].flatten(0, 1), made[:, chosen].flatten(0, 1)


def _sampled_convolution(
    conv: _ConvNd, maps: Tensor, made: Tensor, points: int, generator: torch.Generator
) -> tuple[Tensor, Tensor] | None:
    """(samples, inputs · kernel) and (samples, outputs) at random positions of the output maps; nothing for others."""
    axes = conv.weight.dim() - 2
    if maps.dim() == axes + 1:
        maps, made = maps.unsqueeze(0), made.unsqueeze(0)
    mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    maps = functional.pad(maps, conv._reversed_padding_repeated_twice, mode)
    along = [(kernel - 1) * step + 1 for kernel, step in zip(conv.kernel_size, conv.dilation, strict=True)]
    places = [(size - one) // by + 1 for size, one, by in zip(maps.shape[2:], along, conv.stride, strict=True)]
    if places != list(made.shape[2:]):
        return None
    for axis in range(axes):  # each gives a last dimension: the window along this axis
        maps = maps.unfold(2 + axis, along[axis], conv.stride[axis])
    chosen = _drawn(made[0, 0].numel(), points, generator).to(maps.device)
    at: list[slice | Tensor] = [slice(None), slice(None), *torch.unravel_index(chosen, made.shape[2:])]
    windows = maps[tuple(at)]
    for axis, step in enumerate(conv.dilation):
        windows = windows.movedim(3 + axis, 0)[::step].movedim(0, 3 + axis)
    return windows.transpose(1, 2).flatten(2).flatten(0, 1), made[tuple(at)].mT.flatten(0, 1)


def _drawn(whole: int, points: int, generator: torch.Generator) -> Tensor:
    """Positions, each at most once, sorted."""
    return torch.randperm(whole, generator=generator)[:points].sort().values
