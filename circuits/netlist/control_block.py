"""Analyses and measures, from cards and from ``.control`` blocks.

A user's block is read, never run: what can be lifted out of it are analyses, ``run`` and ``meas``; everything else is
noted with its file and line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from circuits.netlist.deck_lines import Line
from circuits.netlist.expressions import strip_delimiters

__all__ = ["ANALYSIS_KINDS", "COMPUTED", "AnalysisCard", "Lifted", "MeasureCard", "Note", "lift"]

ANALYSIS_KINDS = frozenset({"op", "ac", "dc", "tran", "noise", "tf", "sens", "pz", "disto", "sp", "pss"})
COMPUTED = re.compile(r"\bpar(?:am\s*=|\s*\()")
"""``param='a*b'`` and ``par('v(a)*i(b)')``, of which ngspice computes cards and no commands; in lower case."""
_PARAM = re.compile(r"param\s*=\s*(.+)", re.DOTALL)
_MEASURE_WORDS = frozenset({"meas", "measure"})
_SILENT = frozenset({"reset", "destroy", "unset", "setplot", "set", "save", "plot", "gnuplot", "hardcopy", "display"})
_FIRST_WORDS = re.compile(r"(\S+)\s+(\S+)\s+(\S+)\s*(.*)$", re.DOTALL)


@dataclass(frozen=True)
class Note:
    """Something that was found and not lifted, or that deserves a look.

    Attributes:
        place: ``file:line``.
        text: the line as written.
        reason: one sentence.
    """

    place: str
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}: {self.reason}"


@dataclass(frozen=True)
class AnalysisCard:
    """An analysis of the deck.

    Attributes:
        name: its kind, numbered from the second on: "ac", "ac_2".
        kind: "op", "ac", "dc", "tran", "noise", ...
        command: as ngspice takes it: "ac dec 20 1 10g"; expressions replaced by their starting values.
        place: ``file:line``.
    """

    name: str
    kind: str
    command: str
    place: str


@dataclass(frozen=True)
class MeasureCard:
    """A measure of the deck.

    Attributes:
        name: of its result, lower case.
        kind: of the analysis that it reads: "ac".
        analysis: the name of that analysis in the deck; None where the deck has none of the kind.
        take: all after the result's name: "max vdb(out)".
        place: ``file:line``.
    """

    name: str
    kind: str
    analysis: str | None
    take: str
    place: str

    @property
    def expression(self) -> str | None:
        """What computes it of other measures, as written behind ``param=``; None for one that is taken of waveforms."""
        match = _PARAM.match(self.take)
        return strip_delimiters(match[1]) if match else None


@dataclass
class Lifted:
    """What was lifted from cards and blocks, in the order of the deck."""

    analyses: list[AnalysisCard]
    measures: list[MeasureCard]
    settings: dict[str, str]
    notes: list[Note]


class _Lifting:
    def __init__(self, settle: Callable[[Line, str], str | None]):
        self.result = Lifted([], [], {}, [])
        self._settle = settle
        self._latest: dict[str, AnalysisCard] = {}
        self._uses_blocks = False

    def note(self, line: Line, reason: str) -> None:
        self.result.notes.append(Note(line.place, line.text, reason))

    def finish(self) -> Lifted:
        """The result; a measure above its analysis gets the first of its kind."""
        first = {card.kind: card.name for card in reversed(self.result.analyses)}
        measures = self.result.measures
        self.result.measures = [replace(card, analysis=card.analysis or first.get(card.kind)) for card in measures]
        return self.result

    def analysis(self, line: Line, text: str) -> None:
        command = self._settle(line, _lowered(text))
        if command is None:
            self.note(line, "an expression in it has no value at the start; give the analysis in the spec")
            return
        kind = command.split(None, 1)[0]
        known = next((card for card in self.result.analyses if card.command == command), None)
        if known is None:
            number = 1 + sum(card.kind == kind for card in self.result.analyses)
            name = kind if number == 1 else f"{kind}_{number}"
            known = AnalysisCard(name, kind, command, line.place)
            self.result.analyses.append(known)
        self._latest[kind] = known

    def measure(self, line: Line) -> None:
        match = _FIRST_WORDS.match(line.text)
        if match is None or not match[4]:
            self.note(line, "the measure is incomplete")
            return
        take = self._settle(line, _lowered(match[4]))
        if take is None:
            self.note(line, "an expression in it has no value before the run, and `meas` takes numbers; write one")
            return
        kind, name = match[2].lower(), match[3].lower()
        analysis = self._latest.get(kind)
        self.result.measures = [card for card in self.result.measures if card.name != name]
        self.result.measures.append(MeasureCard(name, kind, analysis.name if analysis else None, take, line.place))


def _lowered(text: str) -> str:
    """A card as ngspice reads it: in lower case. Commands it takes as they are written, and knows no ``DEC``."""
    return " ".join(text.lower().split())


def lift(cards: Iterable[Line], commands: Iterable[Line], settle: Callable[[Line, str], str | None]) -> Lifted:
    """Lift analyses and measures.

    Args:
        cards: the ``.ac``, ``.meas``, ... cards of the deck, in order.
        commands: the lines of its ``.control`` blocks, in order.
        settle: gives an analysis or measure with its ``{expressions}`` evaluated; None where that is not possible.

    Returns:
        The analyses that a run of the deck would make (cards first), the measures, the variables that the blocks
        ``set``, and notes on the rest.
    """
    lifting = _Lifting(settle)
    later = []
    for line in cards:
        if line.word[1:] in ANALYSIS_KINDS:
            lifting.analysis(line, line.text[1:])
        else:
            later.append(line)
    for line in later:
        lifting.measure(line)
    for line in commands:
        _command(lifting, line)
    return lifting.finish()


def _command(lifting: _Lifting, line: Line) -> None:
    word = line.word
    if word in ANALYSIS_KINDS:
        lifting.analysis(line, line.text)
    elif word in _MEASURE_WORDS:
        lifting.measure(line)
    elif word == "set":
        name, sign, value = line.text[3:].partition("=")
        lifting.result.settings[name.strip().lower()] = value.strip() if sign else ""
    elif word in ("option", "options"):
        lifting.note(line, "an option that a block sets is not lifted; give it in the spec: simulator: options")
    elif word == "run" or word in _SILENT:
        return
    elif word == "*#":
        lifting.note(line, "a command hidden in a comment is never run")
    else:
        lifting.note(line, "a command of a .control block is never run, and this one cannot be lifted")
