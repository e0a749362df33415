"""Units that a spec may name, and how a figure is written in them."""

from __future__ import annotations

import math

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean

__all__ = ["check_unit", "engineering"]

_UNITS = (
    *("V", "A", "W", "Hz", "s", "Ohm", "F", "H", "S", "K", "C", "J", "m", "m^2", "um", "um^2", "rad", "deg", "%"),
    *("dB", "dBV", "dBA", "dBm", "V/V", "A/A", "V/A", "A/V", "V/s", "A/s", "V/Hz", "Hz/V", "V/K", "V/C", "ppm/C"),
    *("V/√Hz", "A/√Hz", "V/sqrt(Hz)", "A/sqrt(Hz)", "V^2/Hz", "A^2/Hz", "1"),
)
_SAME = {"Ω": "Ohm", "ohm": "Ohm", "Ohms": "Ohm", "ohms": "Ohm", "degree": "deg", "degrees": "deg", "°": "deg"}
_SAME |= {"V/sqrt(Hz)": "V/√Hz", "A/sqrt(Hz)": "A/√Hz", "db": "dB", "hz": "Hz", "HZ": "Hz", "volt": "V", "sec": "s"}
_UNSCALED = {"dB", "dBV", "dBA", "dBm", "deg", "rad", "%", "", "1", "V/V", "A/A", "K", "C", "ppm/C"}
_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


def check_unit(unit: str, *, expected: str | None = None, place: str | None = None) -> str:
    """The unit in its usual spelling.

    Args:
        unit: as written.
        expected: the unit of the built-in measure, which it has to be.
        place: for the message.

    Raises:
        InputError: nobody knows this unit, or the measure is in another one.
    """
    usual = _SAME.get(unit, unit)
    if usual not in _UNITS:
        raise InputError(f"unknown unit {unit!r}", place=place, remedy=did_you_mean(unit, _UNITS, "the known units"))
    if expected is not None and usual != _SAME.get(expected, expected):
        raise InputError(
            f"the unit {unit!r} does not fit: this measure is in {expected}",
            place=place,
            remedy=f"write `unit: {expected}`; a scale factor goes with the number, as in 50Meg",
        )
    return usual


def engineering(value: float, unit: str = "", digits: int = 4) -> str:
    """A figure for people: ``31.2 MHz``. The prefix M is mega here, as people read it; never fed back to SPICE."""
    if not math.isfinite(value):
        return "none" if math.isnan(value) else str(value)
    if unit in _UNSCALED or value == 0 or "^" in unit:
        return f"{value:.{digits}g} {unit}".rstrip() if unit != "%" else f"{value:.{digits}g} %"
    power = min(max(3 * math.floor(math.log10(abs(value)) / 3), -15), 12)
    mantissa = f"{value / 10.0**power:.{digits}g}"
    if float(mantissa) in (1000.0, -1000.0) and power < 12:
        power, mantissa = power + 3, f"{value / 10.0 ** (power + 3):.{digits}g}"
    return f"{mantissa} {_PREFIXES[power]}{unit}".rstrip()
