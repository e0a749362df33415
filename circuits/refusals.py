"""What ngspice says of the flat deck, told of the user's own file and line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from automl_core.errors import InputError
from circuits.netlist import Deck

__all__ = ["located"]

_LINE = re.compile(r"\bline (?:no\. )?(\d+)")
_IDLE = re.compile(
    r"ngspice cannot load the deck|or its substitute|^\s*Netlist line no|check your input|cannot recover"
)
"""Parts of what ngspice says that help nobody."""


def located(error: InputError, deck: Deck, flat: Sequence[str]) -> InputError:
    """The same error with the file and line of the deck that it is about; the deck where no line can be told.

    Args:
        error: as the simulator gave it, without a place.
        deck: what was loaded.
        flat: its lines as they were loaded.
    """
    if error.place is not None:
        return error
    match = _LINE.search(error.problem)
    said = [flat[int(match[1]) - 1]] if match and 0 < int(match[1]) <= len(flat) else []
    for text in [*said, *error.problem.split(";")]:
        words = text.lower().split()
        place = _place(words, deck) if words else None
        if place is not None:
            problem = f"ngspice refuses {text.strip()!r}: {_reason(error.problem)}" if match else error.problem
            return InputError(problem, place=place, remedy="correct this line")
    return InputError(error.problem, place=str(deck.path), remedy=error.remedy)


def _reason(said: str) -> str:
    """The parts of what ngspice said that tell why; the last are the most telling."""
    parts = [part.strip() for part in said.split(";") if part.strip() and not _IDLE.search(part)]
    return "; ".join(parts[-2:]) if parts else said


def _place(words: Sequence[str], deck: Deck) -> str | None:
    """Where a device's or a model's line stands."""
    for device in deck.devices:
        if words[0] in (device.name, device.card.name):
            return device.place
    for scope in (deck.root, *deck.used):
        for line in scope.lines:
            if words[0] == line.word and line.word.startswith(".") and line.text.lower().split()[:2] == list(words[:2]):
                return line.place
    return None
