import math

import numpy as np
import pytest
import torch
from torch import nn

from automl_core.errors import InputError
from nn_compression.tasks import CLASSIFICATION, IGNORED, LANGUAGE, Task, task_of


def test_accuracy_is_the_percentage_of_right_answers() -> None:
    logits = torch.tensor([[3.0, 1.0], [0.0, 2.0], [5.0, 4.0]])
    assert float(CLASSIFICATION.metric(logits, torch.tensor([0, 1, 1]))) == pytest.approx(200 / 3, abs=1e-12)


def test_a_model_that_knows_nothing_needs_the_logarithm_of_the_vocabulary() -> None:
    assert float(LANGUAGE.metric(torch.zeros(2, 7, 64), torch.zeros(2, 7, dtype=torch.int64))) == pytest.approx(6.0)
    assert not LANGUAGE.higher_is_better


def test_ignored_tokens_are_neither_judged_nor_counted() -> None:
    logits, targets = torch.zeros(1, 2, 2), torch.tensor([[IGNORED, 1]])
    logits[0, 1] = torch.tensor([0.0, math.log(3.0)])  # the right one has three chances in four
    logits[0, 0] = torch.tensor([50.0, -50.0])
    assert float(LANGUAGE.metric(logits, targets)) == pytest.approx(-math.log2(0.75))
    assert LANGUAGE.count(targets) == 1


def test_ignored_examples_are_neither_right_nor_wrong() -> None:
    logits = torch.tensor([[3.0, 1.0], [0.0, 2.0], [5.0, 4.0], [9.0, 0.0]])
    targets = torch.tensor([0, IGNORED, 1, IGNORED])
    assert float(CLASSIFICATION.metric(logits, targets)) == 50.0
    assert CLASSIFICATION.count(targets) == 2


def test_the_soft_loss_is_the_cross_entropy_to_the_softened_teacher() -> None:
    student, teacher = np.array([[1.0, 2.0, -1.0]]), np.array([[0.5, 0.0, 3.0]])
    temperature = 3.0
    p = np.exp(teacher / temperature) / np.exp(teacher / temperature).sum()
    q = np.exp(student / temperature) / np.exp(student / temperature).sum()
    expected = -(p * np.log(q)).sum() * temperature**2
    assert CLASSIFICATION.soft_loss is not None and LANGUAGE.soft_loss is not None
    found = CLASSIFICATION.soft_loss(torch.from_numpy(student), torch.from_numpy(teacher), temperature)
    assert float(found) == pytest.approx(expected)
    windows = torch.from_numpy(np.stack([[student[0]] * 2] * 3)), torch.from_numpy(np.stack([[teacher[0]] * 2] * 3))
    assert float(LANGUAGE.soft_loss(*windows, temperature)) == pytest.approx(expected)


def test_a_task_is_found_by_name_or_taken_as_it_is() -> None:
    own = Task("own", nn.functional.mse_loss, nn.functional.l1_loss, "mm", False)
    assert task_of("language") is LANGUAGE
    assert task_of(own) is own
    assert own.forward(nn.Identity(), torch.ones(2)).equal(torch.ones(2))


@pytest.mark.parametrize(
    ("task", "problem", "remedy"),
    [
        ("clasification", "no task 'clasification'", "'classification'"),
        ("detection", "does not exist yet", "Task("),
        (3, "the task is a int", "Task"),
    ],
)
def test_what_is_no_task_is_refused(task: str, problem: str, remedy: str) -> None:
    with pytest.raises(InputError) as caught:
        task_of(task)
    assert problem in caught.value.problem and remedy in str(caught.value.remedy)
