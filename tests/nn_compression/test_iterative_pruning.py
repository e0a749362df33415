"""Prune and retrain: shares, zeros and accuracy on digits; and that an interrupted run ends as one that was not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from automl_core.errors import InputError
from automl_core.one_thread import one_thread
from nn_compression.data import SettledData, Split
from nn_compression.files.references import load_data, load_model
from nn_compression.sparsity import iterative_pruning
from nn_compression.sparsity.iterative_pruning import Pruning, Round, prune_iteratively
from nn_compression.sparsity.masks import Masks
from nn_compression.tasks import LANGUAGE
from nn_compression.training.evaluation import evaluate
from nn_compression.training.loop import Schedule, train
from nn_compression.zoo.lstm import lstm_language_model

SCHEDULE = Schedule(2, learning_rate=0.1, batch=32)


@pytest.fixture(scope="module")
def digits() -> SettledData:
    return load_data("digits", 0)


@pytest.fixture(scope="module")
def trained(digits: SettledData) -> nn.Module:
    model = load_model("lenet_300_100", example_input=digits.example_input, classes=10, seed=0)
    with one_thread():
        train(model, digits, Schedule(6, learning_rate=0.1, batch=32), seed=0)
    return model


KEEP = {"fc1": 0.04, "fc2": 0.05, "fc3": 0.3}


def test_shares_fall_fast_and_then_slowly() -> None:
    pruning = Pruning({"fc1": 0.1}, 4, SCHEDULE, SCHEDULE)
    shares = [pruning.keep_after(done)["fc1"] for done in range(5)]
    assert shares == pytest.approx([1, 0.1 + 0.9 * 0.75**3, 0.1 + 0.9 * 0.5**3, 0.1 + 0.9 * 0.25**3, 0.1])
    assert Pruning({}, 4, SCHEDULE, Schedule(5)).epochs == 3 * 2 + 5


def test_a_network_loses_nineteen_of_twenty_weights_and_little_else(digits: SettledData, trained: nn.Module) -> None:
    model, rounds = copy.deepcopy(trained), []
    masks = prune_iteratively(model, digits, Pruning(KEEP, 3, SCHEDULE, SCHEDULE), seed=0, progress=rounds.append)
    assert [done.number for done in rounds] == [1, 2, 3]
    for layer, share in KEEP.items():
        weight = model.get_submodule(layer).get_parameter("weight")
        assert int((weight != 0).sum()) == round(share * weight.numel())
    assert masks.density() == pytest.approx(KEEP, abs=1e-3)
    at_once = copy.deepcopy(trained)
    Masks.magnitude(at_once, KEEP).apply()
    before, after, cut = (evaluate(each, digits.test, digits.task) for each in (trained, model, at_once))
    assert after > before - 4 and after > cut + 5


class Killed(Exception):
    pass


@pytest.mark.parametrize("where", ["between rounds", "within a training"])
def test_an_interrupted_run_ends_as_one_that_was_not(
    digits: SettledData, trained: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    data = SettledData(**{**vars(digits), "train": digits.train.first(300)})
    pruning = Pruning(KEEP, 3, SCHEDULE, SCHEDULE)
    whole, parts = copy.deepcopy(trained), copy.deepcopy(trained)
    prune_iteratively(whole, data, pruning, seed=0)
    monkeypatch.setattr(iterative_pruning, "train", dying_train(2 if where == "within a training" else 99))

    def die(done: Round) -> None:
        if done.number == 2 and where == "between rounds":
            raise Killed

    with pytest.raises(Killed):
        prune_iteratively(parts, data, pruning, seed=0, folder=tmp_path, progress=die)
    monkeypatch.undo()
    again, rounds = copy.deepcopy(trained), []
    prune_iteratively(again, data, pruning, seed=0, folder=tmp_path, progress=rounds.append)
    assert [done.number for done in rounds] == ([3] if where == "between rounds" else [2, 3])
    for name, tensor in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    ended = copy.deepcopy(trained)
    masks = prune_iteratively(ended, data, pruning, seed=0, folder=tmp_path)  # nothing is left to do
    assert torch.equal(ended.get_parameter("fc1.weight"), whole.get_parameter("fc1.weight"))
    assert torch.equal(masks.kept["fc1.weight"], whole.get_parameter("fc1.weight") != 0)


def dying_train(calls: int) -> Callable[..., object]:
    """A training that is killed after the first epoch of its call of this number."""
    made = []

    def train_or_die(*arguments: object, **named: object) -> object:
        made.append(1)

        def die(_: object) -> None:
            if len(made) == calls:
                raise Killed

        return train(*arguments, **{**named, "progress": die})  # type: ignore[arg-type]

    return train_or_die


def test_another_pruning_is_not_gone_on_with(digits: SettledData, trained: nn.Module, tmp_path: Path) -> None:
    data = SettledData(**{**vars(digits), "train": digits.train.first(64)})
    one = Schedule(1, learning_rate=0.1, batch=32)
    prune_iteratively(copy.deepcopy(trained), data, Pruning(KEEP, 1, one, one), seed=0, folder=tmp_path)
    with pytest.raises(InputError, match="another pruning"):
        prune_iteratively(copy.deepcopy(trained), data, Pruning(KEEP, 2, one, one), seed=0, folder=tmp_path)
    with pytest.raises(InputError, match="another pruning"):
        prune_iteratively(
            copy.deepcopy(trained), data, Pruning(KEEP, 1, one, one), seed=0, folder=tmp_path, teacher=trained
        )
    others = SettledData(**{**vars(digits), "train": Split(data.train.inputs, data.train.targets.roll(1))})
    with pytest.raises(InputError, match="another pruning"):
        prune_iteratively(copy.deepcopy(trained), others, Pruning(KEEP, 1, one, one), seed=0, folder=tmp_path)


def test_the_weights_of_an_lstm_are_pruned_with_a_teacher_and_stay_so() -> None:
    torch.manual_seed(0)
    tokens = torch.arange(33).repeat(40, 1).add(torch.arange(40)[:, None]) % 9
    split = Split(tokens[:, :-1], tokens[:, 1:])
    data = SettledData(split, split, split, split.inputs[:1], LANGUAGE, classes=9)
    model = lstm_language_model(9, units=24, layers=2, embedding=8, dropout=0.0)
    schedule = Schedule(15, learning_rate=0.02, batch=8, optimizer="adam", clip_norm=1.0)
    train(model, data, schedule, seed=0)
    teacher = copy.deepcopy(model)
    keep = {"layers.0": 0.2, "layers.1": 0.2}
    prune_iteratively(model, data, Pruning(keep, 2, schedule, schedule), seed=0, teacher=teacher)
    for key in ("layers.0.weight_ih_l0", "layers.0.weight_hh_l0", "layers.1.weight_hh_l0"):
        weight = model.get_parameter(key)
        assert int((weight != 0).sum()) == round(0.2 * weight.numel())
    assert evaluate(model, split, LANGUAGE) < 0.2  # bits; a guess among nine costs 3.2


def test_no_round_is_refused() -> None:
    with pytest.raises(InputError, match="0 rounds"):
        Pruning(KEEP, 0, SCHEDULE, SCHEDULE)


def test_dropout_falls_with_the_weights_that_remain(digits: SettledData) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 60), nn.ReLU(), nn.Dropout(0.4), nn.Linear(60, 10))
    seen: list[tuple[float, float]] = []

    def look(module: nn.Module, *_: object) -> None:
        weights = [model.get_parameter(key) for key in ("1.weight", "4.weight")]
        left = sum(int((weight != 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
        if model.training:
            seen.append((float(module.p), 0.4 * left**0.5))  # Han et al., NIPS 2015, equation 3

    dropout = model.get_submodule("3")
    dropout.register_forward_hook(look)
    keep, once = {"1": 0.1, "4": 0.5}, Schedule(1, learning_rate=0.01, batch=256)
    prune_iteratively(model, digits, Pruning(keep, 2, once, once), seed=0)
    assert [ratio for ratio, _ in seen] == pytest.approx([expected for _, expected in seen], rel=1e-3)
    assert seen[0][0] > 1.2 * seen[-1][0]
    assert dropout.p == 0.4
    as_it_was = len(seen)
    prune_iteratively(model, digits, Pruning(keep, 1, once, once, less_dropout=False), seed=0)
    assert {ratio for ratio, _ in seen[as_it_was:]} == {0.4}
