"""Ctrl-C, kill -9 and a full disk: nothing recorded is lost, nothing is left behind, and the run can go on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from automl_core.report.engineering import engineering
from tests.end_to_end.command_line import (
    AMPLIFIER,
    SLOW_SPEC,
    begin,
    children_of,
    count,
    end,
    history,
    simulators_in,
    sizewise,
    trials,
    wait_until,
    write,
)
from tests.end_to_end.test_failed_trials import SLOW, spec

SIZE = ("size", "spec.yaml", "-o", "run", "--budget", "160", "--optimizer", "random", "--stop", "budget")


@pytest.fixture
def circuit(tmp_path: Path) -> Path:
    write(tmp_path, {"spec.yaml": SLOW_SPEC, "amp.cir": AMPLIFIER})
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    write(folder, {"spec.yaml": SLOW_SPEC, "amp.cir": AMPLIFIER})
    assert sizewise(folder, *SIZE).status == 1
    return history(folder / "run")


def in_the_middle(folder: Path, *words: object) -> subprocess.Popen[str]:
    """A run that has recorded trials and has more to do."""
    process = begin(folder, *words)
    wait_until(lambda: count(folder / "run") > 16 or process.poll() is not None, "trials in the record")
    assert process.poll() is None, "the run ended before it could be disturbed"
    return process


def nothing_left(folder: Path) -> None:
    wait_until(lambda: not simulators_in(folder), "the end of all processes")
    wait_until(lambda: not list((folder / "temporary").glob("sizewise-*")), "the removal of private folders")


def test_ctrl_c_stops_and_the_run_goes_on(circuit: Path, undisturbed: list[dict[str, object]]) -> None:
    process = in_the_middle(circuit, *SIZE)
    process.send_signal(signal.SIGINT)
    stopped = end(process)
    assert stopped.status == 130
    assert "sizewise resume run" in stopped.err
    nothing_left(circuit)
    kept = trials(circuit / "run")
    assert 16 < len(kept) < 160
    best = json.loads((circuit / "run/best.json").read_text())
    assert "error" in best["sign_off"] and best["confirmed"] is False
    assert best["point"] == json.loads(kept[best["trial"]]["point"])
    assert f"stopped: {len(kept)} evaluations" in stopped.out
    for entry in best["specs"]:  # the table of the best so far
        reached = re.escape(engineering(entry["reached"], entry["unit"]))
        assert re.search(rf"^ {entry['metric']} .* {reached} ", stopped.out, re.MULTILINE), stopped.out
    assert (circuit / "run/sized.cir").is_file()
    assert sizewise(circuit, "apply", "run").status == 0
    assert sizewise(circuit, "resume", "run").status == 1
    assert trials(circuit / "run")[: len(kept)] == kept  # seconds too: none was done again
    assert history(circuit / "run") == undisturbed


def test_ctrl_c_does_not_wait_for_an_evaluation_that_never_ends(tmp_path: Path) -> None:
    variables = "p: {min: 1p, max: 10n, start: 10n, scale: log}, rl: {min: 100, max: 10k}"
    text = spec(variables, "tran 10n 20u", 'take: "max v(out)"', "{max: -1}")
    write(tmp_path, {"spec.yaml": text, "d.cir": SLOW.replace("p=100u", "p=10n")})
    process = begin(tmp_path, "size", "spec.yaml", "-o", "run", "--timeout", "500", "--optimizer", "random")
    wait_until(lambda: count(tmp_path / "run") >= 1 or process.poll() is not None, "the first trial")
    wait_until(lambda: children_of(process.pid) or process.poll() is not None, "a simulator at work")
    time.sleep(1)
    assert process.poll() is None, end(process)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    stopped = end(process)
    assert stopped.status == 130
    assert time.monotonic() - asked < 30
    nothing_left(tmp_path)


def test_ctrl_c_before_the_first_trial_is_no_traceback(circuit: Path) -> None:
    process = begin(circuit, *SIZE)
    wait_until(lambda: children_of(process.pid) or process.poll() is not None, "the first simulator")
    process.send_signal(signal.SIGINT)
    stopped = end(process)
    assert stopped.status == 130
    assert "stopped" in stopped.err
    nothing_left(circuit)


@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_children_are_replaced(circuit: Path, undisturbed: list[dict[str, object]], jobs: int) -> None:
    process = in_the_middle(circuit, *SIZE, "--jobs", jobs)
    killed = set()
    for _ in range(2):
        for child in wait_until(lambda: set(children_of(process.pid)) - killed, "a simulator"):
            os.kill(child, signal.SIGKILL)
            killed.add(child)
    ended = end(process)
    assert ended.status == 1, ended
    assert len(killed) >= 2
    assert history(circuit / "run") == undisturbed
    nothing_left(circuit)


def test_a_killed_command_leaves_no_process_behind(circuit: Path, undisturbed: list[dict[str, object]]) -> None:
    process = in_the_middle(circuit, *SIZE, "--jobs", 2)
    process.kill()
    process.communicate()
    nothing_left(circuit)
    kept = trials(circuit / "run")
    assert sizewise(circuit, "resume", "run", "--jobs", 1).status == 1
    assert trials(circuit / "run")[: len(kept)] == kept
    assert history(circuit / "run") == undisturbed


def test_a_killed_command_leaves_no_endless_simulation_behind(tmp_path: Path) -> None:
    text = spec("rl: {min: 100, max: 10k}", "tran 1p 10", 'take: "max v(out)"', "{min: 1}")
    write(tmp_path, {"spec.yaml": text, "d.cir": SLOW})
    process = begin(tmp_path, "size", "spec.yaml", "--timeout", "500")
    wait_until(lambda: children_of(process.pid) or process.poll() is not None, "a simulator")
    time.sleep(1)  # until it is deep inside ngspice
    process.kill()
    process.communicate()
    nothing_left(tmp_path)


def test_a_file_that_cannot_grow_ends_the_run_and_loses_nothing(
    circuit: Path, undisturbed: list[dict[str, object]]
) -> None:
    ended = end(begin(circuit, *SIZE, largest_file=150_000))
    assert ended.status == 2, ended
    assert "study.sqlite" in ended.err and "resume" in ended.err and "space" in ended.err
    nothing_left(circuit)
    kept = count(circuit / "run")
    assert 0 < kept < 160
    assert sizewise(circuit, "resume", "run").status == 1
    assert history(circuit / "run") == undisturbed


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a file system can be mounted by root alone")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_ends_the_run_and_loses_nothing(circuit: Path, undisturbed: list[dict[str, object]]) -> None:
    with small_disk(circuit / "run", "192k"):
        ended = sizewise(circuit, *SIZE)
        assert ended.status == 2, ended
        assert "space" in ended.err and "run" in ended.err
        kept = count(circuit / "run")
        assert 0 < kept < 160
        subprocess.run(["mount", "-o", "remount,size=8m", circuit / "run"], check=True)
        assert sizewise(circuit, "resume", "run").status == 1
        assert history(circuit / "run") == undisturbed
