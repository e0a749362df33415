import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from automl_core.errors import InputError
from nn_compression.data import Split
from nn_compression.tasks import CLASSIFICATION, IGNORED, LANGUAGE, Task
from nn_compression.training.evaluation import evaluate, evaluate_loss


@pytest.mark.parametrize("batch", [1, 7, 100, 1000])
def test_the_metric_does_not_depend_on_the_batches(batch: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3)
    ).train()
    split = Split(torch.randn(100, 2, 4, 4), torch.randint(3, (100,)))
    logits = model.eval()(split.inputs)
    right = (logits.argmax(1) == split.targets).sum().item()
    model.train()
    assert evaluate(model, split, CLASSIFICATION, batch=batch) == pytest.approx(right, abs=1e-9)
    expected = nn.functional.cross_entropy(logits, split.targets).item()
    assert evaluate_loss(model, split, CLASSIFICATION, batch=batch) == pytest.approx(expected, rel=1e-5)
    assert model.training and model[0].weight.is_contiguous()


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_each_token_weighs_the_same_however_few_its_batch_judges(batch: int) -> None:
    model = nn.Embedding(4, 4).requires_grad_(False)
    inputs, targets = torch.randint(4, (5, 6)), torch.randint(4, (5, 6))
    targets[0, 1:], targets[1], targets[2, :4] = IGNORED, IGNORED, IGNORED
    judged = targets != IGNORED
    likelihoods = model(inputs).log_softmax(-1)[judged].gather(1, targets[judged][:, None])
    expected = -float(likelihoods.mean()) / math.log(2)
    assert evaluate(model, Split(inputs, targets), LANGUAGE, batch=batch) == pytest.approx(expected, rel=1e-6)


def test_the_forward_of_the_task_is_called() -> None:
    def twice(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        return 2 * model(inputs)

    own = Task("own", nn.functional.mse_loss, nn.functional.l1_loss, "mm", False, forward=twice)
    assert evaluate(nn.Identity(), Split(torch.ones(3), torch.full((3,), 5.0)), own) == 3.0


@pytest.mark.parametrize("kind", [float, int, np.float64, np.float32, torch.as_tensor])
def test_a_metric_may_be_a_number_of_any_kind(kind: Any) -> None:
    own = Task("own", nn.functional.mse_loss, lambda outputs, targets: kind((outputs == targets).sum() / len(targets)))
    assert evaluate(nn.Identity(), Split(torch.ones(3), torch.ones(3)), own, batch=2) == 1.0


@pytest.mark.parametrize("found", [{"accuracy": 1.0}, torch.ones(2), None])
def test_a_metric_that_is_no_number_is_told(found: Any) -> None:
    own = Task("own", nn.functional.mse_loss, lambda outputs, targets: found)
    with pytest.raises(InputError) as caught:
        evaluate(nn.Identity(), Split(torch.ones(2), torch.ones(2)), own)
    assert caught.value.place == "Data.task" and "number" in str(caught.value.remedy)


def test_a_network_that_keeps_a_tensor_from_its_first_call_can_be_trained_after_it() -> None:
    class Keeping(nn.Linear):
        kept: torch.Tensor | None = None

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            if self.kept is None:
                self.kept = torch.linspace(0.5, 1.0, 4)
            return super().forward(inputs) * self.kept

    model, split = Keeping(4, 4), Split(torch.ones(2, 4), torch.tensor([0, 2]))
    evaluate(model, split, CLASSIFICATION)
    model(split.inputs).sum().backward()
    assert model.weight.grad is not None


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (nn.Linear(5, 3), r"RuntimeError: mat1 and mat2"),
        (nn.Flatten(0), r"outputs are of shape \(8,\), its targets of shape \(2,\)"),
        (nn.LSTM(4, 4), "outputs are of type tuple"),
        (nn.Linear(4, 2), r"has 2 outputs, but a target is 2"),
    ],
)
def test_a_network_that_does_not_fit_the_data_is_told(model: nn.Module, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        evaluate_loss(model, Split(torch.ones(2, 4), torch.tensor([0, 2])), CLASSIFICATION)
    assert caught.value.place == "MODEL" and caught.value.remedy


def test_running_out_of_memory_is_told() -> None:
    def full(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    task = Task("own", nn.functional.mse_loss, nn.functional.mse_loss, forward=full)
    with pytest.raises(InputError, match="memory ran out while evaluating batches of 500") as caught:
        evaluate(nn.Linear(1, 1), Split(torch.ones(3, 1), torch.ones(3, 1)), task)
    assert "smaller batches" in str(caught.value.remedy)
