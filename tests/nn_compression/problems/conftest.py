"""A network on scikit-learn's digits, trained for a moment, and networks in a file of the user's own."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_model

from nn_compression.files.references import load_data, load_model
from nn_compression.problems.network import NetworkReference
from nn_compression.training.loop import train
from nn_compression.training.schedule import Schedule

WriteModule = Callable[[str, str], str]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> NetworkReference:
    """The zoo's digits network after three epochs."""
    torch.set_num_threads(1)
    data, model = load_data("digits", 0), load_model("digits_net", seed=0)
    train(model, data, Schedule(epochs=3, learning_rate=0.1, batch=64), seed=0)
    weights = tmp_path_factory.mktemp("digits") / "weights.safetensors"
    save_model(model, str(weights))
    return NetworkReference("digits", "digits_net", weights)


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteModule:
    """Write a module whose function ``network`` makes a network; gives the reference of it."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, body: str) -> str:
        (tmp_path / f"{name}.py").write_text("import torch\nfrom torch import nn\n\n\n" + textwrap.dedent(body))
        return f"{name}:network"

    return write
