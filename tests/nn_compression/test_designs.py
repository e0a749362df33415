"""What a design is made into is what the search judged: its batch norms fit, whatever was taken away."""

from __future__ import annotations

from pathlib import Path

import pytest

from nn_compression.problems.budget import CostLimit
from nn_compression.problems.network import NetworkReference
from nn_compression.run.designs import designs_of
from nn_compression.run.finishing import Finishing
from nn_compression.run.plan import Method
from nn_compression.run.settings import Settings
from nn_compression.training.evaluation import evaluate
from nn_compression.training.schedule import Schedule


@pytest.mark.parametrize(
    ("method", "limit"),
    [
        ("channels", CostLimit("macs", 0.3)),
        ("sparsity", CostLimit("bytes", 0.2)),
        ("bits", CostLimit("bytes", 0.09)),
    ],
)
def test_what_is_made_scores_what_the_search_judged(method: Method, limit: CostLimit, weights: Path) -> None:
    reference = NetworkReference("digits", "digits_net", weights)
    designs = designs_of(method, reference, Settings("digits_net", "digits", method=method))
    problem = designs.problem(limit)
    point = problem.space.start or {}
    judged = problem.evaluate(point, "", 0).metrics["accuracy"]
    made = designs.make(problem, point)
    untrained = designs.tune(problem, point, Finishing(designs.before.data, Schedule(0), 0, None), "")
    split, task = problem.examiner.split, designs.before.data.task
    assert evaluate(made.model, split, task) == pytest.approx(judged, abs=0.4), "one example of 300 apart at most"
    assert evaluate(untrained.model, split, task) == pytest.approx(judged, abs=0.4)
