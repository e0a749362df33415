"""Data sets in their standard layouts, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nn_compression.data import Data
from nn_compression.datasets.cifar10 import cifar10_data
from nn_compression.datasets.digits import digits_data
from nn_compression.datasets.mnist import mnist_data
from nn_compression.datasets.text import text_data, tinyshakespeare_data

__all__ = ["DATASETS", "cifar10_data", "digits_data", "mnist_data", "text_data", "tinyshakespeare_data"]

DATASETS: Mapping[str, Callable[[], Data]] = {
    "digits": digits_data,
    "mnist": mnist_data,
    "cifar10": cifar10_data,
    "tinyshakespeare": tinyshakespeare_data,
}
"""What loads each data set."""
