"""What a measure looks at: a net, the difference of two nets, a branch current or a device's quantity.

Written as ``out``, ``out_p,out_n``, ``v(out)``, ``v(out_p,out_n)``, ``i(vdd)`` or ``@m1[id]``. In ngspice's expressions
names stand in quotes, because ``v(out-p)`` is a difference there, ``v(out[0])`` an index and ``v(gt)`` a comparison. A
``!`` calls up an earlier command even in quotes, and in ``set`` too; a variable that an option of the deck sets can
hold it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_core.errors import InputError
from circuits.measures.plot import NotFound, Plot

__all__ = ["BANG_CARD", "expression", "nets", "quantities", "terms", "values", "vector", "vectors"]

_GROUND = ("0", "gnd")
_CALL = re.compile(r"v\((.*)\)\Z", re.DOTALL)
_NAMED = re.compile(r"([vi])\(\s*(.*?)\s*\)\Z", re.DOTALL)
_QUANTITY = re.compile(r"@[^\s@\[\]]+\[\w+\]")
BANG_CARD = ".options bang=!"
"""The card that a deck needs where an expression holds ``$bang``."""


@lru_cache(maxsize=1024)
def terms(signal: str) -> tuple[str, ...]:
    """One vector, or the two whose difference is meant; "" for ground.

    Raises:
        InputError: it is no signal.
    """
    text = signal.strip().lower()
    if text.startswith(("i(", "@")):
        return (text,)
    call = _CALL.match(text)
    names = [name.strip() for name in (call[1] if call else text).split(",")]
    if len(names) > 2 or not all(names):
        raise InputError(f"{signal!r} is neither a net nor a pair of nets 'p,n'")
    return tuple("" if name in _GROUND else f"v({name})" for name in names)


def nets(signal: str) -> tuple[str, ...]:
    """The nets that a signal names, ground left out."""
    return tuple(term[2:-1] for term in terms(signal) if term.startswith("v("))


def vectors(*signals: str | None) -> tuple[str, ...]:
    """Names of the vectors that the signals are made of."""
    return tuple(dict.fromkeys(term for signal in signals if signal for term in terms(signal) if term))


def quantities(phrase: str) -> tuple[str, ...]:
    """The quantities of devices ("@m1[id]") in a phrase of ngspice's language: it keeps them only where told to."""
    return tuple(_QUANTITY.findall(phrase.lower()))


def expression(signal: str) -> str:
    """The signal in ngspice's expression language; one that holds ``$bang`` needs :data:`BANG_CARD` in the deck."""
    parts = [_quoted(term) if term else "0" for term in terms(signal)]
    return parts[0] if len(parts) == 1 else f"({parts[0]}-{parts[1]})"


def _quoted(term: str) -> str:
    named = _NAMED.match(term)
    return (f'{named[1]}("{named[2]}")' if named else f'"{term}"').replace("!", "{$bang}")


def values(plot: Plot, signal: str) -> NDArray[Any]:
    """The signal's values, shape (n,).

    Raises:
        NotFound: the plot lacks it.
    """
    parts = [vector(plot, term) if term else np.zeros(1) for term in terms(signal)]
    return parts[0] if len(parts) == 1 else parts[0] - parts[1]


def vector(plot: Plot, name: str) -> NDArray[Any]:
    """One vector of a plot, by its name, shape (n,).

    Raises:
        NotFound: the plot lacks it.
    """
    try:
        found = plot.vector(name)
    except KeyError:
        raise NotFound(f"the analysis gave no vector {name}") from None
    if found.size == 0:  # ngspice's answer to a quantity that a device's model does not have
        raise NotFound(f"{name} is empty: the deck does not have this device, or its model not this quantity")
    return found
