"""Contract tests for optimizers and problems; the toy problems they run on are those of ``toys.py``.

A new optimizer or problem inherits every test by one line: call the contract with a way to make it. A breach raises
``AssertionError``, which names what was promised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from multiprocessing import get_context

import numpy as np

from automl_core.budget import Budget
from automl_core.errors import EvaluationError
from automl_core.optimizers import make
from automl_core.pool import Pool
from automl_core.problem import Problem, Repairing, Request, Sequential, Trial
from automl_core.record import Record
from automl_core.space import Array, Point
from automl_core.specs import Spec, Specs
from automl_core.study import Study
from automl_core.toys import (
    Ackley,
    Allocation,
    BinhKorn,
    Cliff,
    Corners,
    HotFailure,
    Kinds,
    PressureVessel,
    Rosenbrock,
    Spring,
)

__all__ = [
    "Ackley",
    "Allocation",
    "BinhKorn",
    "Cliff",
    "Corners",
    "HotFailure",
    "Kinds",
    "PressureVessel",
    "Rosenbrock",
    "Spring",
    "check_optimizer",
    "check_problem",
    "trial_of",
]


def trial_of(problem: Problem, number: int, asked: Array, seed: int = 0) -> Trial:
    """One trial in all scenarios, without a study."""
    point: Point = problem.space.decode(asked)
    if isinstance(problem, Repairing):
        point = problem.repair(point)
    unit = problem.space.encode(point)
    by_scenario = {}
    for scenario in problem.scenarios:
        try:
            by_scenario[scenario] = problem.evaluate(*Request(point, scenario, seed)).metrics
        except EvaluationError as error:
            return Trial(number, asked, unit, point, {}, status="failed", error=str(error))
    metrics = next(iter(by_scenario.values()))
    return Trial(number, asked, unit, point, metrics, by_scenario)


# Contracts.


def _history(name: str, problem: Problem, specs: Specs, seed: int, batches: int) -> list[list[float]]:
    """Designs asked for over several batches; each batch is told in reverse, the first one with a foreign trial."""
    optimizer = make(name, problem.space, specs, seed, Budget(evaluations=10 * batches))
    foreign = trial_of(problem, 0, np.full(problem.space.dim, 0.5))
    optimizer.tell([foreign])
    history: list[list[float]] = []
    for batch in range(batches):
        asked = optimizer.ask(7)
        _check_asked(asked, 7, problem.space.dim)
        trials = [trial_of(problem, 1 + 7 * batch + i, row) for i, row in enumerate(asked)]
        optimizer.tell(trials[::-1])
        history += asked.tolist()
    return history


def _check_asked(asked: Array, n: int, dim: int) -> None:
    assert asked.ndim == 2 and 1 <= len(asked) <= n and asked.shape[1] == dim, f"shape {asked.shape} for ask({n})"
    assert np.isfinite(asked).all() and asked.min() >= 0 and asked.max() <= 1, "designs lie in the unit cube"


def check_optimizer(name: str, *, dims: Sequence[int] = (1, 1000)) -> None:
    """Every promise of an optimizer.

    It asks in bounds; takes foreign, failed and reordered trials, trials with metrics missing, and trials nobody tells
    it of; repeats exactly under its seed, in another process too; differs under another seed; survives spaces of
    ``dims`` variables and choices.

    Raises:
        AssertionError: it breaks one of them.
    """
    toys: list[tuple[Problem, Specs]] = [(Cliff(), Cliff.specs), (Kinds(), Kinds.specs), (Corners(), Corners.specs)]
    with get_context("spawn").Pool(1) as other:
        for problem, specs in toys:
            here = _history(name, problem, specs, seed=3, batches=6)
            there = other.apply(_history, (name, problem, specs, 3, 6))
            assert here == there, "the same seed gives the same designs in another process"
    assert _history(name, Rosenbrock(3), Rosenbrock.specs, 1, 4) != _history(
        name, Rosenbrock(3), Rosenbrock.specs, 2, 4
    )
    for dim in dims:
        _history(name, Rosenbrock(dim), Rosenbrock.specs, seed=0, batches=3)
    optimizer = make(name, Rosenbrock(2).space, Rosenbrock.specs, 0, Budget())
    optimizer.tell([])
    for _ in range(30):
        _check_asked(optimizer.ask(5), 5, 2)


def check_problem(make_problem: Callable[[], Problem], *, designs: int = 8, seed: int = 0) -> None:
    """Every promise of a problem.

    The space round-trips; the same request gives the same figures; repair is idempotent and stays in the space;
    ``allowed`` leads to designs that repair leaves alone; evaluation raises ``EvaluationError`` or nothing; a record
    gives a trial back as it was.

    Raises:
        AssertionError: it breaks one of them.
    """
    problem = make_problem()
    generator = np.random.default_rng(seed)
    for _ in range(designs):
        point: Point = problem.space.decode(generator.random(problem.space.dim))
        assert problem.space.decode(problem.space.encode(point)) == point, "decode inverts encode"
        if isinstance(problem, Repairing):
            repaired = problem.repair(point)
            assert problem.repair(repaired) == repaired, "repair is idempotent"
            assert problem.space.nearest(repaired) == repaired, "repair stays on the grid"
            point = repaired
        for scenario in problem.scenarios:
            first, second = (_figures(problem, point, scenario) for _ in range(2))
            assert first == second, f"the same design gives the same figures: {first} and {second}"
    _check_kept(problem, generator.random(problem.space.dim))
    if isinstance(problem, Sequential):
        _check_allowed(problem, generator)


def _figures(problem: Problem, point: Point, scenario: str) -> dict[str, str]:
    """The metrics as text, so that NaN equals NaN."""
    try:
        return {name: repr(value) for name, value in problem.evaluate(point, scenario, 0).metrics.items()}
    except EvaluationError as error:
        return {"error": str(error)}


def _check_kept(problem: Problem, asked: Array) -> None:
    """A study can keep what the problem gives; numpy's scalars it takes for numbers, arrays and the rest not."""
    with Record.create(":memory:") as record, Pool(problem) as pool:
        study = Study(problem, Specs([Spec("", maximum=1.0)]), pool, record)
        try:
            trials = study.evaluate(asked[np.newaxis])
        except TypeError as error:
            raise AssertionError(f"points, metrics and observations are numbers, text or names: {error}") from error
        assert repr(trials) == repr(list(record.trials())), "a record gives a trial back as it was"


def _check_allowed(problem: Sequential, generator: np.random.Generator) -> None:
    for _ in range(20):
        prefix: dict[str, float | int | str] = {}
        for variable in problem.space.variables:
            (allowed,) = problem.allowed([prefix])
            options = allowed.values
            if allowed.mask is not None and variable.choices is not None:
                options = [choice for choice, ok in zip(variable.choices, allowed.mask, strict=True) if ok]
            value = variable.decode(generator.random()) if options is None else None
            prefix[variable.name] = (
                options[int(generator.integers(len(options)))] if options is not None else value or 0
            )
        assert problem.repair(prefix) == prefix, "what `allowed` permits needs no repair"
