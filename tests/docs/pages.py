"""The pages under docs/, taken apart: fenced blocks with their language and the name that stands before them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

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
