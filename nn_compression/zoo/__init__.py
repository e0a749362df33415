"""Networks to begin with: plain modules, one family a file, and how each is usually trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from nn_compression.training.schedule import Schedule
from nn_compression.zoo.digits import digits_net
from nn_compression.zoo.lenet import lenet5, lenet_300_100
from nn_compression.zoo.lstm import lstm_language_model
from nn_compression.zoo.mobilenet_v1 import mobilenet_v1
from nn_compression.zoo.mobilenet_v2 import mobilenet_v2
from nn_compression.zoo.resnet import resnet20, resnet29_bottleneck, resnet56

__all__ = [
    "ZOO",
    "ZooModel",
    "digits_net",
    "lenet5",
    "lenet_300_100",
    "lstm_language_model",
    "mobilenet_v1",
    "mobilenet_v2",
    "resnet20",
    "resnet29_bottleneck",
    "resnet56",
]


@dataclass(frozen=True)
class ZooModel:
    """A network of the zoo.

    Args:
        build: makes it; it takes those of ``channels``, ``size``, ``features``, ``classes`` and ``width`` that it
            depends on, by name.
        data: the reference of the data it is for.
        schedule: how it is usually trained.
        dimensions: axes of one input, without the batch's.
    """

    build: Callable[..., nn.Module]
    data: str
    schedule: Schedule
    dimensions: int = 3


_MNIST = Schedule(epochs=20, learning_rate=0.05, batch=128, decay="cosine", weight_decay=5e-4)
_CIFAR = Schedule(epochs=30, learning_rate=0.1, batch=128, decay="cosine", weight_decay=5e-4, warmup=1.0)
_TEXT = Schedule(epochs=20, learning_rate=2e-3, batch=32, optimizer="adam", weight_decay=0.0, clip_norm=1.0)

ZOO: Mapping[str, ZooModel] = {
    "digits_net": ZooModel(digits_net, "digits", Schedule(epochs=20, learning_rate=0.1, batch=64)),
    "lenet_300_100": ZooModel(lenet_300_100, "mnist", _MNIST),
    "lenet5": ZooModel(lenet5, "mnist", _MNIST),
    "resnet20": ZooModel(resnet20, "cifar10", _CIFAR),
    "resnet56": ZooModel(resnet56, "cifar10", _CIFAR),
    "resnet29_bottleneck": ZooModel(resnet29_bottleneck, "cifar10", _CIFAR),
    "mobilenet_v1": ZooModel(mobilenet_v1, "cifar10", _CIFAR),
    "mobilenet_v2": ZooModel(mobilenet_v2, "cifar10", _CIFAR),
    "lstm_language_model": ZooModel(lstm_language_model, "tinyshakespeare", _TEXT, dimensions=1),
}
"""The zoo by name; a name may end in ``_x0.5`` where the network has a width multiplier."""
