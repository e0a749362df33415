"""Contract tests for optimizers and problems, and toy problems with known optima.

A new optimizer or problem inherits every test by one line: call the contract with a way to make it. A breach raises
``AssertionError``, which names what was promised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np

from automl_core.budget import Budget
from automl_core.errors import EvaluationError
from automl_core.optimizers import make
from automl_core.problem import Allowed, Evaluation, Problem, Repairing, Request, Sequential, Trial
from automl_core.space import Array, DesignSpace, Edge, Node, Point, Variable
from automl_core.specs import Spec, Specs

__all__ = [
    "Allocation",
    "Cliff",
    "Corners",
    "Kinds",
    "Rosenbrock",
    "check_optimizer",
    "check_problem",
    "trial_of",
]


# Toy problems. Each states its optimum.


@dataclass(frozen=True)
class Rosenbrock:
    """The banana valley: least value 0 at (1, ..., 1). Source: Rosenbrock (1960)."""

    dim: int = 2

    scenarios = ("",)
    specs = Specs([Spec("value", maximum=1e-3)])

    @property
    def space(self) -> DesignSpace:
        """``dim`` numbers in [-2, 2]."""
        return DesignSpace([Variable(f"x{i}", -2.0, 2.0) for i in range(self.dim)])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """The metric ``value``."""
        x = np.array([float(point[f"x{i}"]) for i in range(self.dim)])
        value = float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)) if self.dim > 1 else (x[0] - 1) ** 2
        return Evaluation({"value": float(value)})


@dataclass(frozen=True)
class Corners:
    """A quadratic seen from three scenarios that pull it apart.

    The metric is (x - shift)² + y² with shift 0, -1, +1: the worst over scenarios is least, 1, at the origin.
    """

    scenarios = ("nominal", "low", "high")
    specs = Specs([Spec("distance", maximum=4.0, goal="minimize")])

    @property
    def space(self) -> DesignSpace:
        """Two numbers, begun at (2.5, 2.5)."""
        return DesignSpace([Variable("x", -3.0, 3.0, start=2.5), Variable("y", -3.0, 3.0, start=2.5)])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """The metric ``distance``."""
        shift = {"nominal": 0.0, "low": -1.0, "high": 1.0}[scenario]
        return Evaluation({"distance": (float(point["x"]) - shift) ** 2 + float(point["y"]) ** 2})


@dataclass(frozen=True)
class Allocation:
    """Integers that share a budget: a toy of channel pruning.

    Four parts keep n_i of 16; the cost sum(w_i n_i) with weights 1, 2, 3, 4 may be 80 of 160; the value is
    sum(v_i sqrt(n_i)) with v = 1, 2, 1, 4. Its greatest value, by enumeration of all 16^4 designs, is 24.2164 at
    (11, 11, 1, 11).
    """

    weights = (1, 2, 3, 4)
    values = (1.0, 2.0, 1.0, 4.0)
    limit = 80
    scenarios = ("",)
    specs = Specs([Spec("value", minimum=23.0, goal="maximize"), Spec("cost", maximum=limit)])

    @property
    def space(self) -> DesignSpace:
        """Four integers, each at a node with its weight, in a chain."""
        variables = [Variable(f"n{i}", 1, 16, integer=True) for i in range(4)]
        nodes = [
            Node(f"part{i}", "part", {"weight": float(w), "value": v}, {"n": f"n{i}"})
            for i, (w, v) in enumerate(zip(self.weights, self.values, strict=True))
        ]
        return DesignSpace(variables, nodes, [Edge(f"part{i}", f"part{i + 1}", "next") for i in range(3)])

    def cost(self, point: Point) -> int:
        """Weighted sum of what is kept, of the parts that are decided."""
        return sum(w * int(point[f"n{i}"]) for i, w in enumerate(self.weights) if f"n{i}" in point)

    def allowed(self, prefixes: Sequence[Point]) -> list[Allowed]:
        """What still fits when the rest is at its least."""
        answers = []
        for prefix in prefixes:
            position = len(prefix)
            rest = sum(self.weights[position + 1 :])
            most = (self.limit - self.cost(prefix) - rest) // self.weights[position]
            features = {"spent": self.cost(prefix) / self.limit, "rest": rest / self.limit}
            answers.append(Allowed(values=tuple(range(1, min(16, most) + 1)), features=features))
        return answers

    def repair(self, point: Point) -> dict[str, int]:
        """Take from the largest until the budget holds; a design within it stays as it is."""
        kept = {f"n{i}": int(point[f"n{i}"]) for i in range(4)}
        while self.cost(kept) > self.limit:
            kept[max(kept, key=lambda name: kept[name])] -= 1
        return kept

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """The metrics ``value`` and ``cost``, and what each part gave."""
        gains = [v * math.sqrt(int(point[f"n{i}"])) for i, v in enumerate(self.values)]
        seen = {f"part{i}": {"gain": gain} for i, gain in enumerate(gains)}
        return Evaluation({"value": sum(gains), "cost": self.cost(point)}, seen)


@dataclass(frozen=True)
class Kinds:
    """Choices among numbers: least value 0 with material "b", shape "round" and x = 0.25 (its start is elsewhere)."""

    scenarios = ("",)
    specs = Specs([Spec("value", maximum=0.01)])

    @property
    def space(self) -> DesignSpace:
        """Two choices, a number on a log scale and an integer."""
        return DesignSpace(
            [
                Variable("material", choices=("a", "b", "c", "d"), start="d"),
                Variable("shape", choices=("flat", "round"), start="flat"),
                Variable("x", 0.01, 1.0, scale="log", start=0.5),
                Variable("n", 1, 9, integer=True, start=2),
            ]
        )

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """The metric ``value``."""
        wrong = {"a": 0.7, "b": 0.0, "c": 0.3, "d": 0.5}[str(point["material"])] + 0.4 * (point["shape"] != "round")
        value = wrong + math.log(float(point["x"]) / 0.25) ** 2 + 0.1 * abs(int(point["n"]) - 6)
        return Evaluation({"value": value})


@dataclass(frozen=True)
class Cliff:
    """A third of the cube fails, and a metric is missing in another part: the least sum, 0.6, lies at the edge."""

    dim: int = 3
    scenarios = ("",)
    specs = Specs([Spec("sum", maximum=0.9), Spec("product", minimum=1e-9)])

    @property
    def space(self) -> DesignSpace:
        """``dim`` numbers in [0, 1]."""
        return DesignSpace([Variable(f"x{i}") for i in range(self.dim)])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """Fails where the first coordinate is below 1/3; ``product`` is missing where it is above 0.9."""
        x = [float(point[f"x{i}"]) for i in range(self.dim)]
        if x[0] < 1 / 3:
            raise EvaluationError(f"x0 is {x[0]:.3g}, below 1/3")
        return Evaluation({"sum": sum(x), "product": math.nan if x[0] > 0.9 else math.prod(x)})


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
    for problem, specs in toys:
        here = _history(name, problem, specs, seed=3, batches=6)
        with get_context("spawn").Pool(1) as other:
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
    ``allowed`` leads to designs that repair leaves alone; evaluation raises ``EvaluationError`` or nothing.

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
    if isinstance(problem, Sequential):
        _check_allowed(problem, generator)


def _figures(problem: Problem, point: Point, scenario: str) -> dict[str, str]:
    """The metrics as text, so that NaN equals NaN."""
    try:
        return {name: repr(value) for name, value in problem.evaluate(point, scenario, 0).metrics.items()}
    except EvaluationError as error:
        return {"error": str(error)}


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
