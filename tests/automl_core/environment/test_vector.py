from typing import Any

import numpy as np
import pytest
from stable_baselines3 import DDPG, PPO, SAC, TD3

from automl_core.environment import NodeByNode, OneShot, Refinement, StudyVecEnv, UntilSpent
from automl_core.errors import InputError
from automl_core.testing import Allocation, Corners, Kinds, Rosenbrock
from tests.automl_core.environment.studies import counted, study_of


def test_a_step_is_one_batch_and_pays_as_single_steps_do() -> None:
    study, batches = counted(Kinds(), Kinds.specs)
    together = StudyVecEnv([OneShot(study) for _ in range(6)])
    together.action_space.seed(0)
    actions = np.stack([together.action_space.sample() for _ in range(6)])
    assert together.reset().shape == (6, 6)
    _, rewards, over, infos = together.step(actions)
    assert batches == [6] and over.all()

    alone = OneShot(study_of(Kinds(), Kinds.specs))
    for action, reward, info in zip(actions, rewards, infos, strict=True):
        alone.reset()
        seen, single, _, _, _ = alone.step(action)
        assert reward == np.float32(single)
        assert info["terminal_observation"].tolist() == seen.tolist() and not info["TimeLimit.truncated"]


def test_designs_are_evaluated_when_they_are_complete() -> None:
    study, batches = counted(Allocation(), Allocation.specs)
    together = StudyVecEnv([NodeByNode(study) for _ in range(3)])
    together.reset()
    for step in range(8):
        _, _, over, _ = together.step(np.array([[-0.9], [0.1 * step], [0.9]], np.float32))
        assert over.tolist() == [step % 4 == 3] * 3
    assert batches == [3, 1], "two of the last three designs were known"


def test_episodes_that_begin_anew_are_evaluated_together() -> None:
    study, batches = counted(Rosenbrock(2), Rosenbrock.specs)
    together = StudyVecEnv([Refinement(study, steps=1, begin="random") for _ in range(4)])
    together.seed(0)
    together.reset()
    seen, _, over, infos = together.step(np.zeros((4, 2), np.float32) + 0.5)
    assert batches == [1, 4, 4, 4], "the first look; the designs to begin from; the step; the next to begin from"
    assert over.all() and all(info["TimeLimit.truncated"] for info in infos)
    last = np.stack([info["terminal_observation"] for info in infos])
    assert not np.isclose(seen[:, -2:], last[:, -2:]).any(), "a new episode stands elsewhere"


@pytest.mark.parametrize(
    ("kind", "algorithm", "settings"),
    [
        (OneShot, DDPG, {"learning_starts": 8}),
        (OneShot, TD3, {"learning_starts": 8}),
        (OneShot, SAC, {"learning_starts": 8}),
        (OneShot, PPO, {"n_steps": 4, "batch_size": 12}),
        (NodeByNode, PPO, {"n_steps": 4, "batch_size": 12}),
        (NodeByNode, SAC, {"learning_starts": 8}),
        (Refinement, TD3, {"learning_starts": 8}),
    ],
)
def test_sb3_learns_until_exactly_the_budget_is_spent(kind: Any, algorithm: Any, settings: dict[str, Any]) -> None:
    study, batches = counted(Corners(), Corners.specs, evaluations=40)
    together = StudyVecEnv([kind(study) for _ in range(3)])
    net = {"net_arch": [16]}
    model = algorithm("MlpPolicy", together, policy_kwargs=net, device="cpu", seed=0, **settings)
    model.learn(10_000, callback=UntilSpent())
    assert study.spent == sum(batches) == 40
    assert model.num_timesteps < 500


def test_two_studies_do_not_step_together() -> None:
    with pytest.raises(InputError, match="one study"):
        StudyVecEnv([OneShot(study_of(Kinds(), Kinds.specs)) for _ in range(2)])
    with pytest.raises(InputError, match="one study"):
        StudyVecEnv([])
