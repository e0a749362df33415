"""What a network is trained, searched and judged on: splits in memory, and the data of a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from automl_core.errors import InputError
from nn_compression.files.tensor_files import digest
from nn_compression.tasks import CLASSIFICATION, IGNORED, LANGUAGE, Task, task_of

__all__ = ["Augment", "Data", "SettledData", "Split", "Task", "settled"]

Augment: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]
"""A batch of inputs and a generator on the CPU -> the batch, altered; applied to training batches only."""

_CARVED = 0.1
"""The share of the training examples that becomes the validation split where there is none."""


@dataclass(frozen=True, eq=False)
class Split:
    """Examples in memory.

    Args:
        inputs: shape (examples, ...).
        targets: shape (examples, ...).

    Raises:
        InputError: there are none, or not as many targets as inputs.
    """

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, Tensor) or not isinstance(self.targets, Tensor):
            kinds = f"{type(self.inputs).__name__} and {type(self.targets).__name__}"
            raise InputError(
                f"inputs and targets are {kinds}", place="Split", remedy="give two tensors: torch.as_tensor(array)"
            )
        if self.inputs.ndim == 0 or self.targets.ndim == 0 or len(self.inputs) != len(self.targets):
            shapes = f"inputs of shape {tuple(self.inputs.shape)}, targets of shape {tuple(self.targets.shape)}"
            raise InputError(shapes, place="Split", remedy="the first axis of both counts the examples")
        if not len(self.inputs):
            raise InputError("there are no examples", place="Split", remedy="give at least one")

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def checksum(self) -> str:
        """Of the examples and their order, reckoned once."""
        return digest({"inputs": self.inputs, "targets": self.targets})

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The examples in batches.

        Args:
            size: examples in a batch, at most.
            generator: shuffles them, into batches that differ in length by one at most (batch statistics of a
                remainder of a few examples would be worth little). Without: in order, the last batch may be short.
        """
        if generator is None:
            yield from zip(torch.split(self.inputs, size), torch.split(self.targets, size), strict=True)
            return
        order = torch.randperm(len(self), generator=generator).to(self.inputs.device)
        for chosen in order.tensor_split(-(-len(self) // size)):
            yield self.inputs.index_select(0, chosen), self.targets.index_select(0, chosen)

    def select(self, indices: Tensor) -> Split:
        """Some of the examples, in the order of the indices."""
        return Split(self.inputs[indices], self.targets[indices])

    def first(self, count: int) -> Split:
        """The first examples, as a view; all of them where there are no more."""
        return Split(self.inputs[:count], self.targets[:count])

    def to(self, device: torch.device) -> Split:
        """The same split on a device."""
        moved = {
            entry.name: value.to(device)
            for entry in fields(self)
            if isinstance(value := getattr(self, entry.name), Tensor)
        }
        return replace(self, **moved)

    @staticmethod
    def read(examples: Split | Dataset[Any], name: str) -> Split:
        """A user's map-style dataset, read into memory once.

        Args:
            examples: a split, or a dataset whose items are (input, target).
            name: what it is to the user, for errors.

        Raises:
            InputError: it is neither, or its items are no pairs of equal shapes.
        """
        if isinstance(examples, Split):
            return examples
        if not hasattr(examples, "__getitem__") or not hasattr(examples, "__len__"):
            remedy = "give a Split(inputs, targets) or a map-style torch Dataset (with __len__ and __getitem__)"
            raise InputError(f"the {name} data is a {type(examples).__name__}", place=f"Data.{name}", remedy=remedy)
        items = [examples[index] for index in range(len(examples))]
        if any(not isinstance(item, tuple | list) or len(item) != 2 for item in items):
            remedy = "let __getitem__ return (input, target)"
            raise InputError("an item of the dataset is no pair", place=f"Data.{name}", remedy=remedy)
        try:
            inputs, targets = default_collate(items) if items else (torch.empty(0), torch.empty(0))
        except (RuntimeError, TypeError) as error:
            remedy = "all inputs must be tensors, arrays or numbers of one shape; transform them in __getitem__"
            raise InputError(
                f"its items do not stack: {str(error).splitlines()[0]}", place=f"Data.{name}", remedy=remedy
            ) from error
        return Split(inputs, targets)


@dataclass(frozen=True, eq=False)
class Data:
    """What a network is trained, searched and judged on, as a user's DATA function returns it.

    Args:
        train: examples to learn from; a ``Split`` or a map-style torch Dataset of (input, target).
        validation: examples that choices are made by; ``None``: carved from ``train`` by the seed.
        test: examples that the result is judged by, and nothing else.
        example_input: one input with a batch axis of 1, as the network takes it.
        task: "classification", "language" or a ``Task``.
        augment: alters training batches.
        classes: number of classes, or of tokens; ``None``: counted in the training targets.
        label: what tables call the data.
        held_out: examples carved from ``train`` where ``validation`` is ``None``; by default a tenth.
    """

    train: Split | Dataset[Any]
    validation: Split | Dataset[Any] | None
    test: Split | Dataset[Any]
    example_input: Tensor
    task: Task | str
    augment: Augment | None = None
    classes: int | None = None
    label: str = "data"
    held_out: int | None = None


@dataclass(frozen=True, eq=False)
class SettledData(Data):
    """Data with every split in memory, the task looked up and the validation split made.

    Args:
        notes: what was decided on the way, to be told to the user.
    """

    train: Split
    validation: Split
    test: Split
    task: Task
    notes: tuple[str, ...] = field(default=())


def settled(data: Data, seed: int) -> SettledData:
    """Read the splits, look the task up, and carve the validation split where there is none.

    Args:
        data: as the user gave it.
        seed: of the carving.

    Raises:
        InputError: a part of it cannot be used; which, and what to do.
    """
    if isinstance(data, SettledData):
        return data
    task = task_of(data.task)
    train, test = Split.read(data.train, "train"), Split.read(data.test, "test")
    notes: tuple[str, ...] = ()
    if data.validation is None:
        train, validation = _carved(train, data.held_out, seed)
        notes = (f"validation: {len(validation):,} examples carved from the training split (seed {seed})",)
    else:
        validation = Split.read(data.validation, "validation")
    for name, split in {"train": train, "validation": validation, "test": test}.items():
        _check(name, split, data.example_input, task)
    classes = data.classes or _classes(train, task)
    for name, split in {"train": train, "validation": validation, "test": test}.items():
        _check_range(name, split, classes, task)
    given = {entry.name: getattr(data, entry.name) for entry in fields(Data)}
    given |= {"train": train, "validation": validation, "test": test, "task": task}
    return SettledData(**given | {"classes": classes}, notes=notes)


def _carved(train: Split, held_out: int | None, seed: int) -> tuple[Split, Split]:
    count = round(len(train) * _CARVED) if held_out is None else held_out
    if not isinstance(count, int) or not 0 < count < len(train):
        remedy = "give a validation split, more training examples, or held_out as a number of them"
        raise InputError(
            f"{count} of {len(train)} training examples cannot be held out", place="Data.validation", remedy=remedy
        )
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    return train.select(order[count:].sort().values), train.select(order[:count].sort().values)


def _check(name: str, split: Split, example: Tensor, task: Task) -> None:
    place = f"Data.{name}"
    if not isinstance(example, Tensor) or example.ndim == 0 or len(example) != 1:
        found = f"of shape {tuple(example.shape)}" if isinstance(example, Tensor) else f"a {type(example).__name__}"
        remedy = "give one input with a batch axis: inputs[:1]"
        raise InputError(f"the example input is {found}", place="Data.example_input", remedy=remedy)
    shapes = tuple(split.inputs.shape[1:]), tuple(example.shape[1:])
    if shapes[0] != shapes[1] or split.inputs.dtype != example.dtype:
        raise InputError(
            f"its inputs are {shapes[0]} of {split.inputs.dtype}, the example input is {shapes[1]} of {example.dtype}",
            place=place,
            remedy="give every split and the example input the same shape and type",
        )
    axes = 1 if task == CLASSIFICATION else 2 if task == LANGUAGE else None
    if axes is None:
        return
    if split.targets.ndim != axes or split.targets.dtype != torch.int64:
        found = f"of shape {tuple(split.targets.shape)} and {split.targets.dtype}"
        wanted = "(examples,)" if axes == 1 else "(windows, tokens)"
        raise InputError(
            f"its targets are {found}",
            place=place,
            remedy=f"{task.name} takes targets of shape {wanted} and torch.int64",
        )
    if not bool((split.targets != IGNORED).any()):
        remedy = "give at least one target that counts"
        raise InputError(f"all its targets are {IGNORED}, which is not judged", place=place, remedy=remedy)


def _classes(train: Split, task: Task) -> int | None:
    return int(train.targets.max()) + 1 if task in (CLASSIFICATION, LANGUAGE) else None


def _check_range(name: str, split: Split, classes: int | None, task: Task) -> None:
    if classes is None or task not in (CLASSIFICATION, LANGUAGE):
        return
    judged = split.targets[split.targets != IGNORED]
    if len(judged) and (int(judged.min()) < 0 or int(judged.max()) >= classes):
        problem = f"its targets go from {int(judged.min())} to {int(judged.max())}, and there are {classes} classes"
        remedy = "count classes from 0; give Data their number where the training split does not hold them all"
        raise InputError(problem, place=f"Data.{name}", remedy=remedy)
