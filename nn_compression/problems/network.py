"""A trained network and its data by reference: what a problem pickles as, loaded once in each process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from nn_compression.channels import ChannelGroup, channel_groups
from nn_compression.cost import raw_bytes
from nn_compression.data import SettledData
from nn_compression.files.model_files import load_saved, load_weights
from nn_compression.files.references import load_data, load_model
from nn_compression.graph.tracing import NetworkGraph, trace
from nn_compression.training.devices import best_device, layout_of

__all__ = ["Network", "NetworkReference"]


@dataclass(frozen=True)
class NetworkReference:
    """Where a trained network and its data are.

    Args:
        data: as :func:`nn_compression.files.references.load_data` takes it.
        model: as :func:`nn_compression.files.references.load_model` takes it; not needed where the network was saved.
        weights: of the model, a safetensors file; without it the network is as the seed makes it, untrained.
        saved: a folder of :func:`nn_compression.files.model_files.save_model`, instead of a model and weights.
        seed: of the validation split, where one must be carved, and of untrained weights.
    """

    data: str
    model: str | None = None
    weights: Path | None = None
    saved: Path | None = None
    seed: int = 0

    def load(self) -> Network:
        """The network; a second call in the same process gives the same one.

        Raises:
            InputError: there is no such network or data, or the weights do not fit.
        """
        files = [self.weights] if self.saved is None else list(self.saved.glob("*"))
        stamps = tuple(file.stat().st_mtime_ns for file in files if file is not None and file.exists())
        return _loaded(self, str(Path.cwd()), stamps)


@lru_cache(maxsize=2)
def _loaded(reference: NetworkReference, folder: str, stamps: tuple[int, ...]) -> Network:
    del folder, stamps  # references are relative to the one; the others tell new weights of the same name
    data = load_data(reference.data, reference.seed)
    if reference.saved is not None:
        return Network(load_saved(reference.saved), data)
    name = reference.model or ""
    model = load_model(name, example_input=data.example_input, classes=data.classes, seed=reference.seed)
    if reference.weights is not None:
        load_weights(model, reference.weights)
    return Network(model, data)


class Network:
    """A network in memory, in evaluation mode, with its data and its graph. Nobody alters it.

    Args:
        model: the network.
        data: what it is judged on.
    """

    def __init__(self, model: nn.Module, data: SettledData) -> None:
        self.model = model.eval().requires_grad_(False)
        self.data = data
        self._groups: dict[tuple[tuple[str, ...], int], tuple[ChannelGroup, ...]] = {}

    @property
    def example_input(self) -> Tensor:
        """One input, with a batch axis of 1."""
        return self.data.example_input

    @cached_property
    def graph(self) -> NetworkGraph:
        """Its layers and the tensors between them."""
        return trace(self.model, self.example_input)

    @cached_property
    def layout(self) -> torch.memory_format:
        """How its images lie in memory where it computes: see :func:`nn_compression.training.devices.layout_of`."""
        return layout_of([self.model], self.data.train.inputs, self.data.task.forward, best_device())

    def groups(self, keep: tuple[str, ...] = (), round_to: int = 1) -> tuple[ChannelGroup, ...]:
        """Its groups of coupled channels, as :func:`nn_compression.channels.channel_groups` finds them."""
        asked = (keep, round_to)
        if asked not in self._groups:
            self._groups[asked] = channel_groups(self.model, self.example_input, keep=keep, round_to=round_to)
        return self._groups[asked]

    @property
    def state_bytes(self) -> int:
        """Bytes of all values of its state dict: see :func:`nn_compression.cost.raw_bytes`."""
        return raw_bytes(self.model)
