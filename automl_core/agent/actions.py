"""How the number that a policy's head gives becomes a coordinate, and how exploration disturbs it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from automl_core.agent.graph import Entry

__all__ = ["REACH", "coordinates", "explored", "truncated_normal"]

REACH = 0.25
"""A refinement moves a coordinate by this much at most; a first guess goes anywhere."""
_KEEP = 2.0
"""How much the present alternative of a choice is favoured when a design is refined, as a logit."""


def coordinates(heads: Tensor, current: Tensor, present: Tensor, entries: Sequence[Entry]) -> Tensor:
    """Coordinates from heads.

    Args:
        heads: shape (rows, entries): real numbers.
        current: shape (rows, entries): of the design to improve.
        present: shape (rows, 1): 1 where there is one.
        entries: what each column is.

    Returns:
        Shape (rows, entries), in [0, 1]; the alternatives of a choice add up to 1.
    """
    moved = (current + REACH * (2 * _bounded(2 * heads) - 1)).clamp(0.0, 1.0)
    guessed = _bounded(heads)
    numbers = torch.where(present > 0, moved, guessed)
    if not any(entry.alternative for entry in entries):
        return numbers
    parts = []
    for columns in _groups(entries):
        if not entries[columns[0]].alternative:
            parts.append(numbers[:, columns])
        else:
            parts.append(torch.softmax(heads[:, columns] + _KEEP * present * current[:, columns], dim=-1))
    return torch.cat(parts, dim=1)


def _bounded(heads: Tensor) -> Tensor:
    """The logistic function, with the gradient of :class:`_Inverting`."""
    bounded: Tensor = _Inverting.apply(heads)  # type: ignore[no-untyped-call]
    return bounded


class _Inverting(torch.autograd.Function):
    """The logistic function for actions: a bound that was reached can be left again.

    Its own gradient vanishes at both ends, so a policy that was once pushed to a bound stays there. Here a gradient is
    scaled by what is left in the direction that it pushes in: Hausknecht and Stone, "Deep Reinforcement Learning in
    Parameterized Action Space" (2016), equation 11. In the middle the two agree.
    """

    @staticmethod
    def forward(ctx: Any, heads: Tensor) -> Tensor:
        bounded = torch.sigmoid(heads)
        ctx.save_for_backward(bounded)
        return bounded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (bounded,) = ctx.saved_tensors
        gradient = gradients[0]
        return gradient * torch.where(gradient < 0, 1 - bounded, bounded) * 0.5


def explored(wanted: Tensor, deviation: float, entries: Sequence[Entry], generator: torch.Generator) -> Tensor:
    """Disturb coordinates: truncated normal noise on numbers; a choice is drawn from its weights, mixed with chance."""
    parts = []
    for columns in _groups(entries):
        part = wanted[:, columns]
        if not entries[columns[0]].alternative:
            parts.append(truncated_normal(part, deviation, generator))
        else:
            mixed = (1 - deviation) * part + deviation / part.shape[1]
            drawn = torch.multinomial(mixed, 1, generator=generator)[:, 0]
            parts.append(torch.nn.functional.one_hot(drawn, part.shape[1]).to(part.dtype))
    return torch.cat(parts, dim=1)


def truncated_normal(mean: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """A draw from N(mean, deviation²) restricted to [0, 1], by inversion (as AMC and HAQ explore)."""
    if deviation <= 0:
        return mean

    def below(x: Tensor) -> Tensor:
        return 0.5 * (1 + torch.erf(x / math.sqrt(2)))

    low, high = below((0 - mean) / deviation), below((1 - mean) / deviation)
    uniform = low + (high - low) * torch.rand(mean.shape, generator=generator)
    drawn = torch.erfinv((2 * uniform - 1).clamp(-1 + 1e-6, 1 - 1e-6)) * math.sqrt(2)
    return (mean + deviation * drawn).clamp(0.0, 1.0)


def _groups(entries: Sequence[Entry]) -> list[list[int]]:
    """Columns, within these entries, of each variable."""
    groups: dict[int, list[int]] = {}
    for column, entry in enumerate(entries):
        groups.setdefault(entry.variable, []).append(column)
    return list(groups.values())
