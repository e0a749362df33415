"""A fresh ``ngspice -n -b`` on a deck and a control block that the test wrote: nothing of sizewise in between."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

NETLISTS = Path(__file__).resolve().parents[2] / "netlists"

_FIGURE = re.compile(r"^\s*(\S+)\s*=\s*(\S+)", re.MULTILINE)


def figures(deck: str, control: Sequence[str], folder: Path) -> dict[str, float]:
    """What the control block's ``print`` and ``meas`` lines say, by name.

    Args:
        deck: the cards, without ``.end``; includes with absolute paths.
        control: the commands.
        folder: an empty one, to run in.
    """
    path = folder / "deck.cir"
    lines = [deck, ".control", "set num_threads=1", *control, "quit 0", ".endc", ".end", ""]
    path.write_text("\n".join(lines))
    done = subprocess.run(
        ["ngspice", "-n", "-b", path.name], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert "rror" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert "failed" not in done.stdout + done.stderr, done.stdout + done.stderr
    return {name: float(value) for name, value in _FIGURE.findall(done.stdout) if _is_number(value)}


def cards(path: Path) -> str:
    """A deck's cards: its includes by their whole paths, its ``.end`` left out."""
    lines = [line for line in path.read_text().splitlines() if line.strip().lower() != ".end"]
    return re.sub(r"^\.include (\S+)", lambda found: f".include {path.parent / found[1]}", "\n".join(lines), flags=re.M)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
