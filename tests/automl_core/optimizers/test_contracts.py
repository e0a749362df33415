import itertools
import subprocess
import sys

import numpy as np
import pytest

from automl_core.budget import Budget
from automl_core.errors import InputError
from automl_core.optimizers import make, names
from automl_core.optimizers.portfolio import Auto, choose
from automl_core.pool import Pool
from automl_core.problem import Evaluation, Problem
from automl_core.record import Record
from automl_core.space import DesignSpace, Point, Variable
from automl_core.specs import Spec, Specs
from automl_core.study import Study
from automl_core.testing import (
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
    check_optimizer,
    check_problem,
    trial_of,
)

TOYS = (
    Rosenbrock(3),
    Corners(),
    HotFailure(),
    Allocation(),
    Kinds(),
    Cliff(),
    Ackley(),
    PressureVessel(),
    Spring(),
    BinhKorn(),
)


@pytest.mark.parametrize("name", names())
def test_every_optimizer_keeps_its_contract(name: str) -> None:
    check_optimizer(name)


@pytest.mark.parametrize("problem", TOYS)
def test_every_toy_keeps_the_contract_of_a_problem(problem: Problem) -> None:
    check_problem(lambda: problem)


def test_a_problem_whose_figures_no_record_can_keep_breaks_its_contract() -> None:
    class Array(Rosenbrock):
        def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
            return Evaluation({"value": np.array(1.0)})  # type: ignore[dict-item]

    with pytest.raises(AssertionError, match=r"are numbers, text or names: .*numpy.ndarray"):
        check_problem(lambda: Array(2))


def best(name: str, problem: Problem, specs: Specs, evaluations: int, seed: int) -> Study:
    study = Study(problem, specs, Pool(problem), Record.create(":memory:"), budget=Budget(evaluations=evaluations))
    study.run(make(name, problem.space, specs, seed, study.budget), stop="budget")
    return study


@pytest.mark.parametrize("name", ["cmaes", "de"])
def test_known_optima_are_found(name: str) -> None:
    valley = best(name, Rosenbrock(3), Specs([Spec("value", goal="minimize")]), 3000, 0)
    assert valley.best is not None and valley.best.metrics["value"] < 1e-3
    corners = best(name, Corners(), Corners.specs, 2500, 0)
    assert corners.best is not None and corners.best.metrics["distance"] == pytest.approx(1.0, abs=0.02)
    kinds = best(name, Kinds(), Kinds.specs, 1500, 0)
    assert kinds.best is not None and kinds.best.point["material"] == "b" and kinds.best.point["shape"] == "round"
    assert kinds.best.metrics["value"] < 0.01
    shared = best(name, Allocation(), Allocation.specs, 1000, 0)
    assert shared.best is not None and shared.best.metrics["value"] > 0.99 * 24.2164


@pytest.mark.parametrize(
    ("name", "evaluations"), [("cmaes", 600), ("de", 600), ("nsga2", 600), ("tpe", 200), ("trust-region", 100)]
)
def test_search_beats_chance_at_equal_evaluations(name: str, evaluations: int) -> None:
    specs = Specs([Spec("value", goal="minimize")])

    def median(name: str) -> float:
        found = [best(name, Rosenbrock(6), specs, evaluations, seed).best for seed in range(5)]
        return float(np.median([trial.metrics["value"] for trial in found if trial is not None]))

    assert median(name) < 0.5 * median("random")


def test_auto_says_what_it_picked_and_why() -> None:
    numbers = DesignSpace([Variable(f"x{i}") for i in range(10)])
    specs, goals = Cliff.specs, Specs([Spec(name, goal="minimize", scale=1.0) for name in "abc"])
    few = choose(numbers, specs, Budget(evaluations=20))
    assert few.names == ("random",) and "10 variables, 20 evaluations" in few.reason
    full = choose(numbers, specs, Budget(evaluations=2000))
    assert (full.opening, full.names) == ("trust-region", ("seq2seq", "cmaes"))
    assert full.words == "trust-region to begin with, then seq2seq, where it stalls cmaes"
    mixed = DesignSpace([*numbers.variables, Variable("kind", choices=("a", "b"))])
    assert choose(mixed, specs, Budget(evaluations=2000)).opening is None, "a choice is no number"
    assert choose(numbers, specs, Budget(evaluations=200)).names == ("seq2seq",), "too short to change horses"
    assert choose(numbers, goals, Budget(evaluations=2000)).names == ("nsga2",)
    assert choose(numbers, specs, Budget(300, evaluation_seconds=5.0)).names == ("trust-region",)
    assert choose(numbers, specs, Budget(50_000, evaluation_seconds=1e-4)).names == ("cmaes",)
    kinds = DesignSpace([Variable(f"k{i}", choices=tuple(range(9))) for i in range(200)])
    assert choose(kinds, specs, Budget(evaluations=2000)).names == ("de",)
    for unlimited in (Budget(), Budget(seconds=600)):
        assert choose(numbers, specs, unlimited).names == ("seq2seq", "cmaes"), "nothing says that all designs fit"
        grid = DesignSpace([Variable(f"n{i}", 1, 100, integer=True) for i in range(10)])
        assert choose(grid, specs, unlimited).names == ("seq2seq", "cmaes"), "nor that 10^20 do"
        assert choose(DesignSpace(grid.variables[:1]), specs, unlimited).names == ("random",)
    assert choose(numbers, specs, Budget(seconds=10, evaluation_seconds=1.0)).names == ("random",), "ten evaluations"
    assert "1e+03 ms each" in choose(numbers, specs, Budget(seconds=10, evaluation_seconds=1.0)).reason


class Plateau:
    """The same everywhere: whoever searches here stalls."""

    scenarios = ("",)
    space = DesignSpace([Variable("x"), Variable("y")])
    specs = Specs([Spec("value", maximum=1.0)])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        return Evaluation({"value": 2.0})


def test_auto_hands_over_where_the_first_stalls() -> None:
    problem = Plateau()
    auto = Auto(problem.space, problem.specs, 0, Budget(2000))
    assert auto.choice.names == ("seq2seq", "cmaes")
    spent, turns = 0, {}
    while spent < 900:
        asked = auto.ask(16)
        auto.tell([trial_of(problem, spent + i, row) for i, row in enumerate(asked)])
        spent += len(asked)
        turns.setdefault(auto._turn, (spent, type(auto._members[auto._active]).__name__))
    names_in_turn = [name for _, name in turns.values()]
    assert names_in_turn[:4] == ["TrustRegion", "Seq2Seq", "CmaEs", "Seq2Seq"], "the opening never comes again"
    ends = [0, *(begun for begun, _ in list(turns.values())[1:4])]
    assert all(130 <= later - sooner <= 190 for sooner, later in itertools.pairwise(ends))


def test_auto_goes_on_from_the_agents_turn_after_the_opening() -> None:
    problem, trials = Plateau(), []
    auto = Auto(problem.space, problem.specs, 0, Budget(2000))
    while (state := auto.checkpoint() if auto._turn else None) is None:
        new = [trial_of(problem, len(trials) + i, row) for i, row in enumerate(auto.ask(8))]
        auto.tell(new)
        trials += new
    assert auto._turn == 1, "the agent has asked often enough to keep its state"
    restored = Auto(problem.space, problem.specs, 0, Budget(2000))
    restored.restore(state, trials)
    assert np.array_equal(restored.ask(8), auto.ask(8))


def test_an_unknown_name_is_answered_by_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'cmaes'"):
        make("cmase", Cliff().space, Cliff.specs, 0, Budget())


def test_the_names_cost_no_heavy_import() -> None:
    heavy = {"numpy", "torch", "optuna", "pymoo"}
    code = f"import sys; from automl_core.optimizers import names; print(*names(), *({heavy} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert tuple(answer.split()) == names(), "the help of the command line lists them within 0.3 s"
