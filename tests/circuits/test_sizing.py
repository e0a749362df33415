"""Sizing runs: what is refused before work begins, what decides a history, and what may not change after it."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from automl_core.errors import InputError, RecordError
from automl_core.problem import Trial
from automl_core.runs import RECORD
from circuits.contest_entry import circuit_entry
from circuits.sizing import Settings, SizingRun
from tests.circuits.filters import LOW_PASS, SPEC, low_pass, pole, two_benches

CORE = LOW_PASS.replace("r1 in out {rser}\n", ".include parts.inc\n")
PARTS = "* parts\nr1 in out {rser}\n"


def _folder(path: Path) -> Callable[[], Path]:
    def make() -> Path:
        path.mkdir()
        return path

    return make


def _begin(spec: Path, folder: Path, **settings: object) -> SizingRun:
    return SizingRun.begin(spec, _folder(folder), Settings(**settings), "sizewise size")  # type: ignore[arg-type]


def _essence(trials: list[Trial]) -> list[tuple[object, ...]]:
    return [(t.number, t.asked.tolist(), dict(t.point), repr(t.metrics), t.status) for t in trials]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a spec, a deck with an include, and a run that was only set up."""
    folder = tmp_path_factory.mktemp("begun")
    (folder / "parts.inc").write_text(PARTS)
    run = _begin(low_pass(folder, CORE), folder / "run", budget="40", seed=3, optimizer="random")
    run.record.close()
    return folder


def test_what_decides_the_history_is_written_down_first(begun: Path) -> None:
    run = SizingRun.reopen(begun / "run")
    facts = run.facts
    assert facts["spec"] == str(begun / "low_pass.yaml")
    assert (facts["seed"], facts["optimizer"], facts["modes"], facts["batch"]) == (3, "random", {"": "alter"}, 16)
    assert facts["limit_seconds"] >= 1.0 and facts["command"] == "sizewise size"
    assert {"sizewise", "numpy", "python"} <= set(facts["versions"])
    assert run.problem.benches[""].mode == "alter"
    run.record.close()


def test_a_goal_without_bound_counts_in_what_the_start_has(tmp_path: Path) -> None:
    spec = low_pass(tmp_path, spec=SPEC.replace("min: 1Meg, max: 2Meg", "goal: maximize"))
    _begin(spec, tmp_path / "run", budget="12", optimizer="random").record.close()
    run = SizingRun.reopen(tmp_path / "run")
    start = 1 / (2 * math.pi * 1e3 * 1e-9)
    study, _ = run.execute(1, lambda _: None)
    assert study.specs.by_metric["bandwidth"].scale == pytest.approx(start, rel=1e-3)
    assert study.specs.by_metric["gain"].scale is None
    run.record.close()
    assert circuit_entry(spec).specs.by_metric["bandwidth"] == study.specs.by_metric["bandwidth"]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("low_pass.yaml", "min: 1Meg", "min: 2Meg"),
        ("low_pass.cir", "cload=1n", "cload=2n"),
        ("parts.inc", "in out {rser}", "in out {2*rser}"),
    ],
)
def test_a_run_whose_spec_or_deck_changed_is_not_gone_on_with(begun: Path, file: str, old: str, new: str) -> None:
    path = begun / file
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))
    try:
        with pytest.raises(RecordError, match="has changed since the run began") as caught:
            SizingRun.reopen(begun / "run")
    finally:
        path.write_text(before)
    assert (file if file != "parts.inc" else "low_pass.cir") in caught.value.problem
    SizingRun.reopen(begun / "run").record.close()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        SizingRun.reopen(tmp_path)
    (tmp_path / RECORD).write_bytes(b"not a database, whatever its name says" * 50)
    with pytest.raises(RecordError):
        SizingRun.reopen(tmp_path)


def test_a_run_that_never_began_is_refused(tmp_path: Path, begun: Path) -> None:
    """Killed between the making of the record and its facts."""
    (tmp_path / RECORD).write_bytes((begun / "run" / RECORD).read_bytes())
    with sqlite3.connect(tmp_path / RECORD) as file:
        tables = [name for (name,) in file.execute("select name from sqlite_master where type='table'")]
        facts = next(name for name in tables if "fact" in name)
        file.execute(f"delete from {facts} where name = 'kind'")
    file.close()
    with pytest.raises(RecordError, match="finished set-up"):
        SizingRun.reopen(tmp_path)


def test_the_study_meets_the_specs_and_a_replay_gives_the_same_without_a_simulation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _begin(low_pass(tmp_path), tmp_path / "run", seed=1)
    study, reason = run.execute(1, lambda _: None)
    assert reason == "met" and study.best is not None
    assert study.trials[0].point == {"rser": 1e3, "cload": 1e-9}
    point = study.best.point
    assert study.best.metrics["bandwidth"] == pole(float(point["rser"]), float(point["cload"]))
    assert 1e6 <= study.best.metrics["bandwidth"] <= 2e6
    run.record.close()

    again = SizingRun.reopen(tmp_path / "run")

    def simulate(*_: object) -> None:
        raise AssertionError("nothing is simulated again")

    monkeypatch.setattr(type(again.problem), "evaluate_chunk", simulate)
    replayed, reason = again.execute(1, lambda _: None)
    assert reason == "met"
    assert _essence(replayed.trials) == _essence(study.trials)
    again.record.close()


REFUSED = [
    ({"optimizer": "cmeas"}, "", "", "cmeas"),
    ({"budget": "lots"}, "", "", "'lots'"),
    ({}, "node: out", "node: outt", "outt"),
    ({}, "max vdb(out)", "when vdb(out)=77", None),
    ({}, "min: 100, max: 10k", "min: 10k, max: 100", "low is 10000"),
]


@pytest.mark.parametrize(
    ("settings", "old", "new", "said"), REFUSED, ids=["optimizer", "budget", "node", "at", "range"]
)
def test_what_is_wrong_is_refused_before_a_folder_is_made(
    tmp_path: Path, settings: dict[str, object], old: str, new: str, said: str | None
) -> None:
    spec = low_pass(tmp_path, spec=SPEC.replace(old, new) if old else SPEC)
    if said is None:
        run = _begin(spec, tmp_path / "run", **settings)
        assert len(run.silent_measures) == 1 and ": gain: " in run.silent_measures[0]
        assert run.silent_measures[0].startswith(f"{spec}:9: ")
        run.record.close()
        return
    with pytest.raises(InputError) as caught:
        _begin(spec, tmp_path / "run", **settings)
    assert said in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_start_without_figures_is_refused(tmp_path: Path) -> None:
    spec = two_benches(tmp_path)
    spec.write_text(spec.read_text().replace("k: {min: 0", "k: {start: 3, min: 0"))
    with pytest.raises(InputError, match="own sizing gives no figures: bench 'step'") as caught:
        _begin(spec, tmp_path / "run")
    assert "start:" in caught.value.remedy
    assert not (tmp_path / "run").exists()


def test_a_start_at_which_nothing_can_be_measured_is_refused(tmp_path: Path) -> None:
    spec = SPEC.replace("kind: bandwidth, node: out", 'take: "when vdb(out)=40"').replace("unit: Hz", "scale: 1")
    spec = spec.replace("max vdb(out)", "when vdb(out)=77")
    with pytest.raises(InputError, match="none of the metrics can be measured") as caught:
        _begin(low_pass(tmp_path, spec=spec), tmp_path / "run")
    assert "bandwidth" in caught.value.problem and "gain" in caught.value.problem
