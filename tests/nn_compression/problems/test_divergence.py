"""What designs are ordered by: how near their outputs are to the whole network's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from automl_core.errors import EvaluationError
from nn_compression.problems import candidate
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.candidate import DIVERGENCE, Examiner, Judging, goal_spec
from nn_compression.problems.channel_problem import ChannelProblem
from nn_compression.problems.network import Network, NetworkReference
from nn_compression.tasks import CLASSIFICATION

FEW = Judging(validation=60, recalibration=0, reconstruction=0, batch=25)


def problem_of(reference: NetworkReference, judging: Judging) -> ChannelProblem:
    return ChannelProblem(reference, CostLimit("macs", 0.5), judging)


def test_it_is_the_kullback_leibler_divergence_of_the_classes(digits: NetworkReference) -> None:
    problem = problem_of(digits, FEW)
    point = dict(problem.space.start or {})
    found = problem.evaluate(point, "", 0).metrics
    inputs, targets = problem.examiner.split.inputs, problem.examiner.split.targets
    with torch.no_grad():
        whole, made = (model(inputs).log_softmax(-1) for model in (problem.network.model, problem.build(point).eval()))
    expected = functional.kl_div(made, whole, reduction="batchmean", log_target=True)
    assert found[DIVERGENCE] == pytest.approx(float(expected), rel=1e-4)
    assert found["accuracy"] == pytest.approx(float((made.argmax(-1) == targets).double().mean()) * 100)
    assert problem.specs.goals[0].metric == DIVERGENCE


def test_the_whole_network_differs_by_nothing(digits: NetworkReference) -> None:
    problem = problem_of(digits, FEW)
    assert problem.examiner.judge(problem.build({}))[DIVERGENCE] == pytest.approx(0.0, abs=1e-6)


def test_outputs_that_there_is_no_room_for_are_computed_again(
    digits: NetworkReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = problem_of(digits, FEW)
    point = dict(kept.space.start or {})
    first = kept.evaluate(point, "", 0).metrics
    monkeypatch.setattr(candidate, "_KEPT", 100)
    assert problem_of(digits, FEW).evaluate(point, "", 0).metrics == first


def test_by_its_metric_a_network_is_not_compared(digits: NetworkReference) -> None:
    problem = problem_of(digits, replace(FEW, by="metric"))
    assert problem.specs.goals[0].metric == "accuracy"
    assert set(problem.evaluate(dict(problem.space.start or {}), "", 0).metrics) == {"accuracy", "macs"}


def test_a_task_without_a_soft_loss_goes_by_its_metric() -> None:
    own = replace(CLASSIFICATION, name="own", soft_loss=None)
    assert goal_spec(own, Judging()).metric == "own"
    assert goal_spec(CLASSIFICATION, Judging()).metric == DIVERGENCE


def test_a_soft_loss_that_fails_is_the_candidates_fault(digits: NetworkReference) -> None:
    network = digits.load()

    def broken(made: object, taught: object, temperature: float) -> torch.Tensor:
        raise ValueError("no")

    data = replace(network.data, task=replace(network.data.task, soft_loss=broken))
    with pytest.raises(EvaluationError, match="no"):
        Examiner(Network(network.model, data), FEW, 0).judge(problem_of(digits, FEW).build({}))
