import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from automl_core.errors import InputError
from nn_compression.files.model_files import load_weights
from nn_compression.files.references import load_data, load_model
from nn_compression.files.tensor_files import read_tensors
from nn_compression.training.evaluation import evaluate
from nn_compression.training.loop import Epoch, train
from nn_compression.training.schedule import Schedule
from nn_compression.training.trained_weights import cache_folder, trained_weights, usual_schedule

NUMBERS = count()
SHORT = Schedule(2, 0.05, batch=64)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def refuse(epoch: Epoch) -> None:
    """A progress that must not be told anything."""
    raise AssertionError(f"it trained: {epoch}")


def test_a_network_is_trained_once_and_its_weights_are_those_of_the_training(cache: Path) -> None:
    told = list[int]()
    path = trained_weights("digits_net", "digits", SHORT, seed=3, progress=lambda epoch: told.append(epoch.number))
    assert told == [1, 2] and path.parent == cache / "sizewise" / "weights" and path.name.startswith("digits_net-")
    assert trained_weights("digits_net", "digits", SHORT, seed=3, progress=refuse) == path
    data = load_data("digits", 3)
    model, own = load_model("digits_net", seed=8), load_model("digits_net", seed=3)
    load_weights(model, path)
    train(own, data, SHORT, seed=3)
    assert all(tensor.equal(own.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert evaluate(model, data.test, data.task) > 60
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "other",
    [{"schedule": Schedule(0, 0.06)}, {"seed": 4}, {"reference": "lenet_300_100"}],
)
def test_whatever_decides_the_weights_has_its_own_file(other: dict[str, Any]) -> None:
    usual = {"reference": "digits_net", "data_reference": "digits", "schedule": Schedule(0), "seed": 3}
    assert trained_weights(**usual) != trained_weights(**usual | other)


def test_a_training_may_begin_from_given_weights() -> None:
    first = trained_weights("digits_net", "digits", SHORT, seed=3)
    same = trained_weights("digits_net", "digits", Schedule(0), seed=5, weights=first)
    assert same != trained_weights("digits_net", "digits", Schedule(0), seed=5)
    found, expected = read_tensors(same, "")[0], read_tensors(first, "")[0]
    assert all(found[name].equal(tensor) for name, tensor in expected.items())


def test_a_user_who_changes_the_code_gets_new_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"trained_model_of_a_user_{next(NUMBERS)}"
    code = "from torch import nn\nclass Net(nn.Linear):\n    def __init__(self): super().__init__(64, 10)\n"
    forward = "    def forward(self, x): return super().forward({}(x.flatten(1)))\n"
    (tmp_path / f"{name}.py").write_text(code + forward.format("abs"))
    first = trained_weights(f"{name}:Net", "digits", SHORT)
    (tmp_path / f"{name}.py").write_text(code + forward.format("0.5 * "))
    del sys.modules[name]
    assert trained_weights(f"{name}:Net", "digits", SHORT) != first


@pytest.mark.parametrize("changed", ["blocks", "data"])
def test_code_that_the_users_files_import_counts_too(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    blocks, net, data = (f"{part}_of_a_user_{next(NUMBERS)}" for part in ("blocks", "net", "data"))
    code = {
        "blocks": "from torch import nn\nclass Net(nn.Linear):\n"
        "    def forward(self, x): return super().forward(0.25 * x.flatten(1))\n",
        "net": f"from {blocks} import Net\ndef net(): return Net(64, 10)\n",
        "data": "from dataclasses import replace\nfrom nn_compression.datasets import digits_data\n"
        "def data(): return replace(digits_data(), augment=lambda images, generator: 0.25 * images)\n",
    }
    files = {"blocks": tmp_path / f"{blocks}.py", "net": tmp_path / f"{net}.py", "data": tmp_path / f"{data}.py"}
    for part, text in code.items():
        files[part].write_text(text)
    first = trained_weights(f"{net}:net", f"{data}:data", Schedule(0))
    assert trained_weights(f"{net}:net", f"{data}:data", Schedule(0)) == first
    files[changed].write_text(code[changed].replace("0.25", "0.75"))
    assert trained_weights(f"{net}:net", f"{data}:data", Schedule(0)) != first


def test_an_interrupted_training_goes_on(cache: Path) -> None:
    def stop(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    whole = trained_weights("digits_net", "digits", SHORT, seed=3)
    expected, _ = read_tensors(whole, "")
    whole.unlink()
    with pytest.raises(KeyboardInterrupt):
        trained_weights("digits_net", "digits", SHORT, seed=3, progress=stop)
    assert not whole.exists()
    told = list[int]()
    path = trained_weights("digits_net", "digits", SHORT, seed=3, progress=lambda epoch: told.append(epoch.number))
    found, _ = read_tensors(path, "")
    assert told == [2] and all(found[name].equal(tensor) for name, tensor in expected.items())


def test_a_cache_that_cannot_be_written_is_told_before_the_training(cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(InputError, match="cannot be written") as caught:
        trained_weights("digits_net", "digits", SHORT, progress=refuse)
    assert "XDG_CACHE_HOME" in str(caught.value.remedy)


def test_the_cache_is_in_the_home_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/.cache/sizewise/weights")


def test_networks_of_the_zoo_have_a_usual_schedule_and_users_none() -> None:
    assert usual_schedule("mobilenet_v1_x0.5") == usual_schedule("resnet20") is not None
    assert usual_schedule("a:b") is None


def test_a_network_of_ones_own_must_say_how_it_is_trained() -> None:
    with pytest.raises(InputError, match="has no usual training"):
        trained_weights("my_model:Net", "digits")
