"""MobileNetV1 (Howard et al. 2017, table 1) for 32x32 images."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["MobileNetV1", "mobilenet_v1"]

_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *(((512, 1),) * 5), (1024, 2), (1024, 1))
"""(outputs, stride) of the depthwise-separable blocks, as in the paper."""


class Separable(nn.Module):
    """A depthwise 3x3 convolution, then a pointwise one."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        self.norm1 = nn.BatchNorm2d(inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        """(examples, inputs, h, w) to (examples, outputs, h / stride, w / stride)."""
        maps = self.norm1(self.depthwise(maps)).relu()
        return self.norm2(self.pointwise(maps)).relu()  # type: ignore[no-any-return]


class MobileNetV1(nn.Module):
    """The paper's network with a stem of stride 1: 32x32 images leave the last block at 2x2."""

    def __init__(self, width: float, channels: int, classes: int) -> None:
        super().__init__()
        inputs = max(8, round(32 * width))
        self.conv = nn.Conv2d(channels, inputs, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(inputs)
        blocks = []
        for base, stride in _BLOCKS:
            outputs = max(8, round(base * width))
            blocks.append(Separable(inputs, outputs, stride))
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (examples, channels, height, width) to logits (examples, classes)."""
        maps = self.blocks(self.norm(self.conv(images)).relu())
        return self.linear(self.pool(maps).flatten(1))  # type: ignore[no-any-return]


def mobilenet_v1(width: float = 1.0, channels: int = 3, classes: int = 10) -> MobileNetV1:
    """MobileNetV1.

    Args:
        width: multiplies the channels of every layer.
        channels: of an image.
        classes: outputs.
    """
    return MobileNetV1(width, channels, classes)
