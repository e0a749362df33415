"""A deck's lines with its includes in place, read only from where a deck may read.

A netlist is untrusted input. Includes stay inside the deck's own folder, ``PDK_ROOT`` and the folders that the user
allowed; links are resolved before the comparison. ``.lib file section`` brings in that section alone; ``.lib file`` is
an include in the dialects of PSpice and LTspice, and ngspice knows it only there (measured on 39.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from circuits.netlist.deck_lines import Line, decoded, load_lines

__all__ = ["Include", "Includes", "OutsideError"]

_DEEPEST = 40
_MOST_BYTES = 128 * 2**20
_WORDS = frozenset({".include", ".inc", ".incl"})
_ARGUMENT = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+))""")
_VARIABLE = re.compile(r"\$(?:\{(PDK_ROOT|PDK)\}|(PDK_ROOT|PDK)\b)")


class OutsideError(InputError):
    """An include that lies outside the folders that the deck may read; ``folder`` is the one to allow."""

    folder: Path = Path()


@dataclass(frozen=True)
class Include:
    """One file that the deck reads.

    Attributes:
        file: its resolved path.
        section: of a library, lower case; None for a whole file.
        line: that asks for it.
        name: the file as that line calls it.
        span: where in the line's text that stands: first character, past the last; quotes included.
    """

    file: Path
    section: str | None
    line: Line = field(compare=False)
    name: str = field(compare=False)
    span: tuple[int, int] = field(compare=False)

    @property
    def place(self) -> str:
        """``file:line`` of the line that asks for it."""
        return self.line.place


@dataclass
class Includes:
    """Reads the lines of a deck, its includes in place.

    Args:
        deck: the main file, resolved.
        allowed: folders that may be read besides the deck's own.
        pdk_root: the folder of the installed kits.
        environment: where ``$PDK_ROOT`` and ``$PDK`` in paths are looked up.
        compat: ngspice's ``ngbehavior``, or None.
    """

    deck: Path
    allowed: Sequence[Path] = ()
    pdk_root: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    compat: str | None = None
    found: list[Include] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._roots = [self.deck.parent, *(folder.expanduser().resolve() for folder in self.allowed)]
        self._roots.extend(_kit_folders(self.pdk_root))
        self._bytes = 0

    def lines(self) -> Iterator[Line]:
        """All lines of the deck but its title, in the order that ngspice reads them.

        Raises:
            InputError: a file or section that is missing, forbidden, binary or too large; a circle of includes.
        """
        lines = [line for line in load_lines(self.deck) if line.number > 1]
        yield from self._expand(lines, ((self.deck, None),))

    def _expand(self, lines: Sequence[Line], chain: tuple[tuple[Path, str | None], ...]) -> Iterator[Line]:
        skipping = False
        for index, line in enumerate(lines):
            word = line.word
            if word == ".lib":
                arguments = _arguments(line)
                if len(arguments) == 1 and _is_closed(lines[index + 1 :]):
                    skipping = True
                elif not skipping:
                    yield from self._library(line, arguments, chain)
            elif word == ".endl":
                skipping = False
            elif skipping:
                continue
            elif word in _WORDS:
                yield from self._include(line, chain)
            else:
                yield line

    def _include(self, line: Line, chain: tuple[tuple[Path, str | None], ...]) -> Iterator[Line]:
        arguments = _arguments(line)
        if not arguments:
            raise InputError(f"{line.text!r} names no file", place=line.place, remedy="write .include 'file'")
        file = self._resolve(arguments[0], line)
        yield from self._follow(file, None, load_lines(file), line, chain)

    def _library(self, line: Line, arguments: list[str], chain: tuple[tuple[Path, str | None], ...]) -> Iterator[Line]:
        if not arguments:
            raise InputError(f"{line.text!r} names no file", place=line.place, remedy="write .lib 'file' section")
        if len(arguments) == 1:
            if not any(dialect in (self.compat or "") for dialect in ("ps", "lt")):
                remedy = f"write .include '{arguments[0]}', or name a section; one that begins here needs an .endl"
                raise InputError(f"{line.text!r} names no section", place=line.place, remedy=remedy)
            yield from self._include(line, chain)
            return
        file, wanted = self._resolve(arguments[0], line), arguments[1].lower()
        sections = _sections(file)
        if wanted not in sections:
            remedy = did_you_mean(wanted, sections, "its sections")
            raise InputError(f"{file} has no section {wanted!r}", place=line.place, remedy=remedy)
        yield from self._follow(file, wanted, sections[wanted], line, chain)

    def _follow(
        self,
        file: Path,
        section: str | None,
        lines: Sequence[Line],
        line: Line,
        chain: tuple[tuple[Path, str | None], ...],
    ) -> Iterator[Line]:
        if (file, section) in chain:
            circle = " -> ".join(str(name) for name, _ in [*chain, (file, section)])
            raise InputError(f"files include each other: {circle}", place=line.place, remedy="remove one of the lines")
        self._bytes += file.stat().st_size if section is None else 0
        if len(chain) >= _DEEPEST or self._bytes > _MOST_BYTES:
            limit = f"more than {_DEEPEST} levels or {_MOST_BYTES // 2**20} MiB of includes"
            raise InputError(f"{limit} at {file}", place=line.place, remedy="include only what the circuit needs")
        name, span = _argument(line, len(line.word))
        self.found.append(Include(file, section, line, decoded(name), span))
        yield from self._expand(lines, (*chain, (file, section)))

    def _resolve(self, name: str, line: Line) -> Path:
        """The file that an include means, if the deck may read it."""
        path = Path(_VARIABLE.sub(lambda match: self._variable(match, line), decoded(name)))
        path = path.expanduser() if name.startswith("~") else path
        candidates = [path] if path.is_absolute() else [line.file.parent / path, self.deck.parent / path]
        for candidate in candidates:
            resolved = _resolved(candidate, line)
            if not _exists(resolved):
                continue
            if not any(resolved.is_relative_to(root) for root in self._roots):
                self._refuse(resolved, line)
            if not resolved.is_file():
                raise InputError(f"{name!r} is not a regular file", place=line.place, remedy="include a text file")
            return resolved
        looked = " and ".join(dict.fromkeys(str(candidate.parent) for candidate in candidates))
        raise InputError(
            f"the include {name!r} does not exist (looked in {looked})", place=line.place, remedy="check the path"
        )

    def _variable(self, match: re.Match[str], line: Line) -> str:
        name = match[1] or match[2]
        if name == "PDK_ROOT" and self.pdk_root is not None:
            return str(self.pdk_root)
        if name not in self.environment:
            raise InputError(f"{line.text!r} needs ${name}, which is not set", place=line.place, remedy=f"set {name}")
        return self.environment[name]

    def _refuse(self, resolved: Path, line: Line) -> NoReturn:
        refusal = OutsideError(
            f"the deck may not read {resolved}: it lies outside the deck's folder, PDK_ROOT and include_paths",
            place=line.place,
            remedy=f"if you trust it, allow the folder {resolved.parent}",
        )
        refusal.folder = resolved.parent
        raise refusal


def _kit_folders(pdk_root: Path | None) -> list[Path]:
    """PDK_ROOT and what its own links lead to: installers keep each kit behind a link."""
    if pdk_root is None or not pdk_root.is_dir():
        return []
    links = [entry.resolve() for entry in pdk_root.iterdir() if entry.is_symlink()]
    return [pdk_root.resolve(), *(link for link in links if link.is_dir())]


def _resolved(path: Path, line: Line) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        raise InputError(
            f"{path} cannot be resolved", place=line.place, remedy="check the path and its links"
        ) from None


def _exists(path: Path) -> bool:
    """Whether there is something at a path; one that may not be looked at counts as there."""
    try:
        return path.exists()
    except OSError:
        return True


def _arguments(line: Line) -> list[str]:
    """The words after the first, quotes removed. An unclosed quote is an error."""
    arguments = []
    position = len(line.word)
    while line.text[position:].strip():
        argument, (_, position) = _argument(line, position)
        arguments.append(argument)
    return arguments


def _argument(line: Line, position: int) -> tuple[str, tuple[int, int]]:
    """The word that comes next, quotes removed, and where it stands with them."""
    match = _ARGUMENT.match(line.text, position)
    if match is None:
        raise InputError(f"{line.text!r} has an unclosed quote", place=line.place, remedy="close the quote")
    word = next(group for group in match.groups() if group is not None)
    return word, (match.end() - len(match[0].lstrip()), match.end())


def _is_closed(lines: Iterable[Line]) -> bool:
    """Whether an ``.endl`` comes, after a ``.lib`` with one word, before the next such ``.lib``."""
    marks = (line for line in lines if line.word == ".endl" or (line.word == ".lib" and len(_arguments(line)) == 1))
    return next((line.word == ".endl" for line in marks), False)


def _sections(file: Path) -> dict[str, list[Line]]:
    """The sections of a library by name, lower case; of two with one name the first, as ngspice takes it."""
    sections: dict[str, list[Line]] = {}
    current: list[Line] | None = None
    for line in load_lines(file):
        if line.word == ".endl":
            current = None
        elif line.word == ".lib" and current is None and len(arguments := _arguments(line)) == 1:
            current = []
            sections.setdefault(arguments[0].lower(), current)
        elif current is not None:
            current.append(line)
    return sections
