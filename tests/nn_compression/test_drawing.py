"""The picture of what was kept: one bar a layer, as high as what was kept of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from automl_core.report.figures import save
from nn_compression.graph.tracing import trace
from nn_compression.quantization.bits import Bits
from nn_compression.run.drawing import kept_figure
from nn_compression.run.kept import KeptLayer, kept_layers, nonzero_weights

LAYERS = [
    KeptLayer("conv", "conv", 3, 3, 8, 16, 216, 432, 21_600, 43_200),
    KeptLayer("linear", "linear", 8, 16, 10, 10, 20, 160, 80, 160, weight_bits=4),
]


def heights(layers: list[KeptLayer]) -> dict[str, list[float]]:
    panels = kept_figure(layers, "a net").axes
    return {panel.get_ylabel(): [bar.get_height() for bar in panel.patches] for panel in panels}


def test_bars_are_as_high_as_what_was_kept() -> None:
    assert heights(LAYERS) == {
        "channels made (%)": [50.0, 100.0],
        "weights kept (%)": [50.0, 12.5],
        "MACs (%)": [50.0, 50.0],
        "bits of weights": [32.0, 4.0],
    }


def test_a_panel_on_which_nothing_changed_is_left_out() -> None:
    whole = [replace(layer, weight_bits=8, activation_bits=6) for layer in LAYERS]
    same = [
        replace(each, outputs=each.outputs_before, weights=each.weights_before, macs=each.macs_before) for each in whole
    ]
    assert heights(same) == {"bits of weights": [8.0, 8.0], "bits of activations": [6.0, 6.0]}


@pytest.mark.parametrize("count", [1, 3, 200])
def test_any_number_of_layers_is_drawn_and_named(tmp_path: Path, count: int) -> None:
    layers = [replace(LAYERS[number % 2], name=f"layer{number}") for number in range(count)]
    figure = kept_figure(layers, "a net")
    save(figure, tmp_path / "kept.svg")
    text = (tmp_path / "kept.svg").read_text()
    named = [label.get_text() for label in figure.axes[-1].get_xticklabels()]
    assert 1 <= len(named) <= 48 and all(f">{name}<" in text for name in named)
    assert named[0] == "layer0" and {">conv<" in text, count == 1 or ">linear<" in text} == {True}


def test_rows_are_read_off_two_states_of_a_network() -> None:
    torch.manual_seed(0)
    before = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 5))
    after = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))
    with torch.no_grad():
        after[3].weight[:, :12] = 0.0
    example = torch.zeros(1, 1, 4, 4)
    rows = kept_layers((trace(before, example), before), (trace(after, example), after), {"3": Bits(4, 8)})
    assert [(row.name, row.outputs, row.outputs_before) for row in rows] == [("0", 4, 6), ("3", 5, 5)]
    assert [(row.weights, row.weights_before) for row in rows] == [(36, 54), (20, 120)]
    assert [(row.macs, row.macs_before) for row in rows] == [(4 * 36, 4 * 54), (80, 120)]
    assert [(row.weight_bits, row.activation_bits) for row in rows] == [(32, 32), (4, 8)]
    assert nonzero_weights(after) == 36 + 20
