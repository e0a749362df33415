"""Running a model on its example input: in which order its modules run, and which one fails."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from automl_core.errors import InputError

__all__ = [
    "evaluation_copy",
    "example_inputs",
    "execution_order",
    "failed_run",
    "faults_by_module",
    "refuse_computed_weights",
    "without_fused_attention",
]

_UNRUNNABLE = "the model cannot be run on its example input"
_OTHER_INPUT = "give an example input, with a batch dimension, as the model's forward takes it"


def example_inputs(example_input: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What a model's forward takes, as a tuple."""
    return (example_input,) if isinstance(example_input, Tensor) else tuple(example_input)


_MADE_PLAIN: Mapping[type[object], str] = {
    BasePruningMethod: "torch.nn.utils.prune.remove",
    WeightNorm: "torch.nn.utils.remove_weight_norm",
    SpectralNorm: "torch.nn.utils.remove_spectral_norm",
}
"""What makes a parameter again of a weight that such a hook computes."""


def refuse_computed_weights(model: nn.Module, place: str | None = None) -> None:
    """Refuse a weight that a hook computes from other parameters: it can be neither copied nor rounded nor removed.

    Raises:
        InputError: there is one; its layer is named.
    """
    for name, module in model.named_modules():
        for hook in module._forward_pre_hooks.values():
            remove = next((way for kind, way in _MADE_PLAIN.items() if isinstance(hook, kind)), None)
            if remove is not None:
                raise InputError(
                    f"the weight of the layer {name!r} is computed by a hook ({type(hook).__name__})",
                    place=place,
                    remedy=f"make it a parameter again once its weights are loaded: {remove}",
                )


def evaluation_copy(model: nn.Module) -> nn.Module:
    """A deep copy in evaluation mode without hooks, which may be changed.

    Raises:
        InputError: a hook computes a weight.
    """
    refuse_computed_weights(model)
    duplicate = copy.deepcopy(model).eval()
    for module in duplicate.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return duplicate


@contextmanager
def without_fused_attention() -> Iterator[None]:
    """Within this, ``nn.TransformerEncoderLayer`` calls its parts, as it does in training, and not one fused kernel."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def execution_order(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[str]:
    """The modules that run, by path, in the order in which they first begin.

    Args:
        model: a copy that may be changed.
        inputs: what its forward takes.

    Raises:
        InputError: the model fails; the innermost module that was running is named.
    """
    with torch.no_grad(), faults_by_module(model, inputs) as order:
        model(*inputs)
    return list(order)


@contextmanager
def faults_by_module(
    model: nn.Module, inputs: tuple[Tensor, ...], problem: str = _UNRUNNABLE, remedy: str = _OTHER_INPUT
) -> Iterator[dict[str, None]]:
    """Within this, what a model raises becomes an error that names the module that was running.

    Args:
        model: a copy that may be changed.
        inputs: what its forward takes.
        problem: what could not be done.
        remedy: what the reader can do.

    Yields:
        The paths of the modules in the order in which they first began; filled as the model runs.

    Raises:
        InputError: the model failed.
    """
    order: dict[str, None] = {}
    running: list[str] = []
    hooks = []
    for name, module in model.named_modules():

        def begin(_: nn.Module, __: object, name: str = name) -> None:
            running.append(name)
            order.setdefault(name)

        def end(_: nn.Module, __: object, ___: object) -> None:
            running.pop()

        hooks += [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]
    try:
        yield order
    except Exception as fault:  # a user's forward raises what it likes
        raise failed_run(model, running, inputs, fault, problem, remedy) from fault
    finally:
        for hook in hooks:
            hook.remove()


def failed_run(
    model: nn.Module,
    running: Sequence[str],
    inputs: tuple[Tensor, ...],
    fault: Exception,
    problem: str = _UNRUNNABLE,
    remedy: str = _OTHER_INPUT,
) -> InputError:
    """The error that names the innermost module of those that were running, from the outermost in."""
    name = running[-1] if running else ""
    module = model.get_submodule(name)
    place = f"module {name or type(model).__name__!r} ({type(module).__name__})"
    if isinstance(module, nn.Embedding) and isinstance(fault, IndexError):
        tokens = [int(tensor.max()) for tensor in inputs if not tensor.is_floating_point() and tensor.numel()]
        if (largest := max(tokens, default=0)) >= len(module.weight):
            counted = f"it has {len(module.weight)} embeddings, and the input holds the token {largest}"
            return InputError(counted, place=place, remedy="give it an embedding for each token, counted from 0")
    shapes = ", ".join(f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}" for tensor in inputs)
    return InputError(
        f"{problem} ({shapes}): {type(fault).__name__}: {fault}",
        place=place,
        remedy=remedy,
    )
