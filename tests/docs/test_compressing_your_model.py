"""The page on compressing a model: its files, commands and Python work as shown, in the order of the page."""

from __future__ import annotations

import contextlib
import io
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import Block, blocks, show

PAGE = "compressing_your_model.md"


@pytest.mark.timeout(400)
def test_a_network_of_ones_own_from_import_to_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    ran: list[str] = []
    namespace: dict[str, Any] = {"__name__": "page"}
    try:
        for block, following in pairwise([*blocks(PAGE), None]):
            if block is None:
                continue
            if block.name is not None:
                Path(block.name).write_text(block.text, encoding="utf-8")
            elif block.language == "console":
                ran.append(show(block.text, tmp_path, tmp_path))
            elif block.language == "python":
                ran.append("python")
                assert printed_by(block, namespace) == (following.text if following is not None else "")
    finally:
        for name in ("my_net", "my_data"):
            sys.modules.pop(name, None)
    assert ran == ["compress", "compress", "compress", "compress", "resume", "python", "python"]


def printed_by(block: Block, namespace: dict[str, Any]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.text, f"{PAGE}, block at line {block.line}", "exec"), namespace)
    return printed.getvalue()
