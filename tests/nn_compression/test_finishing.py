"""Training a design again: one that is worse for it is left as it was, and that is said."""

from __future__ import annotations

import copy

import torch

from nn_compression.files.references import load_data, load_model
from nn_compression.run.finishing import Finishing
from nn_compression.training.loop import train
from nn_compression.training.schedule import Schedule


def test_a_training_that_makes_it_worse_is_not_kept_and_is_told() -> None:
    data, said = load_data("digits", 0), list[str]()
    model = load_model("lenet_300_100", example_input=data.example_input, classes=10, seed=0)
    train(model, data, Schedule(4, learning_rate=0.1, batch=32), seed=0)
    trained = copy.deepcopy(model.state_dict())
    wild = Schedule(1, learning_rate=3.0, batch=32, clip_norm=1.0, decay="constant")
    Finishing(data, wild, 0, None, say=said.append).tune(model, "wild")
    assert all(torch.equal(trained[key], value) for key, value in model.state_dict().items())
    assert len(said) == 1 and "made it worse" in said[0] and "not kept" in said[0]
    gentle = Schedule(1, learning_rate=0.01, batch=32)
    Finishing(data, gentle, 0, None, say=said.append).tune(model, "gentle")
    assert len(said) == 1 and any(not torch.equal(trained[key], value) for key, value in model.state_dict().items())
