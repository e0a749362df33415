"""The remedy for a name that does not exist: the nearest ones that do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean"]

_MOST = 16
"""Names that a remedy lists."""


def did_you_mean(name: str, known: Iterable[str], what: str) -> str:
    """One sentence for an error's remedy.

    Args:
        name: what was asked for.
        known: what exists.
        what: the plural of the things, with "the" or "its".
    """
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, 3, 0.6)
    if near:
        return f"did you mean {' or '.join(repr(match) for match in near)}?"
    if not names:
        return "nothing of the kind is defined"
    return f"{what} are {', '.join(names[:_MOST])}{' ...' if len(names) > _MOST else ''}"
