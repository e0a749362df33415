"""What of a bench may reach ngspice: the last gate before a deck is loaded and a command is run.

A netlist is untrusted, and ngspice runs commands from unlikely places: ``.control`` blocks, comments that begin with
``*#``, a title ``*ng_script``, backquotes and semicolons in any command line.
"""

from __future__ import annotations

import re

from automl_core.errors import InputError
from circuits.bench import Bench

__all__ = ["ANALYSES", "checked", "flattened"]

ANALYSES = ("ac", "dc", "disto", "noise", "op", "pz", "sens", "sp", "tf", "tran")
_FORBIDDEN_CARD = re.compile(r"\s*\.(control|endc|inc|include|lib|exec)\b", re.IGNORECASE)
_TEMPERATURE = re.compile(r"\s*\.temp\b", re.IGNORECASE)
_PROGRAM = re.compile(r"\b(d_process|d_cosim)\b", re.IGNORECASE)
_PHRASE = re.compile(r"[\w\s.,:=+\-*/()\[\]@#\"%~^]*")
_NAME = re.compile(r"[\w.:+\-@\[\]#/]+")


def checked(phrase: str, what: str) -> str:
    """A phrase that is one command and does nothing else.

    Args:
        phrase: a command of an analysis, or what follows ``meas ac name``.
        what: whose it is, for the message.

    Raises:
        InputError: it holds a character that ngspice's command language gives a meaning of its own, or is too long.
    """
    wrong = "".join(sorted(set(re.sub(_PHRASE, "", phrase)))) or ("a line end" if re.search(r"[\r\n]", phrase) else "")
    if wrong:
        raise InputError(
            f"{what} holds {wrong!r}: {phrase!r}",
            remedy="write one plain command without ; ` $ ! < > | &, and numbers for '...' and {...}: "
            "ngspice computes no expressions in commands",
        )
    if len(phrase) > 900:
        raise InputError(f"{what} is {len(phrase)} characters long", remedy="ngspice reads at most 1000")
    return phrase


def flattened(bench: Bench) -> list[str]:
    """The lines to load: the bench's, harmless, and then its options and temperature.

    The numbers of the lines stay as they are, because ngspice names them.

    Raises:
        InputError: a card that runs commands or reads a file, or a bad option, parameter or analysis.
    """
    _check(bench)
    lines = ["* sizewise"]
    for number, line in enumerate(bench.lines[1:], 2):
        if _FORBIDDEN_CARD.match(line) or _PROGRAM.search(line):
            raise InputError(f"{line.strip()!r} is not allowed in a deck", place=f"line {number} of the flattened deck")
        if line.strip().lower() == ".end":
            break
        dropped = line.lstrip().startswith("*") or (bench.temperature is not None and _TEMPERATURE.match(line))
        lines.append("*" if dropped else line)
    return [*lines, *_cards(bench), ".end"]


def _cards(bench: Bench) -> list[str]:
    """Of several ``.options`` the last counts, so these win over the deck's own; a ``.temp`` would win over all."""
    cards = [f".options {name}={value}" if value else f".options {name}" for name, value in bench.options]
    return cards if bench.temperature is None else [*cards, f".options temp={float(bench.temperature)!r}"]


def _check(bench: Bench) -> None:
    words = [text for pair in bench.options for text in pair if text]
    words += [target for name, targets in bench.alters.items() for target in (name, *targets)]
    words += [*bench.devices, *([bench.compat] if bench.compat else [])]
    for word in words:
        if not _NAME.fullmatch(word):
            raise InputError(f"{word!r} is no name or value that ngspice knows")
    for analysis in bench.analyses:
        if analysis.kind not in ANALYSES:
            raise InputError(
                f"the analysis {analysis.name!r} is {analysis.command!r}",
                remedy=f"it must begin with one of {', '.join(ANALYSES)}",
            )
