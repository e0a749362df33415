"""Units that a spec may name."""

from __future__ import annotations

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean

__all__ = ["check_unit"]

_UNITS = (
    *("V", "A", "W", "Hz", "s", "Ohm", "F", "H", "S", "K", "C", "J", "m", "m^2", "um", "um^2", "rad", "deg", "%"),
    *("dB", "dBV", "dBA", "dBm", "V/V", "A/A", "V/A", "A/V", "V/s", "A/s", "V/Hz", "Hz/V", "V/K", "V/C", "ppm/C"),
    *("V/√Hz", "A/√Hz", "V/sqrt(Hz)", "A/sqrt(Hz)", "V^2/Hz", "A^2/Hz", "1"),
)
_SAME = {"Ω": "Ohm", "ohm": "Ohm", "Ohms": "Ohm", "ohms": "Ohm", "degree": "deg", "degrees": "deg", "°": "deg"}
_SAME |= {"V/sqrt(Hz)": "V/√Hz", "A/sqrt(Hz)": "A/√Hz", "db": "dB", "hz": "Hz", "HZ": "Hz", "volt": "V", "sec": "s"}


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
