from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl_core.budget import Budget
from automl_core.optimizers import make
from automl_core.pool import Pool
from automl_core.problem import Evaluation, Point
from automl_core.record import Record
from automl_core.space import DesignSpace, Variable
from automl_core.specs import Spec, Specs
from automl_core.study import Study
from automl_core.testing import Corners, Rosenbrock, trial_of
from tests.automl_core.environment.studies import counted, study_of

NAMES = ("sb3-ddpg", "sb3-ppo", "sb3-sac", "sb3-td3")


class Bowl:
    """A smooth toy: the squared distance from (0.7, 0.2, 0.6, 0.4) is least, 0, there."""

    scenarios = ("",)
    specs = Specs([Spec("distance", goal="minimize")])
    space = DesignSpace([Variable(f"x{i}") for i in range(4)])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        lowest = (0.7, 0.2, 0.6, 0.4)
        return Evaluation({"distance": sum((float(point[f"x{i}"]) - at) ** 2 for i, at in enumerate(lowest))})


class Wardrobe:
    """Four choices of five: 625 designs, the best of which is the last of each."""

    scenarios = ("",)
    specs = Specs([Spec("wrong", maximum=-1.0)])
    space = DesignSpace([Variable(f"c{i}", choices=tuple(range(5))) for i in range(4)])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        return Evaluation({"wrong": float(sum(4 - int(value) for value in point.values()))})


def best(name: str, problem: Any, evaluations: int, seed: int) -> float:
    study = study_of(problem, problem.specs, evaluations, seed)
    study.run(make(name, problem.space, problem.specs, seed, study.budget), stop="budget")
    assert study.best is not None
    return float(next(iter(study.best.metrics.values())))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("toy", [Rosenbrock(3), Corners()], ids=lambda toy: type(toy).__name__)
def test_each_stops_at_exactly_the_budget(name: str, toy: Any) -> None:
    study, batches = counted(toy, toy.specs, evaluations=75)
    assert study.run(make(name, toy.space, toy.specs, 0, study.budget), stop="budget") == "budget"
    assert study.spent == sum(batches) == 75


@pytest.mark.parametrize("name", NAMES)
def test_each_goes_on_where_it_was_stopped(name: str, tmp_path: Path) -> None:
    bowl, budget = Bowl(), Budget(evaluations=90)

    def run(record: Record, progress: Callable[[Study], None] | None = None) -> list[list[float]]:
        torch.manual_seed(len(record))  # what else draws in this process does not matter
        study = Study(bowl, bowl.specs, Pool(bowl), record, budget=budget, progress=progress)
        study.run(make(name, bowl.space, bowl.specs, 0, budget), stop="budget")
        return [trial.asked.tolist() for trial in study.trials]

    def stop(study: Study) -> None:
        if study.spent > 50:
            raise KeyboardInterrupt

    with Record.create(":memory:") as record:
        whole = run(record)
    with Record.create(tmp_path / "cut.sqlite") as record, pytest.raises(KeyboardInterrupt):
        run(record, stop)
    with Record.open(tmp_path / "cut.sqlite") as record:
        assert run(record) == whole


@pytest.mark.parametrize("name", NAMES)
def test_each_beats_chance_at_equal_evaluations(name: str) -> None:
    def median(name: str) -> float:
        return float(np.median([best(name, Bowl(), 250, seed) for seed in range(3)]))

    assert median(name) < 0.5 * median("random")


@pytest.mark.parametrize("name", ["sb3-ddpg", "sb3-sac", "sb3-td3"])
def test_off_policy_ones_learn_from_trials_that_others_asked_for(name: str) -> None:
    bowl = Bowl()
    foreign = [trial_of(bowl, number, row) for number, row in enumerate(np.random.default_rng(0).random((200, 4)))]
    optimizer = make(name, bowl.space, bowl.specs, 0, study_of(bowl, bowl.specs, 500).budget)
    optimizer.tell(foreign)
    asked = [trial_of(bowl, 200 + number, row) for number, row in enumerate(optimizer.ask(32))]
    told, proposed = (float(np.median([trial.metrics["distance"] for trial in trials])) for trials in (foreign, asked))
    assert proposed < 0.5 * told


@pytest.mark.parametrize("name", ["sb3-ddpg", "sb3-sac", "sb3-td3"])
def test_one_that_has_settled_on_a_choice_still_spends_its_budget(name: str) -> None:
    study = study_of(Wardrobe(), Wardrobe.specs, 200)
    assert study.run(make(name, study.problem.space, study.specs, 0, study.budget), stop="budget") == "budget"
    assert study.spent == 200 and study.best is not None and study.best.metrics["wrong"] == 0
