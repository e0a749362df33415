"""Residual networks for 32x32 images (He et al., Deep Residual Learning, 2016, section 4.2).

Shortcuts that change shape are 1x1 convolutions (option B), not strided slices padded with zeros (option A): a padded
channel axis has no weights to prune, and ties the channels of two stages together by position.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["ResNet", "resnet20", "resnet29_bottleneck", "resnet56"]

_WIDTHS = (16, 32, 64)


class Basic(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = _shortcut(inputs, width, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """(examples, inputs, h, w) to (examples, width, h / stride, w / stride)."""
        branch = self.norm1(self.conv1(maps)).relu()
        branch = self.norm2(self.conv2(branch))
        return (branch + self.shortcut(maps)).relu()  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 ones, and a shortcut."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(outputs)
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """(examples, inputs, h, w) to (examples, 4 · width, h / stride, w / stride)."""
        branch = self.norm1(self.conv1(maps)).relu()
        branch = self.norm2(self.conv2(branch)).relu()
        branch = self.norm3(self.conv3(branch))
        return (branch + self.shortcut(maps)).relu()  # type: ignore[no-any-return]


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """A 3x3 stem, three stages of equal depth at 16, 32 and 64 channels, global pooling, a linear layer."""

    def __init__(self, block: type[Basic] | type[Bottleneck], depth: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, _WIDTHS[0], 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(_WIDTHS[0])
        inputs, stages = _WIDTHS[0], []
        for stage, width in enumerate(_WIDTHS):
            blocks = []
            for index in range(depth):
                blocks.append(block(inputs, width, 2 if stage and not index else 1))
                inputs = width * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(inputs, classes)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Images (examples, channels, height, width) to logits (examples, classes)."""
        maps = self.stages(self.norm(self.conv(images)).relu())
        return self.linear(self.pool(maps).flatten(1))  # type: ignore[no-any-return]


def _initialise(module: nn.Module) -> None:
    """He et al., Delving Deep into Rectifiers (2015)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def resnet20(channels: int = 3, classes: int = 10) -> ResNet:
    """ResNet-20: three stages of three basic blocks.

    Args:
        channels: of an image.
        classes: outputs.
    """
    return ResNet(Basic, 3, channels, classes)


def resnet56(channels: int = 3, classes: int = 10) -> ResNet:
    """ResNet-56: three stages of nine basic blocks.

    Args:
        channels: of an image.
        classes: outputs.
    """
    return ResNet(Basic, 9, channels, classes)


def resnet29_bottleneck(channels: int = 3, classes: int = 10) -> ResNet:
    """ResNet-29: three stages of three bottleneck blocks.

    Args:
        channels: of an image.
        classes: outputs.
    """
    return ResNet(Bottleneck, 3, channels, classes)
