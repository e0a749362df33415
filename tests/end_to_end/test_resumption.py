"""``kill -9`` then ``resume``: the history of an uninterrupted run, whatever the jobs, with no simulation repeated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.command_line import (
    AMPLIFIER,
    ROOT,
    SLOW_SPEC,
    begin,
    count,
    history,
    replaced,
    sizewise,
    trials,
    wait_until,
    write,
)

WITNESS = '''"""Found by every Python that starts: the simulators write down what they simulate."""
import os, sys
if "circuits.ngspice" in sys.orig_argv:
    import json
    from circuits import loaded_deck
    simulate = loaded_deck.LoadedDeck.evaluate
    def evaluate(self, values, *, observe=False, **more):
        if not observe:
            with open(os.environ["WITNESS"], "a") as file:
                file.write(json.dumps(dict(values), sort_keys=True) + chr(10))
        return simulate(self, values, observe=observe, **more)
    loaded_deck.LoadedDeck.evaluate = evaluate
'''


def size(optimizer: str, jobs: int) -> tuple[object, ...]:
    return ("size", "spec.yaml", "-o", "run", "--budget", 130, "--optimizer", optimizer, "--jobs", jobs, "--seed", 3)


@pytest.fixture(scope="module", params=["random", "cmaes", "de"])
def uninterrupted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, object]:
    folder = tmp_path_factory.mktemp(request.param)
    write(folder, {"spec.yaml": SLOW_SPEC, "amp.cir": AMPLIFIER})
    assert sizewise(folder, *size(request.param, 2)).status == 1
    found = history(folder / "run")
    assert len(found) == 130
    assert {row["status"] for row in found} == {"ok"}
    return request.param, found


@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_and_resumed_is_as_uninterrupted(tmp_path: Path, uninterrupted: tuple[str, object], jobs: int) -> None:
    optimizer, expected = uninterrupted
    write(tmp_path, {"spec.yaml": SLOW_SPEC, "amp.cir": AMPLIFIER, "witness/sitecustomize.py": WITNESS})
    witness = {"PYTHONPATH": f"{tmp_path / 'witness'}:{ROOT}", "WITNESS": str(tmp_path / "simulated")}
    process = begin(tmp_path, *size(optimizer, jobs), **witness)
    wait_until(lambda: count(tmp_path / "run") > 33 or process.poll() is not None, "trials in the record")
    process.kill()
    process.communicate()
    kept = trials(tmp_path / "run")
    assert 33 < len(kept) < 130
    first = simulated(tmp_path)
    (tmp_path / "simulated").unlink()

    assert sizewise(tmp_path, "resume", "run", "--jobs", 3 - jobs, **witness).status == 1
    assert trials(tmp_path / "run")[: len(kept)] == kept
    assert history(tmp_path / "run") == expected

    second, recorded = simulated(tmp_path), points(kept)
    assert set(recorded) <= set(first)  # the witness sees what is simulated
    assert not set(second) & set(recorded)
    assert sorted(second) == sorted(points(trials(tmp_path / "run")[len(kept) :]))  # each of the others, once


def simulated(folder: Path) -> list[str]:
    return (folder / "simulated").read_text().splitlines()


def points(rows: list[dict[str, object]]) -> list[str]:
    return [json.dumps(json.loads(str(row["point"], "utf-8")), sort_keys=True) for row in rows]  # type: ignore[call-overload]


def test_a_finished_run_resumes_to_the_same_end(tmp_path: Path) -> None:
    write(tmp_path, {"spec.yaml": SLOW_SPEC, "amp.cir": AMPLIFIER})
    words = ("size", "spec.yaml", "--budget", 20, "--optimizer", "random")
    assert sizewise(tmp_path, *words, "-o", "run").status == 1
    before, sized = trials(tmp_path / "run"), (tmp_path / "run/sized.cir").read_bytes()
    assert sizewise(tmp_path, "resume", "run").status == 1
    assert trials(tmp_path / "run") == before
    assert (tmp_path / "run/sized.cir").read_bytes() == sized

    assert sizewise(tmp_path, *words, "-o", "other", "--seed", 1).status == 1  # another seed, another history
    zero, one = history(tmp_path / "run"), history(tmp_path / "other")
    assert zero[0]["point"] == one[0]["point"]  # the designer's own sizing
    assert not {row["point"] for row in zero[1:]} & {row["point"] for row in one[1:]}


@pytest.mark.parametrize("changed", ["spec.yaml", "amp.cir"])
def test_a_changed_circuit_is_not_resumed(tmp_path: Path, changed: str) -> None:
    write(tmp_path, {"spec.yaml": SLOW_SPEC, "amp.cir": AMPLIFIER})
    assert sizewise(tmp_path, "size", "spec.yaml", "-o", "run", "--budget", 5).status == 1
    before = trials(tmp_path / "run")
    text = replaced(SLOW_SPEC, "min: 90", "min: 80") if changed == "spec.yaml" else replaced(AMPLIFIER, "1p", "2p")
    write(tmp_path, {changed: text})
    run = sizewise(tmp_path, "resume", "run")
    assert run.status == 2
    assert changed in run.err and "changed" in run.err and "new run" in run.err
    assert trials(tmp_path / "run") == before
