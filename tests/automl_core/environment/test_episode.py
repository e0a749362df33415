import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from automl_core.environment import OneShot, StudyEnv
from automl_core.environment.episode import evaluate
from automl_core.testing import Allocation, Cliff, Corners, Kinds, Rosenbrock
from tests.automl_core.environment.studies import counted, study_of

IDS = ("sizewise/OneShot-v0", "sizewise/NodeByNode-v0", "sizewise/Refinement-v0")
TOYS: tuple[Any, ...] = (Rosenbrock(3), Kinds(), Allocation(), Corners(), Cliff())


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: type(toy).__name__)
@pytest.mark.parametrize("name", IDS)
def test_every_episode_passes_the_checkers_of_gymnasium_and_of_sb3(name: str, toy: Any) -> None:
    environment = gymnasium.make(name, study=study_of(toy, toy.specs))
    check_env(environment.unwrapped)
    check_env_for_sb3(environment.unwrapped)


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: type(toy).__name__)
@pytest.mark.parametrize("name", IDS)
def test_every_episode_ends_and_repeats_under_its_seed_in_a_study_of_its_own(name: str, toy: Any) -> None:
    def history() -> list[Any]:
        environment = gymnasium.make(name, study=study_of(toy, toy.specs, seed=1))
        environment.action_space.seed(2)
        seen = [environment.reset(seed=3)[0].tolist()]
        over = False
        while not over:
            observation, reward, terminated, truncated, info = environment.step(environment.action_space.sample())
            assert observation in environment.observation_space
            seen += [observation.tolist(), reward, terminated, truncated, info]
            over = terminated or truncated
        assert len(seen) < 150
        return seen

    assert history() == history()


def test_importing_prints_nothing_and_registers() -> None:
    words = "import automl_core.environment, gymnasium, sys; sys.exit('sizewise/OneShot-v0' not in gymnasium.registry)"
    command = [sys.executable, "-W", "error", "-c", words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_reward_is_what_the_design_is_worth() -> None:
    environment = OneShot(study_of(Kinds(), Kinds.specs))
    environment.reset(seed=0)
    optimum = Kinds().space.encode({"material": "b", "shape": "round", "x": 0.25, "n": 6})
    action = np.array([-1, 0.2, 0.1, -0.5, -0.3, -0.2, *(2 * optimum[2:] - 1)], np.float32)
    observation, reward, terminated, truncated, info = environment.step(action)
    assert (reward, terminated, truncated) == (0.5, True, False), "a feasible design without goals has a loss of -0.5"
    assert info["feasible"] and environment.study.trials[info["trial"]].point["material"] == "b"
    environment.reset()
    worse = environment.step(np.where(np.arange(8) == 0, 1.0, action).astype(np.float32))
    # material "a" is 0.7 from 0, the bound is 0.01: (0.7 - 0.01) / 0.01 = 69 over it, saturated to 69 / 70
    assert worse[1] == pytest.approx(-69 / 70, abs=1e-4)
    assert observation[4] > 0 > worse[0][4], "the margin of the spec is seen"


def test_a_failed_design_is_worth_least_and_ends_the_episode() -> None:
    environment = OneShot(study_of(Cliff(), Cliff.specs))
    environment.reset()
    _, reward, terminated, _, info = environment.step(np.array([-1.0, 0.0, 0.0], np.float32))
    assert (reward, terminated, info["status"]) == (-3.0, True, "failed"), "below the two specs' worst, -2"


@pytest.mark.parametrize("name", IDS)
def test_episodes_stop_at_exactly_the_budget(name: str) -> None:
    toy = Rosenbrock(3)
    study, batches = counted(toy, toy.specs, evaluations=7)
    environment = gymnasium.make(name, study=study)
    for seed in range(12):
        _, info = environment.reset(seed=seed)
        over = False
        while not over:
            left = study.remaining
            _, _, terminated, truncated, info = environment.step(environment.action_space.sample())
            over = terminated or truncated
            assert info["exhausted"] == (study.remaining == 0)
            if not left:
                assert (terminated, truncated) == (False, True) and "trial" not in info
    assert study.spent == sum(batches) == len(study.trials) == 7


def test_an_episode_that_is_over_has_to_be_begun_anew() -> None:
    environment = OneShot(study_of(Rosenbrock(2), Rosenbrock.specs))
    action = np.zeros(2, np.float32)
    with pytest.raises(ResetNeeded):
        environment.step(action)
    environment.reset()
    environment.step(action)
    with pytest.raises(ResetNeeded, match="reset"):
        environment.step(action)


def test_gymnasium_makes_another_over_the_same_study() -> None:
    study = study_of(Corners(), Corners.specs)
    environment = gymnasium.make("sizewise/Refinement-v0", study=study, steps=3)
    assert environment.spec is not None
    again = environment.spec.make().unwrapped
    assert isinstance(again, StudyEnv) and again.study is study


def test_a_batch_names_the_designs_that_the_budget_did_not_reach() -> None:
    study, batches = counted(Rosenbrock(2), Rosenbrock.specs, evaluations=3)
    known = np.array([0.1, 0.1])
    study.evaluate(known[np.newaxis])
    first, second, third = np.array([0.2, 0.2]), np.array([0.3, 0.3]), np.array([0.4, 0.4])
    trials = evaluate(study, [first, None, second, third, known, first])
    assert [trial and trial.number for trial in trials] == [1, None, 2, None, 0, 1]
    assert batches == [1, 2]
    assert evaluate(study, [known]) == [None], "a study whose budget is spent gives no more"
