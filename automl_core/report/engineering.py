"""Figures for people, in engineering notation."""

from __future__ import annotations

import math

__all__ = ["engineering"]

_UNSCALED = {"dB", "dBV", "dBA", "dBm", "deg", "rad", "%", "", "1", "V/V", "A/A", "K", "C", "ppm/C"}
_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


def engineering(value: float, unit: str = "", digits: int = 4) -> str:
    """A figure for people: ``31.2 MHz``. The prefix M is mega here, as people read it; never fed back to SPICE."""
    if not math.isfinite(value):
        return "none" if math.isnan(value) else str(value)
    if unit in _UNSCALED or value == 0 or "^" in unit or " " in unit:  # "bits per character" takes no prefix
        return f"{value:.{digits}g} {unit}".rstrip()
    power = min(max(3 * math.floor(math.log10(abs(value)) / 3), -15), 12)
    mantissa = f"{value / 10.0**power:.{digits}g}"
    if float(mantissa) in (1000.0, -1000.0) and power < 12:
        power, mantissa = power + 3, f"{value / 10.0 ** (power + 3):.{digits}g}"
    return f"{mantissa} {_PREFIXES[power]}{unit}".rstrip()
