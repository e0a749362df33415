import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from automl_core.budget import Budget
from automl_core.errors import EvaluationTimeout, RecordError
from automl_core.optimizers import make
from automl_core.pool import Pool
from automl_core.problem import Evaluation, Point, Problem, Trial
from automl_core.record import Record
from automl_core.space import DesignSpace, Variable
from automl_core.specs import Spec, Specs
from automl_core.study import Study, evaluation_seed
from automl_core.testing import Allocation, Cliff, Corners, HotFailure, Kinds, Rosenbrock


class Counted:
    """A problem that counts how often it is evaluated."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.space, self.scenarios = problem.space, problem.scenarios
        self.calls: list[tuple[Point, str, int]] = []

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        self.calls.append((point, scenario, seed))
        return self.problem.evaluate(point, scenario, seed)


def study(problem: Problem, specs: Specs, path: Path | None = None, **settings: object) -> Study:
    record = Record.create(":memory:") if path is None else Record.open(path) if path.exists() else Record.create(path)
    return Study(problem, specs, Pool(problem), record, **settings)  # type: ignore[arg-type]


def essence(trials: list[Trial]) -> list[tuple[object, ...]]:
    return [(t.number, t.asked.tolist(), dict(t.point), repr(t.metrics), t.status, t.error, t.cost) for t in trials]


def test_the_budget_counts_evaluations_and_is_never_exceeded() -> None:
    problem = Counted(Rosenbrock(2))
    run = study(problem, Specs([Spec("value", maximum=-1.0)]), budget=Budget(evaluations=37))
    assert run.run(make("random", problem.space, run.specs, 0, run.budget)) == "budget"
    assert run.spent == len(problem.calls) == len(run.trials) == 37


def test_a_known_design_is_not_evaluated_again() -> None:
    problem = Counted(Kinds())
    run = study(problem, Kinds.specs)
    asked = np.array([[0.1, 0.1, 0.5, 0.5], [0.1, 0.2, 0.5, 0.5], [0.1, 0.1, 0.5, 0.5]])
    first = run.evaluate(asked)
    again = run.evaluate(asked[:1])
    assert [t.number for t in first] == [0, 0, 0] and again[0].number == 0
    assert len(problem.calls) == run.spent == 1
    assert [t.asked.tolist() for t in first] == asked.tolist(), "each is told for what was asked"


def test_designs_are_repaired_before_they_are_evaluated() -> None:
    run = study(Allocation(), Allocation.specs)
    (trial,) = run.evaluate(np.ones((1, 4)))
    assert trial.metrics["cost"] <= Allocation.limit
    assert Allocation().space.decode(trial.unit) == trial.point
    assert trial.asked.tolist() == [1, 1, 1, 1]


def test_a_failure_is_a_trial_and_the_study_goes_on() -> None:
    run = study(Cliff(), Cliff.specs)
    failed, fine = run.evaluate(np.array([[0.1, 0.5, 0.5], [0.5, 0.2, 0.1]]))
    assert failed.status == "failed" and failed.error == "x0 is 0.1, below 1/3" and failed.metrics == {}
    assert fine.status == "ok" and fine.metrics["sum"] == pytest.approx(0.8)
    assert run.best is not None and run.best.number == 1


def test_a_design_that_fails_in_a_corner_has_no_figures_to_be_taken_for_a_good_one(tmp_path: Path) -> None:
    run = study(HotFailure(), HotFailure.specs, path := tmp_path / "study.sqlite")
    (trial,) = run.evaluate(np.array([[0.1, 0.2]]))
    assert (trial.status, trial.error, trial.cost) == ("failed", "hot: x is 0.1, below 1/2", 2)
    assert trial.metrics == {} and trial.by_scenario == {"nominal": {"sum": pytest.approx(0.3)}}
    Record.open(path)._connection.execute("UPDATE trials SET metrics = '{\"sum\": 0.3}'")  # as files were written once
    assert [old.metrics for old in Record.open(path).trials()] == [{}]


def test_a_timeout_has_its_own_status() -> None:
    class Slow(Rosenbrock):
        def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
            raise EvaluationTimeout("ran past 1 s")

    run = study(Slow(2), Rosenbrock.specs)
    assert run.evaluate(np.array([[0.5, 0.5]]))[0].status == "timeout"
    assert run.best is None


def test_scenarios_are_raced_and_the_best_is_verified_in_all() -> None:
    problem = Counted(Corners())
    run = study(problem, Corners.specs)
    near = run.evaluate(np.array([[0.5, 0.5]]))[0]
    far = run.evaluate(np.array([[0.99, 0.99]]))[0]
    assert (
        near.status == "ok" and set(near.by_scenario) == {"nominal", "low", "high"} and near.metrics["distance"] == 1.0
    )
    assert far.status == "raced" and list(far.by_scenario) == ["nominal"] and far.cost == 1
    assert run.spent == len(problem.calls) == 4


def test_racing_never_changes_which_design_is_best() -> None:
    asked = np.random.default_rng(5).random((200, 2))
    run = study(Corners(), Corners.specs)
    for batch in np.split(asked, 20):
        run.evaluate(batch)
    worst = np.max([(6 * asked[:, 0] - 3 - s) ** 2 + (6 * asked[:, 1] - 3) ** 2 for s in (0, -1, 1)], axis=0)
    assert run.best is not None
    assert run.best.asked.tolist() == asked[np.argmin(worst)].tolist()
    assert run.spent < 600 * 0.7, "most of the corners of most designs were spared"


def test_the_scenario_that_was_worst_most_often_comes_first() -> None:
    problem = Counted(Corners())
    run = study(problem, Corners.specs)
    run.evaluate(np.array([[0.30, 0.5]]))
    run.evaluate(np.array([[0.32, 0.5]]))
    problem.calls.clear()
    run.evaluate(np.array([[0.35, 0.5]]))
    assert [scenario for _, scenario, _ in problem.calls][:2] == ["nominal", "high"], "x < 0 is farthest from +1"


def test_the_budget_is_exact_in_the_middle_of_a_race() -> None:
    problem = Counted(Corners())
    run = study(problem, Corners.specs, budget=Budget(evaluations=5))
    trials = run.evaluate(np.array([[0.5, 0.5], [0.5, 0.51], [0.5, 0.49]]))
    assert len(problem.calls) == run.spent == 5
    assert sorted(t.status for t in trials) == ["ok", "raced", "raced"] or all(t.status == "raced" for t in trials)


def test_every_evaluation_has_its_own_seed_which_the_study_seed_decides() -> None:
    problem = Counted(Rosenbrock(2))
    study(problem, Rosenbrock.specs, seed=1).evaluate(np.random.default_rng(0).random((20, 2)))
    seeds = [seed for _, _, seed in problem.calls]
    assert len(set(seeds)) == 20
    point = problem.calls[0][0]
    assert evaluation_seed(1, point) == seeds[0] != evaluation_seed(2, point)
    assert evaluation_seed(1, dict(reversed(list(point.items())))) == seeds[0], "the order of the names does not matter"


@pytest.mark.parametrize("name", ["random", "cmaes", "de", "nsga2", "tpe", "trust-region"])
@pytest.mark.parametrize("cut", [1, 17, 60])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(name: str, cut: int, tmp_path: Path) -> None:
    problem, specs = Counted(Cliff()), Specs([Spec("sum", maximum=0.1)])

    def go(path: Path, evaluations: int) -> Study:
        run = study(problem, specs, path, seed=4, budget=Budget(evaluations=evaluations))
        run.run(make(name, problem.space, specs, 4, Budget(evaluations=120)))
        return run

    whole = essence(go(tmp_path / "whole.sqlite", 120).trials)
    path = tmp_path / "cut.sqlite"
    interrupted = Study(
        problem,
        specs,
        Pool(problem),
        Record.create(path),
        seed=4,
        budget=Budget(evaluations=120),
        progress=stop_at(cut),
    )
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(make(name, problem.space, specs, 4, Budget(evaluations=120)))
    problem.calls.clear()
    resumed = go(path, 120)
    assert essence(resumed.trials) == whole
    assert len(problem.calls) == 120 - len(interrupted.trials), "no evaluation is repeated"


@pytest.mark.parametrize("name", ["random", "cmaes"])
def test_a_run_of_so_many_seconds_that_ended_is_found_as_it_ended(name: str, tmp_path: Path) -> None:
    class Slow(Rosenbrock):
        def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
            time.sleep(0.01)
            return super().evaluate(point, scenario, seed)

    problem, specs, path = Counted(Slow(2)), Specs([Spec("value", goal="minimize")]), tmp_path / "study.sqlite"
    ended = study(problem, specs, path, budget=Budget(seconds=0.5))
    ended.run(make(name, problem.space, specs, 0, ended.budget), stop="budget")
    problem.calls.clear()
    seconds = min(0.5, float(Record.open(path).facts()["elapsed"]))  # its last check came a moment after its last trial
    again = study(problem, specs, path, budget=Budget(seconds=seconds))
    assert again.run(make(name, problem.space, specs, 0, again.budget), stop="budget") == "budget"
    assert essence(again.trials) == essence(ended.trials) and not problem.calls
    assert again.best is not None and ended.best is not None and again.best.number == ended.best.number


def test_time_that_a_replay_takes_is_not_charged_again(tmp_path: Path) -> None:
    path, asked = tmp_path / "study.sqlite", np.random.default_rng(0).random((2, 2))
    study(Rosenbrock(2), Rosenbrock.specs, path).evaluate(asked)
    recorded = float(Record.open(path).facts()["elapsed"])
    again = study(Rosenbrock(2), Rosenbrock.specs, path, budget=Budget(seconds=recorded + 0.5))
    time.sleep(0.6)  # of thinking
    assert not again.exhausted, "it has not come to its end yet"
    again.evaluate(asked)
    assert again.elapsed < recorded + 0.5 and not again.exhausted


def test_a_budget_of_no_time_worth_mentioning_is_enough_for_the_start() -> None:
    run = study(Corners(), Corners.specs, budget=Budget(seconds=1e-9))
    assert run.run(make("random", run.problem.space, run.specs, 0, run.budget), stop="budget") == "budget"
    assert [dict(trial.point) for trial in run.trials] == [{"x": 2.5, "y": 2.5}]


def stop_at(cut: int):  # type: ignore[no-untyped-def]
    def progress(run: Study) -> None:
        if len(run.trials) >= cut:
            raise KeyboardInterrupt

    return progress


def test_a_record_of_another_history_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    study(Rosenbrock(2), Rosenbrock.specs, path).evaluate(np.array([[0.1, 0.2], [0.3, 0.4]]))
    with pytest.raises(RecordError, match="does not follow"):
        study(Rosenbrock(2), Rosenbrock.specs, path).evaluate(np.array([[0.3, 0.4], [0.7, 0.7]]))


@pytest.mark.parametrize(
    "asked", [[[0.7, 0.7]], [[0.7, 0.7], [0.8, 0.8]], [[0.3, 0.4]], [[0.1, 0.2], [0.5, 0.6]]], ids=str
)
def test_a_record_of_another_history_is_refused_before_anything_is_evaluated(
    asked: list[list[float]], tmp_path: Path
) -> None:
    path = tmp_path / "study.sqlite"
    study(Rosenbrock(2), Rosenbrock.specs, path).evaluate(np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]))
    problem = Counted(Rosenbrock(2))
    with pytest.raises(RecordError, match="does not follow from its own settings at trial 0"):
        study(problem, Rosenbrock.specs, path).evaluate(np.array(asked))
    assert not problem.calls
    assert len(Record.open(path)) == 3


def test_a_budget_that_grew_goes_on_where_the_smaller_one_cut_a_batch(tmp_path: Path) -> None:
    path, problem = tmp_path / "study.sqlite", Counted(Rosenbrock(2))
    asked = np.random.default_rng(0).random((16, 2))
    study(problem, Rosenbrock.specs, path, budget=Budget(evaluations=5)).evaluate(asked)
    again = study(problem, Rosenbrock.specs, path, budget=Budget(evaluations=5)).evaluate(asked)
    assert len(again) == len(problem.calls) == 5, "the budget is the same: the list ends where it did"
    for _ in range(2):
        grown = study(problem, Rosenbrock.specs, path, budget=Budget(evaluations=40)).evaluate(asked)
        assert [trial.asked.tolist() for trial in grown] == asked.tolist()
        assert [trial.number for trial in grown] == list(range(16)) and len(problem.calls) == 16


def test_a_record_that_ends_among_designs_but_does_not_begin_with_them_is_refused(tmp_path: Path) -> None:
    path, problem = tmp_path / "study.sqlite", Counted(Rosenbrock(2))
    study(Rosenbrock(2), Rosenbrock.specs, path).evaluate(np.array([[0.1, 0.2]]))
    with pytest.raises(RecordError, match="does not follow"):
        study(problem, Rosenbrock.specs, path).evaluate(np.array([[0.7, 0.7], [0.1, 0.2]]))
    assert not problem.calls


@dataclass(frozen=True)
class Foreign:
    """Numbers as numpy has them, and an infinite figure for x of 3."""

    scenarios = ("",)
    space = DesignSpace([Variable("x", 0, 3, integer=True), Variable("y")])

    def repair(self, point: Point) -> Point:
        return {"x": np.int64(point["x"]), "y": np.float64(point["y"])}  # type: ignore[dict-item]

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        gain = np.inf if point["x"] == 3 else np.float64(point["x"])
        return Evaluation({"gain": gain, "area": np.float32(0.5)}, {"m1": {"gm": np.float64(2.0)}}, np.float64(0.25))


def test_numbers_of_numpy_are_kept_and_infinite_ones_rank_last_live_as_replayed(tmp_path: Path) -> None:
    path, asked = tmp_path / "study.sqlite", np.array([[1.0, 0.5], [0.3, 0.5], [0.5, 0.5]])
    specs = Specs([Spec("gain", minimum=0.5, goal="maximize"), Spec("area", maximum=1.0)])
    histories = []
    for _ in ("live", "replayed"):
        run = study(Foreign(), specs, path)
        assert [trial.point["x"] for trial in run.evaluate(asked)] == [3, 1, 2]
        assert run.best is not None and run.best.number == 2 and run.best.metrics == {"gain": 2.0, "area": 0.5}
        assert run.specs.judge(run.trials[0]).violation == 1.0, "as what could not be measured"
        histories.append(repr(run.trials))
    assert histories[0] == histories[1]


def test_trials_of_other_studies_are_judged_in_all_scenarios_by_the_specs_at_hand() -> None:
    class Hot(Corners):
        def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
            distance = super().evaluate(point, scenario, seed).metrics["distance"]
            return Evaluation({"distance": distance, "power": 6.0 if scenario == "high" else 1.0})

    class Listener(Stubborn):
        def tell(self, trials: Sequence[Trial]) -> None:
            told.extend(trials)

    told: list[Trial] = []
    (old,) = study(Hot(), Hot.specs).evaluate(np.array([[0.5, 0.5]]))
    assert (old.status, old.metrics["power"]) == ("ok", 1.0), "without a spec it is that of the first scenario"
    stricter = Specs([*Hot.specs.specs, Spec("power", maximum=2.0)])
    study(Hot(), stricter, earlier=[old], budget=Budget(evaluations=3)).run(Listener())
    assert told[0].metrics == {"distance": 1.0, "power": 6.0}


def test_figures_without_a_spec_are_those_of_a_scenario_that_was_seen() -> None:
    class Hot(Corners):
        def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
            distance = super().evaluate(point, scenario, seed).metrics["distance"]
            return Evaluation({"distance": distance, "power": {"nominal": 1.0, "low": 0.5, "high": 6.0}[scenario]})

    run = study(Hot(), Hot.specs)
    run.evaluate(np.array([[0.5, 0.5]]))
    (far,) = run.evaluate(np.array([[0.99, 0.99]]))
    assert far.status == "raced" and set(far.by_scenario) == {"nominal"} and far.metrics["power"] == 1.0


def test_changed_specs_score_an_old_record_without_an_evaluation(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    study(Corners(), Corners.specs, path).evaluate(np.array([[0.5, 0.5], [0.6, 0.5]]))
    strict = Specs([Spec("distance", maximum=1.5)])
    scores = [strict.score(strict.worst(t.by_scenario)) for t in Record.open(path).trials() if t.status == "ok"]
    assert scores[0].feasible
    assert all(not score.feasible for score in scores[1:])


def test_met_stops_at_the_first_design_that_meets_all_specs() -> None:
    run = study(Rosenbrock(2), Specs([Spec("value", maximum=50.0)]), budget=Budget(evaluations=1000))
    assert run.run(make("random", run.problem.space, run.specs, 0, run.budget)) == "met"
    assert len(run.trials) <= 2 * 16


def test_stall_goes_on_while_the_goal_improves() -> None:
    run = study(Corners(), Corners.specs, budget=Budget(evaluations=20000))
    assert run.run(make("cmaes", run.problem.space, run.specs, 0, run.budget)) == "stall"
    assert run.best is not None and run.best.metrics["distance"] == pytest.approx(1.0, abs=1e-3)


def test_a_small_space_ends_when_all_of_it_is_known() -> None:
    class Few(Kinds):
        @property
        def space(self):  # type: ignore[no-untyped-def]
            from automl_core.space import DesignSpace, Variable

            return DesignSpace([Variable("n", 1, 3, integer=True), Variable("material", choices=("a", "b"))])

        def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
            return Evaluation({"value": float(point["n"])})

    run = study(Few(), Kinds.specs, budget=Budget(evaluations=1000))
    assert run.run(make("random", run.problem.space, run.specs, 0, run.budget)) == "exhausted"
    assert len(run.trials) == 6


class Stubborn:
    """An optimizer that asks for one design, and for nothing else."""

    def __init__(self) -> None:
        self.heard: set[int] = set()

    def ask(self, n: int) -> np.ndarray:
        return np.full((n, 4), 0.5)

    def tell(self, trials: Sequence[Trial]) -> None:
        self.heard |= {trial.number for trial in trials}


def test_an_optimizer_that_repeats_itself_is_helped_by_chance(tmp_path: Path) -> None:
    run, optimizer = study(Kinds(), Kinds.specs, budget=Budget(evaluations=40)), Stubborn()
    assert run.run(optimizer, stop="budget") == "budget"
    assert len(run.trials) == 40 and optimizer.heard == set(range(40))
    whole, half = (tmp_path / name for name in ("whole.sqlite", "half.sqlite"))
    for path, budgets in ((whole, [40]), (half, [20, 40, 40])):  # 20 ends among the designs that chance drew
        for budget in budgets:
            study(Kinds(), Kinds.specs, path, budget=Budget(evaluations=budget)).run(Stubborn(), stop="budget")
    assert essence(list(Record.open(whole).trials())) == essence(list(Record.open(half).trials()))


def test_trial_zero_is_the_designers_own() -> None:
    run = study(Corners(), Corners.specs, budget=Budget(evaluations=30))
    run.run(make("random", run.problem.space, run.specs, 0, run.budget))
    assert dict(run.trials[0].point) == {"x": 2.5, "y": 2.5}
