"""A network of MobileNetV2's blocks (Sandler et al. 2018) that takes less than 6 M MACs at 32x32."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["MobileNetV2", "mobilenet_v2"]

_STAGES = ((1, 8, 1, 1), (6, 12, 2, 2), (6, 16, 3, 2), (6, 32, 2, 1), (6, 48, 3, 2))
"""(expansion, outputs, blocks, stride) of each stage."""
_STEM, _HEAD = 16, 192


class InvertedResidual(nn.Module):
    """Expand by a 1x1 convolution, filter depthwise, project by a linear 1x1 convolution; a shortcut where it fits."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = nn.Sequential() if expansion == 1 else _normalised(nn.Conv2d(inputs, hidden, 1, bias=False))
        self.depthwise = _normalised(nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False))
        self.project = nn.Sequential(nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        """(examples, inputs, h, w) to (examples, outputs, h / stride, w / stride)."""
        branch: Tensor = self.project(self.depthwise(self.expand(maps)))
        return maps + branch if self.residual else branch


def _normalised(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU6())


class MobileNetV2(nn.Module):
    """A stem of stride 1, five stages of inverted residuals (32, 16, 8, 8, 4 pixels), a 1x1 head, a linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = _normalised(nn.Conv2d(channels, _STEM, 3, 1, 1, bias=False))
        inputs, blocks = _STEM, []
        for expansion, outputs, count, stride in _STAGES:
            for index in range(count):
                blocks.append(InvertedResidual(inputs, outputs, 1 if index else stride, expansion))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = _normalised(nn.Conv2d(inputs, _HEAD, 1, bias=False))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(_HEAD, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (examples, channels, height, width) to logits (examples, classes)."""
        maps = self.head(self.blocks(self.stem(images)))
        return self.linear(self.pool(maps).flatten(1))  # type: ignore[no-any-return]


def mobilenet_v2(channels: int = 3, classes: int = 10) -> MobileNetV2:
    """A MobileNetV2 for 32x32 images.

    Args:
        channels: of an image.
        classes: outputs.
    """
    return MobileNetV2(channels, classes)
