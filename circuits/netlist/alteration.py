"""Which parameters ngspice can change by ``alter``, without expanding the deck again.

That is safe only for a parameter that stands alone as a value of top-level instances whose models are not binned, and
that nothing else uses: no expression, subcircuit, model, option or ``.if``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from circuits.netlist.cards import Card
from circuits.netlist.conditions import CONDITION_WORDS
from circuits.netlist.deck import Deck
from circuits.netlist.deck_lines import Line
from circuits.netlist.expressions import strip_delimiters
from circuits.netlist.flattening import KEPT_WORDS, reachable_names, words_of
from circuits.netlist.scopes import Scope

__all__ = ["Alteration", "alter_targets"]

_MOSFET_KEYS = frozenset({"w", "l", "m"})


@dataclass(frozen=True)
class Alteration:
    """How one parameter can be altered.

    Attributes:
        targets: what ``alter`` sets: "@m1[w]", "r1", "@ib[dc]"; empty where it cannot.
        reason: why it cannot; None where it can.
    """

    targets: tuple[str, ...]
    reason: str | None = None


def alter_targets(deck: Deck, names: Iterable[str]) -> dict[str, Alteration]:
    """The targets of every parameter, or why it has none.

    Args:
        deck: the deck.
        names: of its parameters, as :meth:`circuits.netlist.Deck.flatten` calls them.

    Raises:
        InputError: a parameter that no ``.param`` defines.
    """
    wanted = {deck.parameter(name).key for name in names}
    conditional = next((line for line in deck.root.lines if line.word in CONDITION_WORDS), None)
    if conditional is not None:
        reason = f"the deck has an .if ({conditional.place})"
        return {name: Alteration((), reason) for name in sorted(wanted)}
    found: dict[str, list[str]] = {name: [] for name in wanted}
    reasons = {name: "it belongs to a subcircuit" for name in wanted if "." in name}
    cards = {id(device.card.line): device.card for device in deck.devices if not device.path}
    for scope, line in _kept_lines(deck):
        for name in wanted.intersection(_words(line)) - set(reasons):
            inside = scope is not deck.root
            targets = _inner_use(name, line) if inside else _line_targets(deck, name, line, cards.get(id(line)))
            if targets is None:
                reasons[name] = f"{line.place} uses it in another way than as a value of an unbinned device"
            elif targets:
                found[name].extend(targets)
    for name, targets in found.items():
        if not targets:
            reasons.setdefault(name, "no device has it as its value")
    return {
        name: Alteration((), reasons[name]) if name in reasons else Alteration(tuple(found[name]))
        for name in sorted(wanted)
    }


def _kept_lines(deck: Deck) -> Iterable[tuple[Scope, Line]]:
    """The lines of the flat deck, with their scopes."""
    reached = reachable_names(deck.root)
    for scope in deck.root.all_scopes():
        if scope is deck.root or scope.name in reached:
            if scope.line is not None:
                yield scope, scope.line
            yield from ((scope, line) for line in scope.lines if line.word[:1] != "." or line.word in KEPT_WORDS)


def _words(line: Line) -> set[str]:
    return set(re.findall(r"[a-z_][\w]*", line.text.lower()))


def _inner_use(name: str, line: Line) -> list[str] | None:
    """No targets where a line of a subcircuit has the name as its device's only; None where it may use it."""
    uses = words_of(line)
    return [] if name not in (uses if line.word[:1] == "." else uses[1:]) else None


def _line_targets(deck: Deck, name: str, line: Line, card: Card | None) -> list[str] | None:
    """The targets that a line gives a parameter; None where it uses the parameter in another way."""
    uses = words_of(line)
    if card is None:
        return [] if name not in uses else None
    uses = uses[1:]
    for word in (*card.nodes, card.model or ""):
        if word in uses:
            uses.remove(word)
    if name not in uses:
        return []
    if card.letter == "m" and _binned(deck, card.model or ""):
        return None
    targets = []
    for key, value in card.parameters.items():
        if strip_delimiters(value.text).lower() == name:
            target = _target(card, key)
            if target is None:
                return None
            targets.append(target)
    return targets if uses.count(name) == len(targets) else None


def _binned(deck: Deck, model: str) -> bool:
    return deck.root.model_lines(model) != [deck.root.models.get(model)] or "." in model


def _target(card: Card, key: str) -> str | None:
    if card.letter == "m" and key in _MOSFET_KEYS:
        return f"@{card.name}[{key}]"
    if card.letter in "rcl" and key == card.letter:
        return card.name
    if card.letter in "vi" and key == "dc":
        return f"@{card.name}[dc]"
    return None
