from typing import Any

import numpy as np
import pytest

from automl_core.environment import Refinement
from automl_core.environment.observation import squash
from automl_core.errors import InputError
from automl_core.testing import Allocation, Cliff, Corners, Kinds, Rosenbrock
from tests.automl_core.environment.studies import counted, study_of


def act(environment: Refinement, *action: float) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    return environment.step(np.array(action, np.float32))


def test_a_step_moves_the_start_by_its_reach() -> None:
    study = study_of(Corners(), Corners.specs)
    environment = Refinement(study, reach=0.1)
    environment.reset()
    _, _, _, _, info = act(environment, -1.0, 0.5)
    assert study.trials[info["trial"]].point == pytest.approx({"x": 2.5 - 0.6, "y": 2.5 + 0.3})
    for _ in range(5):
        _, _, _, _, info = act(environment, 0.0, 1.0)
    assert study.trials[info["trial"]].point["y"] == 3.0, "not beyond the range"


def test_rewards_add_up_to_the_improvement() -> None:
    study = study_of(Corners(), Corners.specs)
    environment = Refinement(study, steps=4)
    _, info = environment.reset()
    # at (2.5, 2.5) the worst scenario is 1 further: 3.5² + 2.5² = 18.5 of 4 allowed, 3.625 over it, saturated
    assert info["loss"] == pytest.approx(3.625 / 4.625)
    rewards = []
    over = False
    while not over:
        _, reward, terminated, truncated, info = act(environment, -1.0, -1.0)
        rewards.append(reward)
        over = terminated or truncated
    assert (terminated, truncated, len(rewards)) == (False, True, 4), "a goal is never reached: the steps end it"
    assert sum(rewards) == pytest.approx(3.625 / 4.625 - info["loss"])
    assert info["feasible"] and min(rewards) > 0


def test_it_terminates_at_a_design_that_meets_all_specs() -> None:
    near = {"material": "b", "shape": "round", "x": 0.25, "n": 5}
    environment = Refinement(study_of(Kinds(), Kinds.specs))
    _, info = environment.reset(options={"begin": near})
    assert not info["feasible"]
    *_, terminated, truncated, info = act(environment, 0, 0, 0, 0, 0, 0, 0, 1.0)
    assert (terminated, truncated, info["feasible"]) == (True, False, True)


def test_small_moves_on_a_grid_add_up() -> None:
    """A cell of ``n`` is 1/9 wide and 2 lies in its middle: 0.05 stays in it, twice 0.05 does not."""
    study = study_of(Kinds(), Kinds.specs)
    environment = Refinement(study, reach=0.05)
    environment.reset()
    seen = [study.trials[act(environment, 0, 0, 0, 0, 0, 0, 0, 1.0)[4]["trial"]].point["n"] for _ in range(2)]
    assert seen == [2, 3]


def test_a_choice_is_kept_until_another_is_wanted_more() -> None:
    study = study_of(Kinds(), Kinds.specs)
    environment = Refinement(study)
    environment.reset()

    def material(*wish: float) -> object:
        return study.trials[act(environment, *wish, 0, 0, 0, 0)[4]["trial"]].point["material"]

    assert material(0.0, 0.9, 0.0, 0.0) == "d"
    assert material(0.0, 0.9, 0.0, -0.2) == "b"
    assert material(0.0, 0.0, 0.0, 0.9) == "b"


def test_it_stands_where_the_design_was_repaired() -> None:
    study = study_of(Allocation(), Allocation.specs)
    environment = Refinement(study, reach=1.0)
    environment.reset(options={"begin": {"n0": 2, "n1": 2, "n2": 2, "n3": 2}})
    seen, _, _, _, info = act(environment, 1.0, 1.0, 1.0, 1.0)
    even = {"n0": 8, "n1": 8, "n2": 8, "n3": 8}  # 16 of each cost 160; taking from the largest ends at 80 here
    assert study.trials[info["trial"]].point == even
    np.testing.assert_allclose(seen[12:16], 2 * Allocation().space.encode(even) - 1, atol=1e-6)


def test_it_shows_what_the_problem_observed() -> None:
    study = study_of(Allocation(), Allocation.specs)
    environment = Refinement(study)
    middle = study.trials[0]
    assert len(study.trials) == 1 and middle.asked.tolist() == [0.5] * 4, "one look, to know what there is to be seen"
    seen, _ = environment.reset(options={"begin": {"n0": 4, "n1": 4, "n2": 4, "n3": 4}})
    greatest = 4 * int(middle.point["n3"]) ** 0.5
    np.testing.assert_allclose(seen[16:], squash(np.array([2.0, 4.0, 2.0, 8.0]) / greatest), atol=1e-6)
    assert Refinement(study_of(Rosenbrock(2), Rosenbrock.specs)).observation_space.shape == (4 + 2 + 2,)


def test_the_start_is_evaluated_once() -> None:
    study, batches = counted(Corners(), Corners.specs)
    environment = Refinement(study)
    for _ in range(3):
        environment.reset()
    assert len(study.trials) == 1 and sum(batches) == 3, "in each scenario"
    assert study.trials[0].point == {"x": 2.5, "y": 2.5}


def test_it_begins_where_it_is_told() -> None:
    study = study_of(Corners(), Corners.specs)
    study.evaluate(np.array([[0.5, 0.5], [0.9, 0.9]]))
    environment = Refinement(study, begin="best")
    assert environment.reset()[1]["trial"] == 0
    first = environment.reset(seed=1, options={"begin": "random"})[1]["trial"]
    second = environment.reset(options={"begin": "random"})[1]["trial"]
    assert environment.reset(seed=1, options={"begin": "random"})[1]["trial"] == first != second
    assert environment.reset(options={"begin": "start"})[1]["trial"] == 4, "the first time"


def test_a_failed_start_is_worth_least_but_an_episode_goes_on() -> None:
    environment = Refinement(study_of(Cliff(), Cliff.specs), reach=0.5)
    seen, info = environment.reset(options={"begin": {"x0": 0.1, "x1": 0.5, "x2": 0.5}})
    assert info["status"] == "failed" and np.isfinite(seen).all()
    _, reward, _, _, info = act(environment, 1.0, 0.0, 0.0)
    assert info["status"] == "ok" and reward > 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steps": 0}, "at least 1 step, but steps is 0"),
        ({"reach": 0.0}, "reach must be in"),
        ({"reach": 2.0}, "but is 2"),
        ({"begin": "middle"}, "cannot begin at 'middle'"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Refinement(study_of(Corners(), Corners.specs), **settings)
