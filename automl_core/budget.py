"""What a study may spend: evaluations, or wall time where evaluations cannot be compared."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from automl_core.errors import InputError

__all__ = ["Budget"]

_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Budget:
    """A limit on a study.

    Args:
        evaluations: how many evaluations may be charged; one is one design in one scenario.
        seconds: wall time, in seconds.
        evaluation_seconds: what one evaluation was measured to cost, in seconds; for whoever plans the spending.
    """

    evaluations: int | None = None
    seconds: float | None = None
    evaluation_seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``2000`` (evaluations) or ``30s``, ``10m``, ``2h`` (wall time).

        Raises:
            InputError: the text is neither.
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h)?\s*", text, re.ASCII)
        amount = float(match[1]) if match else 0.0
        if match and match[2] and amount > 0:
            return cls(seconds=amount * _SECONDS[match[2]])
        if match and not match[2] and amount >= 1 and amount.is_integer():
            return cls(evaluations=int(amount))
        raise InputError(
            f"cannot read the budget {text!r}", remedy="give evaluations, as in 2000, or a time, as in 30s, 10m or 2h"
        )

    def __str__(self) -> str:
        if self.seconds is not None:
            return f"{self.seconds:g} s"
        return "no limit" if self.evaluations is None else f"{self.evaluations} evaluations"

    @property
    def expected_evaluations(self) -> float:
        """How many evaluations to plan for; ``inf`` where nothing limits them or their cost is unknown."""
        if self.evaluations is not None:
            return self.evaluations
        if self.seconds is not None and self.evaluation_seconds:
            return max(self.seconds / self.evaluation_seconds, 1.0)
        return math.inf
