"""The Parzen estimator: how it hands a design to optuna, what it hands over, and that optuna keeps quiet."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_core.budget import Budget
from automl_core.optimizers.tpe import TreeParzen
from automl_core.problem import Trial
from automl_core.space import DesignSpace, Variable
from automl_core.specs import Spec, Specs
from automl_core.testing import trial_of
from automl_core.toys import Allocation, Kinds, Rosenbrock, Spring

MIXED = DesignSpace(
    [
        Variable("choice", choices=("a", 2, 0.5)),
        Variable("grid", -1.0, 1.0, step=0.25),
        Variable("log_grid", 1e-6, 1e-4, scale="log", step=5e-8),
        Variable("whole", 2, 40, integer=True),
        Variable("log_whole", 1, 1000, integer=True, scale="log"),
        Variable("log_evens", 2, 64, integer=True, scale="log", step=2),
        Variable("number", -3.0, 5.0),
        Variable("log_number", 1e-12, 1e-9, scale="log"),
        Variable("fixed", 7.0, 7.0),
    ]
)


def tell_sum(optimizer: TreeParzen, unit: np.ndarray, number: int) -> None:
    point = MIXED.decode(unit)
    optimizer.tell([Trial(number, unit, MIXED.encode(point), point, {"sum": float(unit.sum())})])


@given(st.lists(st.floats(0, 1), min_size=MIXED.dim, max_size=MIXED.dim))
def test_a_design_goes_to_optuna_and_back_unchanged(unit: list[float]) -> None:
    optimizer = TreeParzen(MIXED, Specs([Spec("sum", maximum=0.5)]), 0, Budget())
    point = MIXED.decode(np.array(unit))
    params = {name: axis.parameter(point[name]) for name, axis in optimizer._axes.items()}
    for name, distribution in optimizer._distributions.items():
        assert distribution._contains(distribution.to_internal_repr(params[name]))
    back = np.array([axis.coordinate(params[name]) for name, axis in optimizer._axes.items()])
    assert MIXED.decode(back) == point


def test_every_kind_of_variable_can_be_proposed() -> None:
    optimizer = TreeParzen(MIXED, Specs([Spec("sum", maximum=0.5)]), 0, Budget())
    first = optimizer.ask(16)
    for number, unit in enumerate(first):
        tell_sum(optimizer, unit, number)
    asked = optimizer.ask(16)
    assert np.median(asked.sum(axis=1)) < np.median(first.sum(axis=1)), "it follows what it was told"
    for unit in asked:
        decoded = MIXED.decode(unit)
        assert MIXED.decode(MIXED.encode(decoded)) == decoded


def test_a_sampler_with_constraints_proposes_the_same() -> None:
    """Optuna is asked directly, with the violation as its constraint and the merit as its value."""
    toy = Spring()
    optimizer = TreeParzen(toy.space, toy.specs, 0, Budget())
    generator = np.random.default_rng(1)
    told = [trial_of(toy, n, unit) for n, unit in enumerate(generator.random((60, 3)) * [0.05, 0.9, 0.9])]
    scores = [toy.specs.judge(trial) for trial in told]
    assert {score.feasible for score in scores} == {True, False}
    optimizer.tell(told)
    seed = int(np.random.default_rng((0, 0)).integers(2**31))
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    names = list(toy.space.by_name)
    space = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in names}
    for trial, score in zip(told, scores, strict=True):
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(zip(names, trial.unit.tolist(), strict=True)),
                distributions=dict(space),
                value=-score.merit,
                constraints={"violation": score.violation},
            )
        )
    directly = [list(study.ask(dict(space)).params.values()) for _ in range(4)]
    assert optimizer.ask(4).tolist() == directly


def test_what_it_is_handed_is_bounded_and_holds_the_best_and_the_latest() -> None:
    toy = Rosenbrock(2)
    specs = Specs([Spec("value", goal="minimize")])
    optimizer = TreeParzen(toy.space, specs, 0, Budget())
    told = [trial_of(toy, n, unit) for n, unit in enumerate(np.random.default_rng(0).random((500, 2)))]
    optimizer.tell(told)
    optimizer.tell(told)
    handed = [(trial.params["x0"], trial.params["x1"]) for trial in optimizer._window()]
    assert len(handed) == 300 and len(set(handed)) == 300
    best = sorted(told, key=lambda trial: trial.metrics["value"])[:25]
    assert {tuple(trial.unit.tolist()) for trial in [*best, *told[-275:]]} <= set(handed)
    wide = TreeParzen(Rosenbrock(1000).space, specs, 0, Budget())
    assert wide._limit == 100


def test_a_small_space_is_left_for_designs_that_are_new() -> None:
    space = DesignSpace([Variable("a", 0, 3, integer=True), Variable("b", choices=("x", "y", "z"))])
    optimizer = TreeParzen(space, Specs([Spec("v", goal="minimize")]), 0, Budget())
    seen: set[bytes] = set()
    for number in range(60):
        (unit,) = optimizer.ask(1)
        point = space.decode(unit)
        seen.add(unit.tobytes())
        value = abs(int(point["a"]) - 1) + 2.0 * (point["b"] != "y")
        optimizer.tell([Trial(number, unit, space.encode(point), point, {"v": value})])
    assert len(seen) == 12


def test_repair_to_a_known_design_is_not_asked_for_again() -> None:
    toy = Allocation()
    optimizer = TreeParzen(toy.space, toy.specs, 0, Budget())
    full = toy.space.encode({f"n{i}": 16 for i in range(4)})
    less = toy.space.encode({"n0": 16, "n1": 16, "n2": 16, "n3": 15})
    known = trial_of(toy, 0, full)
    optimizer.tell([known])
    assert trial_of(toy, 1, less).point == known.point
    optimizer.tell([trial_of(toy, 0, less)])
    values = [trial.value for trial in optimizer._window()]
    assert values == [toy.specs.judge(known).loss, toy.specs.worst_violation]


def test_optuna_keeps_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    verbosity = optuna.logging.get_verbosity()
    toy = Kinds()
    optimizer = TreeParzen(toy.space, toy.specs, 0, Budget())
    for batch in range(3):
        optimizer.tell([trial_of(toy, 8 * batch + n, unit) for n, unit in enumerate(optimizer.ask(8))])
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == verbosity
