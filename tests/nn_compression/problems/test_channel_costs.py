"""Latencies of designs as sums of measured terms: here of terms that are made up, and of a network that is measured."""

from __future__ import annotations

import inspect
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from automl_core.space import DesignSpace, Variable
from automl_core.testing import check_problem
from nn_compression.channels.groups import ChannelGroup
from nn_compression.commands import latency
from nn_compression.latency import onnx_blocks
from nn_compression.latency.building import build_table
from nn_compression.latency.network_latency import MOST_COUNTS
from nn_compression.latency.table import LatencyTable
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.candidate import Judging
from nn_compression.problems.channel_costs import GroupCounts, timed
from nn_compression.problems.channel_problem import ChannelProblem, channel_variable
from nn_compression.problems.grid import Grid
from nn_compression.problems.legal import LegalDesigns
from nn_compression.problems.network import NetworkReference
from tests.nn_compression.problems.conftest import WriteModule


def made_up() -> Any:
    """Eleven channels of ``b`` are slower than sixteen; ``c`` is in no variable."""
    return SimpleNamespace(
        fixed=0.5,
        scale=2.0,
        terms=(
            SimpleNamespace(groups=("a",), seconds=lambda counts: 0.1 * counts["a"]),
            SimpleNamespace(
                groups=("b", "a"), seconds=lambda counts: counts["a"] * (3.0 if counts["b"] == 11 else 1.0)
            ),
            SimpleNamespace(groups=("c",), seconds=lambda counts: 7.0),
        ),
    )


def test_a_design_costs_the_sum_of_its_terms() -> None:
    grid = Grid(DesignSpace([Variable("a", 1, 3, integer=True), Variable("b", 11, 16, integer=True, step=5)]))
    cost = timed(made_up(), grid)
    assert not cost.grows
    for levels in product(range(3), range(2)):
        a, b = 1 + levels[0], 11 + 5 * levels[1]
        wanted = 1.0 + 0.1 * a + a * (3.0 if b == 11 else 1.0) + 7.0
        assert cost.total(np.array([levels]))[0] == pytest.approx(wanted)
    designs = LegalDesigns(grid, cost, 10.3)
    assert designs.reachable == pytest.approx(9.1)
    assert designs.repair({"a": 3, "b": 11}) == {"a": 2, "b": 16}


def test_groups_without_a_variable_keep_all_their_channels() -> None:
    grid = Grid(DesignSpace([Variable("b", 2, 6, integer=True, step=2)]))
    groups = [ChannelGroup("a", 5, ()), ChannelGroup("b", 6, ()), ChannelGroup("c", 7, ())]
    assert GroupCounts(grid, groups)(np.array([[0], [2]])).tolist() == [[5, 2, 7], [5, 6, 7]]


def test_counts_of_a_group_are_few_where_each_is_measured() -> None:
    variable = channel_variable(ChannelGroup("a", 64, ()), 0.2, most_values=8)
    assert variable is not None and (variable.low, variable.high, variable.step) == (16, 64, 8)
    whole = channel_variable(ChannelGroup("a", 64, ()), 0.2)
    assert whole is not None and (whole.low, whole.high, whole.step) == (13, 64, 1)
    assert channel_variable(ChannelGroup("a", 6, (), multiple=6), 0.2) is None
    odd = channel_variable(ChannelGroup("a", 21, ()), 0.2, most_values=8)
    assert odd is not None and odd.values == (8, 12, 16, 20, 21), "the whole group is measured, too"


@pytest.mark.parametrize(
    ("channels", "multiple", "counts"),
    [(12, 8, [8, 12]), (20, 8, [8, 16, 20]), (6, 4, [4, 6]), (24, 8, [8, 16, 24]), (5, 8, [])],
)
def test_a_group_may_always_keep_all_its_channels(channels: int, multiple: int, counts: list[int]) -> None:
    variable = channel_variable(ChannelGroup("a", channels, (), multiple=multiple), 0.2)
    found = [] if variable is None else [variable.value(at) for at in range(variable.count or 0)]
    assert found == counts


def test_a_measured_latency_holds_a_search(digits: NetworkReference, tmp_path: Path) -> None:
    table, judging = tmp_path / "latency.json", Judging(validation=60, recalibration=64)
    whole = ChannelProblem(digits, CostLimit("latency", 1.0), judging, table=table)
    assert whole.legal.repair({"conv1": 16, "conv2": 32, "conv3": 32}) == {"conv1": 16, "conv2": 32, "conv3": 32}
    bound = (whole.legal.reachable + whole.base_cost) / 2
    problem = ChannelProblem(digits, CostLimit("latency", bound, relative=False), judging, table=table)
    again = ChannelProblem(digits, CostLimit("latency", bound, relative=False), judging, table=table)
    generator = np.random.default_rng(0)
    for _ in range(20):
        point = problem.repair(problem.space.decode(generator.random(problem.space.dim)))
        assert problem.cost_of(point) <= bound
        assert again.cost_of(point) == problem.cost_of(point), "nothing is measured twice"
    check_problem(lambda: problem, designs=2)


def test_a_search_asks_for_no_time_that_the_command_has_not_measured(
    tmp_path: Path, write_module: WriteModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = """
        def network():
            first, second = nn.Conv2d(1, 21, 3), nn.Conv2d(21, 12, 3)
            return nn.Sequential(first, nn.ReLU(), second, nn.Flatten(), nn.Linear(12 * 16, 10))
    """
    reference = NetworkReference("digits", write_module("two_layers", net))
    network = reference.load()
    monkeypatch.setattr(onnx_blocks, "_seconds", lambda graph: 1e-9 * len(graph.model))
    for round_to in (1, 8):
        path, groups = tmp_path / f"{round_to}.json", network.groups((), round_to)
        build_table(network.model, network.example_input, path, groups=groups, engines=("onnxruntime",), fitted_on=0)
        measured = LatencyTable(path).times
        problem = ChannelProblem(reference, CostLimit("latency", 1.0), round_to=round_to, table=path)
        assert LatencyTable(path).times == measured
        first, second = map(len, problem.grid.values)
        blocks = [text for text in measured["onnxruntime"] if "conv2d" in text or "linear" in text]
        assert len(blocks) == first + first * second + second, "and it has measured no more"
    assert inspect.signature(latency).parameters["counts"].default == MOST_COUNTS


def test_a_network_is_measured_once(tmp_path: Path, write_module: WriteModule) -> None:
    net = """
        def network():
            convolution = nn.Conv2d(1, 31, 3)
            return nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(31 * 36, 10))
    """
    reference = NetworkReference("digits", write_module("odd", net))
    table, limit = tmp_path / "made/latency.json", CostLimit("latency", 1.0)
    first = ChannelProblem(reference, limit, table=table)
    measured = table.read_bytes()
    again = ChannelProblem(reference, limit, table=table)
    assert again.base_cost == first.base_cost
    assert table.read_bytes() == measured
