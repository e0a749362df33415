"""The files of a comparison, read by others' readers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from automl_core.report.comparison_files import as_json, write_comparison
from automl_core.report.terminal import json_text
from automl_core.standings import standings
from tests.automl_core.test_standings import outcome

FOUND = [
    *(outcome("a", s, {1: 3.0, 30 + s: 0.9, 80: 0.2}) for s in range(4)),
    *(outcome("b", s, {1: 3.0, 20: 0.8}, budget=50) for s in range(3)),
    outcome("b", 3, {1: 3.0}, budget=50, status="failed"),
    outcome("b", 4, {}, budget=50, status="unfinished"),
]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_every_study_at_every_number_of_evaluations(tmp_path: Path) -> None:
    write_comparison(tmp_path, FOUND, standings(FOUND))
    studies = {(r["optimizer"], int(r["seed"]), int(r["at"])): r for r in rows(tmp_path / "studies.csv")}
    assert len(studies) == 4 * 2 + 5
    assert studies["a", 2, 50]["evaluations_to_specs"] == "32"
    assert float(studies["a", 2, 50]["merit"]) == pytest.approx(0.1)
    assert float(studies["a", 2, 100]["merit"]) == pytest.approx(0.8)
    assert studies["a", 2, 100]["best_trial"] == "79"
    failed = studies["b", 3, 50]
    assert (failed["status"], failed["failure"], failed["met"], failed["merit"]) == ("failed", "broke", "0", "")
    assert float(failed["violation"]) == pytest.approx(2 / 3)
    assert (studies["b", 4, 50]["status"], studies["b", 4, 50]["violation"]) == ("unfinished", "")


def test_curves_pairs_and_times(tmp_path: Path) -> None:
    write_comparison(tmp_path, FOUND, standings(FOUND))
    curve = [(r["evaluations"], r["trial"], r["merit"]) for r in rows(tmp_path / "curves.csv") if r["seed"] == "1"]
    assert [(n, t) for n, t, _ in curve] == [("1", "0"), ("31", "30"), ("80", "79"), ("1", "0"), ("20", "19")]
    assert [m != "" for _, _, m in curve] == [False, True, True, False, True]
    pairs = rows(tmp_path / "pairs.csv")
    assert [(r["at"], r["measure"], r["first"], r["second"]) for r in pairs] == [
        ("50", "evaluations_to_specs", "a", "b"),
        ("50", "best", "a", "b"),
    ]
    assert float(pairs[0]["superiority_of_first"]) == 0.25  # b's failed study never met them
    times = rows(tmp_path / "times.csv")
    assert (times[1]["wall_seconds"], times[1]["optimizer_seconds"], times[-1]["wall_seconds"]) == ("11.0", "2.0", "")


def test_json_has_everything_and_nothing_that_json_lacks(tmp_path: Path) -> None:
    found = standings(FOUND)
    content = json.loads(json_text(as_json(FOUND, found)), parse_constant=pytest.fail)
    few, many = content["standings"]
    assert (few["at"], many["at"]) == (50, 100)
    b = few["optimizers"][1]
    assert (b["optimizer"], b["solved"], b["studies"], b["failed"], b["missing"]) == ("b", 3, 4, 1, 1)
    assert b["to_specs"] == {"low": 20, "median": 20, "high": None}
    assert few["evaluations_to_specs"][0].keys() >= {"first", "second", "p", "adjusted", "better"}
    assert len(content["studies"]) == len(FOUND)
    assert content["studies"][0]["metrics"] == {"x": 0.2}
