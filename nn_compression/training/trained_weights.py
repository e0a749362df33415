"""Weights of networks trained here, kept in the user's cache folder and trained but once."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
from torch import nn

from automl_core.errors import InputError
from nn_compression.data import SettledData
from nn_compression.files.model_files import load_weights
from nn_compression.files.references import load_data, load_model, zoo_model
from nn_compression.files.tensor_files import write_tensors
from nn_compression.files.user_code import function_of, is_user_reference, users_files
from nn_compression.training.checkpoint import identity
from nn_compression.training.loop import Epoch, train
from nn_compression.training.schedule import Schedule

__all__ = ["cache_folder", "trained_weights", "usual_schedule"]


def cache_folder() -> Path:
    """Where they are kept: ``sizewise/weights`` in ``XDG_CACHE_HOME``, by default ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sizewise" / "weights"


def usual_schedule(reference: str) -> Schedule | None:
    """How a network of the zoo is usually trained; ``None`` for a user's own."""
    return None if is_user_reference(reference) else zoo_model(reference)[0].schedule


def trained_weights(
    reference: str,
    data_reference: str,
    schedule: Schedule | None = None,
    *,
    seed: int = 0,
    weights: Path | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> Path:
    """The weights of a network after a training, for ``load_weights``; trained where the cache does not have them.

    What the cache goes by is all that decides them: the reference and all code of the user's that it and the data
    import, the data, the schedule, the seed, the versions. An interrupted training goes on after its last epoch.

    Args:
        reference: of the network, as ``load_model`` takes it.
        data_reference: of the data, as ``load_data`` takes it.
        schedule: of the training; ``None``: the usual one of a network of the zoo.
        seed: of the initial weights, the validation split and the training.
        weights: a safetensors file to begin from, instead of weights drawn by the seed.
        progress: told of every epoch; not called where the cache has the weights.

    Raises:
        InputError: the network or the data cannot be loaded, a user's own has no schedule, the loss is not a number, or
            the cache cannot be written.
    """
    schedule = schedule or usual_schedule(reference)
    if schedule is None:
        remedy = "say how it is trained, or give its weights"
        raise InputError("a network of your own has no usual training", place=reference, remedy=remedy)
    data = load_data(data_reference, seed)
    model = load_model(reference, example_input=data.example_input, classes=data.classes, seed=seed)
    if weights is not None:
        load_weights(model, weights)
    references = (reference, data_reference)
    name = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', reference)}-{_key(references, model, data, schedule, seed)}"
    path = cache_folder() / f"{name}.safetensors"
    if path.is_file():
        return path
    _make(path.parent)
    checkpoint = path.with_name(f"{name}.training")
    train(model, data, schedule, seed=seed, checkpoint=checkpoint, progress=progress)
    write_tensors(path, model.state_dict())
    checkpoint.unlink(missing_ok=True)
    return path


def _key(references: tuple[str, str], model: nn.Module, data: SettledData, schedule: Schedule, seed: int) -> str:
    decides = {
        "reference": references[0],
        "code": _code(*references),
        "training": identity(model.state_dict(), data, schedule, seed, None),
        "versions": {package: version(package) for package in ("sizewise", "torch")},
    }
    return hashlib.sha256(orjson.dumps(decides, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _code(reference: str, data_reference: str) -> str:
    """A checksum of the files that the network, its loss and its augmentation are written in: no weight tells of them.

    What a user's file imports is known once it is imported: every module of the user's counts.
    """
    own = [function_of(each) for each in (reference, data_reference) if is_user_reference(each)]
    functions = own if is_user_reference(reference) else [*own, zoo_model(reference)[0].build]
    files = (users_files() if own else set()) | {file for each in functions if (file := _source(each)) is not None}
    code = hashlib.sha256()
    for file in sorted(files):
        with contextlib.suppress(OSError):
            code.update(Path(file).read_bytes())
    return code.hexdigest()


def _source(function: Callable[..., Any]) -> str | None:
    try:
        return inspect.getsourcefile(function)
    except TypeError:
        return None


def _make(folder: Path) -> None:
    """Before the training rather than after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        remedy = "set XDG_CACHE_HOME to a folder that can be written"
        raise InputError(f"cannot be written: {error.strerror}", place=str(folder), remedy=remedy) from error
