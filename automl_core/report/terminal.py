"""What commands of both fields say to a terminal, and to a pipe where there is none.

rich is imported only to show something: ``--help`` does not wait for it.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

__all__ = ["command_line", "cores", "goes_on_with", "json_text", "make_console", "say", "shown"]


def make_console(width: int = 120) -> Console:
    """A console as wide as the terminal, or ``width`` where the output is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width, soft_wrap=False)


def say(console: Console, *lines: str) -> None:
    """Print lines as they are: no markup, no colours of figures, no line broken."""
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def shown(console: Console, words: str, *, quiet: bool = False) -> Iterator[None]:
    """Say what goes on: while it does in a terminal, in a line elsewhere."""
    if quiet:
        yield
    elif console.is_terminal:
        with console.status(words):
            yield
    else:
        say(console, words)
        yield


def json_text(content: Any) -> str:
    """JSON for a file or a pipe, indented, with a line's end; NaN and infinity as null."""
    import orjson

    return orjson.dumps(content, option=orjson.OPT_INDENT_2).decode() + "\n"


def command_line() -> str:
    """The command as it was typed, for records."""
    return shlex.join(["sizewise", *sys.argv[1:]])


def goes_on_with(folder: Path) -> str:
    """How a run that was stopped is taken up again."""
    return f"`sizewise resume {shlex.quote(str(folder))}` goes on from here\n"


def cores(asked: int) -> int:
    """The workers asked for; 0: one a core."""
    return asked or os.cpu_count() or 1
