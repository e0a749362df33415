"""What a built-in measure may be told: the names, types and ranges that a spec is held to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from circuits.measures import signals

__all__ = ["Argument", "Arguments", "Complete", "ordered"]

Arguments = Mapping[str, Any]


class Complete(dict[str, Any]):
    """Arguments that were checked and have their defaults."""


@dataclass(frozen=True)
class Argument:
    """One argument of a built-in measure.

    Args:
        name: as written in the spec.
        type: "signal" (a net, a pair of nets "p,n", or an explicit "i(vdd)", "@m1[id]"), "source" (an independent
            source), "device" (a MOSFET), "analysis" (the name of another analysis of the spec, of the same kind),
            "number", "choice".
        meaning: a phrase for messages and pages.
        required: there is no default.
        default: what is used when absent; None: the measure's own rule, which ``meaning`` states.
        choices: the words that a "choice" may take.
        low: a number must be above it (exclusive).
        high: a number must be below it (exclusive).
        whole: a number must be an integer.
        unit: of a number, where it may have one: "Hz".
        many: a list, or names with commas between them, may be given. For a "device", ``all`` means every MOSFET.
    """

    name: str
    type: Literal["signal", "source", "device", "analysis", "number", "choice"]
    meaning: str
    required: bool = False
    default: float | str | None = None
    choices: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    unit: str = ""
    many: bool = False

    def read(self, value: object) -> object:
        """The value as the measure expects it: names in lower case, many as a tuple, a pair as "p,n".

        Raises:
            InputError: a word where a number belongs, a number out of range, an unknown choice, or no signal.
        """
        if self.type == "number":
            return self._number(value)
        if self.type == "choice":
            return self._choice(str(value))
        if self.type == "analysis":
            return str(value)
        parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
        names = tuple(str(part).strip().lower() for part in parts)
        if not names or not all(names):
            raise InputError(f"{self.name} = {value!r} names nothing", remedy=f"give {self.meaning}")
        if self.many:
            return names
        signal = ",".join(names)
        if self.type == "signal":
            signals.terms(signal)
        return signal

    def _number(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"{self.name} = {value!r} is not a number", remedy=f"give {self.meaning}")
        if not self.low < value < self.high:
            limits = (("above", self.low), ("below", self.high))
            words = [f"{side} {limit:g}" for side, limit in limits if math.isfinite(limit)]
            raise InputError(f"{self.name} = {value:g} must be {' and '.join(words)}")
        if self.whole and value != int(value):
            raise InputError(f"{self.name} = {value:g} must be a whole number")
        return float(value)

    def _choice(self, value: str) -> str:
        for choice in self.choices:
            if choice.lower() == value.strip().lower():
                return choice
        raise InputError(
            f"{self.name} = {value!r} is no choice", remedy=did_you_mean(value, self.choices, "the choices")
        )


def ordered(analysis: str | None, arguments: Arguments) -> str | None:
    """A rule for kinds: of levels, bands and times alike, the lower limit lies below the upper one.

    Args:
        analysis: not read.
        arguments: complete.

    Returns:
        What is wrong, or None.
    """
    for lower, upper in (("from", "to"), ("start", "stop")):
        low, high = arguments.get(lower), arguments.get(upper)
        if low is not None and high is not None and low >= high:
            return f"{lower} = {low:g} must be below {upper} = {high:g}"
    return None
