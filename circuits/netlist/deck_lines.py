"""The logical lines of a deck file: continuations joined, comments gone, and where in the file each piece stands.

ngspice's rules (manual, section 2.1.3 "Syntax check"; measured on 39.3): ``+`` as the first character that is not
blank continues the last line, also over comments and empty lines; ``*`` begins a comment line, ``;`` and ``//`` a
comment anywhere, braces and quotes notwithstanding, and ``$`` one after a blank or a comma. A comment line that begins
with ``*#`` is a *command*, which ngspice runs; here it is marked as such.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from automl_core.errors import InputError

__all__ = ["LARGEST_FILE", "Line", "decoded", "load_lines", "read_text"]

LARGEST_FILE = 32 * 2**20  # bytes; the largest files of open kits have 10 MB
_COMMENT = re.compile(r";|//|(?:(?<=[ \t,])|^)\$(?!\{?PDK(?:_ROOT)?\b)")


class Line:
    """One logical line.

    Attributes:
        file: where it stands.
        number: its first physical line, from 1.
        word: its first word, lower case; ``"*#"`` for a hidden command.
        text: the whole, without comments and continuation marks; case as written.
    """

    __slots__ = ("_pieces", "_text", "file", "number", "word")

    def __init__(self, file: Path, number: int, offset: int, raw: str):
        self.file = file
        self.number = number
        self._pieces: list[tuple[int, str]] = [(offset, raw)]
        self._text: str | None = None
        stripped = raw.lstrip()
        words = stripped.split(None, 1)
        self.word = "*#" if stripped.startswith("*#") else _COMMENT.split(words[0], maxsplit=1)[0].lower()

    def __repr__(self) -> str:
        return f"Line({self.place}: {self.text!r})"

    @property
    def place(self) -> str:
        """``file:line``, for messages."""
        return f"{self.file}:{self.number}"

    @property
    def text(self) -> str:
        """The pieces, each stripped, joined by one blank."""
        if self._text is None:
            self._text = " ".join(piece for _, piece in self._stripped())
        return self._text

    def extend(self, offset: int, raw: str) -> None:
        """Add a continuation; ``raw`` is what follows the ``+``."""
        self._pieces.append((offset, raw))
        self._text = None

    def _stripped(self) -> list[tuple[int, str]]:
        """The pieces without blanks and comments: (offset in the file, text)."""
        pieces = []
        for offset, raw in self._pieces:
            comment = None if self.word == "*#" else _COMMENT.search(raw)
            code = (raw[: comment.start()] if comment else raw).rstrip()
            text = code.lstrip()
            pieces.append((offset + len(code) - len(text), text))
        return pieces

    def spans(self, start: int, end: int) -> list[tuple[int, int]]:
        """Where characters ``start`` to ``end`` of ``text`` stand in the file: (first, past the last) a piece."""
        spans = []
        position = 0
        for offset, piece in self._stripped():
            first, last = max(start, position), min(end, position + len(piece))
            if first < last:
                spans.append((offset + first - position, offset + last - position))
            position += len(piece) + 1
        return spans


def read_text(file: Path) -> str:
    """A deck file as text, one character a byte (Latin-1), so that offsets are bytes and nothing is lost.

    Raises:
        InputError: the file is missing, no regular file, unreadable, too large, or binary.
    """
    try:
        status = file.stat()
        if not file.is_file():
            raise InputError(f"{file} is not a regular file", remedy="give the path of a deck")
        if status.st_size > LARGEST_FILE:
            size = f"{status.st_size / 2**20:.0f} MiB"
            limit = f"at most {LARGEST_FILE // 2**20} MiB is read"
            raise InputError(f"{file} has {size}; {limit}", remedy="give a netlist, not a result or a raw file")
        data = file.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{file} does not exist", remedy="check the path") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}", remedy="check its permissions") from None
    if b"\0" in data:
        raise InputError(f"{file} is a binary file (it holds NUL bytes)", remedy="give a netlist in plain text")
    return data.decode("latin-1")


def decoded(text: str) -> str:
    """A part of a deck file as people and the system know it: read as Latin-1, but mostly written as UTF-8."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError):
        return text


def load_lines(file: Path) -> tuple[Line, ...]:
    """The logical lines of a file; parsed once for as long as it does not change.

    Raises:
        InputError: as :func:`read_text`.
    """
    try:
        status = file.stat()
    except OSError:
        return _split(file, read_text(file))  # says why
    return _load(file, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=128)
def _load(file: Path, modified: int, size: int) -> tuple[Line, ...]:
    return _split(file, read_text(file))


def _split(file: Path, text: str) -> tuple[Line, ...]:
    lines: list[Line] = []
    offset = 0
    for number, raw in enumerate(text.split("\n"), 1):
        first = raw[:1]
        if first == "+" and lines:
            lines[-1].extend(offset + 1, raw[1:])
        elif first not in "*+" or raw[1:2] == "#":
            _add(lines, file, number, offset, raw)
        offset += len(raw) + 1
    return tuple(lines)


def _add(lines: list[Line], file: Path, number: int, offset: int, raw: str) -> None:
    """Add a physical line that does not plainly begin with ``*`` or ``+``."""
    stripped = raw.lstrip()
    indent = len(raw) - len(stripped)
    first = stripped[:1]
    if not stripped or first in ";$" or stripped.startswith("//") or (first == "*" and stripped[1:2] != "#"):
        return
    if first != "+":
        lines.append(Line(file, number, offset, raw))
    elif lines:
        lines[-1].extend(offset + indent + 1, stripped[1:])
