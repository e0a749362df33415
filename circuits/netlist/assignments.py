"""``name = value`` pairs on deck lines (``.param``, ``.subckt``, ``.func``), and where their values stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from automl_core.errors import InputError
from circuits.netlist.deck_lines import Line

__all__ = ["Assignment", "Token", "assignments", "check_delimiters", "function_of", "tokens"]

_NAME_BEFORE = re.compile(r"([A-Za-z_][\w.#@\[\]]*)\s*(\(([^()]*)\))?\s*$")
_FUNC = re.compile(r"\s*([A-Za-z_]\w*)\s*\(([^()]*)\)\s*=?\s*(.*)$", re.DOTALL)
_PLAIN = re.compile(r"[^\s,=(){}'\"]+")
_LONGEST_NAME = 1000  # with the arguments of a function
_CLOSING = {"{": "}", "'": "'", '"': '"', "(": ")"}


@dataclass(frozen=True)
class Assignment:
    """One ``name=value``.

    Attributes:
        name: lower case.
        value: as written, without blanks around; delimiters kept.
        start: where the value begins in the line's text.
        end: past its last character.
        line: the line.
        arguments: of a function, ``f(x, y)=...``; None for a parameter.
        ignored: text after the value that ngspice drops: of ``x = 2 + 3 y = 4`` it reads 2.
    """

    name: str
    value: str
    start: int
    end: int
    line: Line
    arguments: tuple[str, ...] | None = None
    ignored: str = ""


@dataclass(frozen=True)
class Token:
    """A word of a line, braces and quotes kept whole.

    Attributes:
        text: as written.
        start: where it begins in the line's text.
        end: past its last character.
    """

    text: str
    start: int
    end: int


def check_delimiters(line: Line) -> None:
    """Refuse a line whose braces or single quotes do not close.

    Raises:
        InputError: one of them stays open; ngspice's library would end the process.
    """
    text = line.text
    if text.count("'") % 2:
        raise InputError(f"{text!r} has an unclosed quote", place=line.place, remedy="close the quote")
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            break
    if depth:
        raise InputError(f"{text!r} has an unclosed brace", place=line.place, remedy="close every { with a }")


def _past(text: str, start: int) -> int:
    """The position after the group that opens at ``start``; the end of the text where it does not close."""
    opening, closing = text[start], _CLOSING[text[start]]
    if opening == closing:
        found = text.find(closing, start + 1)
        return len(text) if found < 0 else found + 1
    depth = 0
    for position in range(start, len(text)):
        depth += (text[position] == opening) - (text[position] == closing)
        if depth == 0:
            return position + 1
    return len(text)


def tokens(line: Line, start: int = 0) -> Iterator[Token]:
    """The words of a line from a position on.

    Blanks and commas separate; ``=``, ``(`` and ``)`` are words of their own; ``{...}``, ``'...'`` and ``"..."`` stay
    whole, also inside a word.
    """
    text = line.text
    position = start
    while position < len(text):
        character = text[position]
        if character.isspace() or character == ",":
            position += 1
            continue
        first = position
        if character in "=()":
            position += 1
        else:
            position = _word_end(text, position)
        yield Token(text[first:position], first, position)


def _word_end(text: str, position: int) -> int:
    while position < len(text):
        if text[position] in "{'\"":
            position = _past(text, position)
        elif match := _PLAIN.match(text, position):
            position = match.end()
        elif text[position] == "}":
            position += 1
        else:
            break
    return position


def _equal_signs(text: str, start: int) -> list[int]:
    """Positions of the assigning ``=`` outside delimiters; not those of ``==``, ``<=``, ``>=`` and ``!=``."""
    positions = []
    position = start
    while position < len(text):
        character = text[position]
        if character in _CLOSING:
            position = _past(text, position)
            continue
        if character == "=":
            if text[position + 1 : position + 2] == "=":
                position += 2
                continue
            if text[position - 1] not in "<>!":
                positions.append(position)
        position += 1
    return positions


def assignments(line: Line, start: int) -> list[Assignment]:
    """All assignments of a line from a position on.

    Args:
        line: the line.
        start: after the keyword, or where a device's parameters begin.

    Raises:
        InputError: there is none, one has no name or no value, a delimiter is open, or a comma separates them
            (ngspice 39 hangs on that).
    """
    check_delimiters(line)
    text = line.text
    signs = _equal_signs(text, start)
    if not signs:
        remedy = "write name=value"
        raise InputError(f"{text!r} assigns nothing", place=line.place, remedy=remedy)
    names = [_name_before(line, start, sign) for sign in signs]
    ends = [name.start() for name in names[1:]] + [len(text)]
    alone = len(signs) == 1
    return [_assignment(line, *item, alone=alone) for item in zip(names, signs, ends, strict=True)]


def _name_before(line: Line, start: int, sign: int) -> re.Match[str]:
    match = _NAME_BEFORE.search(line.text, max(start, sign - _LONGEST_NAME), sign)
    if match is None:
        problem = f"there is no name before '=' in {line.text!r} (character {sign + 1})"
        raise InputError(problem, place=line.place, remedy="write name=value; names begin with a letter")
    return match


def _assignment(line: Line, name: re.Match[str], sign: int, end: int, *, alone: bool) -> Assignment:
    raw = line.text[sign + 1 : end]
    value = raw.strip()
    if not value or value == ",":
        raise InputError(f"{name[1]} has no value in {line.text!r}", place=line.place, remedy=f"write {name[1]}=value")
    if value.endswith(",") or value.startswith(","):
        remedy = "separate assignments by blanks; ngspice hangs on a comma there"
        raise InputError(f"a comma separates assignments in {line.text!r}", place=line.place, remedy=remedy)
    first = sign + 1 + len(raw) - len(raw.lstrip())
    kept = value if alone else _first_word(value)
    rest = value[len(kept) :]
    if rest and not rest[0].isspace():
        remedy = f"put the whole in braces: {name[1]}={{...}}"
        raise InputError(f"ngspice cannot read {value!r} beside other assignments", place=line.place, remedy=remedy)
    arguments = None if name[2] is None else tuple(part.strip().lower() for part in name[3].split(","))
    return Assignment(name[1].lower(), kept, first, first + len(kept), line, arguments, rest.strip())


def _first_word(value: str) -> str:
    """What ngspice takes of a value beside others: up to the first blank outside delimiters."""
    position = 0
    while position < len(value):
        character = value[position]
        if character.isspace():
            break
        if character in "{'\"":
            return value[: _past(value, position)] if position == 0 else value[: _word_end(value, position)]
        position = _past(value, position) if character == "(" else position + 1
    return value[:position]


def function_of(line: Line) -> Assignment:
    """The function of a ``.func`` line: ``.func f(x, y) {x*y}``, with or without ``=`` and delimiters.

    Raises:
        InputError: it is not of that form.
    """
    check_delimiters(line)
    match = _FUNC.match(line.text, len(line.word))
    if match is None or not match[3]:
        raise InputError(f"{line.text!r} defines no function", place=line.place, remedy="write .func f(x) {x*2}")
    arguments = tuple(part.strip().lower() for part in match[2].split(","))
    return Assignment(match[1].lower(), match[3].strip(), match.start(3), match.end(3), line, arguments)
