"""One deck without includes, blocks, analyses and unused definitions: what a simulator child loads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from circuits.netlist.assignments import Assignment, tokens
from circuits.netlist.conditions import CONDITION_WORDS
from circuits.netlist.control_block import ANALYSIS_KINDS
from circuits.netlist.deck_lines import Line, decoded
from circuits.netlist.scopes import Scope

__all__ = ["ANALYSIS_WORDS", "DROPPED_WORDS", "KEPT_WORDS", "MEASURE_WORDS", "flat_lines", "reachable_names"]

ANALYSIS_WORDS = frozenset(f".{kind}" for kind in ANALYSIS_KINDS)
MEASURE_WORDS = frozenset({".meas", ".measure"})
DROPPED_WORDS = frozenset(
    {".print", ".plot", ".save", ".probe", ".four", ".fourier", ".width", ".end", ".endc", ".title", ".backanno"}
)
KEPT_WORDS = CONDITION_WORDS | frozenset(
    {".param", ".params", ".func", ".function", ".csparam", ".option", ".options", ".opt", ".temp", ".ic", ".nodeset"}
    | {".global", ".model"}
)
_WORD = re.compile(r"[^\s,=(){}'\"]+")
_TITLE_COMMANDS = ("*#", "*ng_script", ".", "+")


def reachable_names(root: Scope) -> frozenset[str]:
    """The names of the subcircuits and models that the deck may use.

    A word on a device line that is the name of a subcircuit or model counts, whatever the line means by it, in every
    branch of an ``.if``: what is kept too much does no harm.
    """
    subcircuits: dict[str, list[Scope]] = {}
    models: dict[str, list[Line]] = {}
    for scope in root.all_scopes():
        for name, inner in scope.subcircuits.items():
            subcircuits.setdefault(name, []).append(inner)
        for name, line in scope.models.items():
            models.setdefault(_base(name), []).append(line)
            models.setdefault(name, []).append(line)
    reached: set[str] = set()
    waiting = [line for line in root.lines if line.word not in (".model",)]
    while waiting:
        for word in _WORD.findall(waiting.pop().text.lower()):
            if word in reached or (word not in subcircuits and word not in models):
                continue
            reached.add(word)
            for scope in subcircuits.get(word, ()):
                waiting.extend(scope.device_lines)
            waiting.extend(line for line in models.get(word, ()) if "ako:" in line.text.lower()[:200])
    return frozenset(reached)


def _base(name: str) -> str:
    base, _, suffix = name.rpartition(".")
    return base if base and suffix.isdigit() else name


def flat_lines(title: str, root: Scope, values: Mapping[tuple[str, str], str], *, prune: bool) -> Iterator[str]:
    """The lines of the flat deck, title first and ``.end`` last.

    Args:
        title: of the deck.
        root: its top level.
        values: (scope, parameter) -> the new text of its value, at every ``.param`` that assigns it.
        prune: leave out the subcircuits and models that nothing can use.
    """
    yield _harmless(title)
    for line in _scope_lines(root, values, reachable_names(root) if prune else None):
        yield line if line.isascii() else decoded(line)
    yield ".end"


def _harmless(title: str) -> str:
    """The title, so that ngspice takes it for nothing else: it runs ``*ng_script`` files and ``*#`` lines."""
    plain = "".join(character if character.isprintable() and character.isascii() else "?" for character in title)
    plain = plain.strip()
    return f"title: {plain}" if not plain or plain.lower().startswith(_TITLE_COMMANDS) else plain


def _scope_lines(scope: Scope, values: Mapping[tuple[str, str], str], reached: frozenset[str] | None) -> Iterator[str]:
    changes = _changes(scope, values)
    for item in scope.items:
        if isinstance(item, Scope):
            if scope.subcircuits[item.name] is item and (reached is None or item.name in reached) and item.line:
                yield item.line.text
                yield from _scope_lines(item, values, reached)
                yield f".ends {item.name}"
        elif item.word == ".model":
            name = item.text.split(None, 2)[1].partition("(")[0].lower()
            if scope.models[name] is item and (reached is None or name in reached or _base(name) in reached):
                yield item.text
        elif item.word[:1] != "." or item.word in KEPT_WORDS:
            yield _replaced(item.text, changes[id(item)]) if id(item) in changes else item.text


def _changes(scope: Scope, values: Mapping[tuple[str, str], str]) -> dict[int, list[tuple[Assignment, str]]]:
    """New values for the ``.param`` lines of a scope, by the line's identity."""
    changes: dict[int, list[tuple[Assignment, str]]] = {}
    if any(name == scope.name for name, _ in values):
        for item in scope.assigned:
            if (scope.name, item.name) in values:
                changes.setdefault(id(item.line), []).append((item, values[scope.name, item.name]))
    return changes


def _replaced(text: str, changes: Iterable[tuple[Assignment, str]]) -> str:
    """A line's text with the values of some assignments replaced."""
    for item, value in sorted(changes, key=lambda change: -change[0].start):
        text = f"{text[: item.start]}{value}{text[item.end :]}"
    return text


def words_of(line: Line) -> list[str]:
    """The words of a line, lower case, those inside expressions too; names that a value is assigned to are left out."""
    found = []
    listed = list(tokens(line))
    for index, token in enumerate(listed):
        assigned = index + 1 < len(listed) and listed[index + 1].text == "="
        if not assigned:
            found.extend(re.findall(r"[a-z_][\w.]*", token.text.lower()))
    return found
