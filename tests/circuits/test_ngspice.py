"""What the child measures, against closed forms; its decks, settings and errors."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl_core.errors import EvaluationError, InputError, MissingError
from circuits.bench import Analysis, Bench, Measure, Reading
from circuits.simulator import Simulator

LOW_PASS = (
    "RC low-pass, and a divider in a subcircuit",
    ".param r=1k c=1n half=1k",
    "vin in 0 dc 2 ac 1 pulse(0 1 0 1p 1p 1 2)",
    "r1 in out {r}",
    "c1 out 0 {c}",
    "x1 in mid divider",
    ".subckt divider a b",
    "ra a b 1k",
    "rb b 0 {half}",
    "vsense b c dc 0",
    "cb c 0 1f",
    ".ends",
    "r7 in 7 1k",
    "r8 7 0 3k",
    ".end",
)
OP = Analysis("op", "op")
AC = Analysis("ac", "ac dec 50 1k 1g")
RC = Bench(
    LOW_PASS,
    (OP, AC, Analysis("step", "tran 10n 5u")),
    (
        Measure("corner", "ac", take="when vdb(out)=-3.0102999566"),
        Measure("after_one_tau", "step", take="find v(out) at=1u"),
        Measure("never", "ac", take="when vdb(out)=20"),
        Measure("current", "op", kind="supply_current", arguments={"source": "vin"}),
    ),
    alters={"r": ("@r1[resistance]",), "c": ("c1",), "half": ("@r.x1.rb[resistance]",)},
)
AMPLIFIER = (
    "common source, level 1",
    ".param w=10u",
    "vdd vdd 0 3",
    "vin in 0 dc 1 ac 1",
    "m1 out in 0 0 nch w={w} l=1u",
    "rl vdd out 10k",
    "x1 in vdd stage",
    ".subckt stage g s",
    "m2 d g s s pch w=10u l=1u",
    "vd d 0 0",
    ".ends",
    ".model nch nmos level=1 vto=0.7 kp=100u lambda=0",
    ".model pch pmos level=1 vto=-0.7 kp=40u lambda=0",
    ".end",
)


def _evaluate(bench: Bench, values: dict[str, float] | None = None, **options: object) -> Reading:
    with Simulator(bench, limit_seconds=30) as simulator:
        return simulator.evaluate(values or {}, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["reset", "alter"])
def rc(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with Simulator(replace(RC, mode=request.param), limit_seconds=30) as simulator:
        yield simulator


@pytest.mark.parametrize(("r", "c", "half"), [(1e3, 1e-9, 1e3), (2e3, 0.5e-9, 3e3), (5e3, 2e-10, 500.0)])
def test_low_pass_has_its_corner_its_step_and_its_current(rc: Simulator, r: float, c: float, half: float) -> None:
    reading = rc.evaluate({"r": r, "c": c, "half": half})
    assert reading.metrics["corner"] == pytest.approx(1 / (2 * math.pi * r * c), rel=2e-4)
    assert reading.metrics["after_one_tau"] == pytest.approx(1 - math.exp(-1), rel=2e-3)
    assert reading.metrics["current"] == pytest.approx(2 / (1e3 + half) + 2 / 4e3, rel=1e-6)
    assert 0 < reading.seconds < 5


def test_a_measure_that_does_not_trigger_is_nan_with_the_reason(rc: Simulator) -> None:
    reading = rc.evaluate({"r": 1e3, "c": 1e-9, "half": 1e3})
    assert math.isnan(reading.metrics["never"])
    assert set(reading.notes) == {"never"}
    assert "out of interval" in reading.notes["never"]
    assert list(reading.metrics) == ["corner", "after_one_tau", "never", "current"]


def test_waveforms_are_those_asked_for(rc: Simulator) -> None:
    asked = {"ac": ("v(out)", "v(in,out)", "v(7)"), "op": (), "step": ("v(x1.c)",)}
    waveforms = rc.evaluate({"r": 1e3, "c": 1e-9, "half": 1e3}, waveforms=asked).waveforms
    assert list(waveforms["ac"]) == ["frequency", "v(out)", "v(in,out)", "v(7)"]
    frequency = waveforms["ac"]["frequency"]
    assert frequency.dtype == np.float64
    assert frequency[[0, -1]] == pytest.approx([1e3, 1e9])
    np.testing.assert_allclose(waveforms["ac"]["v(out)"], 1 / (1 + 2j * np.pi * frequency * 1e-6), rtol=1e-9)
    np.testing.assert_allclose(waveforms["ac"]["v(in,out)"], 1 - waveforms["ac"]["v(out)"], rtol=1e-12)
    np.testing.assert_allclose(waveforms["ac"]["v(7)"], 0.75, rtol=1e-9)
    assert waveforms["op"]["x1.c"] == pytest.approx([1.0])
    assert waveforms["op"]["vin#branch"] == pytest.approx([-1.5e-3])
    assert waveforms["step"]["time"][-1] == pytest.approx(5e-6)
    assert waveforms["step"]["v(x1.c)"][-1] == pytest.approx(0.5, rel=1e-3)


def test_a_waveform_that_is_not_there_is_named(rc: Simulator) -> None:
    with pytest.raises(InputError, match=r"'v\(nowhere\)' in the analysis 'ac'"):
        rc.evaluate({"r": 1e3, "c": 1e-9, "half": 1e3}, waveforms={"ac": ("v(nowhere)",)})


def test_a_measure_called_as_a_net_leaves_the_net_alone() -> None:
    bench = replace(
        RC,
        analyses=(AC,),
        measures=(
            Measure("out", "ac", take="find vm(out) at=1k"),
            Measure("MID", "ac", take="find vm(out) at=1k"),
            Measure("dc gain", "ac", kind="dc_gain", arguments={"node": "mid", "scale": "V/V"}),
            Measure("twice-out", "ac", take="find vm(out) at=2k"),
        ),
    )
    metrics = _evaluate(bench).metrics
    assert metrics["out"] == metrics["MID"] == pytest.approx(1 / math.hypot(1, 2e3 * math.pi * 1e-6), rel=1e-6)
    assert metrics["dc gain"] == pytest.approx(0.5, rel=1e-6)
    assert metrics["twice-out"] == pytest.approx(1 / math.hypot(1, 4e3 * math.pi * 1e-6), rel=1e-6)


def test_a_measure_may_refer_to_an_earlier_one() -> None:
    takes = {"level": "find vm(out) at=200k", "back": "when vm(out)=level"}
    bench = replace(RC, analyses=(AC,), measures=tuple(Measure(name, "ac", take=t) for name, t in takes.items()))
    assert _evaluate(bench).metrics["back"] == pytest.approx(200e3, rel=1e-5)


def test_every_analysis_can_have_a_stimulus_of_its_own_in_both_modes() -> None:
    lines = (
        "two inputs",
        ".param g=1k",
        "va a 0 dc 0 ac 0.25 90",
        "vb b 0 dc 0",
        "x1 sum inner",
        "ra a sum 1k",
        "rb b sum {g}",
        ".subckt inner o",
        "ii 0 o ac 1m",
        ".ends",
        ".end",
    )
    analyses = (
        Analysis("from_b", "ac lin 1 1k 1k", (("vb", 1.0),)),
        Analysis("own", "ac lin 1 1k 1k"),
        Analysis("both", "ac lin 1 1k 1k", (("VA", 1.0), ("vb", -1.0))),
        Analysis("current", "ac lin 1 1k 1k", (("i.x1.ii", 2.0),)),
    )
    bench = Bench(lines, analyses, (), alters={"g": ("@rb[resistance]",)})
    wanted = {analysis.name: ("v(sum)",) for analysis in analyses}
    for mode in ("reset", "alter"):
        with Simulator(replace(bench, mode=mode), limit_seconds=30) as simulator:
            for g in (1e3, 3e3, 1e3):
                waves = simulator.evaluate({"g": g}, waveforms=wanted).waveforms
                found = {name: complex(waves[name]["v(sum)"][0]) for name in waves}
                parallel = 1e3 * g / (1e3 + g)
                assert found["from_b"] == pytest.approx(1e3 / (1e3 + g))
                assert found["both"] == pytest.approx((g - 1e3) / (1e3 + g), abs=1e-12)
                assert found["current"] == pytest.approx(2 * parallel)
                assert found["own"] == pytest.approx(0.25j * g / (1e3 + g) + 1e-3 * parallel)


def test_a_stimulus_on_no_source_names_the_sources() -> None:
    bench = Bench(LOW_PASS, (Analysis("a", "ac lin 1 1 1", (("vx", 1.0),)),), ())
    with pytest.raises(InputError, match=r"'vx'.*no independent source") as caught:
        _evaluate(bench)
    assert caught.value.remedy == "its sources: vin, v.x1.vsense"


def test_noise_gives_spectra_and_totals() -> None:
    lines = ("kT/C", "vin in 0 ac 1", "r1 in out 1k", "c1 out 0 1p", ".end")
    bench = Bench(lines, (Analysis("noise", "noise v(out) vin dec 20 1k 1t"),), (), temperature=27.0)
    waves = _evaluate(bench, waveforms={"noise": ("onoise_spectrum", "onoise_total", "inoise_spectrum")}).waveforms
    noise = waves["noise"]
    kelvin = 1.380649e-23 * 300.15
    assert noise["frequency"][0] == pytest.approx(1e3)
    assert noise["inoise_spectrum"][0] == pytest.approx(math.sqrt(4 * kelvin * 1e3), rel=1e-4)
    assert noise["onoise_spectrum"][0] == pytest.approx(math.sqrt(4 * kelvin * 1e3), rel=1e-4)
    assert noise["onoise_total"][-1] == pytest.approx(math.sqrt(kelvin / 1e-12), rel=2e-3)


def test_a_sweep_has_its_scale() -> None:
    bench = Bench(LOW_PASS, (Analysis("sweep", "dc vin 0 2 0.5"), Analysis("heat", "dc temp -40 120 80")), ())
    waves = _evaluate(bench, waveforms={"sweep": ("v(mid)",), "heat": ("v(mid)",)}).waveforms
    assert waves["sweep"]["v-sweep"] == pytest.approx([0, 0.5, 1, 1.5, 2])
    assert waves["sweep"]["v(mid)"] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert waves["heat"]["temp-sweep"] == pytest.approx([-40, 40, 120])


def test_temperature_and_options_win_over_the_decks() -> None:
    lines = (
        "t",
        ".temp 50",
        ".options temp=60 gmin=1e-12",
        "v1 1 0 1",
        "r1 1 0 1k tc=0.01",
        "d1 0 1 dd",
        ".model dd d is=1e-20",
    )
    measure = Measure("current", "op", kind="supply_current", arguments={"source": "v1"})
    hot = Bench((*lines, ".end"), (OP,), (measure,), temperature=127.0, options=(("gmin", "1e-4"),))
    assert _evaluate(hot).metrics["current"] == pytest.approx(1 / (1e3 * (1 + 0.01 * 100)) + 1e-4, rel=1e-3)
    with_reset = Bench(("t", ".param x=1", *lines[1:], ".end"), (OP,), (measure,), temperature=127.0)
    assert _evaluate(with_reset, {"x": 2.0}).metrics["current"] == pytest.approx(0.5e-3, rel=1e-3)


def test_compatibility_reaches_ngspice() -> None:
    """A negative number to a power: its magnitude is raised, except by HSPICE's rules (ngspice manual, 2.11.5)."""
    lines = ("t", "v1 1 0 1", "r1 1 0 {10k+1k*((-2)**3)}", ".end")
    bench = Bench(lines, (OP,), (Measure("current", "op", kind="supply_current", arguments={"source": "v1"}),))
    assert _evaluate(bench).metrics["current"] == pytest.approx(1 / 18e3)
    assert _evaluate(replace(bench, compat="hsa")).metrics["current"] == pytest.approx(1 / 2e3)


def test_operating_points_of_both_polarities_by_the_square_law() -> None:
    bench = Bench(AMPLIFIER, (AC,), (Measure("gain", "ac", take="max vm(out)"),), devices=("m1", "m.x1.m2"))
    with Simulator(bench, limit_seconds=30) as simulator:
        reading = simulator.evaluate({"w": 20e-6}, observe=True)
        triode = simulator.evaluate({"w": 200e-6}, observe=True).observations["m1"]
        plain = simulator.evaluate({"w": 20e-6})
    n, p = reading.observations["m1"], reading.observations["m.x1.m2"]
    overdrive, beta = 0.3, 100e-6 * 20
    assert n == pytest.approx(
        {
            "gm": beta * overdrive,
            "gds": 0.0,
            "id": beta * overdrive**2 / 2,
            "vth": 0.7,
            "vds": 3 - 1e4 * beta * overdrive**2 / 2,
            "vdsat": overdrive,
            "vgs": 1.0,
            "region": 2.0,
        },
        rel=1e-6,
        abs=1e-9,
    )
    assert {name: p[name] for name in ("vgs", "vds", "vdsat", "region")} == pytest.approx(
        {"vgs": 2.0, "vds": 3.0, "vdsat": 1.3, "region": 2.0}
    )
    assert p["gm"] == pytest.approx(40e-6 * 10 * 1.3)
    assert triode["region"] == 1.0
    assert triode["vds"] < triode["vdsat"]
    assert reading.metrics["gain"] == pytest.approx(n["gm"] * 1e4, rel=1e-6)
    assert plain.observations == {}
    assert plain.metrics == reading.metrics


def test_a_device_that_is_off_is_in_region_0() -> None:
    lines = tuple(line.replace("dc 1 ac 1", "dc 0.2") for line in AMPLIFIER)
    assert _evaluate(Bench(lines, (OP,), (), devices=("m1",)), observe=True).observations["m1"]["region"] == 0.0


def test_device_vectors_can_be_measured_along_a_sweep() -> None:
    bench = Bench(
        AMPLIFIER,
        (Analysis("sweep", "dc vin 0.8 1.2 0.1"), OP),
        (
            Measure("gm", "sweep", take="find @m1[gm] at=1.0"),
            Measure("margin", "op", kind="saturation_margin", arguments={"devices": "m1"}),
        ),
    )
    metrics = _evaluate(bench).metrics
    assert metrics["gm"] == pytest.approx(100e-6 * 10 * 0.3, rel=1e-5)
    assert metrics["margin"] == pytest.approx((3 - 1e4 * 1e-3 * 0.09 / 2) - 0.3, rel=1e-5)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("m1 1 1 0 0 nosuch w=1u l=1u", "nosuch"),
        ("x1 1 0 nosub", "unknown subckt: x1 1 0 nosub"),
        ("r2 1 0 {undefined}", r"Undefined parameter \[undefined\]"),
        ("r2 1 0 {1+2", 'Closing "}" not found'),
        (".param b={1+", "Expression err"),
        ("r2 1 0 1k foo=2", r"unknown parameter \(foo\)"),
        ("r2 1 0 {1/0}", "inf"),
        ("r1 1 0 2k", "device already exists"),
    ],
)
def test_a_deck_that_ngspice_refuses_is_refused_in_its_words(line: str, said: str) -> None:
    bench = Bench(("t", "v1 1 0 1", "r1 1 0 1k", line, ".end"), (OP,), ())
    with pytest.raises(InputError, match=said) as caught:
        _evaluate(bench)
    assert caught.value.problem.startswith("ngspice cannot load the deck: ")


def test_a_harmless_warning_about_a_model_is_no_refusal() -> None:
    lines = ("t", ".param cc=1p", "v1 1 0 1", "cc 1 0 cc", ".end")
    assert _evaluate(Bench(lines, (OP,), ()), {"cc": 2e-12}).metrics == {}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"nosuch": 1.0}, "'nosuch' not found"),
        ({"r;shell touch x": 1.0}, "no name of a parameter"),
    ],
)
def test_a_parameter_that_the_deck_lacks_is_the_callers_fault(values: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        _evaluate(replace(RC, analyses=(OP,), measures=()), values)


def test_a_parameter_without_a_target_is_the_callers_fault() -> None:
    with pytest.raises(InputError, match="'x' cannot be altered directly"):
        _evaluate(replace(RC, analyses=(OP,), measures=(), mode="alter"), {"x": 1.0})


def test_an_analysis_without_a_solution_is_a_failed_evaluation() -> None:
    """A current of constant size, always against the voltage's sign: for i > 0 no voltage agrees with it."""
    lines = ("no solution", ".param i=-1m", "r1 1 0 1k", "b1 1 0 i=v(2)*(v(1)>0 ? 1 : -1)", "v2 2 0 {i}", ".end")
    measure = Measure("v", "op", kind="voltage", arguments={"node": "1"})
    bench = Bench(lines, (OP,), (measure,), alters={"i": ("@v2[dc]",)})
    for mode in ("reset", "alter"):
        with Simulator(replace(bench, mode=mode), limit_seconds=30) as simulator:
            before = simulator.evaluate({"i": -1e-3})
            assert abs(before.metrics["v"]) == pytest.approx(1.0)
            pid = simulator.pid
            with pytest.raises(EvaluationError, match=r"op gave no result: .*"):
                simulator.evaluate({"i": 1e-3})
            assert simulator.evaluate({"i": -1e-3}).metrics == before.metrics
            assert simulator.pid == pid


@pytest.mark.parametrize("mode", ["reset", "alter"])
def test_a_width_in_no_bin_fails_and_the_next_point_works(mode: str) -> None:
    model = ".model nch.{} nmos level=14 version=4.5 lmin=0.1u lmax=2u wmin={}u wmax={}u vth0=0.4"
    lines = (
        "t",
        ".param w=2u",
        "v1 1 0 1",
        "m1 1 1 0 0 nch w={w} l=1u",
        model.format(0, 1, 3),
        model.format(1, 3, 9),
        ".end",
    )
    measure = Measure("current", "op", kind="supply_current", arguments={"source": "v1"})
    bench = Bench(lines, (OP,), (measure,), alters={"w": ("@m1[w]",)}, mode=mode)
    with Simulator(bench, limit_seconds=30) as simulator:
        outcomes = simulator.evaluate_chunk([{"w": w} for w in (2e-6, 20e-6, 2e-6, 6e-6)])
    assert isinstance(outcomes[1], EvaluationError)
    assert "valid modelname" in str(outcomes[1]) or "no model available" in str(outcomes[1])
    first, third, fourth = (outcome.metrics["current"] for outcome in outcomes if isinstance(outcome, Reading))
    assert first == third
    assert fourth == pytest.approx(3 * first, rel=0.1)


def test_an_analysis_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="'shell'"):
        _evaluate(Bench(LOW_PASS, (Analysis("a", "shell"),), ()))
    with pytest.raises(InputError, match="''"):
        _evaluate(Bench(LOW_PASS, (Analysis("a", ""),), ()))


def test_a_wrong_sweep_fails_in_ngspices_words() -> None:
    bench = Bench(LOW_PASS, (Analysis("a", "ac dec 10 1 -5"),), ())
    with pytest.raises(EvaluationError, match=r"a gave no result: .*Frequency"):
        _evaluate(bench)


def test_no_spiceinit_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "ran"
    for name in (".spiceinit", "spice.rc"):
        (tmp_path / name).write_text(f"* settings\nshell touch {mark}\n")
    for name in ("HOME", "USERPROFILE", "SPICE_USERINIT_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert _evaluate(Bench(LOW_PASS, (OP,), ())).metrics == {}
    assert not mark.exists()
    deck = tmp_path / "deck.cir"
    deck.write_text("t\nv1 1 0 1\nr1 1 0 1k\n.op\n.end\n")
    subprocess.run(["ngspice", "-b", str(deck)], capture_output=True, timeout=60, check=False)
    assert mark.exists(), "ngspice itself must run it, or this test shows nothing"


def test_commands_of_a_deck_do_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    lines = (
        "*ng_script",
        f"*# shell touch {mark}",
        "v1 1 0 1",
        "r1 1 0 1k",
        ".end",
        ".control",
        f"shell touch {mark}",
        ".endc",
    )
    _evaluate(Bench(lines, (OP,), ()))
    assert not mark.exists()


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NGSPICE_LIBRARY_PATH", "/nowhere/libngspice.so")
    with pytest.raises(MissingError, match=r"/nowhere/libngspice\.so") as caught:
        _evaluate(Bench(LOW_PASS, (OP,), ()))
    assert caught.value.exit_status == 3
    assert os.environ["NGSPICE_LIBRARY_PATH"] == "/nowhere/libngspice.so"
