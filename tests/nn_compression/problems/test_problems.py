"""The problems of compression: what the core demands of a problem, exact budgets, and what candidates are."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from automl_core.budget import Budget
from automl_core.errors import EvaluationError, InputError
from automl_core.optimizers import make
from automl_core.pool import Pool
from automl_core.problem import Request
from automl_core.record import Record
from automl_core.space import Point
from automl_core.study import Study
from automl_core.testing import check_problem
from nn_compression.channels import importance
from nn_compression.coding.codec import encode
from nn_compression.graph.tracing import trace
from nn_compression.hardware import HARDWARE, latency
from nn_compression.problems.bits_problem import BitsProblem
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.candidate import Judging
from nn_compression.problems.channel_problem import ChannelProblem
from nn_compression.problems.joint_problem import JointProblem
from nn_compression.problems.network import NetworkReference
from nn_compression.problems.network_problem import NetworkProblem
from nn_compression.problems.sparsity_problem import SparsityProblem
from nn_compression.quantization.bits import Bits
from nn_compression.quantization.linear import quantize, quantized_weights
from tests.nn_compression.problems.conftest import WriteModule

FEW = Judging(validation=60, recalibration=64, reconstruction=0)
KINDS: list[tuple[type[NetworkProblem], str]] = [
    (ChannelProblem, "macs=0.5"),
    (ChannelProblem, "bytes=0.3"),
    (BitsProblem, "bytes=0.12"),
    (BitsProblem, "latency=0.5"),
    (BitsProblem, "energy=0.4"),
    (SparsityProblem, "bytes=0.2"),
    (JointProblem, "macs=0.4"),
    (JointProblem, "bytes=0.08"),
]


def problem_of(kind: type[NetworkProblem], budget: str, reference: NetworkReference) -> NetworkProblem:
    return kind(reference, CostLimit.parse(budget), FEW)


def designs(problem: NetworkProblem, count: int, seed: int = 0) -> list[Point]:
    generator = np.random.default_rng(seed)
    return [problem.repair(problem.space.decode(generator.random(problem.space.dim))) for _ in range(count)]


@pytest.mark.parametrize(("kind", "budget"), KINDS)
def test_every_problem_keeps_the_contract(kind: type[NetworkProblem], budget: str, digits: NetworkReference) -> None:
    check_problem(lambda: problem_of(kind, budget, digits), designs=3)


@pytest.mark.parametrize(("kind", "budget"), KINDS)
def test_a_problem_pickles_as_references(kind: type[NetworkProblem], budget: str, digits: NetworkReference) -> None:
    problem = problem_of(kind, budget, digits)
    content = pickle.dumps(problem)
    assert len(content) < 1500, "neither weights nor data"
    again = pickle.loads(content)
    assert again.space.variables == problem.space.variables and again.bound == problem.bound
    point = designs(problem, 1)[0]
    assert again.evaluate(point, "", 0).metrics == problem.evaluate(point, "", 1).metrics


def test_worker_processes_give_the_same_figures(digits: NetworkReference) -> None:
    problem = problem_of(ChannelProblem, "macs=0.5", digits)
    requests = [Request(point, "", 0) for point in designs(problem, 3)]
    with Pool(problem, 1, "processes") as pool:
        there = pool.evaluate(requests)
    here = [problem.evaluate(*request) for request in requests]
    assert [answer.metrics for answer in here] == [getattr(answer, "metrics", answer) for answer in there]


# Channels.


@pytest.mark.parametrize("budget", ["macs=0.5", "macs=0.13", "bytes=0.3"])
def test_the_budget_holds_for_the_network_that_is_built(budget: str, digits: NetworkReference) -> None:
    problem = ChannelProblem(digits, CostLimit.parse(budget), FEW)
    for point in [*designs(problem, 12), problem.space.start or {}]:
        built = trace(problem.build(point), problem.network.example_input)
        costs = {"macs": built.macs, "bytes": 4 * (built.parameters + built.buffers)}
        metric = budget.partition("=")[0]
        assert costs[metric] == problem.cost_of(point) <= problem.bound
        assert problem.bound <= problem.limit.amount * problem.base_cost
        assert problem.cost_of(point) > 0.9 * problem.bound, "the budget is used up"


def test_candidates_keep_the_channels_of_greatest_norm(digits: NetworkReference) -> None:
    problem = ChannelProblem(digits, CostLimit.parse("macs=0.5"), FEW)
    point = designs(problem, 1)[0]
    weight = problem.network.model.get_parameter("conv2.weight")
    reading = problem.network.model.get_parameter("conv3.weight")
    norms = weight.abs().sum((1, 2, 3)) + reading.abs().sum((0, 2, 3))
    group = next(group for group in problem.groups if group.name == "conv2")
    torch.testing.assert_close(importance(problem.network.model, group).float(), norms)
    best = sorted(norms.argsort(descending=True)[: int(point["conv2"])].tolist())
    assert problem.kept(point)["conv2"].tolist() == best
    built = problem.build(point)
    torch.testing.assert_close(built.get_parameter("conv2.weight").shape[0], int(point["conv2"]))
    shares = problem.observed(point)["conv2"]["importance kept"]
    assert shares == pytest.approx(float(norms[best].sum() / norms.sum()))


def test_counts_are_multiples_above_the_least_share(digits: NetworkReference) -> None:
    problem = ChannelProblem(digits, CostLimit.parse("macs=0.5"), FEW, keep=("conv1",), round_to=4, least_share=0.3)
    assert {variable.name: (variable.low, variable.high, variable.step) for variable in problem.space.variables} == {
        "conv2": (12, 32, 4),
        "conv3": (12, 32, 4),
    }
    for point in designs(problem, 8):
        assert problem.build(point).get_parameter("conv1.weight").shape[0] == 16
        assert all(count % 4 == 0 for count in problem.counts(point).values())


def test_all_channels_may_stay_where_a_multiple_does_not_divide_them(digits: NetworkReference) -> None:
    problem = ChannelProblem(digits, CostLimit.parse("macs=1"), FEW, round_to=12)
    assert problem.space.start == {"conv1": 16, "conv2": 32, "conv3": 32}
    half = ChannelProblem(digits, CostLimit.parse("macs=0.5"), FEW, round_to=12)
    for point in designs(half, 8):
        built = trace(half.build(point), half.network.example_input)
        assert built.macs == half.cost_of(point) <= half.bound
        assert {built.by_name[name].outputs for name in ("conv2", "conv3")} <= {12, 24, 32}
    check_problem(lambda: half, designs=3)


def test_an_impossible_budget_is_refused_with_the_least_that_is_possible(digits: NetworkReference) -> None:
    with pytest.raises(InputError) as refusal:
        ChannelProblem(digits, CostLimit.parse("macs=0.01"), FEW)
    share = float(str(refusal.value.remedy).partition("macs=")[2])
    least = ChannelProblem(digits, CostLimit("macs", share), FEW)
    assert least.legal.reachable <= least.bound
    with pytest.raises(InputError, match="macs, bytes or latency"):
        ChannelProblem(digits, CostLimit.parse("energy=0.5"), FEW)
    with pytest.raises(InputError, match="nothing to choose"):
        ChannelProblem(digits, CostLimit.parse("macs=0.5"), FEW, keep=("conv1", "conv2", "conv3"))


def test_recalibration_and_reconstruction_bring_accuracy_back(digits: NetworkReference) -> None:
    limit = CostLimit.parse("macs=0.25")
    ways = {
        "bare": Judging(validation=None, recalibration=0, reconstruction=0),
        "recalibrated": Judging(validation=None, reconstruction=0),
        "refitted": Judging(validation=None),
    }
    found = {}
    for name, judging in ways.items():
        problem = ChannelProblem(digits, limit, judging)
        points = designs(problem, 8)
        found[name] = np.mean([problem.evaluate(point, "", 0).metrics["accuracy"] for point in points])
    assert found["bare"] + 3 < found["recalibrated"], found
    assert found["recalibrated"] + 3 < found["refitted"], found


@pytest.mark.parametrize(
    ("kind", "budget"), [(ChannelProblem, "macs=0.5"), (BitsProblem, "energy=0.6"), (JointProblem, "bytes=0.2")]
)
def test_statistics_stay_as_they_were_where_nothing_is_recalibrated(
    kind: type[NetworkProblem], budget: str, digits: NetworkReference
) -> None:
    problem = kind(digits, CostLimit.parse(budget), Judging(validation=60, recalibration=0, reconstruction=0))
    made = problem.build(dict(problem.space.start or {}))
    whole = problem.network.model.get_buffer("norm3.running_var")
    own = made.get_buffer("norm3.running_var")
    assert set(own.tolist()) <= set(whole.tolist())
    assert problem.examiner.judge(made)["accuracy"] > 5
    assert set(own.tolist()) <= set(whole.tolist())


def test_features_tell_what_was_reduced_and_what_is_left(digits: NetworkReference) -> None:
    problem = ChannelProblem(digits, CostLimit.parse("macs=0.5"), FEW)
    (first,) = problem.allowed([{}])
    (second,) = problem.allowed([{"conv1": 4}])
    whole = problem.network.graph
    less = sum(layer.macs for layer in whole.layers if layer.name in ("conv1", "conv2")) * (1 - 4 / 16)
    assert first.features["reduced"] == 0
    assert second.features["reduced"] == pytest.approx(less / whole.macs)


TIED = """
def network():
    layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 32), nn.Linear(32, 10))
    layers[2].weight = layers[1].weight
    return layers
"""


def test_a_share_of_the_bytes_is_one_of_a_network_that_holds_tied_weights_once(write_module: WriteModule) -> None:
    reference = NetworkReference("digits", write_module("tied_bytes", TIED))
    problem = ChannelProblem(reference, CostLimit.parse("bytes=0.75"), FEW)
    assert problem.base_cost == 4 * (64 * 64 + 64 + 64 + 64 * 32 + 32 + 32 * 10 + 10)
    point = problem.space.start or {}
    assert problem.cost_of(point) <= 0.75 * problem.base_cost and problem.kept(point)


# Faults of the network.

BROKEN = """
class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(1, 8, 3)
        self.two = nn.Conv2d(8, 8, 3)
        self.out = nn.Linear(8, 10)

    def forward(self, images):
        maps = self.two(self.one(images).relu())
        {fault}
        return self.out(maps.mean((2, 3)))


def network():
    return Broken()
"""


def test_what_the_network_raises_is_a_failed_evaluation(write_module: WriteModule) -> None:
    fault = "if len(images) > 3: raise KeyError('no luck')"
    reference = NetworkReference("digits", write_module("raising", BROKEN.format(fault=fault)))
    problem = ChannelProblem(reference, CostLimit.parse("macs=0.5"), FEW)
    with pytest.raises(EvaluationError, match="KeyError: 'no luck'"):
        problem.evaluate(problem.space.start or {}, "", 0)


FLATTENED = """
class Viewed(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.out = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(128, 10)

    def forward(self, images):
        maps = self.two(self.one(images).relu())
        return self.out(maps.view(maps.size(0), -1))


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.norm, self.two = nn.Conv3d(1, 8, 3, padding=1), nn.BatchNorm3d(8), nn.Conv3d(8, 8, 3, padding=1)
        self.out = nn.Linear(8, 10)

    def forward(self, images):
        return self.out(self.two(self.norm(self.one(images.unsqueeze(1))).relu()).mean((2, 3, 4)))


def network():
    return {name}()
"""


@pytest.mark.parametrize("name", ["Viewed", "Deep"])
@pytest.mark.parametrize(
    ("kind", "budget"), [(ChannelProblem, "macs=0.5"), (BitsProblem, "energy=0.6"), (JointProblem, "bytes=0.2")]
)
def test_a_network_that_cannot_have_its_channels_last_is_searched(
    kind: type[NetworkProblem], budget: str, name: str, write_module: WriteModule
) -> None:
    reference = NetworkReference("digits", write_module(f"flat_{name.lower()}", FLATTENED.replace("{name}", name)))
    judging = Judging(validation=60, recalibration=64, reconstruction=64)
    problem = kind(reference, CostLimit.parse(budget), judging)
    assert 0 <= problem.evaluate(problem.space.start or {}, "", 0).metrics["accuracy"] <= 100


NAN_TASK = """
from nn_compression.data import Data
from nn_compression.datasets.digits import digits_data
from nn_compression.tasks import Task
from dataclasses import replace


def loss(outputs, targets):
    return outputs.sum() * float("nan")


def data():
    return replace(digits_data(), task=Task("strange", loss, loss))
"""


@pytest.mark.parametrize("name", ["random", "cmaes", "seq2seq"])
def test_a_search_ends_where_every_candidate_fails(name: str, write_module: WriteModule) -> None:
    write_module("nothing", NAN_TASK)
    reference = NetworkReference("nothing:data", "digits_net")
    problem = ChannelProblem(reference, CostLimit.parse("macs=0.5"), FEW)
    with pytest.raises(EvaluationError, match="the strange is nan"):
        problem.evaluate(problem.space.start or {}, "", 0)
    study = Study(problem, problem.specs, Pool(problem), Record.create(":memory:"), budget=Budget(evaluations=20))
    study.run(make(name, problem.space, problem.specs, 0, study.budget), stop="budget")
    assert study.best is None and {trial.status for trial in study.trials} == {"failed"}


# Bits.


def test_ends_have_eight_bits_and_the_others_what_was_chosen(digits: NetworkReference) -> None:
    problem = BitsProblem(digits, CostLimit.parse("latency=0.5"), FEW)
    point = designs(problem, 1)[0]
    bits = problem.bits(point)
    assert bits["conv1"] == bits["linear"] == Bits(8, 8)
    assert bits["conv2"] == Bits(int(point["conv2.weight_bits"]), int(point["conv2.activation_bits"]))
    levels = problem.build(point).get_parameter("conv2.weight")[0].unique()
    assert 2 < len(levels) <= 2 ** bits["conv2"].weights
    modelled = latency(HARDWARE["edge"], problem.network.graph.layers, bits)
    assert problem.cost_of(point) == pytest.approx(modelled, rel=1e-9)
    assert problem.cost_of(point) <= 0.5 * problem.base_cost
    eight = latency(HARDWARE["edge"], problem.network.graph.layers, dict.fromkeys(bits, Bits(8, 8)))
    assert problem.base_cost == pytest.approx(eight, rel=1e-9)


def test_of_three_layers_the_ends_are_chosen_too(write_module: WriteModule) -> None:
    reference = NetworkReference("digits", write_module("three", BROKEN.format(fault="")))
    problem = BitsProblem(reference, CostLimit.parse("bytes=0.3"), FEW)
    assert [variable.name for variable in problem.space.variables] == [
        *("one.weight_bits", "two.weight_bits", "out.weight_bits")
    ]


def test_a_candidate_does_not_see_the_one_before(digits: NetworkReference) -> None:
    for kind, budget in ((BitsProblem, "latency=0.5"), (SparsityProblem, "bytes=0.2")):
        problem = problem_of(kind, budget, digits)
        one, two = designs(problem, 2)
        first = problem.evaluate(one, "", 0).metrics
        problem.evaluate(two, "", 0)
        assert problem.evaluate(one, "", 0).metrics == first


@pytest.mark.parametrize(("kind", "budget"), [(BitsProblem, "bytes=0.12"), (SparsityProblem, "bytes=0.3")])
def test_bytes_are_near_those_of_the_file(kind: type[NetworkProblem], budget: str, digits: NetworkReference) -> None:
    problem = problem_of(kind, budget, digits)
    for point in designs(problem, 4):
        made = problem.build(point)
        if isinstance(problem, BitsProblem):
            inputs = problem.network.data.train.inputs[:64]
            made = quantize(problem.network.model, problem.bits(point), inputs)
        file, header = len(encode(made)), 40 * len(made.state_dict())
        assert 0.97 * problem.cost_of(point) < file < 1.03 * problem.cost_of(point) + header


# Sparsity.


def test_each_layer_keeps_its_share(digits: NetworkReference) -> None:
    problem = SparsityProblem(digits, CostLimit.parse("bytes=0.2"), FEW, keep=("linear",))
    point = problem.space.start or {}
    built = problem.build(point)
    for layer in ("conv1", "conv2", "conv3"):
        weight, whole = built.get_parameter(f"{layer}.weight"), problem.network.model.get_parameter(f"{layer}.weight")
        assert int((weight != 0).sum()) == round(problem.kept(point)[layer] * weight.numel())
        assert whole[weight == 0].abs().max() <= weight[weight != 0].abs().min()
        seen = problem.observed(point)[layer]["importance kept"]
        assert seen == pytest.approx(float(weight.abs().sum() / whole.abs().sum()), rel=1e-5)
    assert bool((built.get_parameter("linear.weight") != 0).all())


def test_shares_go_down_to_the_least_on_a_log_scale(digits: NetworkReference) -> None:
    problem = SparsityProblem(digits, CostLimit.parse("bytes=0.2"), FEW, least_kept=0.02)
    variable = problem.space.by_name["conv2.kept"]
    assert (variable.low, variable.high) == (0.02, 1.0)
    assert float(variable.decode(0.5)) == pytest.approx(np.sqrt(0.02), rel=0.1)


# Jointly.


def test_all_three_are_done_to_a_network(digits: NetworkReference) -> None:
    problem = JointProblem(digits, CostLimit.parse("bytes=0.08"), FEW)
    assert [variable.name for variable in problem.space.variables][:5] == [
        *("conv1", "conv1.kept", "conv2", "conv2.kept", "conv2.weight_bits")
    ]
    for point in designs(problem, 3):
        built = problem.build(point)
        weights = quantized_weights(built)
        assert built.get_parameter("conv2.weight").shape == (point["conv2"], point["conv1"], 3, 3)
        assert weights["conv2.weight"].bits == point["conv2.weight_bits"] and weights["conv1.weight"].bits == 8
        density = float((weights["conv2.weight"].integers != 0).float().mean())
        assert density <= float(point["conv2.kept"]) + 1 / weights["conv2.weight"].integers.numel()
        assert problem.cost_of(point) <= problem.bound


# Searching.


@pytest.mark.parametrize("name", ["random", "cmaes", "seq2seq", "gcn"])
def test_optimizers_solve_it_through_a_study(name: str, digits: NetworkReference) -> None:
    problem = ChannelProblem(
        digits, CostLimit.parse("macs=0.25"), Judging(validation=None, recalibration=256, reconstruction=0)
    )
    study = Study(problem, problem.specs, Pool(problem), Record.create(":memory:"), budget=Budget(evaluations=40))
    study.run(make(name, problem.space, problem.specs, 0, study.budget), stop="budget")
    assert all(trial.metrics["macs"] <= problem.bound for trial in study.trials)
    assert study.trials[0].point == problem.space.start, "the uniform design comes first"
    assert study.best is not None
    assert study.best.metrics["accuracy"] >= study.trials[0].metrics["accuracy"] + 1
