"""Least-squares reconstruction: the layers that read pruned channels are refitted to the original's outputs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from nn_compression.groups import ChannelGroup, Kept

__all__ = ["Reconstruction"]


class Reconstruction:
    """Caches samples of the original's layers once; a candidate then costs one small least squares a layer."""

    def __init__(
        self,
        model: nn.Module,
        groups: Sequence[ChannelGroup],
        inputs: Tensor,
        *,
        batch: int = 32,
        points: int = 10,
        seed: int = 0,
    ) -> None:
        raise NotImplementedError

    def apply(self, pruned: nn.Module, kept: Kept) -> None:
        """Refits, in place, the weights of the convolutions and linear layers of ``pruned`` that lost input channels."""
        raise NotImplementedError
