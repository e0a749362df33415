"""The page on comparing optimizers: its command prints what stands there, its code runs as a script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.docs.pages import blocks
from tests.docs.test_adding_a_circuit import show
from tests.end_to_end.command_line import environment

PAGE = "comparing_optimizers.md"


def test_the_command_prints_what_the_page_shows(tmp_path: Path) -> None:
    (command,) = (block for block in blocks(PAGE) if block.language == "console")
    assert show(command.text, tmp_path, tmp_path) == "compare"
    found = {path.name for path in (tmp_path / "runs/spring").iterdir() if path.is_file()}
    assert found == {"studies.csv", "pairs.csv", "curves.csv", "times.csv", "comparison.json", "spring.svg"}
    assert (tmp_path / "runs/spring/spring/cmaes/0.sqlite").is_file()


def test_the_script_prints_what_stands_below_it(tmp_path: Path) -> None:
    script, printed = (block for block in blocks(PAGE) if block.language in ("python", "text"))
    (tmp_path / "script.py").write_text(script.text, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, printed.text), run.stderr
