"""Prune a little, train again, repeat: far more weights can go than in one step (Han et al., NIPS 2015, section 3).

Of a network with convolutions as of one with LSTM layers; a teacher, such as the network before, may help on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from automl_core.errors import InputError
from nn_compression.data import SettledData
from nn_compression.files.tensor_files import digest, read_tensors, write_tensors
from nn_compression.sparsity.masks import Masks
from nn_compression.training.loop import Epoch, Schedule, train

__all__ = ["Pruning", "Round", "dropout_scaled", "prune_iteratively"]

_ROUND, _TRAINING = "pruning.safetensors", "pruning-training-{}.safetensors"


@dataclass(frozen=True)
class Pruning:
    """How weights are removed.

    Args:
        keep: share of the weights that remain at the end, by layer or parameter: less for the less sensitive.
        rounds: how often weights are removed.
        retrain: the training after each round but the last.
        settle: the training after the last round.
        less_dropout: whether dropout falls with the weights that remain (section 3.2): a sparse network overfits less.

    Raises:
        InputError: there is no round.
    """

    keep: Mapping[str, float]
    rounds: int
    retrain: Schedule
    settle: Schedule
    less_dropout: bool = True

    def __post_init__(self) -> None:
        if self.rounds < 1:
            remedy = "give one round or more"
            raise InputError(f"{self.rounds} rounds remove nothing", place="Pruning.rounds", remedy=remedy)

    @property
    def epochs(self) -> int:
        """Passes over the training split in all."""
        return (self.rounds - 1) * self.retrain.epochs + self.settle.epochs

    def keep_after(self, done: int) -> dict[str, float]:
        """The shares after so many rounds: much goes early and little late (Zhu, Gupta 2017, equation 1)."""
        left = (1 - done / self.rounds) ** 3
        return {name: share + (1 - share) * left for name, share in self.keep.items()}


@dataclass(frozen=True)
class Round:
    """One round, done.

    Args:
        number: from 1.
        loss: of its last epoch, over the training split; ``None`` where nothing was trained.
        masks: what remains.
    """

    number: int
    loss: float | None
    masks: Masks


def prune_iteratively(
    model: nn.Module,
    data: SettledData,
    pruning: Pruning,
    *,
    seed: int,
    teacher: nn.Module | None = None,
    folder: Path | None = None,
    progress: Callable[[Round], None] | None = None,
    heard: Callable[[Epoch], None] | None = None,
    device: torch.device | None = None,
) -> Masks:
    """Prune a trained network in place.

    Args:
        model: with its trained weights, also when resumed.
        data: its training split is learnt from.
        pruning: how.
        seed: of the trainings.
        teacher: a network whose outputs are learnt too (distillation).
        folder: where the last round and the running training are kept; where they are there, it goes on from them.
        progress: told of every round.
        heard: told of every epoch.
        device: where; by default CUDA where there is a card.

    Returns:
        what remains; ``held`` and ``apply`` keep it so in further training.

    Raises:
        InputError: there is no such layer, the folder holds another pruning, or the training fails.
    """
    taught = None if teacher is None else digest(teacher.state_dict())
    facts = {"pruning": asdict(pruning), "seed": seed, "data": data.train.checksum, "teacher": taught}
    known = digest(model.state_dict(), facts)
    done = _resumed(model, folder, known)
    masks = Masks.magnitude(model, pruning.keep_after(done)) if done else Masks(model, {})
    for number in range(done + 1, pruning.rounds + 1):
        masks = Masks.magnitude(model, pruning.keep_after(number))
        masks.apply()
        schedule = pruning.settle if number == pruning.rounds else pruning.retrain
        checkpoint = folder / _TRAINING.format(number) if folder else None
        share = math.sqrt(masks.whole_density) if pruning.less_dropout else 1.0
        with masks.held(), dropout_scaled(model, share):
            history = train(
                model,
                data,
                schedule,
                seed=seed + number,
                teacher=teacher,
                after_step=masks.apply,
                checkpoint=checkpoint,
                progress=heard,
                device=device,
            )
        _keep(model, folder, number, known)
        if progress is not None:
            progress(Round(number, history.epochs[-1].loss if history.epochs else None, masks))
    return masks


@contextmanager
def dropout_scaled(model: nn.Module, factor: float) -> Iterator[None]:
    """Within this every dropout leaves out a part of what it did (Han et al., NIPS 2015, equation 3).

    Args:
        model: with dropout layers, or recurrent layers that have some between them.
        factor: the square root of the share of the weights that remain.
    """
    ratios = [
        (module, name, float(getattr(module, name)))
        for module in model.modules()
        for kind, name in ((_DropoutNd, "p"), (nn.RNNBase, "dropout"), (nn.MultiheadAttention, "dropout"))
        if isinstance(module, kind)
    ]
    try:
        for module, name, ratio in ratios:
            setattr(module, name, ratio * factor)
        yield
    finally:
        for module, name, ratio in ratios:
            setattr(module, name, ratio)


def _keep(model: nn.Module, folder: Path | None, number: int, known: str) -> None:
    if folder is not None:
        write_tensors(folder / _ROUND, model.state_dict(), {"round": number, "of": known})
        (folder / _TRAINING.format(number)).unlink(missing_ok=True)


def _resumed(model: nn.Module, folder: Path | None, known: str) -> int:
    """The rounds that were done; the model as it was after them."""
    if folder is None or not (folder / _ROUND).exists():
        return 0
    remedy = "take another folder, or remove the file to begin anew"
    state, facts = read_tensors(folder / _ROUND, remedy)
    if not isinstance(facts, dict) or facts.get("of") != known:
        problem = "it was written by another pruning: other weights, data, teacher, settings or seed"
        raise InputError(problem, place=str(folder / _ROUND), remedy=remedy)
    model.load_state_dict(state)
    return int(facts["round"])
