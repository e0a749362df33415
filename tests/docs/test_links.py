"""Links between the pages lead somewhere, and every decision has a number of its own."""

from __future__ import annotations

import re

from tests.docs.pages import DOCS

_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)")


def test_every_link_within_the_project_leads_to_a_file() -> None:
    pages = list(DOCS.rglob("*.md"))
    links = [(page, link) for page in pages for link in _LINK.findall(page.read_text(encoding="utf-8"))]
    assert len(links) > 6
    broken = [f"{page.relative_to(DOCS)}: {link}" for page, link in links if not (page.parent / link).exists()]
    assert not broken


def test_decisions_are_numbered_one_by_one() -> None:
    numbers = sorted(int(page.name[:4]) for page in (DOCS / "decisions").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))
