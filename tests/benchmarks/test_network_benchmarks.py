"""The benchmarks on networks, run small on the digits: what they write, and that a second call repeats nothing."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import amc
import bottleneck_channels
import haq


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


def test_haq_compares_at_equal_modelled_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(haq, tmp_path, monkeypatch)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("edge, seed 0"))
    latency = ast.literal_eval(line.partition("modelled latency ")[2])
    assert latency["searched"] <= latency["uniform"]
    assert (tmp_path / "haq_quick/bits.svg").exists()


def test_what_a_search_keeps_is_told_layer_by_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = call(bottleneck_channels, tmp_path, monkeypatch)
    rows = {layer: (kernel, int(share.rstrip("%"))) for layer, kernel, share in result["tables"][0]["rows"]}
    assert {"conv1", "conv2", "conv3"} <= set(rows)
    assert all(0 < share <= 100 for _, share in rows.values())
    mean = sum(share for kernel, share in rows.values() if kernel == "3x3") / len(rows)
    assert values(result)["digits_net: channels kept of 3x3 layers, %, mean of 1"] == pytest.approx(mean, abs=0.5)
