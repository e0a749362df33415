"""``sizewise compare`` from outside."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.command_line import (
    AMPLIFIER,
    ROOT,
    SLOW_SPEC,
    begin,
    end,
    replaced,
    simulators_in,
    sizewise,
    wait_until,
    write,
)
from tests.end_to_end.test_resumption import WITNESS, simulated

CIRCUIT = {"spec.yaml": SLOW_SPEC, "amp.cir": AMPLIFIER}
BOTH = ("compare", "spec.yaml", "--optimizers", "random,cmaes", "--seeds", 2, "--budget", 48, "-o", "run")


def points(run: Path) -> Iterator[str]:
    """Every design in the records of a comparison, read with nothing but SQLite."""
    for path in sorted(run.glob("*/*/*.sqlite")):
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        try:
            yield from (
                json.dumps(json.loads(point), sort_keys=True)
                for (point,) in connection.execute("SELECT point FROM trials")
            )
        except sqlite3.OperationalError:  # it is being made
            continue
        finally:
            connection.close()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comparison") / "amp"  # the circuit is called after its folder
    folder.mkdir()
    write(folder, CIRCUIT)
    assert sizewise(folder, *BOTH, "--jobs", 2).status == 0
    return folder / "run"


def test_killed_and_run_again_is_as_uninterrupted_and_repeats_nothing(tmp_path: Path, uninterrupted: Path) -> None:
    folder = tmp_path / "amp"
    folder.mkdir()
    write(folder, {**CIRCUIT, "witness/sitecustomize.py": WITNESS})
    witness = {"PYTHONPATH": f"{folder / 'witness'}:{ROOT}", "WITNESS": str(folder / "simulated")}
    process = begin(folder, *BOTH, "--jobs", 1, **witness)
    wait_until(lambda: 60 < len(list(points(folder / "run"))) or process.poll() is not None, "trials in the records")
    process.kill()
    process.communicate()
    wait_until(lambda: not simulators_in(folder), "the end of the orphans")
    kept = Counter(points(folder / "run"))
    assert 60 < kept.total() < 4 * 48
    (folder / "simulated").unlink()

    run = sizewise(folder, *BOTH, "--jobs", 2, **witness)
    assert run.status == 0
    assert "1 of them finished before" in run.out
    assert Counter(simulated(folder)) == Counter(points(folder / "run")) - kept
    for name in ("studies.csv", "pairs.csv", "curves.csv", "amp.svg"):
        assert (folder / "run" / name).read_bytes() == (uninterrupted / name).read_bytes()


def test_a_finished_comparison_is_shown_again_without_a_simulation(uninterrupted: Path) -> None:
    folder = uninterrupted.parent
    write(folder, {"witness/sitecustomize.py": WITNESS})
    witness = {"PYTHONPATH": f"{folder / 'witness'}:{ROOT}", "WITNESS": str(folder / "simulated")}
    run = sizewise(folder, *BOTH, "--json", **witness)
    assert run.status == 0
    assert not (folder / "simulated").exists()
    content = json.loads(run.out)
    assert content == json.loads((uninterrupted / "comparison.json").read_text())
    assert content["command"].startswith("sizewise compare spec.yaml") and content["versions"]["python"]
    assert {(s["optimizer"], s["seed"], s["evaluations"]) for s in content["studies"]} == {
        (name, seed, 48) for name in ("random", "cmaes") for seed in (0, 1)
    }
    assert all(s["wall_seconds"] > s["optimizer_seconds"] > 0 for s in content["studies"])
    assert all(s["evaluation_seconds"] > s["optimizer_seconds"] for s in content["studies"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"amp.cir": replaced(AMPLIFIER, "1p", "2p")}, "the circuit has changed"),
        ({"spec.yaml": replaced(SLOW_SPEC, "min: 90", "min: 80")}, "the circuit has changed"),
    ],
)
def test_a_changed_circuit_is_not_gone_on_with(uninterrupted: Path, change: dict[str, str], said: str) -> None:
    folder = uninterrupted.parent
    try:
        write(folder, change)
        run = sizewise(folder, *BOTH)
    finally:
        write(folder, CIRCUIT)
    assert run.status == 2
    assert said in run.err and "another folder" in run.err


def test_two_runs_of_the_same_command_give_the_same_tables(tmp_path: Path) -> None:
    words = ("compare", "toy:kinds", "--optimizers", "random,cmaes:100", "--seeds", 4, "--budget", 200)
    runs = [sizewise(tmp_path, *words, "-o", name, "--jobs", jobs) for name, jobs in (("one", 1), ("two", 2))]
    assert [run.status for run in runs] == [0, 0]
    for name in ("studies.csv", "pairs.csv", "curves.csv", "kinds.svg"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    out = runs[1].out
    assert "kinds, 100 evaluations each" in out and "kinds, 200 evaluations each" in out
    with (tmp_path / "two" / "studies.csv").open(newline="") as file:
        solved = [r for r in csv.DictReader(file) if (r["optimizer"], r["at"]) == ("random", "200")]
    shown = next(line for line in out[out.index("kinds, 200") :].splitlines() if line.split()[:1] == ["random"])
    assert f"{sum(r['met'] == '1' for r in solved)} of 4" in shown
    assert "8 of 8 studies" in out  # plain lines, one a study
    assert "\x1b" not in out


def test_what_fails_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    broken = (
        "from automl_core.optimizers import cmaes\n"
        "def learn(self, population):\n"
        "    raise ArithmeticError('the covariance is not positive')\n"
        "cmaes.CmaEs.learn = learn\n"
    )
    write(tmp_path, {"broken/sitecustomize.py": broken})
    words = ("compare", "toy:rosenbrock", "--optimizers", "cmaes,random", "--seeds", 2, "--budget", 50, "-o", "run")
    run = sizewise(tmp_path, *words, PYTHONPATH=f"{tmp_path / 'broken'}:{ROOT}")
    assert run.status == 1
    failures = [line for line in run.out.splitlines() if line.startswith("rosenbrock, cmaes, seed 1: FAILED after ")]
    assert len(failures) == 2 and all("ArithmeticError: the covariance is not positive" in line for line in failures)
    assert "0 of 2 (2 failed)" in run.out
    repaired = sizewise(tmp_path, *words)
    assert repaired.status == 0 and "FAILED" not in repaired.out


def test_a_stopped_comparison_says_how_to_go_on_and_leaves_no_process(tmp_path: Path) -> None:
    write(tmp_path, CIRCUIT)
    process = begin(tmp_path, *BOTH[:-4], "--budget", 5000, "-o", "run")
    wait_until(lambda: len(list(points(tmp_path / "run"))) > 20 or process.poll() is not None, "trials in the records")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    run = end(process)
    assert run.status == 130
    assert "the same command with `-o run` goes on from here" in run.err
    wait_until(lambda: not simulators_in(tmp_path), "the end of all processes")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("toy:kinds", "--optimizers", "random,cmeas"), ("'cmeas'", "did you mean 'cmaes'")),
        (("toy:kinds", "--optimizers", "random,random:50"), ("'random' stands there twice",)),
        (("toy:kinds", "--optimizers", "random:0"), ("'random:0'", "NAME:EVALUATIONS")),
        (("toy:kinds", "--optimizers", ","), ("nothing to compare",)),
        (("toy:kindz",), ("'kindz'", "did you mean 'kinds'")),
        (("toy:kinds", "toy:kinds"), ("problem 'kinds' stands there twice",)),
        (("toy:kinds", "--budget", "10m"), ("10m", "equal evaluations")),
        (("missing.yaml",), ("missing.yaml",)),
        (("mine.yaml",), ("mine.yaml:1", "the key 'network' is missing")),
        (("toy:kinds", "-o", "full"), ("full", "not empty")),
    ],
)
def test_bad_input_is_refused_before_any_work(tmp_path: Path, words: tuple[object, ...], said: tuple[str, ...]) -> None:
    write(tmp_path, {"full/notes.txt": "mine", "mine.yaml": "model: mine:network\ndata: digits\nbudget: macs=0.5\n"})
    run = sizewise(tmp_path, "compare", *words)
    assert (run.status, run.out) == (2, "")
    assert all(word in run.err for word in said), run.err
    assert not (tmp_path / "runs").exists() and os.listdir(tmp_path / "full") == ["notes.txt"]
