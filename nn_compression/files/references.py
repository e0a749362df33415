"""Models and data by the names that a user gives them: the zoo's, the standard data sets', or ``module:function``."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from nn_compression.data import Data, SettledData, settled
from nn_compression.datasets import DATASETS
from nn_compression.datasets.text import text_data
from nn_compression.files.tensor_files import held
from nn_compression.files.user_code import blaming, call, function_of, is_user_reference
from nn_compression.graph.execution import refuse_computed_weights
from nn_compression.zoo import ZOO, ZooModel

__all__ = ["load_data", "load_model", "zoo_model"]

_WIDTH = re.compile(r"(?P<name>\w+)_x(?P<width>\d+(\.\d+)?)")


def load_data(reference: str, seed: int) -> SettledData:
    """The data that a reference names, settled; loaded once a process and kept.

    Args:
        reference: "digits", "mnist", "cifar10", "tinyshakespeare", a text file (``.txt``) for a language model of its
            characters, or "module:function" of a function that takes nothing and returns ``Data``.
        seed: of the validation split, where one must be carved.

    Raises:
        InputError: there is no such data, a file of it is missing or damaged, or the user's function fails.
    """
    return _loaded(reference, str(Path.cwd()), seed)


@lru_cache(maxsize=2)
def _loaded(reference: str, folder: str, seed: int) -> SettledData:
    del folder  # references are relative to it: another folder's module of the same name is another
    if is_user_reference(reference):
        data = call(function_of(reference), reference)
        if not isinstance(data, Data):
            remedy = "return nn_compression.data.Data(train, validation or None, test, example_input, task)"
            raise InputError(f"it returns a {type(data).__name__}, no Data", place=reference, remedy=remedy)
        if data.label == Data.label:
            data = replace(data, label=reference)
        with blaming(f"reading the examples of {reference}"):
            return settled(data, seed)
    elif reference.endswith(".txt"):
        data = text_data(Path(reference))
    elif reference in DATASETS:
        data = DATASETS[reference]()
    else:
        remedy = did_you_mean(reference, DATASETS, "the data sets") + "; your own data is module:function"
        raise InputError(f"there is no data set {reference!r}", place="--data", remedy=remedy)
    return settled(data, seed)


def zoo_model(reference: str) -> tuple[ZooModel, float | None]:
    """The zoo's entry of a name, and the width that the name ends in, if any.

    Raises:
        InputError: the zoo has no such network.
    """
    if reference in ZOO:
        return ZOO[reference], None
    wide = _WIDTH.fullmatch(reference)
    if wide and (entry := ZOO.get(wide["name"])) and float(wide["width"]) > 0 and _takes(entry, "width"):
        return entry, float(wide["width"])
    remedy = did_you_mean(reference, ZOO, "the networks of the zoo") + "; your own network is module:function"
    raise InputError(f"there is no network {reference!r}", place="MODEL", remedy=remedy)


def load_model(
    reference: str, *, example_input: Tensor | None = None, classes: int | None = None, seed: int = 0
) -> nn.Module:
    """The network that a reference names, with the initial weights of the seed; a new one at each call.

    Args:
        reference: a network of the zoo ("lenet5", "mobilenet_v1_x0.5" for half the width), or "module:function" of a
            function that takes nothing and returns a ``torch.nn.Module``.
        example_input: an input that a network of the zoo is built for, shape (1, ...); by default its usual data's.
        classes: outputs of a network of the zoo; by default its usual data's.
        seed: of the initial weights.

    Raises:
        InputError: there is no such network, it does not fit the input, the user's function fails, or what it returns
            cannot be kept in a file.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if is_user_reference(reference):
            model = call(function_of(reference), reference)
            if not isinstance(model, nn.Module):
                remedy = "return the torch.nn.Module itself"
                raise InputError(
                    f"it returns a {type(model).__name__}, no torch.nn.Module", place=reference, remedy=remedy
                )
            refuse_computed_weights(model, reference)
            for name, value in model.state_dict().items():
                held(name, value)
            return model
        return _from_zoo(reference, example_input, classes)


def _from_zoo(reference: str, example_input: Tensor | None, classes: int | None) -> nn.Module:
    entry, width = zoo_model(reference)
    wanted: dict[str, Any] = {"classes": classes, "width": width}
    if example_input is not None:
        shape = tuple(example_input.shape[1:])
        if len(shape) != entry.dimensions:
            usual = f"it is for inputs as those of {entry.data}, of {entry.dimensions} axes"
            raise InputError(f"{reference} does not take inputs of shape {shape}", place="MODEL", remedy=usual)
        if entry.dimensions == 3:
            wanted |= {"channels": shape[0], "size": shape[1], "features": shape[0] * shape[1] * shape[2]}
    return entry.build(**{name: value for name, value in wanted.items() if value is not None and _takes(entry, name)})


def _takes(entry: ZooModel, name: str) -> bool:
    return name in inspect.signature(entry.build).parameters
