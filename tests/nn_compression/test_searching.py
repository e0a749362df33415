"""A search in a file: gone on with where it was cut off, and decided before its first design."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from automl_core.budget import Budget
from automl_core.errors import InputError
from automl_core.problem import Evaluation
from automl_core.record import Record
from automl_core.space import Point
from automl_core.specs import Specs
from automl_core.study import Study
from automl_core.toys import Rosenbrock
from nn_compression.run.searching import Search


class Counting(Rosenbrock):
    """Counts what is evaluated."""

    evaluated = 0

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        self.evaluated += 1
        return super().evaluate(point, scenario, seed)


def search(path: Path, problem: Counting, optimizer: str, spend: int = 60) -> Search:
    return Search(path, problem, Specs(problem.specs.specs), optimizer, Budget(spend), 5)


def nothing(study: Study) -> None:
    """No progress is shown."""


@pytest.mark.parametrize("optimizer", ["cmaes", "random"])
def test_cut_off_and_gone_on_with_it_is_as_if_nothing_had_happened(tmp_path: Path, optimizer: str) -> None:
    whole = search(tmp_path / "whole.sqlite", Counting(), optimizer).run(1, nothing)

    def cut_off(study: Study) -> None:
        if study.spent >= 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "cut.sqlite", Counting(), optimizer).run(1, cut_off)
    with Record.open(tmp_path / "cut.sqlite") as record:
        kept = len(record)
    assert 30 <= kept < 60
    problem = Counting()
    resumed = search(tmp_path / "cut.sqlite", problem, optimizer).run(2, nothing)
    assert [trial.point for trial in resumed.study.trials] == [trial.point for trial in whole.study.trials]
    assert whole.study.spent == resumed.study.spent == 60
    problem = Counting()
    again = search(tmp_path / "cut.sqlite", problem, optimizer).run(1, nothing)
    assert problem.evaluated == 0
    assert again.seconds == resumed.seconds  # that of the search, not of its replay


def test_what_decides_is_as_it_was_decided_first(tmp_path: Path) -> None:
    first = search(tmp_path / "s.sqlite", Counting(), "auto", 5).run(1, nothing)
    other = search(tmp_path / "s.sqlite", Counting(), "cmaes", 10).run(1, nothing)
    assert (other.optimizer, other.reason, other.study.spent) == (first.optimizer, first.reason, 5)
    assert first.optimizer == "random" and "5 evaluations" in first.reason  # too few to learn from


def test_a_search_begins_from_what_another_one_learnt(tmp_path: Path) -> None:
    policy = tmp_path / "new" / "policy"
    search(tmp_path / "first.sqlite", Counting(), "gcn", 40).run(1, nothing, keep=policy)
    assert {file.name for file in policy.iterdir()} >= {"policy.json", "policy.safetensors"}
    scratch = search(tmp_path / "scratch.sqlite", Counting(), "gcn", 40)
    alike = replace(scratch, path=tmp_path / "alike.sqlite").run(1, nothing)
    taught = replace(scratch, path=tmp_path / "taught.sqlite", policy=policy).run(1, nothing)
    points = [[trial.point for trial in found.study.trials] for found in (scratch.run(1, nothing), alike, taught)]
    assert points[0] == points[1] and points[0] != points[2], "what differs is the policy alone"
    with pytest.raises(InputError, match="cmaes begins from no policy"):
        replace(search(tmp_path / "none.sqlite", Counting(), "cmaes"), policy=policy).run(1, nothing)
