"""What a run leaves in its folder, and the copy of the deck that `apply` makes of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from automl_core.errors import InputError
from automl_core.study import Study
from circuits.application import apply_best
from circuits.bode import bode
from circuits.results import Results, write_results
from circuits.signoff import SignOff
from circuits.sizing import Settings, SizingRun
from tests.circuits.filters import SPEC, pole

DECK = (
    "low pass, as its designer keeps it\r\n"
    "* .param rser=9k is only a comment\r\n"
    ".include 'parts/values.inc'\r\n"
    ".include ../kit/driver.inc\r\n"
    "r1 in out {rser}   ; the resistor\r\n"
    "c1 out 0 {cload}\r\n"
    ".end\r\n"
)
VALUES = "* values\n.param  rser = 1k   other={rser/2}\n.param cload='1n' $ farads\nr2 out 0 {100*other*1k}\n"
DRIVER = "* driver\nvin in 0 dc 1 ac 1\n"


@dataclass(frozen=True)
class Finished:
    """A run to its end."""

    home: Path
    run: Path
    study: Study
    results: Results
    best: dict[str, Any]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    home = tmp_path_factory.mktemp("home")
    for name, text in {"amp/low_pass.cir": DECK, "amp/parts/values.inc": VALUES, "kit/driver.inc": DRIVER}.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(text.encode())
    spec = SPEC.replace("netlist: low_pass.cir", "netlist: low_pass.cir\ninclude_paths: [../kit]")
    (home / "amp" / "low_pass.yaml").write_text(spec)
    run = home / "run"

    def make() -> Path:
        run.mkdir()
        return run

    sizing = SizingRun.begin(home / "amp" / "low_pass.yaml", make, Settings(seed=1, budget="200"), "sizewise size x")
    study, _ = sizing.execute(1, lambda _: None)
    assert study.best is not None
    results = write_results(run, sizing.problem, study, sizing.facts, study.best)
    sizing.record.close()
    return Finished(home, run, study, results, json.loads((run / "best.json").read_text()))


def test_every_file_that_is_named_exists(finished: Finished) -> None:
    names = ["sized.cir", "best.json", "convergence.svg", "bode.svg"]
    assert [path.name for path in finished.results.files] == names
    assert sorted(path.name for path in finished.run.iterdir() if "sqlite" not in path.name) == sorted(names)


@pytest.mark.parametrize("name", ["convergence.svg", "bode.svg"])
def test_figures_are_drawings_with_curves(finished: Finished, name: str) -> None:
    root = ElementTree.parse(finished.run / name).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    paths = [path.get("d", "") for path in root.iter("{http://www.w3.org/2000/svg}path")]
    assert max(len(re.findall("[ML]", path)) for path in paths) > (30 if name == "bode.svg" else 3)


def test_the_best_design_is_written_whole(finished: Finished) -> None:
    best, trial = finished.best, finished.study.best
    assert trial is not None
    assert best["point"] == trial.point and best["metrics"] == trial.metrics and best["trial"] == trial.number
    assert best["met"] is True and best["evaluations"] == len(finished.study.trials)
    bandwidth = next(spec for spec in best["specs"] if spec["metric"] == "bandwidth")
    assert (bandwidth["min"], bandwidth["max"], bandwidth["unit"]) == (1e6, 2e6, "Hz")
    reached = best["metrics"]["bandwidth"]
    assert bandwidth["margin"] == pytest.approx(min(reached - 1e6, 2e6 - reached))
    assert (best["seed"], best["command"]) == (1, "sizewise size x")


def test_the_figures_are_those_of_the_circuit(finished: Finished) -> None:
    point = finished.best["point"]
    load = 50e3 * point["rser"]  # r2 = 100 · rser/2 · 1k
    parallel = point["rser"] * load / (point["rser"] + load)
    assert finished.best["metrics"]["bandwidth"] == pole(parallel, point["cload"])


def test_devices_carry_the_sizes_of_the_design(finished: Finished) -> None:
    devices, point = finished.best["devices"], finished.best["point"]
    assert devices["r1"] == {"kind": "resistor", "r": point["rser"]}
    assert devices["c1"] == {"kind": "capacitor", "c": point["cload"]}
    assert set(finished.results.devices) == {"r1", "c1"}, "what was not varied is not shown"


def test_the_sign_off_confirms_the_figures(finished: Finished) -> None:
    assert isinstance(finished.results.sign_off, SignOff)
    assert finished.best["sign_off"]["worst_relative_difference"] <= 1e-3
    assert finished.best["sign_off"]["unconfirmed"] == []
    assert set(finished.best["sign_off"]["printed"]) == {"bandwidth", "gain"}


# The copy of the deck.


@pytest.fixture(scope="module")
def copy(finished: Finished) -> tuple[Path, str]:
    applied = apply_best(finished.run, finished.home / "copy")
    assert all(path.is_file() for path in applied.files) and len(applied.files) == 3
    return finished.home / "copy", applied.difference


def test_the_copy_keeps_its_places(finished: Finished, copy: tuple[Path, str]) -> None:
    folder, _ = copy
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["amp/low_pass.cir", "amp/parts/values.inc", "kit/driver.inc"]
    assert (folder / "amp/low_pass.cir").read_bytes() == DECK.encode()
    assert (folder / "kit/driver.inc").read_bytes() == DRIVER.encode()
    assert (finished.home / "amp/parts/values.inc").read_text() == VALUES, "the user's own is not touched"


def test_nothing_but_values_of_parameters_changes(finished: Finished, copy: tuple[Path, str]) -> None:
    folder, difference = copy
    text = (folder / "amp/parts/values.inc").read_text()
    pattern = re.escape(VALUES).replace(re.escape("= 1k"), r"=\ (\S+)").replace(re.escape("='1n'"), r"=(\S+)")
    match = re.fullmatch(pattern, text)
    assert match, text
    changed = [line for line in difference.splitlines() if re.match(r"[+-](?![+-])", line)]
    assert len(changed) == 4 and all(line[1:].startswith(".param") for line in changed)
    assert [line[1:] for line in changed if line[0] == "+"] == text.splitlines()[1:3]


def test_the_copy_runs_in_plain_ngspice_and_gives_the_figures(
    finished: Finished, copy: tuple[Path, str], tmp_path: Path
) -> None:
    shutil.copytree(copy[0], tmp_path / "copy")
    deck = tmp_path / "copy" / "amp" / "low_pass.cir"
    control = ".control\nac dec 50 100 1G\nmeas ac corner when vdb(out)=gain fall=1\nlet top=vecmax(vdb(out))\n"
    control = control.replace("meas ac corner when vdb(out)=gain fall=1\n", "")
    control += "let level=top-10*log10(2)\nmeas ac corner when vdb(out)=level fall=1\nprint top\nquit 0\n.endc\n"
    deck.write_text(deck.read_text().replace(".end\n", control + ".end\n"))
    ran = subprocess.run(
        ["ngspice", "-n", "-b", deck.name], cwd=deck.parent, capture_output=True, text=True, timeout=60, check=False
    )
    corner = re.search(r"corner\s*=\s*(\S+)", ran.stdout)
    assert corner, ran.stdout + ran.stderr
    assert float(corner[1]) == pytest.approx(finished.best["metrics"]["bandwidth"], rel=2e-3)


def test_a_folder_with_something_in_it_is_not_written_to(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(InputError, match="not empty"):
        apply_best(finished.run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no result yet"), ("{", "not the result of a run"), ("{}", "not the result of a run")]
)
def test_a_run_without_a_result_says_so(finished: Finished, tmp_path: Path, content: str | None, said: str) -> None:
    shutil.copytree(finished.run, tmp_path / "run")
    (tmp_path / "run" / "best.json").unlink()
    if content is not None:
        (tmp_path / "run" / "best.json").write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        apply_best(tmp_path / "run", tmp_path / "copy")
    assert caught.value.place == str(tmp_path / "run" / "best.json")
    assert not (tmp_path / "copy").exists()


# The Bode plot.


def _curves(figure: Figure) -> tuple[Any, Any]:
    upper, lower = figure.axes
    return upper, lower


def test_a_bode_plot_of_one_pole() -> None:
    frequency = np.logspace(3, 9, 121)
    response = 100 / (1 + 1j * frequency / 1e5)
    upper, lower = _curves(bode({"v(out), ac": (frequency, response)}, {"unity_gain_frequency": 1e7}))
    magnitude, phase = upper.lines[0].get_ydata(), lower.lines[0].get_ydata()
    assert magnitude[0] == pytest.approx(40.0, abs=1e-3)
    assert magnitude[-1] - magnitude[-21] == pytest.approx(-20.0, abs=1e-3)
    assert phase[40] == pytest.approx(-45.0) and phase[-1] == pytest.approx(-90.0, abs=0.01)
    assert upper.lines[1].get_xdata()[0] == 1e7
    assert upper.get_xscale() == lower.get_xscale() == "log"


def test_the_phase_of_many_poles_does_not_jump_and_a_zero_is_no_error() -> None:
    frequency = np.logspace(0, 6, 601)
    response = 1 / (1 + 1j * frequency / 1e2) ** 5
    response[-1] = 0
    upper, lower = _curves(bode({"v(out), ac": (frequency, response)}, {}))
    assert lower.lines[0].get_ydata()[-2] == pytest.approx(-450.0, abs=1)
    assert len(upper.lines) == 1
