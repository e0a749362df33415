"""The pages under docs/, taken apart: fenced blocks, their language and the name before them; and their commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.command_line import environment

DOCS = Path(__file__).resolve().parents[2] / "docs"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"`([\w./]+)`:\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, its line in the page, and the `name`: that stands right before it."""

    language: str
    text: str
    line: int
    name: str | None


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        before = text[: match.start()]
        name = _NAME.search(before)
        found.append(Block(match[1], match[2], before.count("\n") + 2, name[1] if name else None))
    return found


def show(text: str, folder: Path, home: Path) -> str:
    """Run one command of the page and compare what it prints; its name."""
    first, *expected = text.splitlines()
    words = shlex.split(first.removeprefix("$ "))
    if words[0] == "sizewise":
        words = [sys.executable, "-m", *words]
    run = subprocess.run(
        words, cwd=folder, env=environment(home), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    status = 0
    if expected and expected[-1].startswith("status "):
        status = int(expected.pop().split()[1])
    printed = run.stdout + run.stderr
    assert run.returncode == status, printed
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else rf"{_wild(line)} *\n" for line in expected)
    assert re.match(pattern, printed), f"{first}\n{printed}"
    return words[words.index("sizewise") + 1] if "sizewise" in words else words[0]


def _wild(line: str) -> str:
    """Columns are as wide as what was measured: two blanks stand for as many as there are."""
    return re.sub(r"(?:\\ ){2,}", " {2,}", ".*".join(re.escape(part) for part in line.split("...")))
