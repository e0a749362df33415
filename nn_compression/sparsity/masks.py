"""Weights removed one by one, by magnitude, and masks that keep them removed (Han et al., NIPS 2015)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from nn_compression.graph.execution import refuse_computed_weights
from nn_compression.graph.ties import first_keys
from nn_compression.training.devices import Carried

__all__ = ["Masks", "by_parameter", "gradients_altered", "prunable"]


def prunable(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """The layers whose weights can be removed, and the keys of these weights in the state dict.

    Matrices and kernels only: biases and normalisations are few, and are left alone. An LSTM has two weights a layer.
    Layers with tied weights have the same key, the first.

    Raises:
        InputError: a hook computes a weight.
    """
    refuse_computed_weights(model)
    first = first_keys(model)
    return {
        name: keys
        for name, layer in model.named_modules()
        if not isinstance(layer, nn.LayerNorm | nn.RMSNorm)
        and (
            keys := tuple(
                first[f"{name}.{key}" if name else key]
                for key, value in layer.named_parameters(recurse=False)
                if value.ndim > 1 and "weight" in key
            )
        )
    }


def by_parameter(model: nn.Module, values: Mapping[str, float], what: str) -> dict[str, float]:
    """Settings by layer or by parameter, as settings by parameter; a tied weight has the first of its names.

    Args:
        model: the model.
        values: by the name of a layer (for each of its weights) or of a parameter, which goes first. What several
            layers share gets the least of theirs.
        what: the settings are, for errors.

    Raises:
        InputError: there is no such layer or parameter.
    """
    layers, parameters = prunable(model), dict(model.named_parameters())
    keys = {key: first for key, first in first_keys(model).items() if first in parameters}
    by_layer: dict[str, float] = {}
    by_key: dict[str, float] = {}
    for name, value in values.items():
        if name not in layers and name not in keys:
            known = [*layers, *keys]
            raise InputError(
                f"there is no layer {name!r}", place=what, remedy=did_you_mean(name, known, "its layers with weights")
            )
        found = by_key if name in keys else by_layer
        for key in (keys[name],) if name in keys else layers[name]:
            found[key] = min(value, found.get(key, value))
    return by_layer | by_key


@dataclass(frozen=True, eq=False)
class Masks:
    """Which weights of a model remain.

    Training keeps the others at zero, whatever its momentum and weight decay::

        with masks.held():
            train(model, data, schedule, seed=0, after_step=masks.apply)

    Args:
        model: the model.
        kept: true where a weight remains, by the weight's key in the state dict.
    """

    model: nn.Module
    kept: Mapping[str, Tensor]

    @staticmethod
    def magnitude(model: nn.Module, keep: Mapping[str, float]) -> Masks:
        """Keep the largest weights of each layer; nothing is removed before ``apply``.

        Args:
            model: the model. What is zero already goes first, so that masks of falling shares are nested.
            keep: share of the weights kept, above 0 and up to 1, by layer or by parameter; layers left out are whole.

        Raises:
            InputError: there is no such layer, or a share is out of range.
        """
        for name, share in keep.items():
            if not 0 < share <= 1:
                remedy = "give a share of the weights above 0 and up to 1"
                raise InputError(f"{share!r} of the weights of {name!r} cannot be kept", place="keep", remedy=remedy)
        shares = by_parameter(model, keep, "keep")
        return Masks(model, {key: _largest(model.get_parameter(key), share) for key, share in shares.items()})

    @staticmethod
    def of_zeros(model: nn.Module) -> Masks:
        """The masks of a model that was pruned: each of its zeros stays one."""
        keys = [key for keys in prunable(model).values() for key in keys]
        return Masks(model, {key: model.get_parameter(key).detach() != 0 for key in keys})

    @cached_property
    def _removed(self) -> Mapping[str, Carried[Tensor]]:
        return {key: Carried(~kept) for key, kept in self.kept.items()}

    @torch.no_grad()
    def apply(self) -> None:
        """Set the removed weights to zero; to plus zero, which costs nothing in a file."""
        for key, removed in self._removed.items():
            weight = self.model.get_parameter(key)
            weight.masked_fill_(removed.on(weight.device), 0.0)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within this the removed weights have no gradient, so that they count for nothing in its norm either."""
        with gradients_altered(self.model, {key: _masking(removed) for key, removed in self._removed.items()}):
            yield

    def density(self) -> dict[str, float]:
        """The share of the weights that remain, by layer; layers without a mask are whole."""
        return {name: self._share(keys) for name, keys in prunable(self.model).items()}

    @property
    def whole_density(self) -> float:
        """The share of all these weights together that remains."""
        return self._share([key for keys in prunable(self.model).values() for key in keys])

    def _share(self, keys: Sequence[str]) -> float:
        sizes = {key: self.model.get_parameter(key).numel() for key in keys}
        left = sum(int(self.kept[key].sum()) if key in self.kept else size for key, size in sizes.items())
        return left / sum(sizes.values())


def _largest(weight: Tensor, share: float) -> Tensor:
    """True for exactly ``share`` of the weights, rounded; at least one. Of equal ones the first."""
    count = max(1, round(share * weight.numel()))
    order = weight.detach().abs().flatten().sort(descending=True, stable=True).indices[:count]
    return (
        torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device).index_fill_(0, order, True).view_as(weight)
    )


@contextmanager
def gradients_altered(model: nn.Module, changes: Mapping[str, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """Within this the gradients of some parameters are not what they were.

    Args:
        model: the model.
        changes: a gradient -> the one that is used instead, by the parameter's name.
    """
    handles = [
        model.get_parameter(key).register_hook(change)  # type: ignore[no-untyped-call]
        for key, change in changes.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _masking(removed: Carried[Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda gradient: gradient.masked_fill(removed.on(gradient.device), 0.0)
