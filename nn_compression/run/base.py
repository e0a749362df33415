"""The network that is to be compressed: as its weights have it, trained here, or refused because it is untrained."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from automl_core.errors import InputError
from nn_compression.data import SettledData
from nn_compression.files.model_files import load_weights
from nn_compression.files.references import load_data, load_model
from nn_compression.tasks import LANGUAGE
from nn_compression.training.evaluation import evaluate
from nn_compression.training.loop import Epoch
from nn_compression.training.schedule import Schedule
from nn_compression.training.trained_weights import trained_weights, usual_schedule

__all__ = ["Source", "finetuning", "load_base", "refuse_untrained", "training"]

_REDRAWN = 5
"""Draws of the initial weights that a network has to be better than."""
_SPREADS = 4.0
"""... by so many of their standard deviations."""
_LOOKED_AT = 2000
"""Validation examples that this is seen by."""
_FINE = 0.2
"""Share of the training's learning rate that fine-tuning begins at."""


@dataclass(frozen=True)
class Source:
    """Where the network comes from.

    Args:
        model: as ``load_model`` takes it.
        data: as ``load_data`` takes it.
        weights: a safetensors file, if there is one.
        train_epochs: how long it is trained here, from these weights or from the start; 0: not at all.
        learning_rate: of that training; ``None``: the usual one.
        seed: of the validation split, the initial weights and the training.
    """

    model: str
    data: str
    weights: str | None
    train_epochs: int
    learning_rate: float | None
    seed: int


def training(source: Source, task: str) -> Schedule:
    """How the network is trained: as its entry in the zoo says, or with Adam, which asks least of an unknown one.

    Args:
        source: the network.
        task: the name of its task.
    """
    unknown = Schedule(1, learning_rate=1e-3, batch=64, optimizer="adam", weight_decay=1e-4, clip_norm=1.0)
    if task == LANGUAGE.name:
        unknown = replace(unknown, learning_rate=2e-3, batch=32, weight_decay=0.0)
    usual = usual_schedule(source.model) or unknown
    rate = usual.learning_rate if source.learning_rate is None else source.learning_rate
    return replace(usual, epochs=source.train_epochs, learning_rate=rate)


def finetuning(source: Source, task: str, epochs: int) -> Schedule:
    """How it is trained again once it is smaller: shorter, slower, and ending with the best epoch."""
    schedule = training(source, task)
    rate = schedule.learning_rate * _FINE
    return replace(schedule, epochs=epochs, learning_rate=rate, warmup=0.0, keep_best=True)


def load_base(source: Source, progress: Callable[[Epoch], None] | None = None) -> nn.Module:
    """The network with the weights that count, in evaluation mode.

    Args:
        source: where it comes from.
        progress: hears of every epoch of a training; what was trained before is in the cache, and not trained again.

    Raises:
        InputError: it cannot be loaded, its weights do not fit, or the training fails.
    """
    data = load_data(source.data, source.seed)
    model = load_model(source.model, example_input=data.example_input, classes=data.classes, seed=source.seed)
    weights = None if source.weights is None else Path(source.weights)
    if source.train_epochs:
        schedule = training(source, data.task.name)
        weights = trained_weights(
            source.model, source.data, schedule, seed=source.seed, weights=weights, progress=progress
        )
    if weights is not None:
        load_weights(model, weights)
    return model.eval()


def refuse_untrained(model: nn.Module, data: SettledData, source: Source) -> None:
    """A network that is no better than its own modules with weights drawn anew has learnt nothing worth keeping.

    Args:
        model: left as it is.
        data: whose validation split tells.
        source: for the message.

    Raises:
        InputError: it is untrained; how that is mended.
    """
    split, task = data.validation.first(_LOOKED_AT), data.task
    sign = 1.0 if task.higher_is_better else -1.0
    found = sign * evaluate(model, split, task)
    drawn = [sign * evaluate(_redrawn(model, seed), split, task) for seed in range(_REDRAWN)]
    if found > statistics.fmean(drawn) + _SPREADS * statistics.stdev(drawn):
        return
    usual = usual_schedule(source.model)
    epochs = 20 if usual is None else usual.epochs
    remedy = (
        f"its training of {source.train_epochs} epochs taught it nothing: try another learning rate (--lr)"
        if source.train_epochs
        else f"train it here (--train-epochs {epochs}), or give its weights (--weights FILE.safetensors)"
    )
    shown = f"{sign * found:.3g} {task.unit}".rstrip()
    raise InputError(
        f"the network is untrained: {shown} on the validation split, and {sign * max(drawn):.3g} with random weights",
        place=source.model,
        remedy=remedy,
    )


def _redrawn(model: nn.Module, seed: int) -> nn.Module:
    """The same network with initial weights of its own, as far as its modules can draw them."""
    fresh = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in fresh.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
    return fresh
