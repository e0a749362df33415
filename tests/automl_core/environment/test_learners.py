import random

import numpy as np
import pytest
import torch

from automl_core.environment.learners import Algorithm, OffPolicyLearner, OnPolicyLearner, rewards_of

ALGORITHMS: tuple[Algorithm, ...] = ("ddpg", "td3", "sac")
GOAL = np.array([0.6, -0.3])


def losses(actions: np.ndarray) -> np.ndarray:
    return np.asarray(np.sum((np.clip(actions, -1, 1) - GOAL) ** 2, axis=1))


def test_rewards_are_ranks_and_equal_losses_share_theirs() -> None:
    known = np.array([3.0, 1.0, 2.0, 1.0])
    assert rewards_of(known, known) == pytest.approx([-1, 2 / 3, -1 / 3, 2 / 3])
    assert rewards_of(known[:2], known) == pytest.approx([-1, 2 / 3])
    assert rewards_of(np.exp(5 * known), np.exp(5 * known)).tolist() == rewards_of(known, known).tolist()
    assert rewards_of(np.array([7.0]), np.array([7.0])).tolist() == [1.0]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_off_policy_learners_move_to_what_pays_whoever_proposed_it(algorithm: Algorithm) -> None:
    learner = OffPolicyLearner(algorithm, 2, seed=1, evaluations=500)
    at_random = learner.act(200)
    assert at_random.shape == (200, 2) and abs(at_random.mean()) < 0.2, "before it knows anything it draws uniformly"
    foreign = np.random.default_rng(0).uniform(-1, 1, (250, 2))
    learner.learn(foreign, losses(foreign))
    assert np.median(losses(learner.act(50))) < 0.3 * np.median(losses(foreign))


def test_ppo_moves_to_what_pays() -> None:
    learner = OnPolicyLearner(2, seed=0)
    known: list[float] = []
    medians = []
    for _ in range(16):
        sampled = learner.act(32)
        values = losses(np.stack([step.action for step in sampled]))
        known += values.tolist()
        medians.append(float(np.median(values)))
        learner.learn(list(zip(sampled[::-1], values[::-1].tolist(), strict=True)), np.array(known))
    assert medians[-1] < 0.3 * medians[0]


def test_learners_and_the_process_leave_each_others_generators_alone() -> None:
    def drawn(disturb: bool) -> list[float]:
        off, on = OffPolicyLearner("sac", 2, seed=5, evaluations=100), OnPolicyLearner(2, seed=5)
        seen: list[float] = []
        for _ in range(3):
            if disturb:
                random.seed(1)
                np.random.seed(1)
                torch.manual_seed(1)
            actions, sampled = off.act(16), on.act(32)
            off.learn(actions, losses(actions))
            values = losses(np.stack([step.action for step in sampled]))
            on.learn(list(zip(sampled, values.tolist(), strict=True)), values)
            seen += [*actions.flatten().tolist(), *(float(step.action[0]) for step in sampled)]
        return seen

    random.seed(9), np.random.seed(9), torch.manual_seed(9)
    expected = random.random(), np.random.random(), torch.rand(1).item()
    threads = torch.get_num_threads()
    random.seed(9), np.random.seed(9), torch.manual_seed(9)
    undisturbed = drawn(disturb=False)
    assert (random.random(), np.random.random(), torch.rand(1).item()) == expected
    assert torch.get_num_threads() == threads
    assert drawn(disturb=True) == undisturbed


def test_the_oldest_designs_are_forgotten() -> None:
    learner = OffPolicyLearner("td3", 1, seed=0, evaluations=100)
    learner._warm_up = 10**9  # never trains: only the memory is looked at
    first, second = np.full((9_990, 1), -0.5), np.full((20, 1), 0.5)
    learner.learn(first, np.arange(9_990.0))
    learner.learn(second, np.full(20, -1.0))
    memory = learner._model.replay_buffer
    assert memory is not None and memory.size() == 10_000
    np.testing.assert_allclose(memory.actions[:10, 0, 0], 0.5)
    assert memory.rewards[:10, 0] == pytest.approx(1 - 2 * 9.5 / 9_999), "the twenty best share ranks 0 to 19"
    assert memory.rewards[9_989, 0] == -1
