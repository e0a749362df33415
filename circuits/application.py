"""A copy of a deck with the sizes that a run found.

Nothing changes but values of ``.param`` lines, and the paths of includes that would not lead to the copies: absolute
ones, and links.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import orjson

from automl_core.errors import InputError
from automl_core.record import Record
from automl_core.runs import RECORD, write_whole
from circuits.decks import deck_of
from circuits.design_space import own_parameters
from circuits.netlist import Deck, difference, read_deck, with_values
from circuits.specfile import read_spec

__all__ = ["Applied", "apply_best"]


@dataclass(frozen=True)
class Applied:
    """What was written: the files, and a unified diff against the user's own."""

    files: tuple[Path, ...]
    difference: str


def apply_best(run: Path, folder: Path) -> Applied:
    """Copy the decks of a run, and what they include outside the kits, with the best values put in.

    The copies keep their places relative to each other, so that their includes still lead from one to the other. They
    are read again, and must be the circuit that was sized.

    Raises:
        InputError: the run has no result, a deck is gone, the folder holds something already, or the copies are not
            the circuit that was sized.
    """
    with Record.open(run / RECORD) as record:
        spec = read_spec(Path(record.facts()["spec"]))
        trained = record.facts().get("kind") == "training"
    if trained:
        remedy = f"`sizewise size SPEC --policy {run}` sizes a circuit with what it learnt"
        raise InputError("this run trained a policy and sized nothing", place=str(run), remedy=remedy)
    point = _best_point(run)
    decks = [deck_of(spec, bench) for bench in spec.decks]
    derived = {name: entry.expr for name, entry in spec.variables.items() if entry.expr is not None}
    sources = sorted({file for deck in decks for file in _own_files(deck)})
    _refuse_taken(folder)
    common = Path(os.path.commonpath([source.parent for source in sources]))
    copies = {source: folder / source.relative_to(common) for source in sources}
    places = {source: copy.resolve() for source, copy in copies.items()}
    changed: dict[Path, bytes] = {}
    expected: dict[Path, tuple[str, ...]] = {}
    for deck in decks:
        values: dict[str, float | str] = {name: point[name] for name in own_parameters(deck, point)}
        values |= {name: derived[name] for name in own_parameters(deck, derived)}
        changed |= with_values(deck, values, places)
        expected[copies[deck.path]] = deck.flatten(values)
    with _whole_or_not_at_all(folder):
        for source, copy in copies.items():
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_whole(copy, changed.get(source) or source.read_bytes())
        for copy, lines in expected.items():
            _check(copy, lines, folder, spec.simulator.compat)
    texts = [difference(source, changed[source], str(copies[source])) for source in changed]
    return Applied(tuple(copies.values()), "".join(texts))


@contextmanager
def _whole_or_not_at_all(folder: Path) -> Iterator[None]:
    """A folder that is filled in the block; where that fails it is gone, or as empty as it was."""
    was_there = folder.exists()
    try:
        yield
    except BaseException:
        for made in folder.iterdir() if folder.exists() else ():
            shutil.rmtree(made, ignore_errors=True) if made.is_dir() else made.unlink()
        if not was_there and folder.exists():
            folder.rmdir()
        raise


def _check(copy: Path, expected: tuple[str, ...], folder: Path, compat: str | None) -> None:
    """Refuse a copy that reads as another circuit than the one that was sized."""
    found = read_deck(copy, allowed=[folder], compat=compat).flatten()
    if found != expected:
        here, there = next((one, two) for one, two in zip_longest(found, expected, fillvalue="") if one != two)
        raise InputError(
            f"the copy is not the circuit that was sized: it has {here!r} where that has {there!r}",
            place=str(copy),
            remedy="nothing was written: RUN/sized.cir holds the whole circuit that was sized",
        )


def _best_point(run: Path) -> dict[str, float]:
    path = run / "best.json"
    if not path.is_file():
        remedy = f"`sizewise resume {run}` brings the run to its end"
        raise InputError("the run has no result yet", place=str(path), remedy=remedy)
    try:
        return {name: value for name, value in orjson.loads(path.read_bytes())["point"].items()}
    except (orjson.JSONDecodeError, KeyError, AttributeError) as error:
        raise InputError(f"this is not the result of a run: {error}", place=str(path), remedy="run `resume`") from None


def _own_files(deck: Deck) -> list[Path]:
    """The deck and what it includes, but for the files of kits."""
    kits = deck.pdk_root.resolve() if deck.pdk_root else None
    included = [include.file for include in deck.includes]
    return [deck.path, *(file for file in included if kits is None or not file.is_relative_to(kits))]


def _refuse_taken(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise InputError(
            "the folder is not empty, and nothing is overwritten", place=str(folder), remedy="name another with -o"
        )
