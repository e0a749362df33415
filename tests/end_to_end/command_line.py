"""The command line from outside: ``python -m sizewise`` in a process of its own, and what it leaves behind."""

from __future__ import annotations

import os
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 100.0
"""Seconds after which a command counts as hanging, also on a slow machine."""

AMPLIFIER = """common-source stage
.param w1=10u rl=3k
vdd vdd 0 dc 1.8
vin g 0 dc 0.6 ac 1
m1 out g 0 0 nch w={w1} l=0.5u
r1 vdd out {rl}
cl out 0 1p
.model nch nmos level=1 vto=0.45 kp=250u lambda=0.1 tox=4n
.end
"""

SLOW_SPEC = """netlist: amp.cir
variables:
  w1: {min: 1u, max: 100u, scale: log}
  rl: {min: 1k, max: 100k, scale: log}
analyses:
  op: op
  ac: ac dec 10 1k 10g
  tran: tran 1n 4u
measures:
  gain: {in: ac, kind: dc_gain, node: out}
  current: {in: op, kind: supply_current, source: vdd}
  settled: {in: tran, take: "find v(out) at=1u"}
specs:
  gain: {min: 90, unit: dB}
  current: {max: 300u, unit: A}
"""
"""The amplifier with a transient, so that a run can be met in its middle; its gain cannot be reached."""

SPEC = """netlist: amp.cir
variables:
  w1: {min: 1u, max: 100u, scale: log}
  rl: {min: 1k, max: 100k, scale: log}
analyses:
  op: op
  ac: ac dec 10 1k 10g
measures:
  gain: {in: ac, kind: dc_gain, node: out}
  bw: {in: ac, kind: bandwidth, node: out}
  current: {in: op, kind: supply_current, source: vdd}
specs:
  gain: {min: 15, unit: dB}
  bw: {min: 5Meg, unit: Hz}
  current: {max: 300u, unit: A}
"""


@dataclass(frozen=True)
class Run:
    """A finished command."""

    status: int
    out: str
    err: str

    def __post_init__(self) -> None:
        """Whatever happened, a person never sees a traceback."""
        assert "Traceback" not in self.out + self.err, self.err
        assert "Exception ignored" not in self.err, self.err


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The test's own, with a home and a temporary folder inside ``folder``, so that what is left behind can be seen."""
    home, temporary = folder / "home", folder / "temporary"
    home.mkdir(exist_ok=True)
    temporary.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name not in ("PDK_ROOT", "PDK", "FORCE_COLOR")}
    fonts = Path(tempfile.gettempdir(), "sizewise-tests-matplotlib")  # its font list takes seconds to make
    ours = {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(fonts)}
    return kept | ours | more


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "sizewise", *map(str, arguments)]


def sizewise(folder: Path, *arguments: object, **more: str) -> Run:
    """Run a command in a folder, without a terminal, and wait for its end."""
    return end(begin(folder, *arguments, **more))


def begin(folder: Path, *arguments: object, largest_file: int | None = None, **more: str) -> subprocess.Popen[str]:
    """Start a command in a session of its own and leave it running; no file of it grows past ``largest_file`` bytes."""

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.Popen(
        command(*arguments),
        cwd=folder,
        env=environment(folder, **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=limit if largest_file is not None else None,
    )


def end(process: subprocess.Popen[str]) -> Run:
    """Wait for a command that :func:`begin` started."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Run(process.returncode, out, err)


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def children_of(pid: int) -> list[int]:
    """The simulator children of a command, while it lives."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            parent = re.search(r"^PPid:\s+(\d+)", status.read_text(), re.MULTILINE)
            words = (status.parent / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent and int(parent[1]) == pid and b"circuits.ngspice" in words:
            found.append(int(status.parent.name))
    return found


def replaced(text: str, old: str, new: str) -> str:
    """A text with one change, which must be possible."""
    assert text.count(old) == 1, f"{old!r} stands there {text.count(old)} times"
    return text.replace(old, new)


def simulators_in(folder: Path) -> list[int]:
    """The processes that :func:`environment` of this folder marks: the command's children, orphaned or not."""
    mark = f"TMPDIR={folder / 'temporary'}".encode()
    found = []
    for variables in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in variables.read_bytes().split(b"\0"):
                found.append(int(variables.parent.name))
        except OSError:
            continue
    return found


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until something is true, and give it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE:g} s for: {what}")


def trials(run: Path, columns: str = "*") -> list[dict[str, Any]]:
    """The rows of a run's record, read with nothing but SQLite."""
    connection = sqlite3.connect(f"file:{run / 'study.sqlite'}?mode=ro", uri=True, timeout=10)
    try:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT {columns} FROM trials ORDER BY number")]
    finally:
        connection.close()


def history(run: Path) -> list[dict[str, Any]]:
    """All columns of the record's trials but the seconds."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in trials(run)]


def count(run: Path) -> int:
    """Trials in the record of a run that may not have begun yet."""
    try:
        return len(trials(run, "number"))
    except sqlite3.Error:
        return 0
