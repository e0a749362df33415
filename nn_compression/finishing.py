"""A design that a search found, made into a network: first as the search judged it, then trained again.

Every training keeps its checkpoints in the folder of the stage: made again after an interruption, it goes on from there
and ends with the same weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from nn_compression import deep_compression
from nn_compression.bits import Bits
from nn_compression.channels import best_channels, importance, prune
from nn_compression.data import SettledData
from nn_compression.groups import ChannelGroup, Kept
from nn_compression.iterative_pruning import Pruning, prune_iteratively
from nn_compression.quantization import quantize
from nn_compression.recalibration import recalibrate
from nn_compression.schedule import Schedule
from nn_compression.sparsity import Masks
from nn_compression.training import Epoch, train

__all__ = ["Finishing", "kept_channels", "pruned", "quantized", "shared", "sparse", "zeros_of"]

_CALIBRATION = 512
"""Training examples that batch norms and clipping ranges are taken from."""
_ROUNDS = 4
"""How often weights are removed, where there are epochs enough to train between."""


@dataclass(frozen=True)
class Finishing:
    """How a design is trained again.

    Args:
        data: what is learnt.
        schedule: of the training.
        seed: of it.
        folder: where its checkpoints are kept.
        teacher: a network to learn from as well.
        progress: hears of every epoch.
    """

    data: SettledData
    schedule: Schedule
    seed: int
    folder: Path
    teacher: nn.Module | None = None
    progress: Callable[[Epoch], None] | None = None

    def tune(self, model: nn.Module, name: str, masks: Masks | None = None) -> None:
        """Train a network in place; removed weights stay removed.

        Raises:
            InputError: the loss is not a number, or memory runs out.
        """
        if not self.schedule.epochs:
            return
        with ExitStack() as held:
            if masks is not None:
                held.enter_context(masks.held())
            train(
                model,
                self.data,
                self.schedule,
                seed=self.seed,
                teacher=self.teacher,
                after_step=None if masks is None else masks.apply,
                checkpoint=self.folder / f"{name}.training",
                progress=self.progress,
            )
        model.eval()


def kept_channels(model: nn.Module, groups: tuple[ChannelGroup, ...], counts: Mapping[str, int]) -> Kept:
    """The channels that stay: the most important ones of each group, by the L1 norm of their weights."""
    return {
        group.name: best_channels(importance(model, group), group, counts[group.name])
        for group in groups
        if counts.get(group.name, group.channels) < group.channels
    }


def pruned(model: nn.Module, groups: tuple[ChannelGroup, ...], kept: Kept, data: SettledData) -> nn.Module:
    """The smaller network, its batch norms recalibrated on training examples; the larger one is untouched."""
    smaller = prune(model, groups, kept)
    recalibrate(smaller, _drawn(data), forward=data.task.forward)
    return smaller.eval()


def sparse(model: nn.Module, keep: Mapping[str, float], finishing: Finishing, name: str) -> Masks:
    """Remove weights in place, in rounds with training between, most of the epochs after the last.

    Args:
        model: what is made sparse.
        keep: share of the weights kept, by layer.
        finishing: how it is trained.
        name: of this attempt, for its checkpoints.
    """
    return prune_iteratively(
        model,
        finishing.data,
        _pruning(keep, finishing.schedule),
        seed=finishing.seed,
        teacher=finishing.teacher,
        folder=finishing.folder / name,
    )


def _pruning(keep: Mapping[str, float], schedule: Schedule) -> Pruning:
    between = max(schedule.epochs // 6, 1)
    rounds = min(_ROUNDS, 1 + schedule.epochs // (2 * between)) if schedule.epochs else 1
    retrain = replace(schedule, epochs=between, keep_best=False, decay="constant")
    return Pruning(keep, rounds, retrain, replace(schedule, epochs=schedule.epochs - (rounds - 1) * between))


def shared(
    model: nn.Module, keep: Mapping[str, float], clusters: Mapping[str, int], finishing: Finishing, name: str
) -> bytes:
    """Deep Compression in place: a third of the epochs for the centroids, the others for pruning; the coded file."""
    centroids = finishing.schedule.epochs // 3
    pruning = replace(finishing.schedule, epochs=finishing.schedule.epochs - centroids)
    settings = deep_compression.Settings(
        _pruning(keep, pruning), clusters, replace(finishing.schedule, epochs=centroids, keep_best=False)
    )
    made = deep_compression.compress(
        model,
        finishing.data,
        settings,
        seed=finishing.seed,
        teacher=finishing.teacher,
        folder=finishing.folder / name,
    )
    return made.data


def quantized(model: nn.Module, bits: Mapping[str, Bits], data: SettledData) -> nn.Module:
    """A copy that computes with rounded numbers, its ranges calibrated on training examples."""
    return quantize(copy.deepcopy(model), bits, _drawn(data), forward=data.task.forward).eval()


def _drawn(data: SettledData) -> Tensor:
    """Training inputs, always the same: those of a class may come one after the other."""
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))
    return data.train.inputs[order[:_CALIBRATION].sort().values]


def zeros_of(model: nn.Module) -> Masks | None:
    """The masks of a network that was made sparse; ``None`` of one that is whole."""
    masks = Masks.of_zeros(model)
    return masks if any(not bool(torch.all(kept)) for kept in masks.kept.values()) else None
