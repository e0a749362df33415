"""The optimizer of the page, added to a copy of the core as the page says, keeps the contract and finds an optimum."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import blocks
from tests.end_to_end.command_line import ROOT

SEARCH = """
from automl_core.budget import Budget
from automl_core.optimizers import make
from automl_core.pool import Pool
from automl_core.record import Record
from automl_core.study import Study
from automl_core.testing import Rosenbrock
toy = Rosenbrock(2)
study = Study(toy, toy.specs, Pool(toy), Record.create(":memory:"), budget=Budget(evaluations=3000))
print(study.run(make("one_fifth", toy.space, toy.specs, 0, study.budget)))
"""


def test_the_optimizer_of_the_page_keeps_the_contract(tmp_path: Path) -> None:
    code, line, command = blocks("adding_an_optimizer.md")
    assert (code.language, code.name) == ("python", "automl_core/optimizers/one_fifth.py")
    shutil.copytree(ROOT / "automl_core", tmp_path / "automl_core", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / code.name).write_text(code.text, encoding="utf-8")
    registry = tmp_path / "automl_core/optimizers/__init__.py"
    before = registry.read_text(encoding="utf-8")
    last = next(row for row in before.splitlines(keepends=True) if row.startswith('    "random": ('))
    registry.write_text(before.replace(last, last + line.text), encoding="utf-8")
    _, *words = shlex.split(command.text)
    run(tmp_path, words)
    assert run(tmp_path, ["-c", SEARCH]).strip() == "met"


def run(folder: Path, words: list[str]) -> str:
    finished = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout
