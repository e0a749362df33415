"""The network before compression: its weights loaded, trained or found wanting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from automl_core.errors import InputError
from nn_compression.files.references import load_data
from nn_compression.run.base import Source, finetuning, load_base, refuse_untrained, training
from nn_compression.training.evaluation import evaluate
from nn_compression.zoo import ZOO


def source(weights: Path | None = None, epochs: int = 0) -> Source:
    return Source("digits_net", "digits", None if weights is None else str(weights), epochs, None, 3)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("seed", range(3))
def test_a_network_with_random_weights_is_refused_with_what_to_do(seed: int) -> None:
    data = load_data("digits", seed)
    drawn = Source("digits_net", "digits", None, 0, None, seed)
    with pytest.raises(InputError, match="untrained") as caught:
        refuse_untrained(load_base(drawn), data, drawn)
    assert "--train-epochs 20" in (caught.value.remedy or "") and "--weights" in (caught.value.remedy or "")


def test_a_training_that_taught_nothing_is_not_advised_again() -> None:
    trained = Source("digits_net", "digits", None, 3, None, 0)
    untrained = load_base(replace(trained, train_epochs=0))
    with pytest.raises(InputError, match="untrained") as caught:
        refuse_untrained(untrained, load_data("digits", 0), trained)
    assert "3 epochs" in (caught.value.remedy or "") and "--lr" in (caught.value.remedy or "")


def test_a_trained_network_is_taken_and_its_weights_come_back_from_a_file(cache: Path, tmp_path: Path) -> None:
    data, heard = load_data("digits", 3), []
    model = load_base(source(epochs=1), heard.append)
    refuse_untrained(model, data, source(epochs=1))
    assert [epoch.number for epoch in heard] == [1]
    assert evaluate(model, data.validation, data.task) > 60  # chance is 10
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    again = load_base(source(tmp_path / "w.safetensors"))
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert not again.training
    load_base(source(epochs=1), heard.append)  # from the cache
    assert len(heard) == 1


def test_a_language_model_is_judged_by_its_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric of which less is better: the same network, once random and once told the answer."""
    from nn_compression.data import Data, Split, settled

    tokens = torch.arange(64).remainder(4).reshape(8, 8)
    data = settled(Data(Split(tokens, tokens), Split(tokens, tokens), Split(tokens, tokens), tokens[:1], "language"), 0)
    model = nn.Embedding(4, 4)
    with pytest.raises(InputError, match="bits per character"):
        refuse_untrained(model, data, source())
    model.weight.data = 9 * torch.eye(4)
    refuse_untrained(model, data, source())


def test_the_zoo_is_trained_as_usual_and_an_unknown_network_with_adam() -> None:
    usual, unknown = (
        training(source(epochs=7), "classification"),
        training(Source("mine:net", "mine:data", None, 7, None, 0), "classification"),
    )
    assert (usual.optimizer, usual.learning_rate) == ("sgd", ZOO["digits_net"].schedule.learning_rate)
    assert (unknown.optimizer, usual.epochs, unknown.epochs) == ("adam", 7, 7)
    asked = training(Source("mine:net", "mine:data", None, 7, 0.025, 0), "classification")
    assert asked.learning_rate == 0.025


def test_a_learning_rate_of_zero_is_not_taken_for_the_usual_one() -> None:
    with pytest.raises(InputError, match=r"learning_rate cannot be 0\.0"):
        training(Source("digits_net", "digits", None, 1, 0.0, 0), "classification")


def test_finetuning_is_slower_and_keeps_the_best_epoch() -> None:
    before, after = training(source(epochs=7), "classification"), finetuning(source(epochs=7), "classification", 3)
    assert after.epochs == 3 and after.keep_best and after.warmup == 0
    assert after.learning_rate < before.learning_rate / 2
