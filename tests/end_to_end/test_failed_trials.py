"""Designs that cannot be simulated: a failed trial each, with its reason in the record, and the study goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.command_line import sizewise, trials, write

UNDECIDED = """a source that contradicts itself where k is above a half
.param k=0.3 rl=1k
v1 in 0 1
b1 x 0 v = v(x) < 0.5 ? {k} : 0
r1 x out {rl}
r2 out 0 1k
r3 in 0 1k
.end
"""
SLOW = """pulses without end where the period is short
.param p=100u rl=1k
v1 in 0 pulse(0 1 0 {p/10} {p/10} {p/3} {p})
r1 in out {rl}
c1 out 0 1n
.end
"""
ROOT_OF = """a resistor whose value is no number where x is below zero
.param x=1 rl=1k
v1 in 0 1
r1 in out {rl*sqrt(x)}
r2 out 0 1k
.end
"""


def spec(variables: str, analysis: str, take: str, target: str) -> str:
    lines = ["netlist: d.cir", f"variables: {{{variables}}}", f"analyses: {{a: {analysis}}}"]
    return "\n".join([*lines, f"measures: {{y: {{in: a, {take}}}}}", f"specs: {{y: {target}}}", ""])


def test_designs_that_do_not_converge_fail_alone(tmp_path: Path) -> None:
    variables = "k: {min: 0.1, max: 0.9}, rl: {min: 100, max: 10k}"
    text = spec(variables, "op", "kind: offset, node: out", "{min: 1}")
    write(tmp_path, {"spec.yaml": text, "d.cir": UNDECIDED})
    run = sizewise(tmp_path, "size", "spec.yaml", "-o", "run", "--budget", "24", "--optimizer", "random")
    assert run.status == 1, run
    rows = trials(tmp_path / "run")
    assert len(rows) == 24
    for row in rows:
        converges = json.loads(row["point"])["k"] < 0.5
        assert (row["status"] == "ok") == converges, (row["point"], row["status"], row["error"])
        assert converges or "a gave no result" in row["error"] or row["status"] == "timeout"
    failed = sum(row["status"] != "ok" for row in rows)
    assert failed > 4
    assert f"({failed} failed)" in run.out


def test_a_start_that_does_not_converge_is_explained(tmp_path: Path) -> None:
    text = spec("rl: {min: 100, max: 10k}", "op", "kind: offset, node: out", "{min: 1}")
    write(tmp_path, {"spec.yaml": text, "d.cir": UNDECIDED.replace("k=0.3", "k=0.8")})
    run = sizewise(tmp_path, "size", "spec.yaml", "--timeout", "5")
    assert run.status == 2
    assert "d.cir" in run.err and "gives no figures" in run.err
    assert "start" in run.err
    assert len(run.err) < 1200


def test_a_value_that_is_no_number_fails_its_trial(tmp_path: Path) -> None:
    variables = "x: {min: -1, max: 1}, rl: {min: 100, max: 10k}"
    text = spec(variables, "op", "kind: offset, node: out", "{min: 2}")
    write(tmp_path, {"spec.yaml": text, "d.cir": ROOT_OF})
    run = sizewise(tmp_path, "size", "spec.yaml", "-o", "run", "--budget", "16", "--optimizer", "random")
    assert run.status == 1, run
    rows = trials(tmp_path / "run")
    assert len(rows) == 16
    good = [row for row in rows if json.loads(row["point"])["x"] > 0]
    assert 0 < len(good) < 16
    for row in good:
        point = json.loads(row["point"])
        expected = 1e3 / (1e3 + point["rl"] * point["x"] ** 0.5)
        assert json.loads(row["metrics"])["y"] == pytest.approx(expected, rel=1e-6)
    best = json.loads((tmp_path / "run/best.json").read_text())
    assert best["point"]["x"] > 0


def test_a_measure_that_triggers_for_some_designs_is_missing_for_the_others(tmp_path: Path) -> None:
    variables = "x: {min: 0.5, max: 1}, rl: {min: 100, max: 10k, scale: log}"
    text = spec(variables, "tran 1u 20u", 'take: "when v(out)=0.5 rise=1"', "{max: 1u}")
    deck = ROOT_OF.replace("v1 in 0 1", "v1 in 0 pulse(0 1 0 10u 10u 1)")
    write(tmp_path, {"spec.yaml": text, "d.cir": deck.replace("rl=1k", "rl=300")})
    run = sizewise(tmp_path, "size", "spec.yaml", "-o", "run", "--budget", "16", "--optimizer", "random")
    assert run.status == 1, run
    missing = set()
    for row in trials(tmp_path / "run"):
        point, value = json.loads(row["point"]), json.loads(row["metrics"])["y"]
        divider = 1e3 / (1e3 + point["rl"] * point["x"] ** 0.5)
        assert row["status"] == "ok"
        if abs(divider - 0.5) > 0.01:
            assert (value is None) == (divider < 0.5), row["point"]
        missing.add(value is None)
    assert missing == {True, False}
    assert json.loads((tmp_path / "run/best.json").read_text())["metrics"]["y"] is not None


def test_an_evaluation_that_never_ends_is_cut_off(tmp_path: Path) -> None:
    variables = "p: {min: 1p, max: 1m, scale: log}, rl: {min: 100, max: 10k}"
    text = spec(variables, "tran 1u 1m", "kind: offset, node: out".replace("offset", "swing"), "{max: -1}")
    text = text.replace("kind: swing, node: out", 'take: "max v(out)"')
    write(tmp_path, {"spec.yaml": text, "d.cir": SLOW})
    words = ("size", "spec.yaml", "-o", "run", "--budget", "8", "--optimizer", "random", "--timeout", "1")
    run = sizewise(tmp_path, *words)
    assert run.status == 1, run
    rows = trials(tmp_path / "run")
    assert len(rows) == 8
    cut = [row for row in rows if row["status"] == "timeout"]
    assert cut and rows[0]["status"] == "ok"
    assert all("no result after 1 s" in row["error"] for row in cut)
    assert all(json.loads(row["point"])["p"] > 1e-8 for row in rows if row["status"] == "ok")


def test_a_start_that_never_ends_is_explained(tmp_path: Path) -> None:
    text = spec("rl: {min: 100, max: 10k}", "tran 1p 10", 'take: "max v(out)"', "{min: 1}")
    write(tmp_path, {"spec.yaml": text, "d.cir": SLOW})
    for command in ("size", "check"):
        run = sizewise(tmp_path, command, "spec.yaml", "--timeout", "1")
        assert run.status == 2, run
        assert "no result after 1 s" in run.err + run.out
        assert "--timeout" in run.err + run.out
