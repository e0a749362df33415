"""What a run leaves in its folder."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from circuits.signoff import SignOff
from tests.circuits.filters import SPEC, pole
from tests.circuits.finished_run import Finished, finish


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(tmp_path_factory.mktemp("home"))


def test_every_file_that_is_named_exists(finished: Finished) -> None:
    names = ["sized.cir", "best.json", "convergence.svg", "bode.svg"]
    assert [path.name for path in (*finished.results.files, *finished.figures)] == names
    assert sorted(path.name for path in finished.run.iterdir() if "sqlite" not in path.name) == sorted(names)


@pytest.mark.parametrize("name", ["convergence.svg", "bode.svg"])
def test_figures_are_drawings_with_curves(finished: Finished, name: str) -> None:
    root = ElementTree.parse(finished.run / name).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    paths = [path.get("d", "") for path in root.iter("{http://www.w3.org/2000/svg}path")]
    assert max(len(re.findall("[ML]", path)) for path in paths) > (30 if name == "bode.svg" else 3)


def test_several_goals_have_a_front(tmp_path: Path) -> None:
    goals = SPEC.replace("max: 2Meg", "max: 2Meg, goal: maximize").replace("unit: dB", "unit: dB, goal: maximize")
    finished = finish(tmp_path, goals)
    assert finished.figures[-1] == finished.run / "front.svg"
    text = (finished.run / "front.svg").read_text()
    assert "bandwidth (Hz), maximize" in text and "gain (dB), maximize" in text and "Pareto front" in text


def test_the_best_design_is_written_whole(finished: Finished) -> None:
    best, trial = finished.best, finished.study.best
    assert trial is not None
    assert best["point"] == trial.point and best["metrics"] == trial.metrics and best["trial"] == trial.number
    assert best["met"] is True and best["confirmed"] is True and best["evaluations"] == len(finished.study.trials)
    bandwidth = next(spec for spec in best["specs"] if spec["metric"] == "bandwidth")
    assert (bandwidth["min"], bandwidth["max"], bandwidth["unit"]) == (1e6, 2e6, "Hz")
    reached = best["metrics"]["bandwidth"]
    assert bandwidth["margin"] == pytest.approx(min(reached - 1e6, 2e6 - reached))
    assert (best["seed"], best["command"]) == (1, "sizewise size x")
    assert 0 < best["seconds"] < 1000 < best["command_seconds"], "of the search, and of all"


def test_the_figures_are_those_of_the_circuit(finished: Finished) -> None:
    point = finished.best["point"]
    load = 50e3 * point["rser"]  # r2 = 100 · rser/2 · 1k
    parallel = point["rser"] * load / (point["rser"] + load)
    assert finished.best["metrics"]["bandwidth"] == pole(parallel, point["cload"])


def test_devices_carry_the_sizes_of_the_design(finished: Finished) -> None:
    devices, point = finished.best["devices"], finished.best["point"]
    assert devices["r1"] == {"kind": "resistor", "r": point["rser"]}
    assert devices["c1"] == {"kind": "capacitor", "c": point["cload"]}
    assert devices["r2"]["r"] == pytest.approx(100 * point["rser"] / 2 * 1e3), "set through another parameter"
    assert set(finished.results.devices) == {"r1", "r2", "c1"}, "what was not varied is not shown"


def test_the_sign_off_confirms_the_figures(finished: Finished) -> None:
    assert isinstance(finished.results.sign_off, SignOff)
    assert finished.best["sign_off"]["worst_relative_difference"] <= 1e-3
    assert finished.best["sign_off"]["unconfirmed"] == []
    assert set(finished.best["sign_off"]["printed"]) == {"bandwidth", "gain"}
