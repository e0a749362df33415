"""The nets, sources and devices that a spec names: all must exist in the deck of their bench.

ngspice would not say: a measure of a net that is not there gives no figure, at every design.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from circuits.bench import Analysis, Measure
from circuits.measures import KINDS, signals
from circuits.netlist import Deck
from circuits.specfile import SpecFile

__all__ = ["check_references"]

_VOLTAGE = re.compile(r"(?<![\w@.])v(?:db|cm|cp|m|p|r|i|g)?\(\s*([^(),\s]+)\s*(?:,\s*([^(),\s]+)\s*)?\)", re.IGNORECASE)
_CURRENT = re.compile(r"(?<![\w@.])i\(\s*([^(),\s]+)\s*\)", re.IGNORECASE)
_UNKNOWN_NETS = frozenset("apny")
"""Letters of devices whose nets are not told apart."""


def check_references(spec: SpecFile, decks: Mapping[str, Deck]) -> None:
    """Check every name that the analyses and measures of a spec use.

    Args:
        spec: the spec.
        decks: by test bench.

    Raises:
        InputError: with the line of the spec, the name and the nearest ones that exist.
    """
    for bench, analysis in spec.analyses:
        for sort, name in _of_analysis(analysis):
            _check(sort, name, decks[bench], f"analysis {analysis.name!r}", spec.place("analyses", analysis.name))
    for bench, measure in spec.measures:
        for sort, name in _of_measure(measure):
            _check(sort, name, decks[bench], f"measure {measure.name!r}", spec.place("measures", measure.name))


def _of_analysis(analysis: Analysis) -> Iterator[tuple[str, str]]:
    yield from (("source", source) for source, _ in analysis.stimulus)
    words = analysis.command.split()
    if analysis.kind == "noise":
        yield from _of_text(analysis.command)
        yield from (("source", word) for word in words[2:3] if word[:1].isalpha())
    elif analysis.kind == "dc" and len(words) > 1 and words[1].lower() != "temp":
        yield "device", words[1]


def _of_measure(measure: Measure) -> Iterator[tuple[str, str]]:
    if measure.take is not None:
        yield from _of_text(measure.take)
        return
    arguments = measure.arguments
    for argument in KINDS[measure.kind or ""].arguments:
        if argument.name not in arguments or argument.type not in ("signal", "source", "device"):
            continue
        read = argument.read(arguments[argument.name])
        for name in read if isinstance(read, tuple) else (str(read),):
            if argument.type == "signal":
                yield from (("net", net) for net in signals.nets(name))
                yield from _of_text(name if name.startswith("i(") else "")
            elif name != "all":
                yield argument.type, name


def _of_text(text: str) -> Iterator[tuple[str, str]]:
    """The names in ngspice's own language: v(a), vdb(a,b), i(vdd)."""
    for match in _VOLTAGE.finditer(text):
        yield from (("net", name) for name in match.groups() if name is not None)
    for match in _CURRENT.finditer(text):
        yield "device", match[1]


def _check(sort: str, name: str, deck: Deck, who: str, place: str) -> None:
    name = name.strip().lower()
    names = {each for device in deck.devices for each in (device.name, device.label)}
    if sort == "net":
        known = set(deck.nets) | {"0", "gnd"}
        hidden = any(device.letter in _UNKNOWN_NETS for device in deck.devices) or "#" in name
        if hidden or name.rpartition(".")[0] in names:  # inside a device of a kit, or of a code model
            return
    elif sort == "source":
        known = {each for d in deck.devices if d.kind in ("vsource", "isource") for each in (d.name, d.label)}
    else:
        known = names
    if name not in known:
        remedy = did_you_mean(name, known, f"the {sort}s of the deck")
        raise InputError(
            f"{who} uses the {sort} {name!r}, which {deck.path.name} does not have", place=place, remedy=remedy
        )
