"""Runs decks through ``ngspice -n -b`` for the tests of this folder, which judge our reading by ngspice's."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

needs_ngspice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")


def batch(folder: Path, lines: Sequence[str], commands: Sequence[str], *arguments: str) -> str:
    """Standard output and error of a deck with a ``.control`` block of ``commands``."""
    settings = ["set num_threads=1", "set ng_nomodcheck", "set numdgt=16"]
    body = [line for line in lines if line.strip().lower() != ".end"]
    return plain_batch(folder, "\n".join([*body, ".control", *settings, *commands, ".endc", ".end", ""]), *arguments)


def plain_batch(folder: Path, text: str, *arguments: str) -> str:
    """Standard output and error of a deck as it is."""
    deck = folder / "run_by_the_test.cir"
    deck.write_text(text)
    command = ["ngspice", "-n", *arguments, "-b", deck.name]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    return result.stdout + result.stderr


def printed(output: str) -> dict[str, float]:
    """The figures that ``print`` and ``meas`` wrote, by name: ``v(a) = 1.0e+00``, ``bw   =  1.5e+05 targ= ...``."""
    found = re.finditer(r"^(\S+) += +(\S+)(?:\s*| (?:targ|at|from)=.*)$", output, re.MULTILINE)
    return {match[1]: float(match[2]) for match in found}


def figures(output: str) -> list[str]:
    """All lines with figures, as text, for comparisons bit by bit."""
    return [line for line in output.splitlines() if re.search(r"= +[-\d]|^\d+\s", line)]


def volts(folder: Path, sources: Sequence[str], definitions: Sequence[str] = (), *arguments: str) -> list[float | None]:
    """What ngspice makes of texts that stand as the value of voltage sources; None where it gave no figure."""
    lines = ["title", *definitions]
    for index, text in enumerate(sources):
        lines += [f"v{index} n{index} 0 dc {text}", f"r{index} n{index} 0 1"]
    commands = ["op", *(f"print v(n{index})" for index in range(len(sources)))]
    values = printed(batch(folder, lines, commands, *arguments))
    return [values.get(f"v(n{index})") for index in range(len(sources))]
