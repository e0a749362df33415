"""Problems of networks with tied weights: a weight is decided on and counted once, as it is filed."""

from __future__ import annotations

import pytest

from nn_compression.coding.codec import encode
from nn_compression.problems.bits_problem import BitsProblem
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.candidate import Judging
from nn_compression.problems.network import NetworkReference
from nn_compression.problems.sparsity_problem import SparsityProblem
from nn_compression.quantization.linear import quantize
from tests.nn_compression.problems.conftest import WriteModule

FEW = Judging(validation=60, recalibration=64, reconstruction=0)
TIED = """
def network():
    layers = nn.Sequential(nn.Flatten(), *(nn.Linear(64, 64, bias=False) for _ in range(4)), nn.Linear(64, 10))
    layers[2].weight = layers[1].weight
    return layers
"""


@pytest.fixture
def tied(write_module: WriteModule) -> NetworkReference:
    return NetworkReference("digits", write_module("tied_layers", TIED))


def test_tied_layers_are_one_choice_and_its_bytes_are_counted_once(tied: NetworkReference) -> None:
    problem = SparsityProblem(tied, CostLimit.parse("bytes=0.2"), FEW)
    assert list(problem.layers) == ["1", "3", "4", "5"]
    for point in (problem.space.start or {}, problem.repair(dict.fromkeys(problem.space.by_name, 0.01))):
        made = problem.build(point)
        assert int((made.get_parameter("2.weight") != 0).sum()) == round(problem.kept(point)["1"] * 64 * 64)
        file, header = len(encode(made)), 40 * len(made.state_dict())
        assert 0.97 * problem.cost_of(point) < file < 1.03 * problem.cost_of(point) + header


def test_of_tied_layers_none_is_pruned_where_one_is_kept(tied: NetworkReference) -> None:
    problem = SparsityProblem(tied, CostLimit.parse("bytes=0.5"), FEW, keep=("2",))
    assert list(problem.layers) == ["3", "4", "5"]


def test_a_tied_weight_stays_in_floats_and_is_counted_once(tied: NetworkReference) -> None:
    problem = BitsProblem(tied, CostLimit.parse("bytes=0.35"), FEW)
    assert [layer.name for layer in problem.layers] == ["3", "4", "5"]
    point = problem.space.start or {}
    made = quantize(problem.network.model, problem.bits(point), problem.network.data.train.inputs[:64])
    file, header = len(encode(made)), 40 * len(made.state_dict())
    assert 0.97 * problem.cost_of(point) < file < 1.03 * problem.cost_of(point) + header
