"""One study of a comparison: run once, kept, resumed, and refused where it is another one."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl_core.budget import Budget
from automl_core.contest import Contest, Entry
from automl_core.errors import RecordError
from automl_core.optimizers import make
from automl_core.pool import Pool
from automl_core.problem import Evaluation
from automl_core.record import Record
from automl_core.space import DesignSpace, Point, Variable
from automl_core.specs import Spec, Specs
from automl_core.study import Study
from automl_core.toys import Corners, Kinds, Rosenbrock

KINDS = Entry("kinds", Kinds(), Kinds.specs)


def contest(
    folder: Path, entry: Entry = KINDS, optimizer: str = "cmaes", evaluations: int = 120, seed: int = 3
) -> Contest:
    return Contest(entry, optimizer, evaluations, seed, "budget", folder)


def test_it_is_the_study_that_anyone_would_run(tmp_path: Path) -> None:
    bout = contest(tmp_path)
    bout.run()
    budget = Budget(evaluations=120)
    with Record.create(":memory:") as record, Pool(Kinds()) as pool:
        study = Study(Kinds(), Kinds.specs, pool, record, seed=3, budget=budget)
        study.run(make("cmaes", Kinds().space, Kinds.specs, 3, budget), stop="budget")
    assert bout.path == tmp_path / "kinds" / "cmaes" / "3.sqlite"
    with Record.open(bout.path) as record:
        assert [(t.point, t.metrics) for t in record.trials()] == [(t.point, t.metrics) for t in study.trials]
    outcome = bout.outcome()
    assert (outcome.status, outcome.evaluations) == ("finished", 120)
    assert study.best is not None and outcome.curve.steps[-1].trial == study.best.number
    assert outcome.curve.score() == study.best_score


def test_evaluations_are_counted_by_scenario(tmp_path: Path) -> None:
    bout = contest(tmp_path, Entry("corners", Corners(), Corners.specs), evaluations=60)
    bout.run()
    outcome = bout.outcome()
    assert outcome.evaluations == 60
    assert outcome.curve.steps[0].evaluations == 3  # the start, in its three scenarios


def test_a_finished_one_is_left_alone(tmp_path: Path) -> None:
    bout = contest(tmp_path)
    bout.run()
    before = bout.path.read_bytes()
    bout.run()
    assert bout.path.read_bytes() == before


class Slow:
    """A sum, 2 ms each; ``fails_at`` evaluations it raises what no problem should."""

    scenarios = ("",)

    def __init__(self, fails_at: int = 10**9) -> None:
        self.space = DesignSpace([Variable("a"), Variable("b")])
        self.seen: list[Point] = []
        self.fails_at = fails_at
        self.observe = True
        self.closed = 0

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        if len(self.seen) == self.fails_at:
            raise RuntimeError("out of order")
        self.seen.append(point)
        time.sleep(0.002)
        return Evaluation({"sum": float(point["a"]) + float(point["b"])}, seconds=0.002)

    def close(self) -> None:
        self.closed += 1


SUM = Specs([Spec("sum", maximum=0.3)])


def test_one_that_failed_goes_on_from_its_record_and_repeats_nothing(tmp_path: Path) -> None:
    whole, broken, repaired = Slow(), Slow(fails_at=45), Slow()
    contest(tmp_path / "whole", Entry("sum", whole, SUM), evaluations=80).run()
    bout = contest(tmp_path / "broken", Entry("sum", broken, SUM), evaluations=80)
    with pytest.raises(RuntimeError, match="out of order"):
        bout.run()
    bout.note_failure("RuntimeError: out of order")
    failed = bout.outcome()
    assert failed.status == "failed" and failed.failure == "RuntimeError: out of order"
    assert 0 < failed.evaluations <= 45 and failed.curve.steps
    again = replace(bout, entry=Entry("sum", repaired, SUM))
    again.run()
    with Record.open(again.path) as record:
        kept = [trial.point for trial in record.trials()]
    assert kept == whole.seen
    assert kept == [*kept[: failed.evaluations], *repaired.seen]
    assert again.outcome().status == "finished" and again.outcome().failure is None
    assert (whole.closed, broken.closed, repaired.closed) == (1, 1, 1)


def test_the_optimizers_own_time_leaves_evaluations_out(tmp_path: Path) -> None:
    problem = Slow()
    contest(tmp_path, Entry("sum", problem, SUM), evaluations=100).run()
    outcome = contest(tmp_path, Entry("sum", problem, SUM), evaluations=100).outcome()
    assert outcome.wall_seconds is not None and outcome.optimizer_seconds is not None
    assert outcome.wall_seconds >= outcome.optimizer_seconds + 0.2
    assert 0 < outcome.optimizer_seconds < outcome.wall_seconds - 0.19
    assert outcome.evaluation_seconds == pytest.approx(0.2)


def test_a_problem_observes_only_for_those_who_read_it(tmp_path: Path) -> None:
    problem = Slow()
    contest(tmp_path, Entry("sum", problem, SUM), "random", 5).run()
    assert problem.observe is False


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"evaluations": 121}, "another budget: evaluations 120, not 121"),
        ({"stop": "met"}, "another stop: 'budget', not 'met'"),
        ({"entry": replace(KINDS, specs=Specs([Spec("value", maximum=0.5)]))}, "another specs: maximum 0.01, not 0.5"),
        ({"entry": replace(KINDS, identity={"digest": "b"})}, "another identity: digest None, not 'b'"),
        ({"entry": replace(KINDS, evaluation_seconds=0.5)}, "another budget: evaluation_seconds None, not 0.5"),
    ],
)
def test_a_record_of_another_study_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    contest(tmp_path).run()
    other = replace(contest(tmp_path), **change)  # type: ignore[arg-type]
    for attempt in (other.check, other.run, other.outcome):
        with pytest.raises(RecordError, match="another folder") as refused:
            attempt()
        assert said in str(refused.value) and "3.sqlite" in str(refused.value)


def test_one_that_has_not_run_has_found_nothing(tmp_path: Path) -> None:
    outcome = contest(tmp_path).outcome()
    assert (outcome.status, outcome.evaluations, outcome.curve.steps) == ("unfinished", 0, ())
    assert not list(tmp_path.iterdir())


def test_a_record_that_was_begun_and_never_finished_being_made_is_made_anew(tmp_path: Path) -> None:
    bout = contest(tmp_path)
    bout.path.parent.mkdir(parents=True)
    draft = bout.path.with_name(f".{bout.path.name}")
    with sqlite3.connect(draft) as connection:  # as a process leaves it that is killed between its first two writes
        connection.execute("CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
    connection.close()
    bout.run()
    assert bout.outcome().status == "finished" and not draft.exists()


def test_what_was_measured_of_an_entry_is_kept_and_read_back(tmp_path: Path) -> None:
    entry = Entry("r", Rosenbrock(), Rosenbrock.specs, 0.1 + 0.2, {"modes": {"": "alter"}})
    assert Entry.kept(tmp_path, "r") is None
    entry.keep(tmp_path)
    replace(entry, evaluation_seconds=7.0).keep(tmp_path)
    assert Entry.kept(tmp_path, "r") == (0.1 + 0.2, {"modes": {"": "alter"}})
    (tmp_path / "r" / "problem.json").write_text("{")
    with pytest.raises(RecordError, match="damaged"):
        Entry.kept(tmp_path, "r")


class Restored:
    """An optimizer that is restored rather than replayed, and takes its time: 10 ms a batch."""

    def __init__(self, seed: int = 0) -> None:
        self._generator = np.random.default_rng(seed)

    def ask(self, n: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        time.sleep(0.01)
        return self._generator.random((n, 2))

    def tell(self, trials: Sequence[object]) -> None:
        pass

    def checkpoint(self) -> bytes:
        return str(self._generator.bit_generator.state["state"]["state"]).encode()

    def restore(self, state: bytes, trials: Sequence[object]) -> None:
        whole = self._generator.bit_generator.state
        whole["state"]["state"] = int(state)
        self._generator.bit_generator.state = whole


def test_the_time_of_an_optimizer_that_is_restored_is_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automl_core.contest.make", lambda *_: Restored())
    monkeypatch.setattr("automl_core.contest._NOTED_EVERY", 0.0)
    broken = contest(tmp_path, Entry("sum", Slow(fails_at=330), SUM), "random", 400)
    with pytest.raises(RuntimeError):
        broken.run()
    rest = Slow()
    again = replace(broken, entry=Entry("sum", rest, SUM))
    again.run()
    assert len(rest.seen) == 80  # from the last batch that was kept
    outcome = again.outcome()
    assert outcome.evaluations == 400
    assert outcome.optimizer_seconds is not None and outcome.optimizer_seconds > 0.24  # of 25 batches
