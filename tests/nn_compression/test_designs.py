"""What a design is made into is what the search judged: its batch norms fit, whatever was taken away."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

from nn_compression.files.references import load_data, load_model
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.network import NetworkReference
from nn_compression.run.designs import designs_of
from nn_compression.run.finishing import Finishing
from nn_compression.run.plan import Method
from nn_compression.run.settings import Settings
from nn_compression.training.evaluation import evaluate
from nn_compression.training.loop import Schedule, train


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of a digits_net, which has batch norms, trained for two epochs."""
    data, model = load_data("digits", 0), load_model("digits_net")
    train(model, data, Schedule(2, learning_rate=0.1, batch=64), seed=0)
    path = tmp_path_factory.mktemp("weights") / "digits.safetensors"
    save_file(model.state_dict(), path)
    return path


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
