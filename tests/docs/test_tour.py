"""The tour runs as it stands, and prints what it says it prints."""

from __future__ import annotations

import contextlib
import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import blocks


def test_every_block_of_the_tour_runs_and_prints_what_stands_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = [block for block in blocks("tour.md") if block.language in ("python", "text")]
    assert sum(block.language == "python" for block in page) > 8
    namespace: dict[str, Any] = {"__name__": "tour"}
    for block, following in pairwise([*page, None]):
        if block is None or block.language != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block.text, f"tour.md, block at line {block.line}", "exec"), namespace)
        expected = following.text if following is not None and following.language == "text" else ""
        assert printed.getvalue() == expected, f"the block at line {block.line}"
