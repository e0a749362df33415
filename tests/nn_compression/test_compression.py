"""A compression run in one process: what it leaves, how it goes on, and what it refuses without a trace."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from automl_core.errors import InputError, RecordError
from automl_core.record import Record
from automl_core.runs import new_run_folder
from automl_core.specs import Spec
from automl_core.study import Study
from nn_compression.files import references
from nn_compression.files.model_files import load_saved
from nn_compression.files.references import load_data, load_model
from nn_compression.run import compression, deliverables
from nn_compression.run.compression import CompressionRun
from nn_compression.run.deliverables import load_compressed
from nn_compression.run.prospect import prospect_of
from nn_compression.run.settings import Settings
from nn_compression.training.evaluation import evaluate
from nn_compression.training.loop import Diverged, Epoch
from sizewise.__main__ import app


class Listener:
    """Hears all of a run, and may cut it off."""

    def __init__(self, at: str = "never") -> None:
        self.at, self.heard, self.said = at, 0, tuple[str, ...]()

    def say(self, *lines: str) -> None:
        self.said += lines

    def doing(self, words: str) -> AbstractContextManager[None]:
        return nullcontext()

    def training(self, title: str, epochs: int) -> AbstractContextManager[Callable[[Epoch], None]]:
        return nullcontext(lambda epoch: self._hear("training"))

    def searching(self, title: str, figure: Spec) -> AbstractContextManager[Callable[[Study], None]]:
        return nullcontext(lambda study: self._hear("random" if "random designs" in title else "search"))

    def measuring(self) -> AbstractContextManager[Callable[[str, int, int], None]]:
        return nullcontext(lambda what, done, of: None)

    def _hear(self, what: str) -> None:
        self.heard += 1
        if what == self.at:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ONNX files, which take longer than all else of a small run: for tests of other things."""

    def none(*_: object) -> tuple[None, tuple[str, ...]]:
        return None, ()

    monkeypatch.setattr(compression, "export", none)
    monkeypatch.setattr(deliverables, "export", none)


@pytest.fixture
def settings(weights: Path) -> Settings:
    return Settings("digits_net", weights=str(weights), optimizer="random", evaluations="8", finetune_epochs=1)


def begun(folder: Path, settings: Settings) -> CompressionRun:
    return CompressionRun.begin(lambda name: new_run_folder(folder, name), settings, "sizewise compress")


def onnx_macs(path: Path) -> int:
    """Multiply-accumulates of a network of convolutions and a matrix product, read off its ONNX file alone."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    values = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.value_info}
    macs = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            macs += int(np.prod(shapes[node.input[1]])) * int(np.prod(values[node.output[0]][2:]))
        if node.op_type in ("Gemm", "MatMul"):
            macs += int(np.prod(next(shapes[name] for name in node.input if name in shapes)))
    return macs


def test_channels_to_half_the_macs(tmp_path: Path, settings: Settings) -> None:
    run = begun(tmp_path / "run", replace(settings, budget="macs=0.5", finetune_epochs=2))
    outcome, data = run.execute(1, Listener()), load_data("digits", 0)
    folder = tmp_path / "run"
    assert outcome.met
    assert onnx_macs(folder / "base/model.onnx") == outcome.before.macs
    assert onnx_macs(folder / "model.onnx") == outcome.after.macs <= outcome.before.macs // 2

    model = load_compressed(folder)
    assert outcome.after.test == pytest.approx(evaluate(model, data.test, data.task))
    assert (folder / "model.swnn").stat().st_size == outcome.after.file_bytes
    for tensor, saved in zip(model.state_dict().values(), load_saved(folder).state_dict().values(), strict=True):
        assert torch.equal(tensor, saved)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: data.test.inputs[:50].numpy()})[0]
    with torch.no_grad():
        assert np.abs(found - model(data.test.inputs[:50]).numpy()).max() < 1e-3

    search = outcome.searches[0]
    assert (search.evaluations, search.metric) == (8, "accuracy")
    assert search.ordered_by == "divergence"
    with Record.open(folder / "random.sqlite") as record:
        start, *drawn = list(record.trials())
    assert len(drawn) == 8 and start.metrics["accuracy"] == search.uniform
    with Record.open(folder / "study.sqlite") as record:
        searched = list(record.trials())
    for trials, shown in ((drawn, search.random), (searched, search.found)):
        assert shown == min(trials, key=lambda trial: trial.metrics["divergence"]).metrics["accuracy"]
    assert {layer.name for layer in outcome.layers} == {"conv1", "conv2", "conv3", "linear"}
    assert sum(layer.macs for layer in outcome.layers) == outcome.after.macs
    content = json.loads((folder / "result.json").read_text())
    assert content["met"] and content["seed"] == 0 and content["versions"]["torch"]
    assert not list(folder.rglob("*.training"))
    again = CompressionRun.reopen(folder).execute(1, Listener("search"))  # which would be cut off, were it searched
    assert again.as_json() == outcome.as_json()


def test_a_network_that_cannot_be_exported_is_told_before_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, images):
        hidden = self.first(images.flatten(1)).relu()
        if hidden.mean() > 0:
            hidden = 2 * hidden
        return self.second(hidden)
"""
    (tmp_path / "by_value.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    asked = Settings("by_value:Net", "digits", train_epochs=2, optimizer="random", evaluations="4", finetune_epochs=0)
    prospect = prospect_of(asked)
    run, listener = begun(tmp_path / "run", asked), Listener("search")
    with pytest.raises(KeyboardInterrupt):
        run.execute(1, listener)
    (warning,) = listener.said
    assert prospect.as_json()["warnings"] == [warning.removeprefix("warning: ")], "a dry run foresees it"
    assert "no model.onnx" in warning and f"{tmp_path / 'by_value.py'}:12: " in warning and warning.isprintable()
    outcome = CompressionRun.reopen(tmp_path / "run").execute(1, Listener())
    assert outcome.met and any(warning.endswith(note) for note in outcome.notes)
    assert not (tmp_path / "run/model.onnx").exists() and (tmp_path / "run/model.swnn").exists()


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("method", "budget", "bound"),
    [("channels", "bytes=20k", 20_000), ("bits", "bytes=0.12", None), ("deep", "bytes=4k", 4000)],
)
def test_bytes_are_those_of_the_file(
    tmp_path: Path, settings: Settings, method: str, budget: str, bound: int | None
) -> None:
    asked = replace(settings, method=method, budget=budget, evaluations="3")
    outcome = begun(tmp_path / "run", asked).execute(1, Listener())
    state = load_saved(tmp_path / "run/base").state_dict().values()
    whole = sum(4 * tensor.numel() if tensor.is_floating_point() else 8 for tensor in state)
    bound = int(0.12 * whole) if bound is None else bound
    assert (outcome.before.file_bytes, outcome.reached.bound) == (whole, bound)
    assert 0.9 * bound < (tmp_path / "run/model.swnn").stat().st_size <= bound
    data, model = load_data("digits", 0), load_compressed(tmp_path / "run")
    assert outcome.after.validation == pytest.approx(evaluate(model, data.validation, data.task))


def test_all_goes_through_channels_sparsity_and_bits(tmp_path: Path, settings: Settings) -> None:
    asked = replace(settings, method="all", budget="bytes=0.06", evaluations="3", keep=("linear",), finetune_epochs=0)
    outcome = begun(tmp_path / "run", asked).execute(1, Listener())
    assert outcome.met and [search.method for search in outcome.searches] == ["channels", "sparsity", "bits"]
    assert any(layer.outputs < layer.outputs_before for layer in outcome.layers)
    assert max(layer.weight_bits for layer in outcome.layers) <= 8
    layer = next(layer for layer in outcome.layers if layer.name == "conv3")
    weight = load_compressed(tmp_path / "run").state_dict()["conv3.weight"]
    assert weight.shape[:2] == (layer.outputs, layer.inputs)
    assert layer.weights == int((weight != 0).sum()) < 0.6 * weight.numel()
    assert len(weight.unique()) < 2**8 * layer.outputs
    assert (tmp_path / "run/model.onnx").is_file()


@pytest.mark.usefixtures("plain")
def test_a_modelled_budget_says_so(tmp_path: Path, settings: Settings) -> None:
    asked = replace(settings, method="bits", budget="energy=0.7", evaluations="2", finetune_epochs=0)
    outcome = begun(tmp_path / "run", asked).execute(1, Listener())
    assert outcome.reached.modelled and outcome.met
    assert min(layer.weight_bits for layer in outcome.layers) < 8


@pytest.mark.usefixtures("plain")
def test_the_smallest_network_within_a_drop(tmp_path: Path, settings: Settings) -> None:
    listener = Listener()
    outcome = begun(tmp_path / "run", replace(settings, max_drop=3.0, evaluations="24")).execute(1, listener)
    assert outcome.met and outcome.reached.bound == 3.0
    assert outcome.before.validation - outcome.after.validation == pytest.approx(outcome.reached.value)
    assert outcome.searches[0].metric == "macs"
    told = [re.fullmatch(r"channels: with ([\d.]+)% of the MACs it drops by (\S+)", line) for line in listener.said]
    tried = {float(found[1]): float(found[2]) for found in told if found}
    assert 1 < len(tried) <= 5
    smallest = min(share for share, drop in tried.items() if drop <= 3.0)
    assert 100 * outcome.after.macs / outcome.before.macs == pytest.approx(smallest, abs=0.06)
    assert outcome.after.macs < outcome.before.macs


@pytest.mark.usefixtures("plain")
def test_the_whole_network_is_within_any_drop(tmp_path: Path, settings: Settings) -> None:
    """Judged as its designs are, with batch norms recalibrated, it is worse than as it came."""
    asked = replace(settings, max_drop=0.0, evaluations="2", finetune_epochs=0)
    outcome = begun(tmp_path / "run", asked).execute(1, Listener())
    search = outcome.searches[0]
    assert search.uniform <= search.found == outcome.before.macs
    with Record.open(tmp_path / "run/study.sqlite") as record:
        whole = next(iter(record.trials()))
    assert whole.metrics["macs"] == outcome.before.macs and whole.metrics["accuracy"] < outcome.before.validation


@pytest.mark.usefixtures("plain")
def test_cut_off_anywhere_it_ends_with_the_same_file(tmp_path: Path, settings: Settings) -> None:
    asked = replace(settings, evaluations="20", finetune_epochs=2)
    begun(tmp_path / "whole", asked).execute(1, Listener())
    begun(tmp_path / "cut", asked)
    for at in ("search", "random", "training"):  # each goes on from the cut before it
        with pytest.raises(KeyboardInterrupt):
            CompressionRun.reopen(tmp_path / "cut").execute(1, Listener(at))
        assert not (tmp_path / "cut/result.json").exists()
    CompressionRun.reopen(tmp_path / "cut").execute(1, Listener())
    assert (tmp_path / "cut/model.swnn").read_bytes() == (tmp_path / "whole/model.swnn").read_bytes()


def test_weights_that_changed_are_told(tmp_path: Path, settings: Settings, weights: Path) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(weights.read_bytes())
    begun(tmp_path / "run", replace(settings, weights=str(own)))
    save_file({name: tensor + 1 for name, tensor in load_model("digits_net").state_dict().items()}, own)
    with pytest.raises(RecordError, match=r"own\.safetensors has changed"):
        CompressionRun.reopen(tmp_path / "run")


CHANGEABLE = """
from nn_compression.data import Data, Split
from nn_compression.files.references import load_data

ADDED = {"training": 0, "validation": 0, "test": 0}

def data():
    found = load_data("digits", 0)
    splits = {"training": found.train, "validation": found.validation, "test": found.test}
    training, validation, test = (Split(split.inputs + ADDED[name], split.targets) for name, split in splits.items())
    return Data(training, validation, test, found.example_input, "classification")
"""


@pytest.mark.parametrize("split", ["training", "validation", "test"])
def test_a_split_that_changed_is_told(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    name = f"changeable_{split}"
    (tmp_path / f"{name}.py").write_text(CHANGEABLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    begun(tmp_path / "run", replace(settings, data=f"{name}:data"))
    CompressionRun.reopen(tmp_path / "run")
    sys.modules[name].ADDED[split] = 1
    references._loaded.cache_clear()  # as in another process
    with pytest.raises(RecordError, match=f"the {split} split has changed"):
        CompressionRun.reopen(tmp_path / "run")


def test_code_that_changed_is_told_also_that_of_a_module_which_the_named_one_imports(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "changeable_data.py").write_text("from changeable_loss import ADDED\n" + CHANGEABLE)
    (tmp_path / "changeable_loss.py").write_text("ADDED = 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    begun(tmp_path / "run", replace(settings, data="changeable_data:data"))
    CompressionRun.reopen(tmp_path / "run")
    (tmp_path / "changeable_loss.py").write_text("ADDED = 1\n")
    with pytest.raises(RecordError, match=r"changeable_loss\.py has changed"):
        CompressionRun.reopen(tmp_path / "run")


@pytest.mark.usefixtures("plain")
def test_weights_are_needed_until_the_base_lies_in_the_run(tmp_path: Path, settings: Settings, weights: Path) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(weights.read_bytes())
    run = begun(tmp_path / "run", replace(settings, weights=str(own), evaluations="2", finetune_epochs=0))
    own.unlink()
    with pytest.raises(RecordError, match=r"own\.safetensors is gone") as caught:
        CompressionRun.reopen(tmp_path / "run")
    assert "bring it back" in (caught.value.remedy or "")
    own.write_bytes(weights.read_bytes())
    with pytest.raises(KeyboardInterrupt):
        run.execute(1, Listener("search"))
    own.unlink()
    outcome = CompressionRun.reopen(tmp_path / "run").execute(1, Listener())
    assert CompressionRun.reopen(tmp_path / "run").execute(1, Listener()).as_json() == outcome.as_json()


def test_a_run_knows_the_whole_paths_of_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "board.yaml").write_text("peak_macs_per_second: 20e9\nbytes_per_second: 4e9\n")
    monkeypatch.chdir(tmp_path)
    named = {"weights": "w.safetensors", "table": "t.json", "hardware": "board.yaml", "data": "a.txt"}
    found = Settings("digits_net", **named).settled()
    assert {name: getattr(found, name) for name in named} == {n: str(tmp_path / file) for n, file in named.items()}
    assert Settings("digits_net", hardware="edge", data="digits").settled().hardware == "edge"


@pytest.mark.usefixtures("plain")
def test_an_int8_file_that_an_end_left_which_was_cut_off_is_not_listed(tmp_path: Path, settings: Settings) -> None:
    run = begun(tmp_path / "run", replace(settings, evaluations="2", finetune_epochs=0))
    (tmp_path / "run/model.int8.onnx").touch()
    run.execute(1, Listener())
    names = {path.name for path in run.files}
    assert "model.swnn" in names and "model.int8.onnx" not in names


@pytest.mark.usefixtures("plain")
def test_a_damaged_file_of_a_finished_run_is_told(tmp_path: Path, settings: Settings) -> None:
    begun(tmp_path / "run", replace(settings, evaluations="2", finetune_epochs=0)).execute(1, Listener())
    path = tmp_path / "run/model.swnn"
    content = path.read_bytes()
    for damage in (content[:-40], content[:100] + b"\0\0\0\0" + content[104:]):
        path.write_bytes(damage)
        with pytest.raises(InputError, match="cannot be read") as caught:
            CompressionRun.reopen(tmp_path / "run").execute(1, Listener())
        assert caught.value.place == str(path)


REFUSED = {
    "an unknown network": ({"model": "digit_net", "weights": None}, "no network 'digit_net'", "'digits_net'"),
    "a network of one's own without data": ({"model": "mine:net", "weights": None}, "needs its data", "--data"),
    "missing data": ({"data": "digit"}, "no data set 'digit'", "'digits'"),
    "an untrained network": ({"weights": None}, "untrained", "--train-epochs 20"),
    "weights of another network": ({"model": "lenet_300_100", "data": "digits"}, "another network", "weights"),
    "weights that are not there": ({"weights": "gone.safetensors"}, "cannot be read", "--weights"),
    "MACs out of reach": ({"budget": "macs=0.01"}, "can be brought to 13,672 MACs", "macs=0.06"),
    "bytes out of reach": ({"budget": "bytes=0.01", "method": "bits"}, "can be brought to", "bytes=0.0"),
    "a pair that there is not": ({"budget": "macs=0.5", "method": "deep"}, "not held to macs", "--budget bytes="),
    "a layer that there is not": ({"keep": ("conv9",)}, "conv9", "'conv3'"),
    "an unknown optimizer": ({"optimizer": "cma"}, "no optimizer 'cma'", "'cmaes'"),
    "no evaluations": ({"evaluations": "none"}, "cannot read the budget 'none'", "2000"),
    "a machine that would not be asked": ({"hardware": "clod"}, "no machine 'clod'", "'cloud'"),
    "a rate without training": (
        {"learning_rate": 0.1, "finetune_epochs": 0},
        "no training for it",
        "--finetune-epochs",
    ),
    "a teacher without lessons": ({"distill": True, "finetune_epochs": 0}, "--finetune-epochs 0", "leave one of them"),
    "an unknown machine": ({"method": "bits", "budget": "energy=0.9", "hardware": "egde"}, "'egde'", "'edge'"),
}
"""What is asked for instead, and the problem and the remedy that the error must name."""


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_refused_before_a_folder_is_made(tmp_path: Path, settings: Settings, name: str) -> None:
    changed, problem, remedy = REFUSED[name]
    with pytest.raises(InputError) as caught:
        begun(tmp_path / "run", replace(settings, **changed))
    assert problem in caught.value.problem
    assert remedy in (caught.value.remedy or "")
    assert "machine" not in name or caught.value.place == "--hardware"
    assert not (tmp_path / "run").exists()


IDLE: tuple[tuple[dict[str, object], str, str], ...] = (
    ({"method": "sparsity", "round_to": 1}, "--round-to", "--method channels and all"),
    ({"method": "bits", "round_to": 8}, "--round-to", "--method channels and all"),
    ({"method": "sparsity", "table": "nowhere.json"}, "--table", "--method channels with --budget latency="),
    ({"max_drop": 1.0, "table": "nowhere.json"}, "--table", "--method channels with --budget latency="),
    ({"method": "bits", "budget": "latency=0.9", "table": "nowhere.json"}, "--table", "measured"),
    ({"method": "deep", "hardware": "cloud"}, "--hardware", "--method bits with --budget latency=... or energy="),
    ({"method": "bits", "hardware": "edge"}, "--hardware", "modelled"),
    ({"method": "all", "hardware": "edge"}, "--hardware", "modelled"),
    ({"budget": "latency=0.6", "hardware": "cloud"}, "--hardware", "modelled"),
)
"""What is asked for, the option that has no part in it, and what the error says that it is for."""


@pytest.mark.parametrize(("changed", "option", "purpose"), IDLE)
def test_an_option_that_would_do_nothing_is_refused(
    tmp_path: Path, settings: Settings, changed: dict[str, object], option: str, purpose: str
) -> None:
    with pytest.raises(InputError, match="has no part in") as caught:
        begun(tmp_path / "run", replace(settings, **changed))  # type: ignore[arg-type]
    assert caught.value.place == option and purpose in (caught.value.remedy or "")
    assert not (tmp_path / "run").exists()


USED: tuple[dict[str, object], ...] = (
    {"method": "all", "round_to": 8},
    {"budget": "latency=0.6", "table": "new.json", "round_to": 8},
    {"method": "bits", "budget": "energy=0.9", "hardware": "cloud"},
)


@pytest.mark.parametrize("changed", USED)
def test_an_option_that_is_of_use_is_taken(settings: Settings, changed: dict[str, object]) -> None:
    replace(settings, **changed).refuse_idle()  # type: ignore[arg-type]
    settings.refuse_idle()


def test_a_training_that_diverges_leaves_no_folder(tmp_path: Path, settings: Settings) -> None:
    run = begun(tmp_path / "run", replace(settings, weights=None, train_epochs=2, learning_rate=1e20))
    with pytest.raises(InputError, match=r"loss is (nan|inf)") as caught:
        run.execute(1, Listener())
    assert "--lr" in (caught.value.remedy or "")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("plain")
def test_a_training_that_diverges_after_the_search_goes_on_with_a_lower_rate(
    tmp_path: Path, settings: Settings
) -> None:
    asked = replace(settings, evaluations="4", finetune_epochs=2, learning_rate=1e20)
    run = begun(tmp_path / "run", asked)
    with pytest.raises(Diverged) as caught:
        run.execute(1, Listener())
    command, rate = re.fullmatch(r".*`(sizewise resume .*) --lr (\S+)`.*", caught.value.remedy or "").groups()  # type: ignore[union-attr]
    assert command == f"sizewise resume {tmp_path / 'run'}" and float(rate) < 1e20
    with pytest.raises(Diverged):
        CompressionRun.reopen(tmp_path / "run").execute(1, Listener())
    resumed = CompressionRun.reopen(tmp_path / "run", 0.05).execute(1, Listener("search"))  # nothing is searched again
    assert any("--lr 0.05" in note for note in resumed.notes)
    begun(tmp_path / "other", replace(asked, learning_rate=0.05)).execute(1, Listener())
    assert (tmp_path / "run/model.swnn").read_bytes() == (tmp_path / "other/model.swnn").read_bytes()


@pytest.mark.usefixtures("plain")
def test_another_learning_rate_is_refused_where_no_training_is_left(tmp_path: Path, settings: Settings) -> None:
    untrained = begun(tmp_path / "run", replace(settings, finetune_epochs=0))
    with pytest.raises(InputError, match="no training is left") as caught:
        CompressionRun.reopen(tmp_path / "run", 0.5)
    assert caught.value.place == "--lr 0.5"
    assert "relearned" not in untrained.facts and untrained.facts["settings"]["learning_rate"] is None
    begun(tmp_path / "finished", replace(settings, evaluations="2"))
    CompressionRun.reopen(tmp_path / "finished", 0.05).execute(1, Listener())
    with pytest.raises(InputError, match="no training is left"):
        CompressionRun.reopen(tmp_path / "finished", 0.5)


def test_a_learning_rate_of_zero_is_refused() -> None:
    ended = CliRunner().invoke(app, ["compress", "--lr", "0"])
    assert ended.exit_code == 2 and "--lr" in ended.output


BROKEN = """
from dataclasses import replace
import torch
from torch import nn
from nn_compression.data import Data, Split
from nn_compression.files.references import load_data

def poisoned(name):
    data = load_data("digits", 0)
    splits = {each: getattr(data, each) for each in ("train", "validation", "test")}
    inputs = splits[name].inputs.clone()
    inputs[3, 0, 0, 0] = torch.nan
    splits[name] = Split(inputs, splits[name].targets)
    return Data(**splits, example_input=data.example_input, task="classification")

def train(): return poisoned("train")
def validation(): return poisoned("validation")
def test(): return poisoned("test")

class Careful(nn.Sequential):
    def forward(self, images):
        return super().forward(images.nan_to_num())

def dead():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    net[1].weight.data[0, 0] = torch.nan
    return net

def careful():
    return Careful(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
"""


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_data_that_is_no_number_is_refused_unless_the_network_takes_care_of_it(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    (tmp_path / "broken_digits.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_digits", raising=False)
    data = f"broken_digits:{split}"
    for changed in ({"data": data}, {"data": data, "weights": None, "train_epochs": 2}):
        with pytest.raises(InputError, match=r"1 of \d+ inputs hold NaN") as caught:
            begun(tmp_path / "run", replace(settings, **changed))
        assert caught.value.place == data and not (tmp_path / "run").exists()
    begun(tmp_path / "run", Settings("broken_digits:careful", data, train_epochs=2))


def test_weights_that_are_no_numbers_are_refused(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_weights.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"NaN or infinity in '1\.weight'") as caught:
        begun(tmp_path / "run", replace(settings, model="broken_weights:dead", weights=None, data="digits"))
    assert caught.value.place == "broken_weights:dead" and not (tmp_path / "run").exists()


@pytest.mark.usefixtures("plain")
def test_a_search_that_finds_no_new_design_ends_early_and_says_so(tmp_path: Path, settings: Settings) -> None:
    few = replace(settings, keep=("conv1", "conv2"), round_to=8, budget="macs=0.9", evaluations="60")
    listener = Listener()
    outcome = begun(tmp_path / "run", few).execute(1, listener)
    assert outcome.met
    spent = outcome.searches[0].evaluations
    assert spent < 60
    assert f"channels: no design is new after {spent} evaluations; the search ends early" in listener.said
