"""Constrained Bayesian optimisation in a trust region: what it finds, where it goes on, and what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from automl_core.budget import Budget
from automl_core.optimizers import Checkpointed, make
from automl_core.optimizers.trust_region import TrustRegion
from automl_core.pool import Pool
from automl_core.problem import Problem, Trial
from automl_core.record import Record
from automl_core.space import DesignSpace, Variable
from automl_core.specs import Spec, Specs
from automl_core.study import Study
from automl_core.testing import trial_of
from automl_core.toys import Cliff, Kinds, PressureVessel, Rosenbrock, Spring


def run(problem: Problem, specs: Specs, evaluations: int, seed: int = 0) -> tuple[Study, TrustRegion]:
    study = Study(problem, specs, Pool(problem), Record.create(":memory:"), budget=Budget(evaluations=evaluations))
    optimizer = TrustRegion(problem.space, specs, seed, study.budget)
    study.run(optimizer, stop="budget")
    return study, optimizer


def test_constrained_optima_are_neared_in_few_evaluations() -> None:
    spring, _ = run(Spring(), Spring.specs, 160)
    assert spring.best is not None and spring.best_score is not None and spring.best_score.feasible
    assert spring.best.metrics["weight"] < 1.2 * 0.0126652, "random search is at twice the optimum after 600"
    vessel, _ = run(PressureVessel(), PressureVessel.specs, 160)
    assert vessel.best is not None and vessel.best_score is not None and vessel.best_score.feasible
    assert vessel.best.metrics["cost"] < 1.2 * 6059.7143, "and here at 2.7 times"


def test_it_gets_around_failures_and_through_choices() -> None:
    specs = Specs([Spec("sum", goal="minimize"), Spec("product", minimum=1e-9)])
    cliff, _ = run(Cliff(), specs, 120)
    assert cliff.best is not None and cliff.best.metrics["sum"] < 0.42, "the edge of what fails is at 1/3"
    kinds, _ = run(Kinds(), Kinds.specs, 100)
    assert kinds.best is not None and kinds.best.point["material"] == "b" and kinds.best.point["shape"] == "round"


def drive(optimizer: TrustRegion, problem: Problem, batches: int, told: list[Trial]) -> list[list[float]]:
    asked: list[list[float]] = []
    for _ in range(batches):
        designs = optimizer.ask(8)
        trials = [trial_of(problem, len(told) + n, unit) for n, unit in enumerate(designs)]
        optimizer.tell(trials)
        told += trials
        asked += designs.tolist()
    return asked


def test_a_restored_one_goes_on_as_if_nothing_had_happened() -> None:
    problem, specs = Kinds(), Kinds.specs
    whole, told = TrustRegion(problem.space, specs, 0, Budget(evaluations=80)), list[Trial]()
    assert isinstance(whole, Checkpointed)
    for batches in (1, 3, 2):  # amid the start, with models, and later
        drive(whole, problem, batches, told)
        state, known = whole.checkpoint(), list(told)
        fresh = TrustRegion(problem.space, specs, 0, Budget(evaluations=80))
        fresh.restore(state, known)
        there = drive(fresh, problem, 2, list(known))
        assert there == drive(whole, problem, 2, told)
        assert fresh.log == whole.log


def test_it_begins_anew_elsewhere_when_its_region_is_too_small() -> None:
    space = DesignSpace([Variable("x"), Variable("y")])
    optimizer = TrustRegion(space, Specs([Spec("v", goal="minimize")]), 0, Budget(evaluations=400))

    def tell(asked: Sequence[np.ndarray], number: int) -> None:
        optimizer.tell([Trial(number + n, u, u, space.decode(u), {"v": 1.0}) for n, u in enumerate(asked)])

    sizes = []
    for batch in range(16):
        asked = optimizer.ask(16)
        tell(list(asked), 16 * batch)
        sizes.append(len(asked))
    assert sizes[0] == 10 and sizes.count(10) >= 2, "ten designs anywhere, seven batches without a success, ten more"
    assert sizes[1:8] == [16] * 7 and sizes[8] == 10


def test_earlier_trials_take_the_place_of_a_start() -> None:
    toy, specs = Rosenbrock(4), Specs([Spec("value", goal="minimize")])
    generator = np.random.default_rng(0)
    earlier = [trial_of(toy, n, unit) for n, unit in enumerate(generator.random((40, 4)))]
    optimizer = TrustRegion(toy.space, specs, 0, Budget(evaluations=200))
    optimizer.tell(earlier)
    asked = optimizer.ask(16)
    assert len(asked) == 16 and len(optimizer.log) == 1
    value = [trial_of(toy, 0, unit).metrics["value"] for unit in asked]
    assert np.median(value) < np.quantile([trial.metrics["value"] for trial in earlier], 0.25)


def test_it_says_what_it_modelled() -> None:
    study, optimizer = run(Kinds(), Kinds.specs, 40)
    assert len(optimizer.log) == 2, "two batches of models, after a start of ten"
    first = optimizer.log[0]
    assert first.startswith("10 trials known: 10 points modelled, the nearest to trial ")
    assert "region of length 0.8; length scales: value: " in first
    labels = {"material=a", "material=b", "material=c", "material=d", "shape=flat", "shape=round", "x", "n"}
    named = {part.split()[0] for part in first.rsplit("value: ", 1)[1].split(", ")}
    assert len(named) == 3 and named <= labels
    assert study.trials[int(first.split("trial ")[1].split(";")[0])].status == "ok"


def test_models_are_made_of_a_bounded_number_of_points() -> None:
    toy, specs = Rosenbrock(3), Specs([Spec("value", goal="minimize")])
    optimizer = make("trust-region", toy.space, specs, 0, Budget())
    optimizer.tell([trial_of(toy, n, unit) for n, unit in enumerate(np.random.default_rng(0).random((1000, 3)))])
    optimizer.ask(4)
    assert isinstance(optimizer, TrustRegion) and "1000 trials known: 300 points modelled" in optimizer.log[0]
