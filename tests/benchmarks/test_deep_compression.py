"""The bars of the two benchmarks on pruned networks, on outcomes made by hand."""

from __future__ import annotations

import pytest

import deep_compression as bench
import lstm_pruning
from figures import Args, Figures
from nn_compression.sparsity.masks import Masks
from nn_compression.zoo.lstm import lstm_language_model


def figures(*runs: bench.Outcome, level: str = "1", bars: bool = True) -> dict[str, tuple[float, bool | None]]:
    table = Figures(Args(), "deep_compression.py")
    bench.add(table, "lenet5", bench.PLANS["lenet5"], {level: list(runs)}, bars)
    return {figure.name: (figure.value, figure.met) for figure in table.figures}


def run(base: float, error: float, size: int) -> bench.Outcome:
    return bench.Outcome(base, error, (base, error), size, 431_080)


def test_the_bars_hold_for_the_means_over_seeds() -> None:
    shown = figures(run(0.80, 0.86, 44_000), run(0.84, 0.87, 42_000))
    assert shown["lenet5: error of the base, %"] == (pytest.approx(0.82), True)
    value, met = shown["lenet5, level 1: 4 bytes a weight over the file"]
    assert value == pytest.approx((1_724_320 / 44_000 + 1_724_320 / 42_000) / 2) and met
    assert shown["lenet5, level 1: error above the base, points"] == (pytest.approx(0.045), True)


def test_each_bar_can_be_missed() -> None:
    assert figures(run(0.9, 0.9, 20_000))["lenet5: error of the base, %"][1] is False
    assert figures(run(0.8, 0.86, 20_000))["lenet5, level 1: error above the base, points"][1] is False
    assert figures(run(0.8, 0.8, 45_000))["lenet5, level 1: 4 bytes a weight over the file"][1] is False
    assert {met for _, met in figures(run(0.9, 1.9, 90_000), bars=False).values()} == {None}


def test_both_arms_are_trained_for_as_many_epochs() -> None:
    for plan in bench.PLANS.values():
        for level in plan.keep:
            settings = plan.settings(level)
            stages = (plan.rounds - 1) * plan.retrain + plan.settle + plan.centroids
            assert plan.whole(level).epochs == plan.dense.epochs + stages == plan.dense.epochs + settings.epochs
    assert lstm_pruning.FULL.epochs == lstm_pruning.FULL.dense + lstm_pruning.FULL.pruning({}).epochs


def test_exactly_so_much_of_a_language_model_is_removed_with_the_embedding_spared() -> None:
    model = lstm_language_model(units=64)
    Masks.magnitude(model, lstm_pruning.shares(model, 80)).apply()
    assert lstm_pruning.removed_share(model) == pytest.approx(80, abs=0.01)
    assert bool((model.embedding.weight != 0).all())
