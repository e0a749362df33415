"""A new deck beside the user's own, in which the literal sizes are parameters."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from automl_core.errors import InputError
from automl_core.runs import write_whole
from circuits.initial_variables import is_test_bench
from circuits.matching import find_matches
from circuits.netlist import Deck, lift_literals, read_deck
from circuits.numbers import short_number

__all__ = ["Origin", "lifted_deck", "own_place", "refuse_existing"]


class Origin(NamedTuple):
    """Where a lifted file comes from: the user's own, and how many lines were added below its title."""

    file: Path
    added: int


def lifted_deck(
    deck: Deck, folders: tuple[Path, ...], undo: ExitStack
) -> tuple[Deck, Mapping[Path, Origin], list[str]]:
    """Write a new deck, and the files that it includes where they change; matched devices share their parameters.

    Args:
        deck: the user's own.
        folders: that it may read.
        undo: is told how to remove what is written.

    Returns:
        The new deck, its new files with their origins, and lines for a person.

    Raises:
        InputError: a file exists already or cannot be written.
    """
    matches = find_matches(deck)
    bench = [device.label for device in deck.devices if is_test_bench(device)]
    groups = [match.devices for match in matches]
    lifted = lift_literals(deck, matched=groups, bias=True, but=bench, renamed=_new_name)
    if not lifted.parameters:
        return deck, {}, ["no literal size to lift"]
    main = _new_name(deck.path)
    for file in lifted.files:
        refuse_existing(_new_name(file), f"begin with `sizewise init {main.name}`, or move it away")
    origins = {}
    for file, content in lifted.files.items():
        new = _new_name(file)
        undo.callback(new.unlink, missing_ok=True)
        write_whole(new, content)
        origins[new] = Origin(file, len(lifted.parameters) if file == deck.path else 0)
    said = [
        f"lifted {p.name} = {short_number(p.value)} ({', '.join('.'.join(use) for use in p.uses)})"
        for p in lifted.parameters
    ]
    said += [f"matched: {match.kind.replace('_', ' ')} {', '.join(match.devices)}" for match in matches]
    return read_deck(main, allowed=folders), origins, said


def _new_name(file: Path) -> Path:
    return file.with_name(f"{file.stem}.lifted{file.suffix}")


def own_place(place: str | None, origins: Mapping[Path, Origin]) -> str | None:
    """A place in the lifted deck, which is gone after an error, as one in the user's own."""
    file, _, number = (place or "").rpartition(":")
    if place is not None and Path(place) in origins:
        return str(origins[Path(place)].file)
    origin = origins.get(Path(file))
    return place if origin is None else f"{origin.file}:{max(1, int(number) - origin.added)}"


def refuse_existing(path: Path, remedy: str) -> None:
    """Refuse to overwrite a file.

    Raises:
        InputError: it exists.
    """
    if path.exists():
        raise InputError("the file exists already, and nothing is overwritten", place=str(path), remedy=remedy)
