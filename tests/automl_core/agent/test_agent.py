from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from automl_core.agent.agent import Agent, Gcn, Seq2Seq
from automl_core.agent.policy_files import kind_of, read_policy
from automl_core.budget import Budget
from automl_core.errors import InputError
from automl_core.optimizers import make
from automl_core.pool import Pool
from automl_core.problem import Allowed, Evaluation
from automl_core.record import Record
from automl_core.space import DesignSpace, Point, Variable
from automl_core.specs import Spec, Specs
from automl_core.study import Study
from automl_core.targets import Range, Targets
from automl_core.testing import Allocation, Kinds, Rosenbrock, trial_of
from tests.automl_core.agent.problems import Amplifier, told

KINDS = ("seq2seq", "gcn")


def study_of(problem: object, name: str, evaluations: int, seed: int = 0, record: Record | None = None) -> Study:
    study = Study(
        problem,  # type: ignore[arg-type]
        problem.specs,  # type: ignore[attr-defined]
        Pool(problem),  # type: ignore[arg-type]
        record or Record.create(":memory:"),
        seed=seed,
        budget=Budget(evaluations),
    )
    study.run(make(name, study.problem.space, study.specs, seed, study.budget), stop="met", batch=8)
    return study


@pytest.mark.parametrize("name", KINDS)
def test_it_goes_deeper_into_the_valley_than_chance_with_five_times_as_many_evaluations(name: str) -> None:
    problem, specs = Rosenbrock(6), Specs([Spec("value", goal="minimize")])

    def depth(optimizer: str, evaluations: int) -> float:
        study = Study(problem, specs, Pool(problem), Record.create(":memory:"), budget=Budget(evaluations))
        study.run(make(optimizer, problem.space, specs, 0, study.budget), stop="budget")
        assert study.best is not None
        return study.best.metrics["value"]

    assert depth(name, 240) < 0.5 * depth("random", 1200)


def test_it_handles_choices_and_budgets_that_are_shared() -> None:
    kinds = study_of(Kinds(), "seq2seq", 400)
    assert kinds.best is not None and kinds.best.point["material"] == "b" and kinds.best.point["shape"] == "round"
    shared = study_of(Allocation(), "gcn", 300)
    assert shared.best is not None and shared.best.metrics["value"] > 23.0


class EqualParts:
    """Ten parts that are worth the same share a budget, so that each had best get a tenth of it."""

    scenarios = ("",)
    limit = 80
    specs = Specs([Spec("value", goal="maximize", scale=20.0), Spec("cost", maximum=limit)])
    space = DesignSpace([Variable(f"n{i}", 1, 16, integer=True) for i in range(10)])

    def allowed(self, prefixes: Sequence[Point]) -> list[Allowed]:
        """What leaves one for each of the rest."""
        spent = [sum(int(n) for n in prefix.values()) for prefix in prefixes]
        rest = [self.space.dim - len(prefix) - 1 for prefix in prefixes]
        return [Allowed(range(1, min(16, self.limit - s - r) + 1)) for s, r in zip(spent, rest, strict=True)]

    def repair(self, point: Point) -> dict[str, int]:
        """One is taken from each in turn."""
        kept, turn = [int(point[variable.name]) for variable in self.space.variables], 0
        while sum(kept) > self.limit:
            kept[turn % len(kept)] = max(kept[turn % len(kept)] - 1, 1)
            turn += 1
        return {f"n{i}": n for i, n in enumerate(kept)}

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """The sum of the roots, and what is spent."""
        kept = [int(n) for n in point.values()]
        return Evaluation({"value": sum(n**0.5 for n in kept), "cost": float(sum(kept))})


@pytest.mark.parametrize("name", KINDS)
def test_the_last_variables_get_their_share_of_a_budget(name: str) -> None:
    problem = EqualParts()
    study = Study(problem, problem.specs, Pool(problem), Record.create(":memory:"), budget=Budget(100))
    study.run(make(name, problem.space, problem.specs, 0, study.budget), stop="budget")
    tried = np.array([[float(n) for n in trial.point.values()] for trial in study.trials[40:]])
    assert tried[:, -3:].mean() > 0.8 * tried[:, :3].mean()
    assert study.best is not None and study.best.metrics["value"] > 0.99 * 10 * 8**0.5


def proposed(agent: Agent, problem: Rosenbrock, asks: int, begun: int = 0) -> list[list[float]]:
    designs: list[list[float]] = []
    for _ in range(asks):
        asked = agent.ask(8)
        agent.tell([trial_of(problem, begun + len(designs) + i, row) for i, row in enumerate(asked)])
        designs += asked.tolist()
    return designs


@pytest.mark.parametrize("kind", [Seq2Seq, Gcn])
def test_a_restored_agent_goes_on_as_if_nothing_had_happened(kind: type[Agent]) -> None:
    problem = Rosenbrock(3)

    def fresh() -> Agent:
        return kind(problem.space, problem.specs, 3, Budget(200))

    whole = fresh()
    proposed(whole, problem, 4)
    state = whole.checkpoint()
    assert state is not None
    trials = list(whole._memory.trials)
    rest = proposed(whole, problem, 3, len(trials))
    restored = fresh()
    restored.restore(state, trials)
    assert proposed(restored, problem, 3, len(trials)) == rest


def test_a_killed_study_resumes_from_the_agents_state_with_the_same_history(tmp_path: Path) -> None:
    problem = Rosenbrock(4)
    whole = study_of(problem, "seq2seq", 64)
    path = tmp_path / "study.sqlite"
    with Record.create(path) as record:
        study_of(problem, "seq2seq", 64, record=record)
        record._connection.execute("DELETE FROM trials WHERE number >= 56")
    with Record.open(path) as record:
        resumed = study_of(problem, "seq2seq", 64, record=record)
    assert [trial.unit.tolist() for trial in resumed.trials] == [trial.unit.tolist() for trial in whole.trials]


class Grid:
    """Sixteen designs, so that an agent soon knows them all."""

    scenarios = ("",)
    specs = Specs([Spec("value", goal="minimize")])
    space = DesignSpace([Variable("a", 1, 4, integer=True), Variable("b", 1, 4, integer=True)])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        return Evaluation({"value": (float(point["a"]) - 3) ** 2 + float(point["b"])})


@pytest.mark.parametrize("kind", [Seq2Seq, Gcn])
def test_a_restored_agent_draws_on_at_random_where_it_knows_every_design_that_it_ranks(kind: type[Agent]) -> None:
    problem, whole, restored = Grid(), *(kind(Grid.space, Grid.specs, 0, Budget(64)) for _ in range(2))
    grid = [problem.space.encode({"a": a, "b": b}) for a in range(1, 5) for b in range(1, 5)]
    trials = [trial_of(problem, number, design) for number, design in enumerate(grid)]
    drawn = whole.ask(7).tolist()
    whole.tell(trials)
    for _ in range(3):
        drawn += whole.ask(1).tolist()
    state = whole.checkpoint()
    assert state is not None
    restored.restore(state, trials)
    new = whole.ask(1).tolist()
    assert restored.ask(1).tolist() == new and new[0] not in drawn


@pytest.mark.parametrize("kind", [Seq2Seq, Gcn])
def test_a_policy_survives_its_files_and_loads_on_another_problem(kind: type[Agent], tmp_path: Path) -> None:
    problem = Amplifier()
    agent = kind(problem.space, problem.specs, 0, Budget(200))
    units = np.random.default_rng(0).random((20, 4)).tolist()
    agent.tell(told(problem, units))
    agent.ask(4)
    agent.save(tmp_path)
    assert kind_of(tmp_path) == kind.settings.policy

    same = kind(problem.space, problem.specs, 1, Budget(200))
    assert "knows every kind, variable and metric" in same.load(tmp_path)
    same.tell(told(problem, units))
    ours, theirs = agent._ready().parts().tensors, same._ready().parts().tensors
    assert all((ours[name] == theirs[name]).all() for name in ours if name.startswith(("actor", "critic")))

    other = Amplifier(names=("nmos", "capacitor"))
    moved = kind(other.space, other.specs, 0, Budget(200))
    said = moved.load(tmp_path)
    assert "begins afresh with: capacitor, capacitor.r" in said and "nmos" not in said
    moved.tell(told(other, units))
    heads, names = moved._ready().parts(), read_policy(tmp_path, kind.settings.policy)
    at = heads.names["actor.heads.rows"].index("nmos.w")
    kept = names.parts.names["actor.heads.rows"].index("nmos.w")
    assert (heads.tensors["actor.heads.rows"][at] == names.parts.tensors["actor.heads.rows"][kept]).all()
    assert 1 <= len(moved.ask(8)) <= 8, "few at first"


def test_a_policy_of_another_kind_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    problem = Amplifier()
    agent = Seq2Seq(problem.space, problem.specs, 0, Budget(200))
    agent.tell(told(problem, [[0.5] * 4, [0.2] * 4]))
    agent.save(tmp_path)
    with pytest.raises(InputError, match="not of 'gcn'"):
        Gcn(problem.space, problem.specs, 0, Budget()).load(tmp_path)
    weights = tmp_path / "policy.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match="weights cannot be read"):
        Seq2Seq(problem.space, problem.specs, 0, Budget()).load(tmp_path)
    (tmp_path / "policy.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        Seq2Seq(problem.space, problem.specs, 0, Budget()).load(tmp_path)
    with pytest.raises(InputError, match="no policy in this folder"):
        Seq2Seq(problem.space, problem.specs, 0, Budget()).load(tmp_path / "none")


class Line:
    """The metric is the variable: the least design that meets a target is the target itself."""

    scenarios = ("",)
    space = DesignSpace([Variable("x")])
    specs = Specs([Spec("value", minimum=0.5, goal="minimize", scale=0.1)])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        return Evaluation({"value": float(point["x"])})


@pytest.mark.parametrize("kind", [Seq2Seq, Gcn])
def test_a_policy_trained_over_targets_answers_each_with_a_design_of_its_own(kind: type[Agent]) -> None:
    problem = Line()
    targets = Targets(problem.specs, {"value": Range(0.1, 0.9)}, {})
    agent = kind(problem.space, targets.middle, 0, Budget(120))
    agent.aim(targets)
    trials = [trial_of(problem, i, np.array([x])) for i, x in enumerate(np.linspace(0.01, 0.99, 40))]
    agent.tell(trials)
    networks = agent._ready()
    for _ in range(5):
        networks.learn(160, targets.draw(64, np.random.default_rng(0)), None)
    asked = [Specs([replace(problem.specs.specs[0], minimum=target)]) for target in (0.2, 0.5, 0.8)]
    with torch.no_grad():
        low, middle, high = networks.actor(agent._memory.states([-1, -1, -1], asked))[:, 0].tolist()
    assert low < middle < high and high - low > 0.3, (low, middle, high)


def test_every_design_of_a_training_is_for_a_target_of_its_own() -> None:
    problem = Line()
    targets = Targets(problem.specs, {"value": Range(0.1, 0.9)}, {})
    agent = Seq2Seq(problem.space, targets.middle, 0, Budget(120))
    agent.aim(targets)
    agent.tell([trial_of(problem, i, np.array([x])) for i, x in enumerate(np.linspace(0.01, 0.99, 40))])
    designs = agent.ask(16)[:, 0]
    assert len(designs) == 16 and designs.max() - designs.min() > 0.4, "all over the range, not at its middle"


def test_of_many_variables_few_are_moved_from_the_start_at_first() -> None:
    specs, budget = Specs([Spec("loss", goal="minimize")]), Budget(200)
    wide = DesignSpace([Variable(f"v{number}", 0.0, 1.0, start=0.3) for number in range(60)])
    drawn = Seq2Seq(wide, specs, 0, budget).ask(40)
    moved = np.abs(drawn - 0.3) > 1e-9
    assert 0.1 < moved.mean() < 0.3
    assert np.array_equal(drawn, Seq2Seq(wide, specs, 0, budget).ask(40))
    for space in (
        DesignSpace([Variable(f"v{number}", 0.0, 1.0, start=0.3) for number in range(30)]),
        DesignSpace([Variable(f"v{number}", 0.0, 1.0) for number in range(60)]),
    ):
        everywhere = Seq2Seq(space, specs, 0, budget).ask(64)
        assert everywhere.mean(0) == pytest.approx(0.5, abs=0.1)  # a low-discrepancy sequence fills every axis evenly
