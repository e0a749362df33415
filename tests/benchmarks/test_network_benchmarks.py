"""The benchmarks on networks, run small on the digits: what they write, and that a second call repeats nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import amc
import bottleneck_channels
import haq
from automl_core.errors import InputError


def call(script: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> dict[str, Any]:
    """What a quick run writes."""
    file, runs = folder / "figures.json", folder / "runs"
    argv = [f"{script.__name__}.py", "--quick", "--json", str(file), "--runs", str(runs), *options]
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setattr(sys, "argv", argv)
    assert script.main() == 0
    result: dict[str, Any] = json.loads(file.read_text())
    return result


def values(result: dict[str, Any]) -> dict[str, float]:
    return {figure["name"]: figure["value"] for figure in result["figures"]}


def test_amc_holds_its_arms_to_half_the_macs_and_pairs_them_over_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = call(amc, tmp_path, monkeypatch)
    shown = values(first)
    assert 0.4 < shown["digits_net: greatest share of the MACs"] <= 0.5
    correct = {
        name: np.load(tmp_path / f"amc_quick/digits_net-{name}-0.npz")["correct"]
        for name in ("uniform", "random", "searched")
    }
    for rival in ("uniform", "random"):
        ahead = 100.0 * (correct["searched"].astype(float) - correct[rival])
        assert shown[f"digits_net: points over {rival}, mean of 1 seeds"] == pytest.approx(ahead.mean())
        assert shown[f"digits_net: test accuracy, {rival}, %"] == pytest.approx(100 * correct[rival].mean())
    written = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npz")}
    again = call(amc, tmp_path, monkeypatch)
    assert values(again) == shown and again["resumed"] and "resumed" not in first
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npz")} == written


def test_amc_refuses_an_unknown_network_before_it_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="resnet21"):
        call(amc, tmp_path, monkeypatch, "--bfloat16", "resnet21")
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(400)
def test_haq_compares_at_equal_modelled_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = call(haq, tmp_path, monkeypatch)
    costs = {row[2]: row[4] for row in result["tables"][0]["rows"]}
    assert set(costs) == {"float", "uniform", "random", "searched"} and costs["float"] == "-"
    assert max(float(costs["searched"]), float(costs["random"])) <= float(costs["uniform"])
    shown, folder = values(result), tmp_path / "haq_quick"
    for arm in ("uniform", "random", "searched"):
        file = "uniform-0.json" if arm == "uniform" else f"edge-{arm}-0.json"  # the same network on every machine
        kept = json.loads((folder / file).read_text())
        assert shown[f"edge (modelled): test accuracy, {arm}, %"] == kept["accuracy"] > 80
        assert set(kept["bits"].values()) == {4} if arm == "uniform" else len(set(kept["bits"].values())) > 1
    gain = shown["edge (modelled): test accuracy, searched, %"] - shown["edge (modelled): test accuracy, uniform, %"]
    assert shown["edge (modelled): points over uniform 4 bit, mean of 1 seeds"] == pytest.approx(gain)
    assert (folder / "bits.svg").exists()
    (folder / "edge-searched-0.json").write_text(json.dumps({"accuracy": 99.0, "bits": {}}))
    with pytest.raises(SystemExit, match="other bits"):
        call(haq, tmp_path, monkeypatch)


def test_what_a_search_keeps_is_told_layer_by_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = call(bottleneck_channels, tmp_path, monkeypatch)
    rows = {
        layer: [int(share.rstrip("%")) for share in told.split(", ")] for layer, _, told in result["tables"][0]["rows"]
    }
    assert set(rows) == {"conv2", "conv3"}, "conv1 reads the image"
    assert all(0 < weights <= read <= 100 for read, weights in rows.values())
    for place, what in enumerate(("channels that they read", "weights")):
        mean = sum(shares[place] for shares in rows.values()) / len(rows)
        assert values(result)[f"digits_net: 3x3 layers keep of the {what}, %, mean of 1"] == pytest.approx(mean, abs=1)
