"""A network on disk: how to build it (JSON) and its weights (safetensors); no pickles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from nn_compression.quantization import Bits

__all__ = ["ModelSpec", "load_saved", "load_weights", "save_model"]


@dataclass(frozen=True)
class ModelSpec:
    """How a saved network is built: the base by its reference, then what was done to it.

    Args:
        reference: of the base model, as ``load_model`` takes it.
        classes: outputs that a zoo network was built with.
        input_shape: of an example input, with the batch axis of 1.
        input_type: its type: "float32" or "int64".
        kept: channels kept, sorted, by channel group; groups left out are whole.
        keep: layers named by the user as not to be pruned: the groups depend on them.
        round_to: as in ``channel_groups``: the groups depend on it.
        bits: of linear-quantized layers, by layer.
        facts: anything a reader may want to know: metrics, budget, seed.
    """

    reference: str
    classes: int | None
    input_shape: tuple[int, ...]
    input_type: str = "float32"
    kept: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    round_to: int = 1
    bits: Mapping[str, Bits] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def save_model(folder: Path, model: nn.Module, spec: ModelSpec) -> None:
    """Write ``model.json`` and ``model.safetensors`` into a folder, each whole or not at all."""
    raise NotImplementedError


def load_saved(folder: Path) -> nn.Module:
    """Build the network that ``save_model`` wrote."""
    raise NotImplementedError


def load_weights(model: nn.Module, path: Path) -> None:
    """Put the weights of a safetensors file into a network; every tensor must fit."""
    raise NotImplementedError
