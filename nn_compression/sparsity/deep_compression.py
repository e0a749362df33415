"""Deep Compression: prune, share weights, train the centroids, code (Han, Mao, Dally, ICLR 2016); the result is a file.

What is judged is what runs: the model that the file is decoded into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from nn_compression.coding.codec import decode, encode
from nn_compression.data import SettledData
from nn_compression.sparsity.codebooks import Codebooks
from nn_compression.sparsity.iterative_pruning import Pruning, Round, prune_iteratively
from nn_compression.sparsity.masks import Masks
from nn_compression.training.loop import Epoch, Schedule, train

__all__ = ["Compressed", "Settings", "compress"]

_CENTROIDS = "centroids-training.safetensors"


@dataclass(frozen=True)
class Settings:
    """How a model is compressed.

    Args:
        pruning: which share of each layer's weights remains, and how the others go.
        clusters: centroids of each layer or parameter, at most; biases can have some, too. What is left out keeps
            values of its own.
        centroids: how the centroids are trained, and all that is not shared.
        halves: whether centroids, and parameters that are not shared, are rounded to float16 at the end.
    """

    pruning: Pruning
    clusters: Mapping[str, int]
    centroids: Schedule
    halves: bool = True

    @property
    def epochs(self) -> int:
        """Passes over the training split in all."""
        return self.pruning.epochs + self.centroids.epochs


@dataclass(frozen=True, eq=False)
class Compressed:
    """A compressed model.

    Args:
        data: the file; its length is the size of the model.
        masks: which weights remain.
        pruned_bytes: the size of a file of the model as it was pruned, before its weights were shared.
    """

    data: bytes
    masks: Masks
    pruned_bytes: int


def compress(
    model: nn.Module,
    data: SettledData,
    settings: Settings,
    *,
    seed: int,
    teacher: nn.Module | None = None,
    folder: Path | None = None,
    progress: Callable[[Round], None] | None = None,
    heard: Callable[[Epoch], None] | None = None,
    device: torch.device | None = None,
) -> Compressed:
    """Compress a trained model in place: it ends as the file decodes.

    Args:
        model: with its trained weights, also when resumed.
        data: its training split is learnt from.
        settings: how.
        seed: of the trainings.
        teacher: a network whose outputs are learnt too (distillation).
        folder: where the work in progress is kept; where some is there, this goes on from it.
        progress: told of every round of pruning.
        heard: told of every epoch.
        device: where; by default CUDA where there is a card.

    Raises:
        InputError: there is no such layer, the folder holds other work, or a training fails.
    """
    pruning = settings.pruning
    masks = prune_iteratively(
        model, data, pruning, seed=seed, teacher=teacher, folder=folder, progress=progress, heard=heard, device=device
    )
    pruned_bytes = len(encode(model))
    books = Codebooks.share(model, settings.clusters)
    checkpoint = folder / _CENTROIDS if folder else None

    def hold() -> None:
        masks.apply()
        books.apply()

    with masks.held(), books.held():
        train(
            model,
            data,
            settings.centroids,
            seed=seed + pruning.rounds + 1,
            teacher=teacher,
            after_step=hold,
            checkpoint=checkpoint,
            progress=heard,
            device=device,
        )
    if settings.halves:
        _to_halves(model)
    coded = encode(model)
    model.load_state_dict(decode(coded, most=sum(value.numel() for value in model.state_dict().values())))
    return Compressed(coded, masks, pruned_bytes)


@torch.no_grad()
def _to_halves(model: nn.Module) -> None:
    """Round parameters to what float16 holds: to 11 bits. Statistics, which may be tiny or large, stay as they are."""
    largest = torch.finfo(torch.float16).max
    for parameter in model.parameters():
        if parameter.abs().amax() < largest:
            parameter.copy_(parameter.half())
