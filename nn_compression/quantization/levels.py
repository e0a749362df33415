"""The numbers that a few bits can tell apart: integers times a scale, and how a tensor is rounded to them.

Rounding passes its gradient straight through (Bengio, Léonard, Courville, Estimating or Propagating Gradients Through
Stochastic Neurons, 2013), and none to a value that is clipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Levels", "activation_levels", "along_first", "best_weight_scale", "integers_of", "rounded", "weight_levels"]

_RATIOS = tuple(0.2 + 0.8 * step / 32 for step in range(33))
"""Shares of a channel's largest weight that its range may end at: between the best for 2 bits and no clipping."""


@dataclass(frozen=True)
class Levels:
    """The integers of a quantizer.

    Args:
        low: the least one.
        high: the greatest one.
        signs: whether only these two exist, -1 and 1, and no zero: one bit of a quantity of both signs.
    """

    low: int
    high: int
    signs: bool = False


def weight_levels(bits: int) -> Levels:
    """The levels of weights: symmetric, zero included; one bit is the sign (XNOR-Net, Rastegari et al. 2016)."""
    largest = max(2 ** (bits - 1) - 1, 1)
    return Levels(-largest, largest, signs=bits == 1)


def activation_levels(bits: int, low: int) -> Levels:
    """The levels of activations: 2^bits of them from ``low`` on, zero included; one bit of both signs is the sign.

    Args:
        bits: 1 to 8.
        low: the least one; 0 for what is never negative, -1 for the sign alone.
    """
    if bits == 1 and low == -1:
        return Levels(-1, 1, signs=True)
    return Levels(low, low + 2**bits - 1)


def integers_of(values: Tensor, scale: Tensor, levels: Levels) -> Tensor:
    """The nearest integers, as floats in a new tensor of the shape of ``values``; the scale broadcasts."""
    if levels.signs:
        return torch.where(values >= 0, 1.0, -1.0)
    return (values * scale.reciprocal()).round_().clamp_(levels.low, levels.high)


class _Rounding(torch.autograd.Function):
    """Rounds to levels; the gradient passes where nothing was clipped."""

    @staticmethod
    def forward(context: Any, values: Tensor, scale: Tensor, levels: Levels, clips: bool) -> Tensor:
        integers = integers_of(values, scale, levels)
        context.clips = clips
        if clips:
            least, greatest = (levels.low - 0.5) * scale, (levels.high + 0.5) * scale
            context.save_for_backward((values >= least) & (values <= greatest))
        return integers.mul_(scale).to(values.dtype)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = gradients
        if context.clips:
            (inside,) = context.saved_tensors
            gradient = gradient * inside
        return gradient, None, None, None


def rounded(values: Tensor, scale: Tensor, levels: Levels, *, clips: bool = True) -> Tensor:
    """The nearest values that the levels can tell apart; the gradient passes straight through.

    Args:
        values: any shape.
        scale: of a level; broadcasts.
        levels: the integers.
        clips: whether a value outside the levels gets no gradient. Weights get theirs always (DoReFa-Net, Zhou et al.
            2016, equation 7): one that left the range would never come back.
    """
    if values.requires_grad and torch.is_grad_enabled():
        result: Tensor = _Rounding.apply(values, scale, levels, clips)  # type: ignore[no-untyped-call]
        return result
    return integers_of(values, scale, levels).mul_(scale).to(values.dtype)


def along_first(scale: Tensor, axes: int) -> Tensor:
    """A scale a channel, shape (channels,), so that it broadcasts along the first of ``axes`` axes."""
    return scale.view(-1, *(1 for _ in range(axes - 1)))


@torch.no_grad()
def best_weight_scale(weight: Tensor, bits: int) -> Tensor:
    """The scale of each output channel that rounds its weights with the least squared error.

    A grid of clipping points, then the scale that is best for the integers found (least squares: w·q / q·q). One bit
    has its closed form, the mean magnitude (XNOR-Net, equation 6).

    Args:
        weight: shape (channels, ...).
        bits: 1 to 8.

    Returns:
        Shape (channels,); for a channel of zeros 1, and 0 where there is one bit, which has no level at zero.
    """
    flat = weight.detach().flatten(1)
    flat = flat.float() if flat.element_size() < 4 else flat  # half of a float cannot hold small scales
    levels = weight_levels(bits)
    if levels.signs:
        return flat.abs().mean(1)
    largest = flat.abs().amax(1, keepdim=True)
    best, least = torch.ones_like(largest), torch.full_like(largest, torch.inf)
    for ratio in _RATIOS:
        best, least = _better(flat, _positive(largest * (ratio / levels.high)), levels, best, least)
    integers = integers_of(flat, best, levels)
    fitted = (flat * integers).sum(1, keepdim=True) / integers.square().sum(1, keepdim=True).clamp_min(1.0)
    best, _ = _better(flat, _positive(fitted), levels, best, least)
    return best.squeeze(1)


def _better(flat: Tensor, scale: Tensor, levels: Levels, best: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    error = integers_of(flat, scale, levels).mul_(scale).sub_(flat).square_().sum(1, keepdim=True)
    closer = error < least
    return torch.where(closer, scale, best), torch.where(closer, error, least)


def _positive(scale: Tensor) -> Tensor:
    return torch.where(scale > torch.finfo(scale.dtype).tiny, scale, torch.ones_like(scale))
