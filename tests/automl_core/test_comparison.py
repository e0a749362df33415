"""A comparison as a whole: the same whatever the order, the jobs and the interruptions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from automl_core.comparison import Comparison, Contestant, Progress, check_contestants
from automl_core.contest import Entry, Outcome
from automl_core.errors import InputError, RecordError
from automl_core.problem import Evaluation
from automl_core.report.comparison_files import write_comparison
from automl_core.space import DesignSpace, Point, Variable
from automl_core.specs import Spec, Specs
from automl_core.standings import standings
from automl_core.toys import Kinds, Rosenbrock, Spring

ENTRIES = [Entry("rosenbrock", Rosenbrock(), Rosenbrock.specs), Entry("spring", Spring(), Spring.specs)]
BOTH = [Contestant("random", 150), Contestant("cmaes", 150)]


def csv(folder: Path, outcomes: Sequence[Outcome]) -> dict[str, str]:
    """The files that must not depend on the machine."""
    write_comparison(folder, outcomes, standings(outcomes))
    return {name: (folder / name).read_text() for name in ("studies.csv", "pairs.csv", "curves.csv", "spring.svg")}


def test_the_same_comparison_gives_the_same_files_whatever_the_jobs(tmp_path: Path) -> None:
    one, two = (
        Comparison(tmp_path / "one", ENTRIES, BOTH, range(4)),
        Comparison(tmp_path / "two", ENTRIES, BOTH, range(4)),
    )
    assert csv(one.folder, one.run(jobs=1)) == csv(two.folder, two.run(jobs=2))
    assert len((tmp_path / "one" / "studies.csv").read_text().splitlines()) == 1 + 2 * 2 * 4


def test_a_finished_comparison_runs_nothing_and_a_larger_one_only_what_is_new(tmp_path: Path) -> None:
    first = Comparison(tmp_path, ENTRIES[:1], BOTH, range(2))
    ended: list[Progress] = []
    outcomes = first.run(progress=ended.append)
    assert [(p.done, p.total) for p in ended] == [(n, 4) for n in (1, 2, 3, 4)]
    assert ended[-1].seconds_left == 0.0 and ended[0].seconds_left > 0.0
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("?.sqlite")}
    assert len(before) == 4 == first.finished
    ended.clear()
    first.run(progress=ended.append)
    assert not ended
    larger = Comparison(tmp_path, ENTRIES[:1], [*BOTH, Contestant("de", 60)], range(3))
    again = larger.run(progress=ended.append)
    assert len(ended) == 5 and (ended[0].done, ended[0].total) == (5, 9)
    assert {(o.optimizer, o.seed): o.curve.to_specs() for o in outcomes}.items() <= {
        (o.optimizer, o.seed): o.curve.to_specs() for o in again
    }.items()
    assert {file: file.stat().st_mtime_ns for file in before} == before


class Wild:
    """A number; at ``bad`` it raises what no problem should, or ends its process."""

    scenarios = ("",)
    space = DesignSpace([Variable("x")])

    def __init__(self, bad: str) -> None:
        self.bad = bad

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        if float(point["x"]) > 0.9 and self.bad == "raise":
            raise ZeroDivisionError("x is large")
        if float(point["x"]) > 0.9:
            os._exit(7)
        return Evaluation({"x": float(point["x"])})


@pytest.mark.parametrize(("bad", "said"), [("raise", "ZeroDivisionError: x is large"), ("exit", "ended with status 7")])
def test_what_fails_is_said_of_its_cell_and_the_rest_goes_on(tmp_path: Path, bad: str, said: str) -> None:
    specs = Specs([Spec("x", maximum=0.5, goal="minimize")])
    entries = [Entry("wild", Wild(bad), specs), Entry("kinds", Kinds(), Kinds.specs)]
    comparison = Comparison(tmp_path, entries, [Contestant("random", 40)], range(2))
    outcomes = {(o.problem, o.seed): o for o in comparison.run(jobs=2)}
    for seed in range(2):
        failed = outcomes["wild", seed]
        assert failed.status == "failed" and failed.failure is not None and said in failed.failure
        assert outcomes["kinds", seed].status == "finished" and outcomes["kinds", seed].evaluations == 40
    assert [o.failure for o in comparison.outcomes()] == [o.failure for o in outcomes.values()]
    table = standings(comparison.outcomes())
    assert {(s.problem, s["random"].failed, s["random"].studies) for s in table} == {("wild", 2, 2), ("kinds", 0, 2)}


def test_records_of_other_settings_are_refused_before_any_work(tmp_path: Path) -> None:
    Comparison(tmp_path, ENTRIES[:1], BOTH[1:], [1]).run()
    other = Comparison(tmp_path, ENTRIES[:1], [Contestant("random", 200), Contestant("cmaes", 200)], range(2))
    with pytest.raises(RecordError, match="another budget"):
        other.run()
    assert not (tmp_path / "rosenbrock" / "random").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("cmaes", ("cmaes", 2000)), (" trust-region:500 ", ("trust-region", 500)), ("random:1", ("random", 1))],
)
def test_an_optimizer_may_have_a_budget_of_its_own(text: str, expected: tuple[str, int]) -> None:
    assert Contestant.parse(text, 2000) == Contestant(*expected)


@pytest.mark.parametrize("text", ["cmaes:", "cmaes:0", "cmaes:10m", "cmaes:-5", "cmaes:1.5", "cmaes:²"])
def test_a_budget_that_is_no_number_of_evaluations_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="NAME:EVALUATIONS") as refused:
        Contestant.parse(text, 2000)
    assert text in str(refused.value)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'cmaes'") as refused:
        check_contestants([Contestant("random", 5), Contestant("cmeas", 5)])
    assert "'cmeas'" in str(refused.value)
    with pytest.raises(InputError, match="'random' stands there twice"):
        check_contestants([Contestant("random", 5), Contestant("random", 10)])
    with pytest.raises(InputError, match="problem 'spring' stands there twice"):
        Comparison(Path("x"), [ENTRIES[1], ENTRIES[1]], BOTH, [0])
    with pytest.raises(InputError, match="nothing to compare"):
        Comparison(Path("x"), ENTRIES, BOTH, [])
