"""A circuit in a comparison: measured once, then as it was measured."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from automl_core.contest import Contest, Entry
from automl_core.errors import InputError, RecordError
from automl_core.record import Record
from automl_core.specs import Spec, Specs
from circuits.contest_entry import circuit_entry
from circuits.problem import CircuitProblem
from tests.circuits.filters import LOW_PASS, SPEC, low_pass


def test_what_was_measured_holds_for_the_comparison(tmp_path: Path) -> None:
    spec, run = low_pass(tmp_path), tmp_path / "run"
    first = circuit_entry(spec)
    assert first.evaluation_seconds is not None and 0 < first.evaluation_seconds < 1
    assert first.identity["modes"] == {"": "alter"} and first.identity["limit_seconds"] >= 1.0
    first.keep(run)
    kept = json.loads((run / "low_pass" / "problem.json").read_text())
    kept["evaluation_seconds"], kept["identity"]["modes"] = 7.0, {"": "reset"}
    (run / "low_pass" / "problem.json").write_text(json.dumps(kept))
    again = circuit_entry(spec, run)
    assert again.evaluation_seconds == 7.0
    there = pickle.loads(pickle.dumps(again.problem))  # as it arrives where it is studied
    assert isinstance(there, CircuitProblem)
    assert there.benches[""].mode == "reset" and there.limit_seconds == first.identity["limit_seconds"]


def test_a_study_of_it_records_what_decides_its_history(tmp_path: Path) -> None:
    entry = circuit_entry(low_pass(tmp_path))
    bout = Contest(entry, "random", 12, 0, "budget", tmp_path / "run")
    bout.run()
    with Record.open(bout.path) as record:
        facts, trials = record.facts(), list(record.trials())
    assert len(trials) == 12 and all(trial.status == "ok" for trial in trials)
    assert facts["identity"]["modes"] == {"": "alter"} and facts["identity"]["digest"] == entry.identity["digest"]
    assert bout.outcome().evaluation_seconds == pytest.approx(sum(trial.seconds for trial in trials))


def test_other_specs_than_those_of_the_file_may_judge(tmp_path: Path) -> None:
    specs = Specs([Spec("gain", minimum=-1.0, goal="maximize")])
    assert circuit_entry(low_pass(tmp_path), specs=specs).specs is specs


@pytest.mark.parametrize("file", ["low_pass.yaml", "low_pass.cir"])
def test_another_circuit_is_refused(tmp_path: Path, file: str) -> None:
    spec = low_pass(tmp_path)
    circuit_entry(spec).keep(tmp_path / "run")
    text = SPEC.replace("min: 1Meg", "min: 2Meg") if file.endswith("yaml") else LOW_PASS.replace("ac 1\n", "ac 2\n")
    (tmp_path / file).write_text(text)
    with pytest.raises(RecordError, match="has changed") as refused:
        circuit_entry(spec, tmp_path / "run")
    assert "low_pass.yaml" in str(refused.value)


def test_another_limit_is_refused(tmp_path: Path) -> None:
    spec = low_pass(tmp_path)
    circuit_entry(spec, limit_seconds=5.0).keep(tmp_path / "run")
    assert circuit_entry(spec, tmp_path / "run").identity["limit_seconds"] == 5.0
    assert circuit_entry(spec, tmp_path / "run", limit_seconds=5.0).identity["limit_seconds"] == 5.0
    with pytest.raises(RecordError, match="limit of 5 s, not 6 s"):
        circuit_entry(spec, tmp_path / "run", limit_seconds=6.0)


def test_a_deck_that_gives_nothing_is_refused(tmp_path: Path) -> None:
    spec = low_pass(
        tmp_path,
        spec=SPEC.replace("max vdb(out)", "when vdb(out)=99").replace(
            "kind: bandwidth, node: out", 'take: "when vdb(out)=98"'
        ),
    )
    with pytest.raises(InputError, match="none of the metrics"):
        circuit_entry(spec)
    assert Entry.kept(tmp_path / "run", "low_pass") is None
