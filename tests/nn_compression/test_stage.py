"""Runs under a measured latency, on clocks that are made up: what is decided by a clock is decided once."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from torch import Tensor, nn

from automl_core.errors import InputError, RecordError
from automl_core.record import Record
from nn_compression.export import Exported
from nn_compression.latency import onnx_blocks
from nn_compression.latency.timing import Measurement
from nn_compression.run import compression, deliverables, measuring, stage
from nn_compression.run.compression import CompressionRun
from nn_compression.run.settings import Settings
from tests.nn_compression.test_compression import Listener, begun

ODD = """
from torch import nn

def network():
    return nn.Sequential(nn.Conv2d(1, 15, 3), nn.ReLU(), nn.Flatten(), nn.Linear(15 * 36, 10))

def larger():
    first, second = nn.Conv2d(1, 127, 3, padding=1), nn.Conv2d(127, 32, 3)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(32 * 36, 10))
"""
EVALUATIONS = 6


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a network of 15 channels."""
    (tmp_path / "odd_net.py").write_text(ODD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_net", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Settings(
        "odd_net:network",
        "digits",
        budget="latency=0.8",
        optimizer="random",
        evaluations=str(EVALUATIONS),
        train_epochs=2,
        learning_rate=0.05,
        finetune_epochs=2,
    )


class Clock:
    """Times of blocks by the bytes of their graphs, of whole networks by their channels; as slow as the machine is."""

    def __init__(self) -> None:
        self.slow = itertools.repeat(1.0)
        self.of_channels: Callable[[int], float] = lambda channels: 1e-6 * (5 + channels)
        self.seen: list[int] = []

    def block(self, graph: onnx_blocks.BlockGraph) -> float:
        return 1e-8 * len(graph.model) * next(self.slow)

    def whole(self, path: Path, example_input: Tensor, *, rounds: int) -> Measurement:
        channels = channels_of(path)
        self.seen.append(channels)
        return Measurement((self.of_channels(channels) * next(self.slow),), 1, "onnxruntime")


def channels_of(path: Path) -> int:
    """Of the convolution of a file that stands for an ONNX file."""
    return int(path.read_text())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In place of all that is measured of ONNX files, which are not written either: that takes seconds."""
    made = Clock()
    monkeypatch.setattr(onnx_blocks, "_seconds", made.block)
    monkeypatch.setattr(measuring, "measure_file", made.whole)

    def written(model: nn.Module, example_input: Tensor, path: Path) -> Exported:
        path.write_text(str(len(model.get_submodule("0").weight)))
        return Exported(path, 1, 0.0, True)

    monkeypatch.setattr(stage, "export_onnx", written)
    for module in (compression, deliverables):
        monkeypatch.setattr(module, "export", lambda *told: (written(*told).path, ()))
    monkeypatch.setattr(compression, "try_int8", lambda *_: "")
    return made


def test_a_latency_is_met_as_the_measurements_say(tmp_path: Path, settings: Settings) -> None:
    asked = replace(settings, model="odd_net:larger", keep=("2",), finetune_epochs=1, budget="latency=0.9")
    outcome = begun(tmp_path / "run", asked).execute(1, Listener())
    before, after = outcome.before.onnx, outcome.after.onnx
    assert before is not None and after is not None
    assert outcome.reached.bound == pytest.approx(0.9 * before.seconds)
    assert (outcome.reached.value, outcome.reached.spread) == (after.seconds, after.spread)
    assert outcome.met == (after.seconds <= 0.9 * before.seconds)
    weights = {tensor.name: tensor.dims for tensor in onnx.load(tmp_path / "run/model.onnx").graph.initializer}
    assert 25 < weights["0.weight"][0] == weights["2.weight"][1] < 127  # a fifth would be several times as fast
    assert not list((tmp_path / "run/channels").glob("finish-*"))


def test_a_latency_run_that_is_cut_off_goes_on_whatever_the_clock_says(
    tmp_path: Path, settings: Settings, clock: Clock
) -> None:
    noise = np.random.default_rng(0)
    clock.slow = (noise.uniform(1.0, 1.1) for _ in itertools.count())
    folder, table = tmp_path / "run", tmp_path / "cache/sizewise/latency.json"
    begun(folder, settings)
    for at in ("search", "random", "training"):
        with pytest.raises(KeyboardInterrupt):
            CompressionRun.reopen(folder).execute(1, Listener(at))
        table.unlink(missing_ok=True)  # and what would be measured now is something else
    trained = json.loads((folder / "channels/finish-0-0.json").read_text())
    clock.of_channels = lambda channels: 1e-3 / channels
    seen = len(clock.seen)
    outcome = CompressionRun.reopen(folder).execute(1, Listener("search"))
    assert json.loads((folder / "channels/design.json").read_text()) == trained
    assert channels_of(folder / "model.onnx") in trained.values()
    assert set(clock.seen[seen:]) == {15, *trained.values()}, "no design is measured but the one that was made"
    assert not outcome.met  # by the last measurement, on which nothing depends but this
    for name in ("study.sqlite", "random.sqlite"):
        with Record.open(folder / name) as record:
            assert len({json.dumps(dict(trial.point)) for trial in record.trials()}) == len(record) <= EVALUATIONS


def test_a_machine_that_becomes_slower_makes_no_design_smaller(
    tmp_path: Path, settings: Settings, clock: Clock
) -> None:
    plain = begun(tmp_path / "plain", settings).execute(1, Listener())
    begun(tmp_path / "run", settings)
    with pytest.raises(KeyboardInterrupt):
        CompressionRun.reopen(tmp_path / "run").execute(1, Listener("random"))
    clock.slow = itertools.repeat(3.0)
    outcome = CompressionRun.reopen(tmp_path / "run").execute(1, Listener())
    assert outcome.met and plain.met
    assert channels_of(tmp_path / "run/model.onnx") == channels_of(tmp_path / "plain/model.onnx")


def test_the_smallest_design_is_tried_before_a_latency_is_out_of_reach(
    tmp_path: Path, settings: Settings, clock: Clock
) -> None:
    clock.of_channels = lambda channels: 1e-6 if channels == 4 else 5e-6 if channels == 15 else 2e-5
    outcome = begun(tmp_path / "run", settings).execute(1, Listener())
    assert outcome.met and channels_of(tmp_path / "run/model.onnx") == 4  # a fifth of 15 channels, in steps of two
    clock.of_channels = lambda channels: 1e-5 if channels == 15 else 1.2e-5
    with pytest.raises(InputError, match=r"latency stays at 1\.500 of the budget, however small the design is made"):
        begun(tmp_path / "other", settings).execute(1, Listener())
    assert 4 in clock.seen[-12:]


def test_a_latency_run_does_not_go_on_by_times_of_another_machine(
    tmp_path: Path, settings: Settings, clock: Clock
) -> None:
    with pytest.raises(KeyboardInterrupt):
        begun(tmp_path / "run", settings).execute(1, Listener("search"))
    path = tmp_path / "run/channels/latency.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"machine": content["machine"] | {"processor": "Z80"}}))
    with pytest.raises(RecordError, match="measured on another machine: processor Z80") as caught:
        CompressionRun.reopen(tmp_path / "run").execute(1, Listener())
    assert "or begin a new run" in (caught.value.remedy or "")
    assert path.exists()


def test_a_network_without_an_onnx_file_in_the_end_has_not_met_its_latency(
    tmp_path: Path, settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverables, "export", lambda *_: (None, ("no model.onnx: it rounds otherwise",)))
    outcome = begun(tmp_path / "run", settings).execute(1, Listener())
    assert not outcome.met and outcome.reached.metric == "latency"
    assert "no model.onnx: it rounds otherwise" in outcome.notes
    assert (tmp_path / "run/model.swnn").is_file()
    again = CompressionRun.reopen(tmp_path / "run").execute(1, Listener("search"))
    assert not again.met and repr(again.reached) == repr(outcome.reached)
