"""The pipeline on digits: a file much smaller than the floats, of a model that is nearly as good and is what runs."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from automl_core.one_thread import one_thread
from nn_compression.coding.codec import decode, encode
from nn_compression.data import SettledData
from nn_compression.files.references import load_data, load_model
from nn_compression.sparsity.deep_compression import Compressed, Settings, compress
from nn_compression.sparsity.iterative_pruning import Pruning
from nn_compression.training.evaluation import evaluate
from nn_compression.training.loop import Schedule, train

SCHEDULE = Schedule(3, learning_rate=0.1, batch=32)
KEEP = {"fc1": 0.1, "fc2": 0.1, "fc3": 0.5}
SETTINGS = Settings(
    Pruning(KEEP, 2, SCHEDULE, SCHEDULE),
    {"fc1": 16, "fc2": 8, "fc3": 16, "fc1.bias": 8},
    replace(SCHEDULE, optimizer="adam", learning_rate=1e-3, weight_decay=0.0),
)


@pytest.fixture(scope="module")
def digits() -> SettledData:
    return load_data("digits", 0)


@pytest.fixture(scope="module")
def trained(digits: SettledData) -> nn.Module:
    model = load_model("lenet_300_100", example_input=digits.example_input, classes=10, seed=0)
    with one_thread():
        train(model, digits, Schedule(6, learning_rate=0.1, batch=32), seed=0)
    return model


@pytest.fixture(scope="module")
def compressed(digits: SettledData, trained: nn.Module) -> tuple[nn.Module, Compressed]:
    model = copy.deepcopy(trained)
    with one_thread():
        return model, compress(model, digits, SETTINGS, seed=0)


def test_the_file_is_small_and_the_model_good(
    digits: SettledData, trained: nn.Module, compressed: tuple[nn.Module, Compressed]
) -> None:
    model, result = compressed
    floats = 4 * sum(parameter.numel() for parameter in model.parameters())
    assert len(result.data) < floats / 30
    assert len(result.data) < 0.5 * result.pruned_bytes < 0.5 * len(encode(trained))
    assert evaluate(model, digits.test, digits.task) > evaluate(trained, digits.test, digits.task) - 3


def test_what_runs_is_what_the_file_decodes_into(compressed: tuple[nn.Module, Compressed]) -> None:
    model, result = compressed
    state = decode(result.data)
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert encode(model) == result.data


def test_weights_are_pruned_and_shared_in_half_floats(compressed: tuple[nn.Module, Compressed]) -> None:
    model, result = compressed
    for layer, clusters in {"fc1": 16, "fc2": 8, "fc3": 16}.items():
        weight = model.get_parameter(f"{layer}.weight").detach()
        assert int((weight != 0).sum()) == round(KEEP[layer] * weight.numel())
        assert len(weight[weight != 0].unique()) <= clusters
        assert torch.equal(weight, weight.half().float())
    assert result.masks.density() == pytest.approx(KEEP, abs=1e-3)
    assert len(model.get_parameter("fc1.bias").unique()) <= 8 < len(model.get_parameter("fc2.bias").unique())


def test_a_run_that_is_called_again_does_nothing_anew(
    digits: SettledData, trained: nn.Module, compressed: tuple[nn.Module, Compressed], tmp_path: Path
) -> None:
    first, again, rounds = copy.deepcopy(trained), copy.deepcopy(trained), []
    assert compress(first, digits, SETTINGS, seed=0, folder=tmp_path).data == compressed[1].data
    assert compress(again, digits, SETTINGS, seed=0, folder=tmp_path, progress=rounds.append).data == compressed[1].data
    assert not rounds


def test_the_epochs_of_all_stages_are_counted() -> None:
    assert SETTINGS.epochs == 3 + 3 + 3
