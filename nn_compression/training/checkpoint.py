"""Where a training stands after an epoch, in one file: weights, the optimizer's state, the epochs so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from automl_core.errors import InputError
from nn_compression.data import SettledData
from nn_compression.files.tensor_files import digest, read_tensors, write_tensors
from nn_compression.training.schedule import Schedule

__all__ = ["Epoch", "Standing", "identity", "read_standing", "write_standing"]

_PARTS = ("model", "best", "optimizer")


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave.

    Args:
        number: from 1.
        learning_rate: of its last step.
        loss: mean over its training batches.
        metric: on the validation split; ``None`` where it is not needed to choose the best epoch.
        seconds: wall time.
        best: number of the epoch, of those so far, whose weights the network ends with.
    """

    number: int
    learning_rate: float
    loss: float
    metric: float | None
    seconds: float
    best: int


@dataclass(frozen=True)
class Standing:
    """Where a training stands.

    Args:
        epochs: those done.
        best: number of the best of them on the validation split, or of the last.
        model: the state dict after the last of them.
        kept: the state dict after the best of them; empty where that is the last.
        optimizer: its state: "parameter number.name" -> tensor.
    """

    epochs: tuple[Epoch, ...]
    best: int
    model: Mapping[str, Tensor]
    kept: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]


def identity(
    state: Mapping[str, Tensor], data: SettledData, schedule: Schedule, seed: int, teacher: Mapping[str, Tensor] | None
) -> dict[str, Any]:
    """What makes two trainings the same one, but for what a caller does after each step.

    Args:
        state: the initial state dict.
        data: what is learnt.
        schedule: how.
        seed: of the training.
        teacher: the teacher's state dict, if any.
    """
    return {
        "schedule": asdict(schedule),
        "seed": seed,
        "data": [data.label, data.task.name, data.train.checksum, data.validation.checksum],
        "tensors": {name: list(tensor.shape) for name, tensor in state.items()},
        "initial weights": digest(state),
        "teacher": None if teacher is None else digest(teacher),
    }


def write_standing(path: Path, standing: Standing, training: Mapping[str, Any]) -> None:
    """Write where a training stands, whole or not at all.

    Args:
        path: the file; one that is there is replaced.
        standing: where it stands.
        training: its ``identity``.

    Raises:
        InputError: it cannot be written.
    """
    parts = zip(_PARTS, (standing.model, standing.kept, standing.optimizer), strict=True)
    tensors = {f"{part}.{name}": tensor for part, held in parts for name, tensor in held.items()}
    epochs = [asdict(epoch) for epoch in standing.epochs]
    write_tensors(path, tensors, {"training": training, "epochs": epochs, "best": standing.best})


def read_standing(path: Path, training: Mapping[str, Any]) -> Standing:
    """Read where a training stands.

    Raises:
        InputError: the file is damaged, or of another training (what differs is named).
    """
    remedy = "remove it, and the training begins anew"
    tensors, facts = read_tensors(path, remedy)
    if not isinstance(facts, dict) or not {"training", "epochs", "best"} <= facts.keys():
        raise InputError("it is no checkpoint of a training", place=str(path), remedy=remedy)
    differing = [key for key, value in training.items() if facts["training"].get(key) != value]
    if differing:
        problem = f"this is the checkpoint of another training: {_difference(differing, facts['training'], training)}"
        raise InputError(problem, place=str(path), remedy="name another file, or remove this one to begin anew")
    model, kept, optimizer = (
        {name.removeprefix(f"{part}."): tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}
        for part in _PARTS
    )
    epochs = tuple(Epoch(**epoch) for epoch in facts["epochs"])
    return Standing(epochs, facts["best"], model, kept, optimizer)


def _difference(differing: Sequence[str], found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    first = differing[0]
    if first not in ("schedule", "tensors"):
        return f"its {first} is another"
    theirs, ours = found.get(first) or {}, wanted[first]
    name = next((name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)), first)
    return f"{name} is {theirs.get(name)!r} there and {ours.get(name)!r} here"


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer, flat."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value
        for number, held in state.items()
        for name, value in held.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what ``optimizer_tensors`` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        number, _, name = path.partition(".")
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
