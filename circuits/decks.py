"""The deck of a spec's test bench, read as the spec allows."""

from __future__ import annotations

import os
import re
from pathlib import Path

from automl_core.errors import InputError
from circuits.netlist import Deck, OutsideError, read_deck, refuse_floating
from circuits.specfile import SpecFile

__all__ = ["deck_of"]


def deck_of(spec: SpecFile, bench: str) -> Deck:
    """Read the deck of a bench.

    Args:
        spec: the spec.
        bench: one of ``spec.decks``.

    Raises:
        InputError: the deck is missing, wrong, has a net that floats, or includes what the spec does not allow.
    """
    path = spec.decks[bench]
    if not path.exists():
        place = spec.place("testbenches", bench) if bench else spec.place("netlist")
        raise InputError(
            f"the deck {path} does not exist", place=place, remedy="correct its path, which starts at the spec's folder"
        )
    try:
        deck = read_deck(path, allowed=spec.include_paths, compat=spec.simulator.compat)
    except OutsideError as outside:
        remedy = f"if you trust it, write in {spec.path.name}: {_line(spec, outside.folder)}"
        raise InputError(outside.problem, place=outside.place, remedy=remedy) from None
    commands = [analysis.command for name, analysis in spec.analyses if name == bench]
    refuse_floating(deck, spec.simulator.options, commands)
    return deck


def _line(spec: SpecFile, folder: Path) -> str:
    """The spec's ``include_paths`` with one more folder, all relative to the spec's own, as they are read."""
    here = spec.path.parent.resolve()
    folders = [os.path.relpath(each.resolve(), here) for each in (*spec.include_paths, folder)]
    return f"include_paths: [{', '.join(_scalar(each) for each in folders)}]"


def _scalar(text: str) -> str:
    """A path as YAML takes it: bare where that is safe."""
    if re.fullmatch(r"[\w./-]*[\w/]", text, re.ASCII) and not text.startswith("-"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
