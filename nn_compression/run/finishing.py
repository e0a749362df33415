"""A design that a search found, made into a network: first as the search judged it, then trained again.

Every training keeps its checkpoints in the folder of the stage: made again after an interruption, it goes on from there
and ends with the same weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from torch import nn

from nn_compression.data import SettledData
from nn_compression.sparsity import deep_compression
from nn_compression.sparsity.iterative_pruning import Pruning, prune_iteratively
from nn_compression.sparsity.masks import Masks
from nn_compression.training.devices import best_device
from nn_compression.training.evaluation import evaluate
from nn_compression.training.loop import Epoch, train
from nn_compression.training.schedule import Schedule

__all__ = ["Finishing", "shared", "sparse", "zeros_of"]

_WHOLE = 0.99
"""A tensor of which more than this share is not zero was not made sparse."""
_ROUNDS = 4
"""How often weights are removed, where there are epochs enough to train between."""


@dataclass(frozen=True)
class Finishing:
    """How a design is trained again.

    Args:
        data: what is learnt.
        schedule: of the training.
        seed: of it.
        folder: where its checkpoints are kept; ``None``: nowhere.
        teacher: a network to learn from as well.
        progress: hears of every epoch.
        say: hears, in words, what else there is to tell.
    """

    data: SettledData
    schedule: Schedule
    seed: int
    folder: Path | None
    teacher: nn.Module | None = None
    progress: Callable[[Epoch], None] | None = None
    say: Callable[[str], None] | None = None

    def heard_by(self, progress: Callable[[Epoch], None], say: Callable[[str], None]) -> Finishing:
        """The same, heard by somebody."""
        return replace(self, progress=progress, say=say)

    def untrained(self) -> Finishing:
        """The same without any training."""
        return replace(
            self, schedule=replace(self.schedule, epochs=0), folder=None, teacher=None, progress=None, say=None
        )

    def counted(self) -> Callable[[Epoch], None] | None:
        """Whoever hears of it, told of the epochs of several trainings as of one."""
        heard, numbers = self.progress, count(1)
        if heard is None:
            return None

        def hear(epoch: Epoch) -> None:
            number = next(numbers)
            heard(replace(epoch, number=number, best=number - epoch.number + epoch.best))

        return hear

    def checkpoints(self, name: str) -> Path | None:
        """The folder of one attempt's checkpoints."""
        return None if self.folder is None else self.folder / name

    def tune(self, model: nn.Module, name: str, masks: Masks | None = None) -> None:
        """Train a network in place; removed weights stay removed. One that does not gain by it is left as it was.

        Raises:
            InputError: the loss is not a number, or memory runs out.
        """
        if not self.schedule.epochs:
            return
        before, untrained = self._metric(model), copy.deepcopy(model.state_dict())
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
                checkpoint=None if self.folder is None else self.folder / f"{name}.training",
                progress=self.progress,
            )
        if (after := self._metric(model)) < before:
            model.load_state_dict(untrained)
            if self.say is not None:
                found = f"{abs(after):.4g} instead of {abs(before):.4g} on the validation split"
                self.say(f"fine-tuning made it worse ({found}), and is not kept")
        model.eval()

    def _metric(self, model: nn.Module) -> float:
        """On the validation split; more is better."""
        sign = 1.0 if self.data.task.higher_is_better else -1.0
        return sign * evaluate(model, self.data.validation, self.data.task, device=best_device())


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
        folder=finishing.checkpoints(name),
        heard=finishing.counted(),
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
        folder=finishing.checkpoints(name),
        heard=finishing.counted(),
    )
    return made.data


def zeros_of(sparse: nn.Module, model: nn.Module) -> Masks | None:
    """Masks for a network that keep what is zero in another one of the same shape; ``None`` where hardly any is."""
    kept = {key: mask for key, mask in Masks.of_zeros(sparse).kept.items() if float(mask.float().mean()) < _WHOLE}
    return Masks(model, kept) if kept else None
