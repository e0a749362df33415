"""Ranges of targets: what a policy is trained over, so that it meets one it has never seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from automl_core.errors import InputError
from automl_core.specs import Specs

__all__ = ["Range", "Targets"]


@dataclass(frozen=True)
class Range:
    """Where one bound of a spec may lie.

    Args:
        low: least value, in the metric's unit.
        high: greatest value.
        scale: how values are drawn between them.

    Raises:
        InputError: the ends are swapped, or a log scale meets zero.
    """

    low: float
    high: float
    scale: Literal["linear", "log"] = "linear"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise InputError(f"a range needs low <= high, but is {self.low:g} to {self.high:g}", remedy="swap its ends")
        if self.scale == "log" and self.low <= 0:
            raise InputError(f"a log scale needs low > 0, but low is {self.low:g}", remedy="draw it linearly")

    def at(self, share: float) -> float:
        """The value a share of the way from low to high."""
        if self.scale == "log":
            return math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        return self.low + share * (self.high - self.low)


class Targets:
    """Specs whose bounds are drawn from ranges.

    Args:
        specs: what does not vary, and the weights and goals of what does.
        minima: metric -> range of its least acceptable value.
        maxima: metric -> range of its greatest acceptable value.

    Raises:
        InputError: a range names a metric without a spec, or a draw could put a least value above a greatest.
    """

    def __init__(self, specs: Specs, minima: Mapping[str, Range], maxima: Mapping[str, Range]) -> None:
        self.specs, self.minima, self.maxima = specs, dict(minima), dict(maxima)
        for metric in (*minima, *maxima):
            if metric not in specs.by_metric:
                known = ", ".join(specs.by_metric)
                raise InputError(f"no spec names the metric {metric!r}", remedy=f"name one of: {known}")

        for spec in specs.specs:
            least = minima[spec.metric].high if spec.metric in minima else spec.minimum
            most = maxima[spec.metric].low if spec.metric in maxima else spec.maximum
            if least is not None and most is not None and least > most:
                raise InputError(
                    f"the targets of {spec.metric!r} may exclude each other: min goes up to {least:g}, "
                    f"and max down to {most:g}",
                    remedy="keep every min at or below every max",
                )

    def draw(self, n: int, generator: np.random.Generator) -> list[Specs]:
        """``n`` targets, each bound independently of the others."""
        return [self._one(generator) for _ in range(n)]

    def _one(self, generator: np.random.Generator) -> Specs:
        drawn = []
        for spec in self.specs.specs:
            low, high = self.minima.get(spec.metric), self.maxima.get(spec.metric)
            if low is not None:
                spec = replace(spec, minimum=low.at(_share(generator)))
            if high is not None:
                spec = replace(spec, maximum=high.at(_share(generator)))
            drawn.append(spec)
        return Specs(drawn)

    @property
    def middle(self) -> Specs:
        """The target in the middle of every range."""
        return Specs(
            replace(
                spec,
                minimum=self.minima[spec.metric].at(0.5) if spec.metric in self.minima else spec.minimum,
                maximum=self.maxima[spec.metric].at(0.5) if spec.metric in self.maxima else spec.maximum,
            )
            for spec in self.specs.specs
        )


def _share(generator: np.random.Generator) -> float:
    return float(generator.random())
