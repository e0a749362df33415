"""The live view of a study: a table in a terminal, plain lines where it is piped."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from automl_core.budget import Budget
from automl_core.optimizers import make
from automl_core.pool import Pool
from automl_core.record import Record
from automl_core.report import live
from automl_core.report.live import LiveView
from automl_core.study import Study
from automl_core.testing import Cliff


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(live, "time", made)
    return made


@pytest.fixture
def study() -> Iterator[Study]:
    problem, record = Cliff(), Record.create(":memory:")  # type: ignore[arg-type]
    with Pool(problem) as pool:
        yield Study(problem, Cliff.specs, pool, record, budget=Budget(evaluations=64))
    record.close()


def _view(terminal: bool, **settings: bool) -> tuple[LiveView, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, color_system=None, legacy_windows=False)
    return LiveView(console, lambda value, unit: f"{value:.3g}", "a study", **settings), out


def _evaluate(study: Study, count: int) -> None:
    optimizer = make("random", study.problem.space, study.specs, 0, study.budget)
    study.evaluate(optimizer.ask(count))


def test_piped_it_prints_plain_lines_now_and_then(study: Study, clock: Clock) -> None:
    view, out = _view(terminal=False)
    _evaluate(study, 16)
    with view:
        view(study)
        assert out.getvalue() == "", "not at once"
        clock.now += 1.9
        view(study)
        assert out.getvalue() == ""
        clock.now += 0.2
        view(study)
        view(study)
    (line,) = out.getvalue().splitlines()
    assert "\x1b" not in out.getvalue()
    failed = sum(trial.status == "failed" for trial in study.trials)
    assert failed and line.startswith("16 evaluations, ")
    assert f"{failed} failed" in line
    best = study.best
    assert best is not None
    met = (best.metrics["sum"] <= 0.9) + (best.metrics["product"] >= 1e-9)
    assert f"{met} of 2 specs met" in line


def test_the_rate_counts_from_the_first_batch(study: Study, clock: Clock) -> None:
    """Before it lie the start of the workers and any replay of a record."""
    view, out = _view(terminal=False)
    with view:
        _evaluate(study, 16)
        view(study)
        clock.now += 4.0
        problem_space = study.problem.space
        more = make("random", problem_space, study.specs, 1, study.budget).ask(16)
        study.evaluate(more)
        view(study)
    (line,) = out.getvalue().splitlines()
    assert "32 evaluations" in line
    assert ", 4/s" in line
    assert line.endswith("at most 8 s left")


def test_before_the_first_trial_there_is_something_to_say(study: Study, clock: Clock) -> None:
    view, out = _view(terminal=False)
    with view:
        clock.now += 3.0
        view(study)
    assert out.getvalue().startswith("0 evaluations, 0 of 2 specs met")


def test_a_budget_of_time_says_what_is_left_of_it(clock: Clock) -> None:
    record = Record.create(":memory:")  # type: ignore[arg-type]
    view, out = _view(terminal=False)
    with Pool(Cliff()) as pool, view:
        timed = Study(Cliff(), Cliff.specs, pool, record, budget=Budget(seconds=60))
        clock.now += 3.0
        view(timed)
    record.close()
    assert out.getvalue().rstrip().endswith(("60 s left", "59 s left"))


def test_in_a_terminal_it_shows_the_table_and_clears_it(study: Study) -> None:
    view, out = _view(terminal=True)
    with view:
        view(study)
        _evaluate(study, 16)
        view(study)
        view._live.refresh()
    text = out.getvalue()
    assert "a study" in text and "16 evaluations" in text
    for word in ("spec", "target", "reached", "margin", "sum", "product"):
        assert word in text
    assert text.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in text, "the cursor comes back"


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_shows_nothing(study: Study, clock: Clock, terminal: bool) -> None:
    view, out = _view(terminal, quiet=True)
    with view:
        _evaluate(study, 16)
        clock.now += 10
        view(study)
    assert out.getvalue() == ""


def test_an_error_leaves_the_terminal_as_it_was(study: Study, tmp_path: Path) -> None:
    view, out = _view(terminal=True)
    with pytest.raises(KeyboardInterrupt), view:
        view(study)
        raise KeyboardInterrupt
    assert out.getvalue().count("\x1b[?25l") == out.getvalue().count("\x1b[?25h") == 1
