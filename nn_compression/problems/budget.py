"""What a compressed network may cost: ``macs=0.5``, ``bytes=44k``, ``latency=0.2ms``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean

__all__ = ["METRICS", "CostLimit"]

METRICS: Mapping[str, str] = {"macs": "MACs", "bytes": "bytes", "latency": "s", "energy": "J"}
"""What can be limited -> its unit."""

_COUNTS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_BYTES = {**_COUNTS, "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20}
_SCALES: Mapping[str, Mapping[str, float]] = {
    "macs": _COUNTS,
    "bytes": _BYTES,
    "latency": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9},
    "energy": {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "µJ": 1e-6, "nJ": 1e-9, "pJ": 1e-12},
}
_EXAMPLES = {"macs": "0.5 or 20M", "bytes": "0.1 or 44k", "latency": "0.6 or 0.2ms", "energy": "0.5 or 2mJ"}

_ROUNDING = 1e-15
"""Of a product of two floats, what is lost at most and a little: 0.29 times 100 is 28.999999999999996."""


@dataclass(frozen=True)
class CostLimit:
    """A limit on one cost.

    Args:
        metric: a name of :data:`METRICS`.
        amount: a share of what the network costs before compression, or an amount in the metric's unit.
        relative: whether it is a share.

    Raises:
        InputError: the metric is unknown, or the amount is no positive number, or a share above 1.
    """

    metric: str
    amount: float
    relative: bool = True

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            remedy = did_you_mean(self.metric, METRICS, "the costs that can be limited")
            raise InputError(f"nothing is called {self.metric!r}", place="--budget", remedy=remedy)
        if not (math.isfinite(self.amount) and self.amount > 0):
            self._refuse(f"{self.metric} must be positive, but is {self.amount:g}")
        if self.relative and self.amount > 1:
            self._refuse(f"a share of at most 1 is meant, but {self.metric} is {self.amount:g}")

    def _refuse(self, problem: str) -> None:
        remedy = f"give a share of the network's own or an amount: {self.metric}={_EXAMPLES[self.metric]}"
        raise InputError(problem, place="--budget", remedy=remedy)

    @classmethod
    def parse(cls, text: str) -> CostLimit:
        """Read ``macs=0.5`` (a share, also ``50%``) or ``macs=20M``, ``bytes=44k``, ``latency=0.2ms``.

        A number without a suffix is a share up to 1; above, of MACs and bytes, an amount.

        Raises:
            InputError: it cannot be read.
        """
        metric, separator, said = (part.strip() for part in text.partition("="))
        if not separator:
            remedy = "write NAME=AMOUNT, as in macs=0.5, bytes=44k or latency=0.2ms"
            raise InputError(f"cannot read the budget {text!r}", place="--budget", remedy=remedy)
        found = re.fullmatch(r"(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)\s*([A-Za-zµ%]*)", said)
        scales = _SCALES.get(metric, {})
        if metric in METRICS and (found is None or found[2] not in {"", "%", *scales}):
            known = ", ".join(name for name in scales if name)
            remedy = f"write a number, and {known} behind an amount: {metric}={_EXAMPLES[metric]}"
            raise InputError(f"cannot read {said!r} in the budget {text!r}", place="--budget", remedy=remedy)
        number, suffix = (float(found[1]), found[2]) if found else (math.nan, "")
        if suffix == "%":
            return cls(metric, number / 100)
        if suffix == "" and "" in scales and number > 1 and not number.is_integer():
            remedy = f"write a share of at most 1, or a whole amount: {metric}={_EXAMPLES[metric]}"
            problem = f"{said} is neither a share nor a whole number of {METRICS[metric]}"
            raise InputError(problem, place="--budget", remedy=remedy)
        relative = suffix == "" and (number <= 1 or "" not in scales)
        return cls(metric, number if relative else number * scales[suffix], relative)

    def bound(self, base: float) -> float:
        """The greatest cost that is within the limit, in the metric's unit; whole for MACs and bytes.

        Args:
            base: the cost before compression.
        """
        bound = self.amount * base if self.relative else self.amount
        return bound if METRICS[self.metric] in ("s", "J") else math.floor(bound * (1 + _ROUNDING))

    def __str__(self) -> str:
        return f"{self.metric}={self.amount:g}{'' if self.relative else f' {METRICS[self.metric]}'}"
