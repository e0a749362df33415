"""A small network for the 8x8 digits that come with scikit-learn."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["DigitsNet", "digits_net"]


class DigitsNet(nn.Module):
    """Three 3x3 convolutions and a linear layer: small enough to be trained and searched within a minute."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1, stride=2, bias=False)
        self.norm2 = nn.BatchNorm2d(32)
        self.conv3 = nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(32)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.linear = nn.Linear(32 * 4, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (examples, channels, height, width) to logits (examples, classes)."""
        maps = self.norm1(self.conv1(images)).relu()
        maps = self.norm2(self.conv2(maps)).relu()
        maps = self.norm3(self.conv3(maps)).relu()
        return self.linear(self.pool(maps).flatten(1))  # type: ignore[no-any-return]


def digits_net(channels: int = 1, classes: int = 10) -> DigitsNet:
    """The network for scikit-learn's digits.

    Args:
        channels: of an image.
        classes: outputs.
    """
    return DigitsNet(channels, classes)
