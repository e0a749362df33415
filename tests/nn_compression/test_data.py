from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from automl_core.errors import InputError
from nn_compression.data import Data, SettledData, Split, settled
from nn_compression.tasks import CLASSIFICATION, IGNORED


def numbered(count: int) -> Split:
    """Examples whose input and target are their own number."""
    numbers = torch.arange(count)
    return Split(numbers.float().view(-1, 1), numbers)


def some_data(train: Any = None, **changes: Any) -> Data:
    """Data of numbered examples."""
    data = Data(train or numbered(50), None, numbered(9), torch.zeros(1, 1), "classification", held_out=12)
    return replace(data, **changes)


@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 9))
def test_shuffled_batches_hold_every_example_once_in_almost_equal_numbers(count: int, size: int, seed: int) -> None:
    batches = list(numbered(count).batches(size, torch.Generator().manual_seed(seed)))
    lengths = [len(targets) for _, targets in batches]
    assert max(lengths) <= size and max(lengths) - min(lengths) <= 1
    assert len(batches) == -(-count // size)
    assert sorted(torch.cat([targets for _, targets in batches]).tolist()) == list(range(count))
    assert all(inputs[:, 0].long().equal(targets) for inputs, targets in batches)


def test_batches_without_a_generator_are_in_order() -> None:
    batches = list(numbered(7).batches(3))
    assert [targets.tolist() for _, targets in batches] == [[0, 1, 2], [3, 4, 5], [6]]


def test_the_order_is_the_seeds() -> None:
    def order(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        return [int(target) for _, targets in numbered(40).batches(8, generator) for target in targets]

    assert order(1) == order(1) != order(2)


def test_a_validation_split_is_carved_by_the_seed_and_it_says_so() -> None:
    data = settled(some_data(), 3)
    held, left = data.validation.targets.tolist(), data.train.targets.tolist()
    assert len(held) == 12 and sorted(held + left) == list(range(50))
    assert data.notes == ("validation: 12 examples carved from the training split (seed 3)",)
    assert settled(some_data(), 3).validation.targets.tolist() == held
    assert settled(some_data(), 4).validation.targets.tolist() != held


def test_a_tenth_is_held_out_by_default_and_a_given_split_is_kept() -> None:
    assert len(settled(some_data(held_out=None), 0).validation) == 5
    own = settled(some_data(validation=numbered(4)), 0)
    assert len(own.validation) == 4 and len(own.train) == 50 and own.notes == ()


def test_settled_data_know_their_task_and_classes_and_stay_as_they_are() -> None:
    data = settled(some_data(), 0)
    assert data.task is CLASSIFICATION and data.classes == 50
    assert settled(data, 1) is data
    assert isinstance(data, SettledData)


def test_a_map_style_dataset_is_read_into_memory() -> None:
    inputs, targets = torch.randn(6, 2, 3), torch.arange(6)
    split = Split.read(TensorDataset(inputs, targets), "train")
    assert split.inputs.equal(inputs) and split.targets.equal(targets)


class Items(Dataset[Any]):
    """A dataset of given items."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class Stream(IterableDataset[Any]):
    """A dataset without an index."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())


@pytest.mark.parametrize(
    ("examples", "problem"),
    [
        (Items(torch.zeros(2)), "no pair"),
        (Items((torch.zeros(2), 1), (torch.zeros(3), 1)), "do not stack"),
        (Items(("a", None), ("b", None)), "do not stack"),
        (Items(), "no examples"),
        (Stream(), "is a Stream"),
        ([1, 2], "no pair"),
        (None, "is a NoneType"),
    ],
)
def test_a_dataset_that_cannot_be_read_is_told(examples: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        Split.read(examples, "train")
    assert caught.value.remedy


def as_type(split: Split, dtype: torch.dtype) -> Split:
    """A split with inputs of another type."""
    return Split(split.inputs.to(dtype), split.targets)


@pytest.mark.parametrize(
    ("changes", "place", "problem"),
    [
        ({"example_input": torch.zeros(2, 1)}, "Data.example_input", r"of shape \(2, 1\)"),
        ({"example_input": 3.0}, "Data.example_input", "a float"),
        ({"example_input": torch.zeros(1, 5)}, "Data.train", r"\(1,\) of torch.float32.*\(5,\)"),
        ({"test": as_type(numbered(3), torch.float64)}, "Data.test", "float64"),
        (
            {"validation": Split(torch.zeros(3, 1), torch.zeros(3, 2))},
            "Data.validation",
            r"targets are of shape \(3, 2\)",
        ),
        ({"held_out": 50}, "Data.validation", "50 of 50"),
        ({"held_out": 0}, "Data.validation", "0 of 50"),
        ({"held_out": 1.5}, "Data.validation", "1.5 of 50"),
        ({"test": Split(torch.zeros(2, 1), torch.full((2,), IGNORED))}, "Data.test", "all its targets are -100"),
        ({"train": Split(torch.zeros(20, 1), torch.full((20,), IGNORED))}, "Data.train", "all its targets are -100"),
        ({"classes": 49}, "Data.train", "from 0 to 49, and there are 49"),
        ({"test": Split(torch.zeros(2, 1), torch.tensor([3, -1]))}, "Data.test", "from -1 to 3"),
        ({"task": "detection"}, "Data.task", "detection"),
    ],
)
def test_data_that_do_not_fit_together_are_told_with_their_place(
    changes: dict[str, Any], place: str, problem: str
) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        settled(some_data(**changes), 0)
    assert caught.value.place == place and caught.value.remedy


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [(torch.zeros(3, 1), torch.zeros(2)), (torch.zeros(()), torch.zeros(1)), ([1], torch.zeros(1))],
)
def test_a_split_has_a_target_for_each_input(inputs: Any, targets: Tensor) -> None:
    with pytest.raises(InputError):
        Split(inputs, targets)
