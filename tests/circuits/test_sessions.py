"""The simulators of a problem: how many there are, who has one, and that none outlives the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from automl_core.errors import EvaluationError, InputError
from automl_core.problem import Evaluation, Request
from circuits.calibration import calibrate, start_of
from circuits.problem import CircuitProblem
from circuits.sessions import Session, Sessions
from circuits.simulator import Simulator
from tests.circuits.filters import low_pass, pole, problem_of, two_benches
from tests.circuits.test_simulator import DIVIDER


def _pair() -> Session:
    return {name: Simulator(DIVIDER, limit_seconds=30) for name in ("one", "other")}


@pytest.fixture
def sessions() -> Iterator[Sessions]:
    found = Sessions()
    yield found
    found.close()


def test_a_session_is_started_whole_and_used_again(sessions: Sessions) -> None:
    with sessions.one(_pair) as session:
        pids = [simulator.pid for simulator in session.values()]
        assert None not in pids
    with sessions.one(_pair) as session:
        assert [simulator.pid for simulator in session.values()] == pids


def test_two_threads_have_two_sessions(sessions: Sessions) -> None:
    with sessions.one(_pair) as first, sessions.one(_pair) as second:
        assert not {s.pid for s in first.values()} & {s.pid for s in second.values()}


def test_a_deck_that_is_refused_is_refused_at_the_first_evaluation_too(sessions: Sessions) -> None:
    wrong = replace(DIVIDER, lines=("t", "r1 1 0 nothing", "v1 1 0 1", ".end"))
    with (
        pytest.raises(InputError, match="cannot load the deck"),
        sessions.one(lambda: {"a": Simulator(wrong, limit_seconds=9), "b": Simulator(wrong, limit_seconds=9)}) as s,
    ):
        s["a"].evaluate({})


def test_whoever_waits_is_told_of_the_stop_and_nobody_starts_again(sessions: Sessions) -> None:
    apart = sessions.apart(Simulator(DIVIDER, limit_seconds=30))
    apart.start()
    ready, told = threading.Event(), []

    def wait() -> None:
        with sessions.one(_pair) as session:
            ready.set()
            try:
                while True:
                    session["one"].evaluate({"r": 2e3})
            except EvaluationError as error:
                told.append(error.problem)

    thread = threading.Thread(target=wait)
    thread.start()
    assert ready.wait(30)
    sessions.stop()
    thread.join(30)
    assert told == ["the simulation was stopped"]
    assert apart.pid is None
    with pytest.raises(EvaluationError, match="stopped"), sessions.one(_pair):
        pass


def _pids(problem: CircuitProblem) -> dict[str, int | None]:
    with problem._sessions.one(problem._simulators) as session:
        for simulator in session.values():
            simulator.start()
        return {name: simulator.pid for name, simulator in session.items()}


def test_a_calibration_leaves_its_children_to_the_problem_in_the_modes_it_found(tmp_path: Path) -> None:
    with problem_of(two_benches(tmp_path)) as problem:
        measured = calibrate(problem)
        assert problem.modes == measured.modes == {"small": "alter", "step": "reset"}
        before = _pids(problem)
        answer = problem.evaluate(start_of(problem), "", 0)
        assert _pids(problem) == before, "no child was started anew"
        with problem._sessions.one(problem._simulators) as session:
            assert {name: simulator.bench for name, simulator in session.items()} == problem.benches
            assert {simulator.limit_seconds for simulator in session.values()} == {measured.limit_seconds}
    with problem_of(problem.spec.path, modes=measured.modes) as fresh:
        other = fresh.evaluate(start_of(fresh), "", 0)
    assert answer.metrics == other.metrics, "to the last bit as in children that saw nothing before"


def test_other_modes_need_other_children(tmp_path: Path) -> None:
    with problem_of(low_pass(tmp_path)) as problem:
        before = _pids(problem)
        problem.settle(limit_seconds=20.0, modes={"": "reset"})
        problem.settle(limit_seconds=30.0, modes={"": "alter"})
        assert problem.benches[""].mode == "alter"
        answers = problem.evaluate_chunk([Request({"rser": 2e3, "cload": 1e-9}, "", 0)])
        assert _pids(problem) != before
        assert isinstance(answers[0], Evaluation) and answers[0].metrics["bandwidth"] == pole(2e3, 1e-9)


def test_a_problem_with_other_settings_shares_decks_and_no_children(tmp_path: Path) -> None:
    with problem_of(low_pass(tmp_path)) as problem, problem.with_settings(limit_seconds=9.0, modes={}) as other:
        assert other.decks[""] is problem.decks[""]
        assert not set(_pids(problem).values()) & set(_pids(other).values())
        assert (other.limit_seconds, other.benches[""].mode) == (9.0, "reset")
