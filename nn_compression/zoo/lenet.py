"""The two LeNets of Caffe, on which pruning papers report (Han et al. 2015, 2016)."""

from __future__ import annotations

from torch import Tensor, nn

from automl_core.errors import InputError

__all__ = ["LeNet5", "LeNet300", "lenet5", "lenet_300_100"]


class LeNet300(nn.Module):
    """Two hidden layers of 300 and 100 units; 266,610 weights and biases on MNIST."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(features, 300)
        self.fc2 = nn.Linear(300, 100)
        self.fc3 = nn.Linear(100, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (examples, channels, height, width) to logits (examples, classes)."""
        hidden = self.fc1(images.flatten(1)).relu()
        return self.fc3(self.fc2(hidden).relu())  # type: ignore[no-any-return]


class LeNet5(nn.Module):
    """Caffe's LeNet-5, 20-50-500-10, with its single rectifier; 431,080 weights and biases on MNIST.

    Caffe, examples/mnist/lenet_train_test.prototxt: 5x5 kernels without padding, 2x2 max pooling after each.
    """

    def __init__(self, channels: int, size: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(50 * (((size - 4) // 2 - 4) // 2) ** 2, 500)
        self.fc2 = nn.Linear(500, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (examples, channels, size, size) to logits (examples, classes)."""
        maps = self.pool(self.conv2(self.pool(self.conv1(images))))
        return self.fc2(self.fc1(maps.flatten(1)).relu())  # type: ignore[no-any-return]


def lenet_300_100(features: int = 784, classes: int = 10) -> LeNet300:
    """LeNet-300-100.

    Args:
        features: pixels of an image, times its channels.
        classes: outputs.
    """
    return LeNet300(features, classes)


def lenet5(channels: int = 1, size: int = 28, classes: int = 10) -> LeNet5:
    """LeNet-5.

    Args:
        channels: of an image.
        size: height and width of an image, at least 16.
        classes: outputs.

    Raises:
        InputError: the images are too small.
    """
    if size < 16:
        remedy = "take digits_net for small images"
        raise InputError(f"lenet5 takes images of 16x16 or more, not {size}x{size}", place="MODEL", remedy=remedy)
    return LeNet5(channels, size, classes)
