"""Every circuit under plain ngspice: its page's figures, a sizing that meets its specs, and a spec that fits its deck.

The commands below are this file's own, and so are the few lines that read the pages and the specs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.netlists.plain_ngspice import NETLISTS, cards, figures

Figures = dict[str, float]
_SCALE = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1, "k": 1e3, "meg": 1e6, "g": 1e9}


def spice(text: str) -> float:
    """A SPICE number of a spec, a deck or a page."""
    found = re.fullmatch(r"(-?[\d.]+(?:e-?\d+)?)(meg|[fpnumkg]?)", str(text).strip().lower())
    assert found is not None, text
    return float(found[1]) * _SCALE[found[2]]


def page(circuit: str) -> str:
    return (NETLISTS / circuit / "README.md").read_text(encoding="utf-8")


def rows(circuit: str, heading: str) -> dict[str, list[str]]:
    """The table below a heading of the page, by its first column."""
    below = page(circuit).split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line.strip().strip("|") for line in below.splitlines() if line.startswith("|")]
    cells = [[cell.strip(" `") for cell in line.split("|")] for line in lines]
    return {first: rest for first, *rest in cells[2:]}


def sizes_of_the_page(circuit: str) -> dict[str, str]:
    return {name: cells[1] for name, cells in rows(circuit, "A sizing that meets every spec").items()}


def deck(path: Path, sizes: Mapping[str, str]) -> str:
    """The deck with other sizes: each ``.param`` is replaced where it stands, so a misspelt one fails."""
    text = cards(path)
    for inner in re.findall(r"^\.include (\S+\.inc)$", text, re.MULTILINE):
        text = text.replace(f".include {inner}", cards(Path(inner)))
    for name, value in sizes.items():
        text, count = re.subn(rf"^(\.param.*\b{name}=)\S+", rf"\g<1>{value}", text, flags=re.MULTILINE)
        assert count == 1, name
    return text


def saturation(found: Figures, devices: list[str]) -> float:
    return min(abs(found[f"@{one}[vds]"]) - abs(found[f"@{one}[vdsat]"]) for one in devices)


def ask(devices: list[str]) -> list[str]:
    return [f"print @{one}[vds] @{one}[vdsat]" for one in devices]


def step(found: Figures, start: float) -> Figures:
    """Slew rate from 20 % to 80 % and settling, from the moments that ngspice measured."""
    return {
        "slew_rate": 0.6 * abs(found["height"]) / (found["late"] - found["early"]),
        "settling_time": found["settled"] - start,
    }


def step_commands(node: str, start: str, tolerance: float, final: str = "last") -> list[str]:
    return [
        f"meas tran first find v({node}) at={start}",
        f"let last = v({node})[length(v({node}))-1]",
        "let height = last-first",
        f"let y = (v({node})-first)/height",
        f"let error = abs((v({node})-{final})/({final}-first))",
        *("meas tran early when y=0.2 rise=1", "meas tran late when y=0.8 rise=1"),
        f"meas tran settled when error={tolerance} fall=last",
        "print height",
    ]


def rejection(source: str, frequency: str) -> list[str]:
    """The gain in dB from another source than ``vin``, at one frequency."""
    return [
        *("alter vin acmag=0", f"alter {source} acmag=1", f"ac lin 1 {frequency} {frequency}"),
        *(f"let against_{source} = vdb(out)", f"print against_{source}"),
        *(f"alter {source} acmag=0", "alter vin acmag=1"),
    ]


LOOP = [
    *("let phase = cph(v(out))*180/pi", "let gain = vdb(out)[0]", "print gain"),
    *("meas ac unity_gain_frequency when vdb(out)=0", "meas ac turned find phase when vdb(out)=0"),
]


def op_amp(sizes: Mapping[str, str], folder: Path) -> Figures:
    here, devices = NETLISTS / "two_stage_op_amp", [f"m{k}" for k in range(1, 9)]
    bias = [*ask(devices), "let current = -i(vdd)", "let offset = abs(v(out)-v(inp))", "print current offset"]
    signals = ["ac dec 20 1 10g", *LOOP, *rejection("vdd", "1"), *rejection("vcm", "1")]
    found = figures(deck(here / "open_loop.cir", sizes), ["op", *bias, *signals], folder)
    follow = ["tran 2n 210n", *step_commands("out", "10n", 0.01, "0.95")]
    follower = figures(deck(here / "unity_gain.cir", sizes), follow, folder)
    return {
        **{name: found[name] for name in ("gain", "unity_gain_frequency", "current", "offset")},
        "phase_margin": 180 + found["turned"],
        "psrr": found["gain"] - found["against_vdd"],
        "cmrr": found["gain"] - found["against_vcm"],
        "saturation": saturation(found, devices),
        **step(follower, 10e-9),
    }


def ota(sizes: Mapping[str, str], folder: Path) -> Figures:
    devices = [f"m.x{copy}.m{k}" for copy in (1, 2) for k in range(1, 7)]
    bias = [*ask(devices), "let power = -1.8*i(vdd)", "let offset = abs(v(out)-v(inp))", "print power offset"]
    signals = ["ac dec 20 1k 10g", *LOOP, *rejection("vcm", "1k")]
    noise = ["noise v(out) vin dec 50 1k 100meg", "setplot previous", "wrdata spectrum.data inoise_spectrum"]
    follow = ["tran 0.5n 105n", *step_commands("fol", "5n", 0.01)]
    path = NETLISTS / "five_transistor_ota" / "circuit.cir"
    found = figures(deck(path, sizes), ["op", *bias, *signals, *noise, *follow], folder)
    frequency, density = np.loadtxt(folder / "spectrum.data").T
    return {
        **{name: found[name] for name in ("gain", "unity_gain_frequency", "power", "offset")},
        "phase_margin": 180 + found["turned"],
        "cmrr": found["gain"] - found["against_vcm"],
        "noise": float(np.sqrt(np.trapezoid(density**2, frequency))),
        "saturation": saturation(found, devices),
        **step(found, 5e-9),
    }


def tia(sizes: Mapping[str, str], folder: Path) -> Figures:
    devices = [f"m{k}" for k in range(1, 10)]
    bias = [*ask(devices), "let power = -1.8*i(vdd)", "print power"]
    signals = ["ac dec 20 100k 50g", "let gain = vdb(out)[0]", "let drop = vdb(out)-gain", "print gain"]
    corner = ["meas ac bandwidth when drop=-3.0103"]
    noise = ["noise v(out) iin dec 10 1meg 10g", "setplot previous", "let spot = inoise_spectrum[20]"]  # 100 MHz
    follow = ["tran 20p 5n", *step_commands("out", "1n", 0.02), "let peak = vecmax(y)", "print peak"]
    path = NETLISTS / "two_stage_tia" / "circuit.cir"
    found = figures(deck(path, sizes), ["op", *bias, *signals, *corner, *noise, "print spot", *follow], folder)
    return {
        **{name: found[name] for name in ("gain", "bandwidth", "power")},
        "noise": found["spot"],
        "overshoot": 100 * (found["peak"] - 1),
        "saturation": saturation(found, devices),
        **step(found, 1e-9),
    }


@dataclass(frozen=True)
class Circuit:
    name: str
    run: Callable[[Mapping[str, str], Path], Figures]
    decks: tuple[str, ...]


CIRCUITS = (
    Circuit("five_transistor_ota", ota, ("circuit.cir",)),
    Circuit("two_stage_op_amp", op_amp, ("amplifier.inc",)),
    Circuit("two_stage_tia", tia, ("circuit.cir",)),
)


@pytest.fixture(params=CIRCUITS, ids=lambda circuit: circuit.name)
def circuit(request: pytest.FixtureRequest) -> Circuit:
    return request.param


@cache
def spec(name: str) -> dict[str, dict[str, dict[str, str]]]:
    """The spec, every scalar as text."""
    return yaml.load((NETLISTS / name / "spec.yaml").read_text(), Loader=yaml.BaseLoader)


def parameters(circuit: Circuit) -> dict[str, float]:
    """What the deck's own ``.param`` lines say."""
    text = "\n".join((NETLISTS / circuit.name / name).read_text() for name in circuit.decks)
    pairs = [
        pair for line in re.findall(r"^\.param(.*)$", text, re.MULTILINE) for pair in re.findall(r"(\w+)=(\S+)", line)
    ]
    return {name: spice(value) for name, value in pairs}


def met(circuit: Circuit, found: Figures) -> dict[str, bool]:
    specs = spec(circuit.name)["specs"]
    return {
        name: found[name] >= spice(bound["min"]) if "min" in bound else found[name] <= spice(bound["max"])
        for name, bound in specs.items()
    }


def test_first_cut_gives_the_figures_of_its_page(circuit: Circuit, tmp_path: Path) -> None:
    found = circuit.run({}, tmp_path)
    stated = dict(re.findall(r"^\| (\w+) \| ([\d.]\S*) \|$", page(circuit.name), re.MULTILINE))
    assert set(stated) == set(found)
    for name, figure in stated.items():
        assert found[name] == pytest.approx(spice(figure), rel=0.01), name


def test_first_cut_biases_but_misses_specs(circuit: Circuit, tmp_path: Path) -> None:
    verdicts = met(circuit, circuit.run({}, tmp_path))
    assert verdicts["saturation"]
    assert sum(not verdict for verdict in verdicts.values()) >= 2


def test_sizing_of_the_page_meets_every_spec(circuit: Circuit, tmp_path: Path) -> None:
    found = circuit.run(sizes_of_the_page(circuit.name), tmp_path)
    assert all(met(circuit, found).values()), met(circuit, found)
    for name, (reached, _) in rows(circuit.name, "What it reaches").items():
        assert found[name] == pytest.approx(spice(reached), rel=0.01), name


def test_page_states_the_decks_sizes_and_the_specs_bounds(circuit: Circuit) -> None:
    sizes = {name: cells[0] for name, cells in rows(circuit.name, "A sizing that meets every spec").items()}
    assert {name: spice(size) for name, size in sizes.items()} == parameters(circuit)
    stated = {name: cells[1] for name, cells in rows(circuit.name, "What it reaches").items()}
    specs = spec(circuit.name)["specs"]
    assert set(stated) == set(specs)
    for name, bound in specs.items():
        side, value = stated[name].split()
        assert side == ("≥" if "min" in bound else "≤"), name
        assert spice(value) == pytest.approx(spice(bound.get("min") or bound["max"])), name


def test_sizing_of_the_page_lies_in_the_ranges(circuit: Circuit) -> None:
    for name, size in sizes_of_the_page(circuit.name).items():
        variable = spec(circuit.name)["variables"][name]
        assert spice(variable["min"]) <= spice(size) <= spice(variable["max"]), name


def test_ranges_hold_the_decks_own_values(circuit: Circuit) -> None:
    start, variables = parameters(circuit), spec(circuit.name)["variables"]
    assert set(variables) == set(start)
    for name, variable in variables.items():
        assert spice(variable["min"]) < start[name] < spice(variable["max"]), name
        assert variable.get("scale") != "log" or spice(variable["min"]) > 0, name
        assert variable.get("integer") != "true" or start[name] == int(start[name]), name


def test_spec_hangs_together(circuit: Circuit) -> None:
    document = spec(circuit.name)
    assert set(document) <= {"netlist", "testbenches", "include_paths", "variables", "analyses", "measures", "specs"}
    decks = list(document.get("testbenches", {}).values()) or [document["netlist"]]
    assert all((NETLISTS / circuit.name / str(name)).is_file() for name in decks)
    analyses = set(document["analyses"])
    for name, measure in document["measures"].items():
        assert measure["in"] in analyses, name
        assert measure.get("against", measure["in"]) in analyses, name
    assert set(document["specs"]) == set(document["measures"])
    used = {measure["in"] for measure in document["measures"].values()}
    used |= {measure["against"] for measure in document["measures"].values() if "against" in measure}
    assert used == analyses


def test_decks_load_where_they_lie(circuit: Circuit, tmp_path: Path) -> None:
    """Relative includes resolve from the deck's folder, whatever folder ngspice runs in."""
    document = spec(circuit.name)
    for name in list(document.get("testbenches", {}).values()) or [document["netlist"]]:
        path = NETLISTS / circuit.name / str(name)
        found = figures("another deck\nv1 1 0 1\nr1 1 0 1", [f"source {path}", "op", "print i(vdd)"], tmp_path)
        assert 10e-6 < abs(found["i(vdd)"]) < 10e-3
