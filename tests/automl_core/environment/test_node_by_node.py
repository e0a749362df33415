from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automl_core.environment import NodeByNode
from automl_core.environment.episode import Step, Vector
from automl_core.problem import Allowed, Evaluation
from automl_core.space import DesignSpace, Node, Point, Variable
from automl_core.specs import Spec, Specs
from automl_core.testing import Allocation, Kinds
from tests.automl_core.environment.studies import counted, study_of


def play(environment: NodeByNode, actions: Sequence[Sequence[float]]) -> tuple[Vector, list[Step]]:
    first, _ = environment.reset(seed=0)
    return first, [environment.step(np.array(action, np.float32)) for action in actions]


def test_each_node_gets_what_the_earlier_ones_left() -> None:
    """Weights 1, 2, 3, 4, a limit of 80, each part at least 1: by hand, the greedy design is (16, 16, 9, 1)."""
    study, batches = counted(Allocation(), Allocation.specs)
    _, steps = play(NodeByNode(study), [[1.0]] * 4)
    assert [step[2] for step in steps] == [False, False, False, True]
    assert [step[1] for step in steps[:3]] == [0.0, 0.0, 0.0] and batches == [1]
    assert study.trials[0].point == {"n0": 16, "n1": 16, "n2": 9, "n3": 1}
    assert study.problem.space.decode(study.trials[0].asked) == study.trials[0].point, "no repair was needed"
    assert steps[3][1] == -study.specs.judge(study.trials[0]).loss


def test_random_actions_never_need_a_repair() -> None:
    environment = NodeByNode(study_of(Allocation(), Allocation.specs))
    environment.action_space.seed(0)
    for _ in range(50):
        play(environment, [environment.action_space.sample() for _ in range(4)])
    space = Allocation().space
    assert all(space.decode(trial.asked) == trial.point for trial in environment.study.trials)
    assert len(environment.study.trials) > 40


def test_the_observation_shows_the_node_the_last_action_and_what_is_allowed() -> None:
    environment = NodeByNode(study_of(Allocation(), Allocation.specs))
    first, steps = play(environment, [[1.0], [1.0]])
    encode = Allocation().space.by_name["n0"].encode
    share, kind, value, weight, last, least, most = first[12:19].tolist()
    assert (share, kind, last) == (0.0, 1.0, 0.0)
    assert (value, weight) == (1 / 4, 1 / 4), "value 1 of 4 at most, weight 1 of 4 at most"
    np.testing.assert_allclose([least, most], [encode(1), encode(16)], atol=1e-6)
    share, kind, value, weight, last, least, most, rest, spent = steps[1][0][12:].tolist()
    assert (share, kind, value, weight) == (0.5, 1.0, 0.25, 0.75)
    np.testing.assert_allclose([last, least, most], [2 * encode(16) - 1, encode(1), encode(9)], atol=1e-6)
    assert spent > rest > 0, "48 of 80 are spent, and 4 of 80 are for the rest"


@dataclass(frozen=True)
class Clothes:
    """Two choices that exclude each other by index: the second may not repeat the first."""

    scenarios = ("",)
    specs = Specs([Spec("value", maximum=0.0, scale=1.0)])

    @property
    def space(self) -> DesignSpace:
        colours = ("red", "green", "blue")
        return DesignSpace([Variable("hat", choices=colours), Variable("coat", choices=colours)])

    def allowed(self, prefixes: Sequence[Point]) -> list[Allowed]:
        colours = self.space.variables[0].choices or ()
        return [Allowed(mask=np.array([colour != prefix.get("hat") for colour in colours])) for prefix in prefixes]

    def repair(self, point: Point) -> Point:
        return point

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        return Evaluation({"value": float(point["hat"] == point["coat"])})


def test_a_choice_that_is_masked_is_not_taken() -> None:
    study = study_of(Clothes(), Clothes.specs)
    first, steps = play(NodeByNode(study), [[-1.0, 0.9, 0.1], [-0.5, 0.9, 0.1]])
    assert study.trials[0].point == {"hat": "green", "coat": "blue"}
    assert first[-3:].tolist() == [1, 1, 1] and steps[0][0][-3:].tolist() == [1, 0, 1]


def test_nodes_decide_in_the_order_of_the_variables_and_a_shared_one_once() -> None:
    @dataclass(frozen=True)
    class Shared:
        scenarios = ("",)
        space = DesignSpace(
            [Variable("w1"), Variable("l1"), Variable("w2"), Variable("l2"), Variable("bias")],
            [
                Node("m1", "nmos", slots={"w": "w1", "l": "l1"}),
                Node("m2", "nmos", slots={"w": "w1", "l": "l1"}),
                Node("m3", "pmos", slots={"w": "w2", "l": "l2"}),
            ],
        )

        def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
            return Evaluation({"sum": sum(float(value) for value in point.values())})

    study = study_of(Shared(), Specs([Spec("sum", goal="minimize")]))
    environment = NodeByNode(study)
    assert environment.action_space.shape == (2,)
    _, steps = play(environment, [[-1.0, -0.5], [0.0, 0.5], [1.0, 0.3]])
    assert steps[-1][2], "m1, m3 and the parameter: m2 has nothing left to decide"
    assert study.trials[0].point == {"w1": 0.0, "l1": 0.25, "w2": 0.5, "l2": 0.75, "bias": 1.0}


def test_choices_and_numbers_are_decided_one_after_the_other() -> None:
    study = study_of(Kinds(), Kinds.specs)
    _, steps = play(NodeByNode(study), [[0, 1, 0, 0], [-1, 0, 1, 1], [1, 0, 0, 0], [-1, 0, 0, 0]])
    assert steps[-1][2] and study.trials[0].point == {"material": "b", "shape": "round", "x": 1.0, "n": 1}
