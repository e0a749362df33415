"""Latency of a network for any channels: shapes against networks that were built, times against whole measurements."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from automl_core.errors import InputError
from automl_core.one_thread import one_thread
from nn_compression.channels import ChannelGroup, best_channels, channel_groups, importance, prune
from nn_compression.export import onnx_program
from nn_compression.latency import onnx_blocks, timing
from nn_compression.latency.block_graphs import block_graph, reordering_graph
from nn_compression.latency.building import build_table, fitted_scale, random_designs
from nn_compression.latency.design_shapes import DesignShapes
from nn_compression.latency.fused_blocks import blocks_of, origins, wired
from nn_compression.latency.network_latency import NetworkLatency
from nn_compression.latency.onnx_session import session_of
from nn_compression.latency.operations import record
from nn_compression.latency.replay import call_of
from nn_compression.latency.table import ENGINES, LatencyTable, Time, engine_of
from nn_compression.latency.timing import Measurement, least_seconds, measured
from nn_compression.latency.whole import measure
from nn_compression.zoo import digits_net, lstm_language_model, mobilenet_v2, resnet20


@pytest.fixture(autouse=True)
def one_torch_thread() -> Iterator[None]:
    with one_thread():
        yield


class Branches(nn.Module):
    """Two paths of different channels side by side, a gate, and a flatten that a linear layer reads."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(3, 10, 1)
        self.norm, self.joined = nn.BatchNorm2d(16), nn.Conv2d(16, 8, 3, padding=1, stride=2)
        self.gate, self.head = nn.Linear(8, 8), nn.Linear(8 * 16, 5)

    def forward(self, images: Tensor) -> Tensor:
        joined = self.joined(torch.relu(self.norm(torch.cat([self.left(images), self.right(images)], 1))))
        gated = joined * torch.sigmoid(self.gate(joined.mean((2, 3))))[:, :, None, None]
        out: Tensor = self.head(gated.flatten(1))
        return out


IMAGE = torch.zeros(1, 3, 8, 8)
NETWORKS = {
    "digits": (digits_net, torch.zeros(1, 1, 8, 8)),
    "resnet": (resnet20, torch.zeros(1, 3, 32, 32)),
    "inverted residuals": (mobilenet_v2, torch.zeros(1, 3, 32, 32)),
    "branches": (Branches, IMAGE),
    "lstm": (lambda: lstm_language_model(20, units=16, embedding=8), torch.zeros(1, 6, dtype=torch.int64)),
    "attention": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(16, 4, 24, batch_first=True), 1, enable_nested_tensor=False
        ),
        torch.zeros(1, 5, 16),
    ),
}


def pruned(model: nn.Module, groups: tuple[ChannelGroup, ...], counts: dict[str, int]) -> nn.Module:
    kept = {g.name: best_channels(importance(model, g), g, counts[g.name]) for g in groups if g.name in counts}
    return prune(model, groups, kept)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_shapes_of_a_design_are_those_of_the_network_built(name: str) -> None:
    torch.manual_seed(0)
    make, example = NETWORKS[name]
    model = make()
    groups = channel_groups(model, example)
    shapes = DesignShapes(model, example, groups)
    for design in random_designs(groups, 2, seed=1):
        if name == "attention":  # with all its heads it is another module
            design = {group.name: min(design[group.name], group.counts()[-2]) for group in groups}
        built = record(pruned(model, groups, design), example)
        assert [operation.wired_text for operation in shapes.at(design).values()] == [op.wired_text for op in built]


def test_a_network_that_grows_in_steps_is_refused() -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, values: Tensor) -> Tensor:
            hidden = self.first(values)
            wide = torch.zeros(hidden.shape[1] ** 2)
            out: Tensor = self.second(hidden) + wide.sum()
            return out

    model = Steps()
    groups = channel_groups(model, torch.zeros(1, 4))
    with pytest.raises(InputError, match="do not grow evenly with the channels of the group 'first'"):
        DesignShapes(model, torch.zeros(1, 4), groups)


def test_blocks_are_convolutions_with_what_follows_them() -> None:
    operations = record(resnet20(), torch.zeros(1, 3, 32, 32))
    names = [[operations[position].name for position in block] for block in blocks_of(operations)]
    assert names[:3] == [
        ["conv2d", "batch_norm", "relu"],
        ["conv2d", "batch_norm", "relu"],
        ["conv2d", "batch_norm", "add", "relu"],
    ]
    assert sum(block[0] == "conv2d" for block in names) == 21 and names[-1] == ["linear"]
    computed = sorted(position for block in blocks_of(operations) for position in block)
    assert computed == [position for position, operation in enumerate(operations) if operation.name != "flatten"]


def convolutions_by_layout(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.domain for node in model.graph.node if node.op_type in ("Conv", "FusedConv"))


def test_the_convolutions_of_the_blocks_have_the_layouts_that_they_have_in_the_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, example = digits_net(), torch.zeros(1, 1, 8, 8)
    groups = channel_groups(model, example)
    design = {groups[0].name: 12, groups[1].name: 11}
    smaller = pruned(model, groups, design).eval()
    session_of(onnx_program(smaller, (example,)).SerializeToString(), save=tmp_path / "whole.onnx")
    whole = convolutions_by_layout(onnx.load(tmp_path / "whole.onnx"))
    operations = record(smaller, example)
    alone: Counter[str] = Counter()
    for positions in blocks_of(operations):
        graph = block_graph(wired(dict(enumerate(operations)), positions, origins(operations)))
        session_of(graph.model, optimized=False).run(None, graph.feeds)
        alone += convolutions_by_layout(onnx.load_from_string(graph.model))
    assert alone == whole and whole.total() == 3


def test_reordering_goes_there_and_back() -> None:
    graph = block_graph(
        wired(
            dict(enumerate(ops := record(nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3)), IMAGE))),
            (1,),
            origins(ops),
        )
    )
    if not any(graph.takes):
        pytest.skip("ONNX Runtime has no blocked layout on this processor")
    there, back = reordering_graph((1, 20, 5, 7), into=True), reordering_graph((1, 20, 5, 7), into=False)
    image = np.random.default_rng(0).normal(size=(1, 20, 5, 7)).astype(np.float32)
    blocked = session_of(there.model, optimized=False).run(None, {"in0": image})[0]
    assert blocked.shape[1] >= 20 and blocked.shape == back.feeds["in0"].shape
    np.testing.assert_array_equal(session_of(back.model, optimized=False).run(None, {"in0": blocked})[0], image)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_operation_can_be_done_again(name: str) -> None:
    make, example = NETWORKS[name]
    with torch.no_grad():
        for operation in record(make(), example):
            result = call_of(operation)()
            first = result[0] if isinstance(result, tuple | list) else result
            assert tuple(first.shape) == operation.outputs[0].shape


def known_times(table: LatencyTable, seconds: dict[str, float], otherwise: float) -> None:
    """Times by the beginning of their text, in place of measurements."""
    table.time = lambda engine, text, measure: Time(  # type: ignore[method-assign]
        next((value for start, value in seconds.items() if text.startswith(start)), otherwise)
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_the_latency_is_the_scaled_sum_of_terms_that_depend_on_few_groups(engine: str) -> None:
    table, model = LatencyTable(), Branches()
    known_times(table, {"nn.Module": 0.25, "InferenceSession": 0.5}, otherwise=1.0)
    table.scales[engine_of(engine)] = 2.0
    groups = channel_groups(model, IMAGE)
    latency = NetworkLatency(model, IMAGE, groups, table, engine_of(engine))
    operations = record(model, IMAGE)
    if engine == "eager":
        calls = 1 + sum(1 for _ in model.children())
        assert latency.seconds() == pytest.approx(2.0 * (0.25 * calls + len(operations)))
    else:
        assert latency.seconds() == pytest.approx(2.0 * (0.5 + len(blocks_of(operations))))
    assert latency.seconds() == pytest.approx(latency.scale * latency.fixed + sum(t.seconds({}) for t in latency.terms))
    names = {group.name for group in groups}
    assert all(set(term.groups) <= names for term in latency.terms)
    by_name = {term.name.split()[0]: term.groups for term in latency.terms}
    assert by_name["linear"] == ("joined",)
    with pytest.raises(InputError, match="no channel group 'nope'"):
        latency.seconds({"nope": 3})


def test_each_distinct_shape_is_measured_once() -> None:
    table, asked = LatencyTable(), []
    plain = table.time

    def counting(engine: str, text: str, measure: object) -> Time:
        return plain(engine_of(engine), text, lambda: asked.append(text) or Time(1.0))  # type: ignore[func-returns-value]

    table.time = counting  # type: ignore[assignment, method-assign]
    model, example = resnet20(), torch.zeros(1, 3, 32, 32)
    groups = channel_groups(model, example)
    latency = NetworkLatency(model, example, groups, table)
    latency.seconds()
    assert len(asked) == len(set(asked)) < 21  # blocks repeat within a stage
    first = len(asked)
    latency.seconds({groups[1].name: 8})
    assert first < len(asked) <= first + 2  # the layer that makes these channels, and the one that reads them
    latency.seconds({groups[1].name: 8})
    assert len(asked) <= first + 2


def test_a_small_table_predicts_the_whole_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
    ).eval()
    example = torch.randn(1, 3, 24, 24)
    progress: list[tuple[str, int, int]] = []
    table = build_table(
        model,
        example,
        tmp_path / "t.json",
        engines=("eager",),
        fitted_on=0,
        progress=lambda *step: progress.append(step),
    )
    predicted = NetworkLatency(model, example, (), table, "eager").seconds()
    assert predicted == pytest.approx(measure(model, example, "eager").seconds, rel=0.5)
    assert progress[-1][1] == progress[-1][2] > 0


def test_a_table_is_saved_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    model, example = digits_net(), torch.zeros(1, 1, 8, 8)
    groups = channel_groups(model, example, round_to=8)
    first = build_table(model, example, path, groups=groups, engines=("onnxruntime",), counts=2, fitted_on=0)
    again = LatencyTable(path)
    assert again.times == first.times and len(again) == len(first) > 5
    again.time = lambda *_: pytest.fail("measured again")  # type: ignore[method-assign]
    content = json.loads(path.read_text())
    assert content["machine"]["threads"] == "1" and content["machine"]["processor"]
    other = LatencyTable(path)  # another process, which measured something else in the meantime
    other.time("eager", "there", lambda: Time(1.0))
    other.save()
    first.time("eager", "here", lambda: Time(2.0, (True, False), True))
    first.save()
    assert LatencyTable(path).times["eager"] == {"there": Time(1.0), "here": Time(2.0, (True, False), True)}
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_measured_before_a_stop_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, times, calls = tmp_path / "new/table.json", iter(range(1, 100)), 0

    def stopped(call: object, **_: object) -> tuple[float, int]:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt
        return float(next(times)), 1

    monkeypatch.setattr(onnx_blocks, "least_seconds", stopped)
    model, example = digits_net(), torch.zeros(1, 1, 8, 8)
    groups = channel_groups(model, example, round_to=8)

    def build() -> LatencyTable:
        return build_table(model, example, path, groups=groups, engines=("onnxruntime",), counts=2, fitted_on=0)

    with pytest.raises(KeyboardInterrupt):
        build()
    kept = LatencyTable(path).times["onnxruntime"]
    assert len(kept) == 5  # the call of a session is measured twice
    whole = build().times["onnxruntime"]
    assert kept.items() <= whole.items() and len(whole) == 5 + calls - 7


def test_a_table_that_is_killed_loses_few_times(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    table = LatencyTable(path)
    for number in range(120):
        table.time("eager", str(number), lambda: Time(1.0))
        assert number < 60 or number - len(LatencyTable(path)) <= 50


def test_a_table_of_another_machine_or_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    LatencyTable(path).save()
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"machine": content["machine"] | {"processor": "Z80"}}))
    with pytest.raises(InputError, match="measured on another machine: processor Z80"):
        LatencyTable(path)
    for text in ("{}", "[1]", "no JSON", json.dumps(content | {"times": {"eager": {"x": "fast"}}})):
        path.write_text(text)
        with pytest.raises(InputError, match="no latency table"):
            LatencyTable(path)


def test_the_scale_is_that_of_the_least_squared_relative_error() -> None:
    predicted, found = np.array([1.0, 2.0, 3.5]), np.array([1.2, 2.1, 4.4])
    scale = fitted_scale(predicted, found)
    errors = [np.square(candidate * predicted / found - 1).sum() for candidate in (scale - 1e-3, scale, scale + 1e-3)]
    assert errors[1] == min(errors)


def test_a_clock_that_stands_still_or_goes_back_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = itertools.cycle([0.0, 1e-3, 0.0, 0.0, 0.0, -1e-3])  # what passes between two readings of the clock
    clock = itertools.accumulate(steps)
    monkeypatch.setattr(timing.time, "thread_time", lambda: next(clock))
    assert least_seconds(lambda: None)[0] == pytest.approx(1e-3)


def test_time_is_that_of_the_thread_and_grows_with_the_work() -> None:
    value = torch.randn(400, 400)
    one, calls = least_seconds(lambda: value @ value)
    three, _ = least_seconds(lambda: [value @ value for _ in range(3)])
    assert calls >= 15 and three == pytest.approx(3 * one, rel=0.4)
    slept = measured(lambda: time.sleep(1e-3), "none", budget=0.0, rounds=2)
    assert slept.seconds < 5e-4  # asleep, the thread takes no time
    assert Measurement((2.0, 3.0, 2.5), 9, "eager").spread == pytest.approx(0.5)
    assert Measurement((2.0, 3.0, 2.5), 9, "eager").seconds == 2.0
