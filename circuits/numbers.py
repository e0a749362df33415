"""Numbers as SPICE writes them: ``1Meg``, ``10mil``, ``5MHz``, ``1F``.

The rules are those of ngspice on an instance line (manual, section 2.1.3.3 "Some syntax checks and
numbers"; each was measured on ngspice 39.3): a scale factor follows the digits, case does not count,
and further letters are a comment. ``1M`` is therefore 1e-3, ``1F`` 1e-15 and ``5MHz`` 5e-3.
Expressions in braces differ in one point, see :func:`expression_exponent`.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

from automl_core.errors import InputError

__all__ = ["expression_exponent", "format_number", "number_warning", "parse_number", "readable_number", "short_number"]

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([^\W\d_]*)")
_EXPONENTS = {"t": 12, "g": 9, "k": 3, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15}
_SUFFIXES = {12: "t", 9: "g", 6: "meg", 3: "k", 0: "", -3: "m", -6: "u", -9: "n", -12: "p", -15: "f"}
_MICRO_SIGNS = "\N{MICRO SIGN}\N{GREEK SMALL LETTER MU}"
_OHMS = ("ohm", "ohms", "\N{GREEK CAPITAL LETTER OMEGA}".lower(), "\N{OHM SIGN}".lower(), "v/a")
_MEGA_UNITS = ("hz", *_OHMS, "v/s")


def parse_number(text: str, *, place: str | None = None) -> float:
    """Read a number by SPICE's rules.

    Args:
        text: digits, an optional exponent, an optional scale factor, optional letters (a unit).
        place: ``file:line``, for the message.

    Returns:
        The value; finite.

    Raises:
        InputError: for what is no number; for what ngspice would read by halves (``2k2`` as 2k);
            for ``µ``, which ngspice does not know; for a number past the range of a float.
    """
    stripped = text.strip()
    match = _NUMBER.fullmatch(stripped)
    if match is None:
        raise InputError(f"{text!r} is not a SPICE number", place=place, remedy=_remedy(stripped))
    digits, letters = match[1], match[2]
    if letters[:1] in _MICRO_SIGNS and letters:
        raise InputError(f"ngspice does not know the µ in {text!r}", place=place, remedy=f"write {digits}u")
    lowered = letters.lower()
    if lowered.startswith("mil"):
        value = float(digits) * 25.4e-6
    else:
        value = float(Decimal(digits).scaleb(expression_exponent(letters)))
    if not math.isfinite(value):
        raise InputError(f"{text!r} is past the range of a number", place=place, remedy="write a value below 1e308")
    return value


def _remedy(text: str) -> str:
    """What to write in place of a text that is no number."""
    infix = re.fullmatch(r"([+-]?\d+)([tgkmunpf])(\d+)", text.lower())
    if infix:
        return f"ngspice stops reading at the letter; write {infix[1]}.{infix[3]}{infix[2]}"
    return "write digits, then an optional scale factor (t g meg k m u n p f mil): 1.5u, 10meg, 2e-12"


def expression_exponent(letters: str) -> int:
    """The power of ten that letters after a number mean inside an expression.

    In ``{...}`` and on ``.param`` lines ngspice reads numbers by another routine (numparam), which does not know
    ``mil``: ``{10mil}`` is 10e-3 where a bare ``10mil`` on an instance line is 254e-6 (measured, ngspice 39.3).

    Args:
        letters: what follows the digits; may be empty.
    """
    lowered = letters.lower()
    return 6 if lowered.startswith("meg") else _EXPONENTS.get(lowered[:1], 0)


def format_number(value: float) -> str:
    """Write a number so that ngspice and :func:`parse_number` both read back exactly this float.

    A scale factor is used where mantissa times factor is the same float (ngspice multiplies the two), an exponent
    otherwise. Mega is ``meg``, never ``M``.

    Raises:
        InputError: for a value that is not finite.
    """
    scaled = _scaled(value)
    if scaled is None:
        return repr(float(value))
    mantissa, power = scaled
    exact = float(mantissa) * float(f"1e{power}") == value
    return mantissa + _SUFFIXES[power] if exact else repr(float(value))


def readable_number(value: float) -> str:
    """Write a number into a deck that people read on: all of its digits, and a scale factor wherever there is one.

    One style for a whole deck: ``80u`` and ``700m``, which ngspice reads as the floats beside 8e-05 and 0.7.

    Raises:
        InputError: for a value that is not finite.
    """
    scaled = _scaled(value)
    return repr(float(value)) if scaled is None else scaled[0] + _SUFFIXES[scaled[1]]


def _scaled(value: float) -> tuple[str, int] | None:
    """The digits before a scale factor, and its power of ten; ``None`` past the scale factors.

    Raises:
        InputError: for a value that is not finite.
    """
    if not math.isfinite(value):
        raise InputError(f"{value!r} cannot be written as a SPICE number", remedy="give a finite value")
    if value == 0:
        return "0", 0
    number = Decimal(repr(float(value)))
    power = 3 * math.floor(number.adjusted() / 3)
    return (_plain(number.scaleb(-power)), power) if power in _SUFFIXES else None


def short_number(value: float, digits: int = 4) -> str:
    """Write a number for people, rounded: ``20u`` where :func:`format_number` has to say ``2e-05``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    number = Decimal(f"{value:.{digits}g}")
    power = min(max(3 * math.floor(number.adjusted() / 3), -15), 12)
    return _plain(number.scaleb(-power)) + _SUFFIXES[power]


def _plain(number: Decimal) -> str:
    """Decimal digits without an exponent and without trailing zeros."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def number_warning(text: str, unit: str | None = None) -> str | None:
    """A warning where a number probably means something else than SPICE reads; None where it does not.

    Args:
        text: the number as written.
        unit: the unit that stands beside it (``Hz``), if any; a unit inside the text counts too (``5MHz``).

    Returns:
        One sentence that says what is read and what to write, or None.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return None
    digits, letters = match[1], match[2]
    lowered, beside = letters.lower(), (unit or "").lower()
    if letters[:1] == "M" and not lowered.startswith(("meg", "mil")) and (lowered[1:] or beside) in _MEGA_UNITS:
        return f"SPICE reads {text.strip()!r} as {digits} milli (1M is 1e-3); write {digits}meg for mega"
    if lowered in ("f", "farad") and (letters[:1] == "F") and beside in ("f", ""):
        return f"SPICE reads {text.strip()!r} as {digits} femto; write {digits} for farads"
    if lowered.startswith("a") and lowered != "amp" and lowered != "amps":
        return f"ngspice 39 reads {text.strip()!r} as {digits}, later versions as {digits}e-18; write the exponent"
    return None
