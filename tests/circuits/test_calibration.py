"""What is measured before a study: modes, costs, and decks that draw random numbers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from automl_core.errors import EvaluationError
from automl_core.problem import Evaluation
from circuits.calibration import calibrate, check_determinism, start_of
from tests.circuits.filters import LOW_PASS, SPEC, low_pass, pole, problem_of, two_benches

FOLLOWING = SPEC.replace("cload: {min: 100p, max: 10n, scale: log}", 'cload: {expr: "1u/rser"}')
RANDOM = LOW_PASS.replace(".param rser=1k", ".param spread={agauss(1, 0.1, 1)} rser=1k").replace(
    "{cload}", "{cload}\nr2 out 0 {spread*1k}"
)


def test_bare_parameters_of_devices_are_altered_directly(tmp_path: Path) -> None:
    with problem_of(low_pass(tmp_path)) as problem:
        measured = calibrate(problem)
    assert measured.modes == {"": "alter"}
    assert "agrees" in measured.reasons[""]
    assert isinstance(measured.start, Evaluation)
    assert measured.start.metrics["bandwidth"] == pole(1e3, 1e-9)
    assert 0 < measured.seconds < 1
    assert measured.limit_seconds == max(1.0, 20 * measured.seconds)


def test_altered_devices_give_the_closed_form(tmp_path: Path) -> None:
    with problem_of(low_pass(tmp_path), modes={"": "alter"}) as problem:
        for rser, cload in ((200.0, 1e-9), (7e3, 3e-10), (200.0, 1e-9)):
            point = {"rser": rser, "cload": cload}
            assert problem.evaluate(point, "", 0).metrics["bandwidth"] == pole(rser, cload)


@pytest.mark.parametrize(
    ("deck", "spec", "reason"),
    [
        (LOW_PASS, FOLLOWING, "cload follows from other variables"),
        (LOW_PASS.replace("{rser}", "{2*rser}"), SPEC, "rser: "),
        (LOW_PASS.replace("c1 out 0 {cload}", "x1 out cap\n.subckt cap a\nc1 a 0 {cload}\n.ends"), SPEC, "cload: "),
    ],
    ids=["expr", "expression", "subcircuit"],
)
def test_what_cannot_be_altered_is_expanded_anew(tmp_path: Path, deck: str, spec: str, reason: str) -> None:
    with problem_of(low_pass(tmp_path, deck, spec)) as problem:
        measured = calibrate(problem, limit_seconds=9.0)
    assert measured.modes == {"": "reset"}
    assert measured.reasons[""].startswith(reason)
    assert measured.limit_seconds == 9.0


def test_a_variable_that_follows_is_computed_at_every_design(tmp_path: Path) -> None:
    with problem_of(low_pass(tmp_path, spec=FOLLOWING)) as problem:
        assert [variable.name for variable in problem.space.variables] == ["rser"]
        for rser in (100.0, 1e4, 321.0):
            assert problem.evaluate({"rser": rser}, "", 0).metrics["bandwidth"] == pole(1.0, 1e-6)


def test_each_bench_has_a_mode_of_its_own(tmp_path: Path) -> None:
    with problem_of(two_benches(tmp_path)) as problem:
        measured = calibrate(problem)
        settled = problem.with_settings(limit_seconds=measured.limit_seconds, modes=measured.modes)
        assert measured.modes == {"small": "alter", "step": "reset"}
        assert {name: bench.mode for name, bench in settled.benches.items()} == measured.modes


def test_a_start_without_figures_is_reported(tmp_path: Path) -> None:
    spec = two_benches(tmp_path)
    spec.write_text(spec.read_text().replace("k: {min: 0", "k: {start: 3, min: 0"))
    with problem_of(spec) as problem:
        measured = calibrate(problem)
    assert isinstance(measured.start, EvaluationError)
    assert "bench 'step'" in measured.start.problem


def test_the_start_is_the_decks_own_sizing(tmp_path: Path) -> None:
    with problem_of(low_pass(tmp_path)) as problem:
        assert start_of(problem) == {"rser": 1e3, "cload": 1e-9}


def test_a_deck_without_chance_repeats_itself(tmp_path: Path) -> None:
    with problem_of(low_pass(tmp_path), limit_seconds=20.0) as problem:
        comparison = check_determinism(problem)
    assert comparison.differences == ()
    assert isinstance(comparison.a, Evaluation) and isinstance(comparison.b, Evaluation)
    assert not math.isclose(comparison.a.metrics["bandwidth"], comparison.b.metrics["bandwidth"], rel_tol=0.1), (
        "B is another design, also where A is the middle of the space"
    )


def test_a_deck_that_draws_random_numbers_is_found_out(tmp_path: Path) -> None:
    with problem_of(low_pass(tmp_path, RANDOM), limit_seconds=20.0) as problem:
        measured = calibrate(problem)
        with problem.with_settings(limit_seconds=20.0, modes=measured.modes) as settled:
            comparison = check_determinism(settled)
    assert measured.modes == {"": "reset"}
    assert any(difference.startswith("bandwidth was ") for difference in comparison.differences)
    assert any(difference.startswith("gain was ") for difference in comparison.differences)
