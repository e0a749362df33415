"""Devices by the names that ngspice gives them, where a spec may use the designer's: "m.x1.m1" for "x1.m1"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from circuits.bench import Analysis, Measure
from circuits.measures import KINDS
from circuits.netlist import Deck

__all__ = ["analysis_as_ngspice_names_it", "measure_as_ngspice_names_it"]

_CURRENT = re.compile(r"(?<![\w@.])(i\(\s*)([^(),\s]+)(?=\s*\))", re.IGNORECASE)
_QUANTITY = re.compile(r"(@)([^\s@\[\]]+)(?=\[)")


def analysis_as_ngspice_names_it(analysis: Analysis, deck: Deck) -> Analysis:
    """An analysis whose sources, swept or stimulated, have ngspice's names."""
    names = _names(deck)
    words = re.split(r"(\s+)", analysis.command.strip())
    for word in {"dc": (1, 5), "noise": (2,)}.get(analysis.kind, ()):
        if 2 * word < len(words):  # blanks lie between
            words[2 * word] = _name(words[2 * word], names)
    stimulus = tuple((_name(source, names), magnitude) for source, magnitude in analysis.stimulus)
    return replace(analysis, command="".join(words), stimulus=stimulus)


def measure_as_ngspice_names_it(measure: Measure, deck: Deck, transistors: tuple[str, ...]) -> Measure:
    """A measure whose devices, sources and currents have ngspice's names, and whose arguments are complete.

    Args:
        measure: from the spec.
        deck: that it is taken of.
        transistors: what ``devices: all`` stands for, by ngspice's names.
    """
    names = _names(deck)
    if measure.kind is None:
        return replace(measure, take=_text(measure.take or "", names))
    kind = KINDS[measure.kind]
    arguments = kind.complete(measure.arguments, devices=transistors)
    for argument in kind.arguments:
        value = arguments[argument.name]
        if argument.type in ("device", "source") and value is not None:
            arguments[argument.name] = tuple(_name(name, names) for name in value)
        elif argument.type == "signal" and value is not None:
            arguments[argument.name] = _text(value, names)
    return replace(measure, arguments=arguments)


def _names(deck: Deck) -> Mapping[str, str]:
    """Either name of a device -> ngspice's."""
    return {device.label: device.name for device in deck.devices} | {
        device.name: device.name for device in deck.devices
    }


def _name(word: str, names: Mapping[str, str]) -> str:
    return names.get(word.lower(), word)


def _text(text: str, names: Mapping[str, str]) -> str:
    """Text in ngspice's language: the devices of ``i(x1.v1)`` and ``@x1.m1[gm]``."""
    for pattern in (_CURRENT, _QUANTITY):
        text = pattern.sub(lambda found: found[1] + _name(found[2], names), text)
    return text
