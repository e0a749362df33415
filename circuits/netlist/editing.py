"""A user's deck with other values: the text changes where a value stands, and nowhere else.

Texts are bytes: what is not changed stays as it was, comments, blanks, line ends and encodings included.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from automl_core.errors import InputError
from circuits.netlist.cards import Value
from circuits.netlist.deck import Deck, value_text
from circuits.netlist.deck_lines import Line, read_text
from circuits.netlist.devices import SIZES, Device
from circuits.netlist.expressions import BUILT_IN_FUNCTIONS, parse_expression
from circuits.netlist.includes import Include
from circuits.numbers import format_number, parse_number

__all__ = ["LiftedLiteral", "LiftedLiterals", "difference", "lift_literals", "with_values"]

_VALUES = {"resistor": "r", "capacitor": "c"}


def with_values(
    deck: Deck, values: Mapping[str, float | str], moved: Mapping[Path, Path] | None = None
) -> dict[Path, bytes]:
    """The files of a deck that change when parameters get other values, with only those values changed.

    Args:
        deck: the deck.
        values: parameter ("w1", or "amp.w1" in a subcircuit) -> number, or text of an expression.
        moved: where the deck and files that it includes are to stand; an include among them that would not lead from
            one to the other there, and a relative one of a file that stays, is changed too.

    Returns:
        The new content of every file that changes, by its path; the caller decides where it goes.

    Raises:
        InputError: a parameter that no ``.param`` defines, or a text that is no expression.
    """
    changes: dict[Path, list[tuple[int, int, str]]] = {}
    for key, value in values.items():
        item = deck.parameter(key).assignment
        changes.setdefault(item.line.file, []).extend(_edits(item.line, item.start, item.end, value_text(value)))
    for include in deck.includes if moved else ():
        path = _include_from(include, moved or {}, deck.path)
        if path is not None:
            changes.setdefault(include.line.file, []).extend(_naming(include, path))
    return {file: _edited(file, edits) for file, edits in changes.items()}


def _include_from(include: Include, moved: Mapping[Path, Path], deck: Path) -> str | None:
    """The path that an include has to name where its file stands; None where what it names leads there."""
    here, target = moved.get(include.line.file), moved.get(include.file)
    if here is None:
        return None
    if target is None:
        return None if include.name[:1] in ("/", "$", "~") else str(include.file)
    there = set(moved.values())
    candidates = (Path(os.path.normpath(base.parent / include.name)) for base in (here, moved[deck]))
    leads_to = next((candidate for candidate in candidates if candidate in there), None)
    return None if leads_to == target else os.path.relpath(target, here.parent)


def _naming(include: Include, path: str) -> list[tuple[int, int, str]]:
    """Replacements that make an include name another path."""
    return _edits(include.line, *include.span, os.fsencode(f'"{path}"').decode("latin-1"))


def _edits(line: Line, start: int, end: int, text: str) -> list[tuple[int, int, str]]:
    """Replacements (first byte, past the last, new text) that put a text in place of a part of a logical line."""
    spans = line.spans(start, end)
    return [(first, last, text if index == 0 else "") for index, (first, last) in enumerate(spans)]


def _edited(file: Path, edits: Iterable[tuple[int, int, str]]) -> bytes:
    text = read_text(file)
    for first, last, new in sorted(set(edits), reverse=True):  # a file may be included twice
        text = f"{text[:first]}{new}{text[last:]}"
    return text.encode("latin-1")


def difference(file: Path, content: bytes, name: str | None = None) -> str:
    """A unified diff from a file to its new content, for people to read.

    Args:
        file: the file as it is.
        content: what it is to become.
        name: what the new one is called; by default as the old one.
    """
    old = file.read_bytes().decode("utf-8", "replace").splitlines(keepends=True)
    new = content.decode("utf-8", "replace").splitlines(keepends=True)
    return "".join(difflib.unified_diff(old, new, str(file), name or str(file)))


@dataclass(frozen=True)
class LiftedLiteral:
    """One parameter that stands for literal values.

    Attributes:
        name: of the new parameter: "w_m1".
        text: the literal as written, unless a ``.param`` line reads that otherwise ("10mil").
        value: the literal's value.
        uses: (device label, instance parameter) of every place it stands at.
        place: ``file:line`` of the first.
    """

    name: str
    text: str
    value: float
    uses: tuple[tuple[str, str], ...]
    place: str


@dataclass(frozen=True)
class LiftedLiterals:
    """A new deck whose sizes are parameters.

    Attributes:
        files: the new content of every file that changes, by its old path; the main file is always there.
        parameters: the new parameters, in the order of the deck.
    """

    files: Mapping[Path, bytes]
    parameters: tuple[LiftedLiteral, ...]


@dataclass
class _Site:
    """A literal where it stands: once a line, however often the subcircuit around it is used."""

    device: Device
    key: str
    value: Value
    number: float


def lift_literals(
    deck: Deck,
    *,
    matched: Sequence[Sequence[str]] = (),
    bias: bool = False,
    but: Collection[str] = (),
    renamed: Callable[[Path], Path] | None = None,
) -> LiftedLiterals:
    """Lift the literal sizes of instances into ``.param`` lines of a new deck.

    W, L, M and NF of MOSFETs, the areas of other transistors and diodes, and the values of resistors, capacitors and
    inductors; in the files of the deck's own folder only. The parameters stand below the title; all other text stays
    byte for byte.

    Args:
        deck: the deck.
        matched: groups of device labels; where all members of a group have the same literal, they share a parameter.
        bias: lift the dc value of current sources too.
        but: labels of devices to leave alone.
        renamed: where a changed file will be written, so that includes lead there; by default in its old place.

    Raises:
        InputError: a file outside the deck's folder includes one that changes, and would have to change too.
    """
    sites = _sites([device for device in deck.devices if device.label not in but], deck.path.parent, bias=bias)
    taken = {parameter.name for parameter in deck.parameters} | BUILT_IN_FUNCTIONS
    lifted: list[LiftedLiteral] = []
    changes: dict[Path, list[tuple[int, int, str]]] = {deck.path: []}
    for members in _shared(sites, matched):
        first = members[0]
        name = _free_name(first, taken)
        taken.add(name)
        uses = tuple((site.device.label, site.key) for site in members)
        lifted.append(
            LiftedLiteral(name, _written(first.value.text, first.number), first.number, uses, first.device.place)
        )
        for site in members:
            line = site.device.card.line
            changes.setdefault(line.file, []).extend(_edits(line, site.value.start, site.value.end, f"{{{name}}}"))
    if renamed is not None:
        _redirect_includes(deck, changes, renamed)
    texts = {file: _edited(file, edits) for file, edits in changes.items()}
    texts[deck.path] = _with_parameters(texts[deck.path], lifted)
    return LiftedLiterals(texts, tuple(lifted))


def _redirect_includes(
    deck: Deck, changes: dict[Path, list[tuple[int, int, str]]], renamed: Callable[[Path], Path]
) -> None:
    """Add the changes by which includes lead to the renamed files; who includes one is renamed with it.

    Raises:
        InputError: who includes one lies outside the deck's folder.
    """
    while wider := [each for each in deck.includes if each.file in changes and each.line.file not in changes]:
        for include in wider:
            if not include.line.file.is_relative_to(deck.path.parent):
                raise InputError(
                    f"{include.file} holds sizes to lift, but is included from outside the deck's folder",
                    place=include.place,
                    remedy="copy this file into the deck's folder",
                )
            changes.setdefault(include.line.file, [])
    edits: dict[Path, dict[tuple[int, int, str], None]] = {}  # a file that is read twice has its includes twice
    for include in deck.includes:
        if include.file in changes:
            name = os.path.relpath(renamed(include.file), renamed(include.line.file).parent)
            edits.setdefault(include.line.file, {}).update(dict.fromkeys(_naming(include, name)))
    for file, found in edits.items():
        changes[file].extend(found)


def _sites(devices: Iterable[Device], folder: Path, *, bias: bool) -> list[_Site]:
    """The literals that can be lifted, each line once."""
    sites: dict[tuple[str, int, str], _Site] = {}
    for device in devices:
        if not device.file.is_relative_to(folder) or (device.kind == "isource" and not bias):
            continue
        for key in SIZES.get(device.kind, ()):
            value = device.card.parameters.get(key)
            if value is None or (number := _literal(value.text)) is None:
                continue
            sites.setdefault((str(device.file), device.line, key), _Site(device, key, value, number))
    return list(sites.values())


def _literal(text: str) -> float | None:
    try:
        return parse_number(text)
    except InputError:
        return None


def _shared(sites: Sequence[_Site], matched: Sequence[Sequence[str]]) -> list[list[_Site]]:
    """The sites, those of matched devices with equal literals together."""
    group_of = {label.lower(): index for index, labels in enumerate(matched) for label in labels}
    found: dict[tuple[object, ...], list[_Site]] = {}
    for site in sites:
        group = group_of.get(site.device.label)
        alone = (site.device.file, site.device.line, site.key)
        key = alone if group is None else (group, site.key, site.number, site.device.kind)
        found.setdefault(key, []).append(site)
    return list(found.values())


def _free_name(site: _Site, taken: set[str] | frozenset[str]) -> str:
    """``w_m1``, ``r_load``; with the subcircuit's name for a device inside one; numbered where that is taken."""
    device = site.device
    own = re.sub(r"\W", "_", device.card.name)
    scope = re.sub(r"\W", "_", device.scope)
    key = _VALUES.get(device.kind, site.key) if site.key in ("r", "c") else site.key
    base = "_".join(part for part in (key, scope, own) if part)
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name


def _with_parameters(content: bytes, lifted: Sequence[LiftedLiteral]) -> bytes:
    """The main file with the new ``.param`` lines below its title, ended as its lines are."""
    title, newline, body = content.partition(b"\n")
    ending = b"\r\n" if title.endswith(b"\r") else newline
    added = b"".join(f".param {item.name}={item.text}".encode() + ending for item in lifted)
    return title + newline + added + body


def _written(text: str, value: float) -> str:
    """What a ``.param`` line reads as a literal's value: the literal itself where that works."""
    try:
        same = parse_expression(text).evaluate({}) == value
    except InputError:
        same = False
    return text if same else format_number(value)
