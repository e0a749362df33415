"""Spec files: what a right one gives, and what every wrong one is told: file, line, value and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl_core.errors import InputError
from circuits.specfile import SpecFile, circuit_name, read_spec

GOOD = """netlist: amp.cir
include_paths: [../models, /opt/kit]
simulator: {compat: hsa, options: {reltol: 1e-4, noacct: ''}}
variables:
  W1: {min: 1u, max: 100u, scale: log, step: 0.05u}
  m6: {min: 1, max: 40, integer: on, start: 4}
  w2: {expr: "2*w1"}
analyses:
  op: "op"
  ac: "ac dec 20 1 10G"
  supply: {run: "ac dec 1 1 10", stimulus: {vdd: 1, vin: -500m}}
measures:
  gain: {in: ac, take: "max vdb(out)"}
  margin: {in: ac, kind: phase_margin, node: out}
  psrr: {in: ac, kind: psrr, node: out, against: supply}
  power: {in: op, kind: supply_power, source: vdd}
specs:
  gain: {min: 60, unit: dB}
  margin: {min: 60, unit: degrees, weight: 2}
  power: {max: 200u, goal: minimize, unit: W, scale: 1m}
"""

TWO = """testbenches: {small: small.cir, large: large.cir}
variables:
  w1: {min: 1u, max: 2u}
analyses:
  ac: {bench: small, run: "ac dec 10 1 1k"}
  ac2: {bench: large, run: "ac dec 10 1 1k"}
measures:
  gain: {in: ac, kind: dc_gain, node: out}
  big: {in: ac2, kind: dc_gain, node: out}
specs:
  gain: {min: 1}
"""


def _read(folder: Path, text: str) -> SpecFile:
    path = folder / "amp.yaml"
    path.write_text(text, encoding="utf-8")
    return read_spec(path)


@pytest.fixture
def good(tmp_path: Path) -> SpecFile:
    return _read(tmp_path, GOOD)


def test_numbers_are_read_by_the_rules_of_spice(good: SpecFile) -> None:
    w1, m6 = good.variables["w1"], good.variables["m6"]
    assert (w1.min, w1.max, w1.step, w1.scale) == (1e-6, 1e-4, 0.05e-6, "log")
    assert (m6.min, m6.max, m6.integer, m6.start) == (1.0, 40.0, True, 4.0)
    assert good.variables["w2"].expr == "2*w1"


def test_the_deck_and_its_folders_lie_beside_the_spec(good: SpecFile, tmp_path: Path) -> None:
    assert good.decks == {"": tmp_path / "amp.cir"}
    assert good.include_paths == (tmp_path / "../models", Path("/opt/kit"))


def test_the_simulator_keeps_its_settings_as_written(good: SpecFile) -> None:
    assert good.simulator.compat == "hsa"
    assert good.simulator.options == {"reltol": "1e-4", "noacct": ""}


def test_analyses_and_measures_keep_the_order_of_the_file(good: SpecFile) -> None:
    assert [(analysis.name, analysis.command, analysis.stimulus) for _, analysis in good.analyses] == [
        ("op", "op", ()),
        ("ac", "ac dec 20 1 10g", ()),  # a command is case-sensitive, a card is not
        ("supply", "ac dec 1 1 10", (("vdd", 1.0), ("vin", -0.5))),
    ]
    assert [(measure.name, measure.analysis, measure.kind, measure.take) for _, measure in good.measures] == [
        ("gain", "ac", None, "max vdb(out)"),
        ("margin", "ac", "phase_margin", None),
        ("psrr", "ac", "psrr", None),
        ("power", "op", "supply_power", None),
    ]
    assert good.measures[2][1].arguments == {"node": "out", "against": "supply"}


def test_specs_have_their_bounds_weights_and_usual_units(good: SpecFile) -> None:
    gain, margin, power = good.specs.specs
    assert (gain.minimum, gain.maximum, gain.goal, gain.weight, gain.unit) == (60.0, None, None, 1.0, "dB")
    assert (margin.weight, margin.unit) == (2.0, "deg")
    assert (power.maximum, power.goal, power.scale) == (2e-4, "minimize", 1e-3)
    assert good.units == {"gain": "dB", "margin": "deg", "power": "W"}
    assert good.warnings == ()


def test_a_noise_at_a_current_input_is_in_amperes() -> None:
    tia = Path(__file__).parents[2] / "netlists/two_stage_tia/spec.yaml"
    assert read_spec(tia).units["noise"] == "A/√Hz"


def test_a_unit_left_out_is_the_measures_own(tmp_path: Path) -> None:
    spec = _read(tmp_path, GOOD.replace("max: 200u, goal: minimize, unit: W", "max: 200u, goal: minimize"))
    assert spec.units["power"] == "W"


def test_places_are_lines_of_the_file(good: SpecFile, tmp_path: Path) -> None:
    assert good.place("variables", "m6") == f"{tmp_path / 'amp.yaml'}:6"
    assert good.place("specs", "power", "max") == f"{tmp_path / 'amp.yaml'}:20"


def test_several_benches_keep_their_analyses_apart(tmp_path: Path) -> None:
    spec = _read(tmp_path, TWO)
    assert spec.decks == {"small": tmp_path / "small.cir", "large": tmp_path / "large.cir"}
    assert [bench for bench, _ in spec.analyses] == ["small", "large"]
    assert [(bench, measure.name) for bench, measure in spec.measures] == [("small", "gain"), ("large", "big")]


# What is replaced in the good spec, the line that is named, what the problem says, what the remedy says.
WRONG = [
    ("netlist: amp.cir", "netlst: amp.cir", 1, "unknown key 'netlst'", "'netlist'"),
    ("scale: log", "scal: log", 5, "unknown key 'scal'", "'scale'"),
    ("goal: minimize", "gaol: minimize", 20, "unknown key 'gaol'", "'goal'"),
    ("compat: hsa", "compatt: hsa", 3, "unknown key 'compatt'", "'compat'"),
    ("stimulus: {", "stimuli: {", 11, "unknown key 'stimuli'", "'stimulus'"),
    ("scale: log", "scale: logarithmic", 5, "scale is 'logarithmic'", "'linear' or 'log'"),
    ("goal: minimize", "goal: minimise", 20, "goal is 'minimise'", "'minimize' or 'maximize'"),
    ("compat: hsa", "compat: spectre", 3, "compat is 'spectre'", "'hsa'"),
    ("min: 1u, max: 100u", "max: 100u", 5, "needs `min`", None),
    ("min: 1u, max: 100u", "min: 1u", 5, "needs `max`", None),
    ('expr: "2*w1"', 'expr: "2*w1", min: 1u', 7, "either `expr` or a range", None),
    ("max: 100u", "max: 1O0u", 5, "'1O0u' is not a SPICE number", "write digits"),
    ("max: 100u", "max: 2k2", 5, "'2k2'", "2.2k"),
    ("max: 100u", "max: 100µ", 5, "µ", "write 100u"),
    ("max: 100u", "max: [1, 2]", 5, "expected a number", None),
    ("max: 100u", "max:", 5, "'' is not a SPICE number", None),
    ("integer: on", "integer: maybe", 6, "'maybe'", None),
    ('"op"', '"sens v(out)"', 9, "'sens v(out)' is not an analysis", None),
    ('"op"', '"op; shell ls"', 9, "is not an analysis", None),
    ('"op"', '""', 9, "'' is not an analysis", None),
    ("run: ", "bench: fast, run: ", 11, "names the bench 'fast', but there is one netlist", "leave `bench` out"),
    ("vin: -500m", "vin: half", 11, "'half' is not a SPICE number", None),
    ("in: ac, take", "in: acc, take", 13, "unknown analysis 'acc'", "'ac'"),
    ("in: ac, take", "take", 13, "a measure needs `in`: the analysis that it reads", None),
    ('in: ac, take: "max vdb(out)"', "in: op, take: max v(out)", 13, "`meas` reads no op analysis", "built-in"),
    ("max vdb(out)", "max vdb(out); quit", 13, "holds ';'", "one plain command"),
    ("max vdb(out)", "when vdb(out)='2*3'", 13, 'holds "\'"', "write one plain command"),
    ("max vdb(out)", "PARAM = 'a*b'", 13, "knows no param= and no par()", "each as a measure"),
    ("max vdb(out)", "max par(v(a)*v(b))", 13, "knows no param= and no par()", "each as a measure"),
    ("dec 20 1 10G", "dec 20 {f} 10G", 10, "the analysis 'ac' holds '{}'", "numbers"),
    ('take: "max vdb(out)"', "node: out", 13, "a measure has one of `take`", None),
    ('take: "max vdb(out)"', 'take: "max vdb(out)", kind: dc_gain', 13, "a measure has one of `take`", None),
    ('take: "max vdb(out)"', 'take: "max vdb(out)", expr: "margin"', 13, "a measure has one of `take`", None),
    ('take: "max vdb(out)"', 'take: "max vdb(out)", node: out', 13, "`take` stands alone, without `node`", None),
    ('take: "max vdb(out)"', 'expr: "margin"', 13, "`expr` stands alone, without `in`", None),
    ("kind: phase_margin", "kind: phase_margn", 14, "no built-in measure 'phase_margn'", "'phase_margin'"),
    ("phase_margin, node: out", "phase_margin, nodes: out", 14, "no argument 'nodes'", "'node'"),
    ("phase_margin, node: out", "phase_margin", 14, "needs the argument 'node'", None),
    ("in: ac, kind: phase", "in: op, kind: phase", 14, "cannot read an analysis 'op'", "ac"),
    ("against: supply", "against: suply", 15, "unknown analysis 'suply'", "'supply'"),
    ("  gain: {in", "  g-in: {in", 13, "'g-in' is no name for a metric", "letters"),
    ("gain: {min: 60", "gian: {min: 60", 18, "the spec 'gian' has no measure", "'gain'"),
    ("min: 60, unit: dB", "unit: dB", 18, "neither a bound nor a goal", "add min, max or goal"),
    ("min: 60, unit: dB", "min: 60, max: 50, unit: dB", 18, "min is 60 and max is 50", None),
    ("min: 60, unit: dB", "min: 0, unit: dB", 18, "no scale", "add a scale"),
    ("weight: 2", "weight: -2", 19, "weight must be positive, but is -2", None),
    ("scale: 1m", "scale: 0", 20, "scale must be positive", None),
    ("unit: dB", "unit: dBv", 18, "unknown unit 'dBv'", "'dBV'"),
    ("unit: W", "unit: A", 20, "'A' does not fit: this measure is in W", "unit: W"),
    ("unit: W", "unit: uW", 20, "unknown unit 'uW'", None),
    ("reltol: 1e-4", "reltol: 1e-4; shell", 3, "not an option", None),
    ("reltol: 1e-4", "'rel tol': 1e-4", 3, "not an option", None),
]


@pytest.mark.parametrize(("old", "new", "line", "problem", "remedy"), WRONG, ids=[entry[1] for entry in WRONG])
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, problem: str, remedy: str | None
) -> None:
    assert old in GOOD
    with pytest.raises(InputError) as caught:
        _read(tmp_path, GOOD.replace(old, new, 1))
    assert caught.value.place == f"{tmp_path / 'amp.yaml'}:{line}"
    assert problem in caught.value.problem
    assert caught.value.remedy
    assert remedy is None or remedy in caught.value.remedy


@pytest.mark.parametrize("section", ["variables", "analyses", "measures", "specs"])
def test_a_missing_section_is_named(tmp_path: Path, section: str) -> None:
    lines, kept = GOOD.splitlines(keepends=True), []
    skipping = False
    for line in lines:
        skipping = line.startswith(f"{section}:") or (skipping and line.startswith(" "))
        kept += [] if skipping else [line]
    with pytest.raises(InputError) as caught:
        _read(tmp_path, "".join(kept))
    assert section in caught.value.problem
    assert caught.value.place.startswith(str(tmp_path / "amp.yaml"))


@pytest.mark.parametrize("section", ["variables", "analyses", "measures", "specs"])
@pytest.mark.parametrize("content", [" {}", "", " 5", " [a]"])
def test_an_empty_or_flat_section_is_refused(tmp_path: Path, section: str, content: str) -> None:
    text = "netlist: a.cir\nvariables: {w1: {min: 1, max: 2}}\nanalyses: {op: op}\n"
    text += "measures: {v: {in: op, kind: voltage, node: a}}\nspecs: {v: {min: 1}}\n"
    lines = [f"{section}:{content}" if line.startswith(section) else line for line in text.splitlines()]
    if section == "variables" and content == " {}":
        lines = [line for line in lines if section not in line] + ["variables: {}"]
        assert _read(tmp_path, "\n".join(lines)).variables == {}  # whether one is needed, the decks decide
        return
    with pytest.raises(InputError) as caught:
        _read(tmp_path, "\n".join(lines))
    assert (
        section in str(caught.value) or "the spec 'v' has no measure" in caught.value.problem or section == "analyses"
    )
    assert caught.value.place.rpartition(":")[2].isdigit()


TWO_WRONG = [
    ("testbenches: {", "netlist: a.cir\ntestbenches: {", 1, "both `netlist` and `testbenches`"),
    ("testbenches: {small: small.cir, large: large.cir}\n", "", 1, "neither `netlist` nor `testbenches`"),
    ("bench: small", "bench: smal", 5, "unknown bench 'smal'"),
    ("bench: small, ", "", 5, "names no bench"),
    ("small: small.cir", "'small one': small.cir", 1, "'small one' is no name for a test bench"),
    ("kind: dc_gain", "kind: psrr, against: ac2", 8, "run on different benches"),
]


@pytest.mark.parametrize(("old", "new", "line", "problem"), TWO_WRONG, ids=[entry[3] for entry in TWO_WRONG])
def test_benches_that_do_not_fit_are_told(tmp_path: Path, old: str, new: str, line: int, problem: str) -> None:
    assert old in TWO
    with pytest.raises(InputError) as caught:
        _read(tmp_path, TWO.replace(old, new, 1))
    assert caught.value.place == f"{tmp_path / 'amp.yaml'}:{line}"
    assert problem in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize("again", ["W1", "w1"])
def test_one_variable_twice_is_refused_in_any_case(tmp_path: Path, again: str) -> None:
    """SPICE knows no case: W1 and w1 are one parameter, and the first range may not vanish silently."""
    with pytest.raises(InputError) as caught:
        _read(tmp_path, GOOD.replace("  m6: {", f"  {again}: {{min: 1, max: 2}}\n  m6: {{", 1))
    assert caught.value.place == f"{tmp_path / 'amp.yaml'}:6"
    assert "twice" in caught.value.problem


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("gain: {min: 60, unit: dB}", "gain: {min: 60M, unit: Hz}", 18, "write 60meg"),
        ("margin: {min: 60, unit: degrees, weight: 2}", "ugf: {min: 2M}", 20, "write 2meg"),
        ("against: supply}", "against: supply, at: 1M}", 15, "write 1meg"),
        ("max: 100u", "max: 100MHz", 5, "write 100meg"),
        ("start: 4", "start: 1F", 6, "femto"),
    ],
)
def test_numbers_that_probably_mean_something_else_are_warned_of(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    ugf = "measures:\n  ugf: {in: ac, kind: unity_gain_frequency, node: out}"
    text = GOOD.replace("measures:", ugf) if "ugf" in new else GOOD
    (warning,) = _read(tmp_path, text.replace(old, new)).warnings
    assert warning.startswith(f"{tmp_path / 'amp.yaml'}:{line}: ")
    assert said in warning


def test_a_milli_without_a_unit_of_megas_is_silent(tmp_path: Path) -> None:
    assert _read(tmp_path, GOOD.replace("max: 200u", "max: 200M")).warnings == ()


def test_a_circuit_is_called_after_its_spec_or_the_folder_of_one_that_is_called_spec() -> None:
    assert circuit_name(Path("amps/ota.yaml")) == "ota"
    assert circuit_name(Path("netlists/two_stage_tia/spec.yaml")) == "two_stage_tia"
