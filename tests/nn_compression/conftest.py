"""What several tests of networks begin from."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

from nn_compression.files.references import load_data, load_model
from nn_compression.training.loop import Schedule, train


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of a digits_net, which has batch norms, trained for two epochs."""
    data, model = load_data("digits", 0), load_model("digits_net")
    train(model, data, Schedule(2, learning_rate=0.1, batch=64), seed=0)
    path = tmp_path_factory.mktemp("weights") / "digits.safetensors"
    save_file(model.state_dict(), path)
    return path
