"""The control block of the sign-off, run by ``ngspice -n -b``."""

from __future__ import annotations

import math

import pytest

from circuits.bench import Analysis, Measure
from circuits.signoff import control_block, read_printed, result_vector, take_commands
from tests.circuits.ngspice_runs import run_ngspice


def gain(name, analysis, node="out"):
    return Measure(name, analysis, kind="dc_gain", arguments={"node": node, "scale": "V/V"})


def figures(deck, analyses, measures, sources, folder):
    return read_printed(run_ngspice(deck, control_block(analyses, measures, sources), folder))


# out = 3 a + 5 b + 7 c, one source with a phase of 180 degrees, one without AC, one inside a subcircuit
SUM = """
va a 0 dc 0 ac 0.5 180
vb b 0 dc 1
x1 c inside
.subckt inside out
vc out 0 dc 0 ac 1
.ends
e1 out 0 vol='3*v(a)+5*v(b)+7*v(c)'
"""


def test_a_stimulus_silences_every_other_source(tmp_path):
    sources = ["va", "vb", "v.x1.vc"]
    analyses = [
        Analysis("second", "ac lin 1 1k 1k", (("vb", 1.0),)),
        Analysis("inner", "ac lin 1 1k 1k", (("v.x1.vc", 1.0),)),
        Analysis("own", "ac lin 1 1k 1k"),
        Analysis("first", "ac lin 1 1k 1k", (("VA", 1.0), ("vb", 1.0))),
        Analysis("balanced", "ac lin 1 1k 1k", (("va", 0.5), ("vb", -0.5))),
    ]
    measures = [gain(analysis.name, analysis.name) for analysis in analyses]
    expected = {"second": 5, "inner": 7, "own": 7 - 1.5, "first": 8, "balanced": 1}
    assert figures(SUM, analyses, measures, sources, tmp_path) == pytest.approx(expected)


def test_figures_of_one_analysis_survive_the_others(tmp_path):
    """Device quantities and two-analysis figures, with the operating point first, last and in between."""
    deck = "vin in 0 dc 1 ac 1 pulse(1 3 1u 1n 1n 1 2)\nvs s 0 dc 4 ac 0\nr1 in out 1k\nr2 out s 1k\nc1 out 0 1p"
    measures = [
        Measure("power", "op", kind="supply_power", arguments={"source": "vs"}),
        Measure("rejection", "ac", kind="psrr", arguments={"node": "out", "against": "ac_supply"}),
        Measure("average", "tran", kind="supply_power", arguments={"source": "vs", "start": 4e-6}),
        Measure("middle", "op", kind="voltage", arguments={"node": "out"}),
    ]
    runs = {
        "op": Analysis("op", "op"),
        "ac": Analysis("ac", "ac lin 1 1 1"),
        "ac_supply": Analysis("ac_supply", "ac dec 1 1 10", (("vs", 1.0),)),
        "tran": Analysis("tran", "tran 10n 5u"),
    }
    expected = {"power": 4 * 3 / 2e3, "rejection": 0.0, "average": 4 * 1 / 2e3, "middle": 2.5}
    for order in (
        ("op", "ac", "ac_supply", "tran"),
        ("tran", "ac_supply", "op", "ac"),
        ("ac_supply", "ac", "tran", "op"),
    ):
        printed = figures(deck, [runs[name] for name in order], measures, ["vin", "vs"], tmp_path)
        assert printed == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_metrics_may_be_called_as_nets_and_constants_are(tmp_path):
    deck = "vin out 0 dc 2 ac 3\nr1 out gain 1k\nr2 gain 0 3k"
    measures = [
        gain("gain", "ac"),
        gain("out", "ac", "gain"),
        gain("PI", "ac", "out,gain"),
        gain("out_1", "ac", "gain"),
    ]
    analyses = [Analysis("ac", "ac lin 1 1 1")]
    assert figures(deck, analyses, measures, ["vin"], tmp_path) == pytest.approx(
        {"gain": 3, "out": 2.25, "PI": 0.75, "out_1": 2.25}
    )


def test_metrics_that_differ_in_case_or_signs_keep_apart(tmp_path):
    deck = "vin out 0 dc 2 ac 3\nr1 out half 1k\nr2 half 0 1k"
    measures = [gain("a-b", "ac"), gain("a_b", "ac", "nowhere"), gain("A_b", "ac", "half")]
    printed = figures(deck, [Analysis("ac", "ac lin 1 1 1")], measures, ["vin"], tmp_path)
    assert printed == pytest.approx({"a-b": 3, "A_b": 1.5})  # and not 3 for a_b


def test_takes_are_in_the_language_of_meas(tmp_path):
    deck = "vin in 0 dc 1 ac 1 pulse(0 1 0 1n 1n 1 2)\nr1 in out 1k\nc1 out 0 1n"
    analyses = [
        Analysis("ac", "ac dec 100 1k 100Meg"),
        Analysis("tran", "tran 1n 10u 0 1n"),
        Analysis("dc", "dc vin 0 1 0.1"),
    ]
    measures = [
        Measure("corner", "ac", take="when vdb(out)=-3.0103 fall=1"),
        Measure("largest", "tran", take="max v(out) from=1u to=2u"),
        Measure("end", "dc", take="find v(out) at=0.55"),
        Measure("never", "tran", take="when v(out)=2"),
        Measure("power", "tran", take="max @vin[p]"),
    ]
    printed = figures(deck, analyses, measures, ["vin"], tmp_path)
    expected = {
        "corner": 1 / (2 * math.pi * 1e-6),
        "largest": 1 - math.exp(-2),
        "end": 0.55,
        "power": 0.0,
    }
    assert printed == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert take_commands("m_x", "tran", " max v(out) ") == ["meas tran m_x max v(out)"]


@pytest.mark.parametrize("net", ["out-p", "out[0]", "3out", "out!", "a!b!c", "gt", "in/out", "a^b", "time"])
def test_nets_of_any_name_are_measured(net, tmp_path):
    """A divider by 4, against its closed form; ngspice's expressions give every one of these names another meaning."""
    deck = f".options bang=!\nv-in vdd! 0 dc 8 ac 4\nr1 vdd! {net} 3k\nr2 {net} 0 1k"
    analyses = [Analysis("ac", "ac lin 3 1 3"), Analysis("op", "op"), Analysis("tran", "tran 1u 10u")]
    signals = {"node": net, "input": "vdd!"}
    measures = [
        Measure("gain", "ac", kind="dc_gain", arguments={**signals, "scale": "V/V"}),
        Measure("across", "op", kind="voltage", arguments={"node": f"vdd!,{net}"}),
        Measure("current", "op", kind="supply_current", arguments={"source": "v-in"}),
        Measure("power", "op", kind="supply_power", arguments={"source": "v-in"}),
        Measure("mean", "tran", kind="supply_power", arguments={"source": "v-in"}),
    ]
    printed = figures(deck, analyses, measures, ["v-in"], tmp_path)
    expected = {"gain": 0.25, "across": 6.0, "current": 2e-3, "power": 16e-3, "mean": 16e-3}
    assert printed == pytest.approx(expected, rel=1e-5)


def test_takes_refer_to_earlier_ones_but_never_hide_a_net(tmp_path):
    deck = "vin in 0 dc 1 ac 1\nr1 in out 1k\nc1 out 0 1n"
    measures = [
        Measure("Level", "ac", take="find vdb(out) at=300k"),
        Measure("out", "ac", take="find vdb(out) at=100k"),
        Measure("frequency", "ac", take="max vdb(out)"),
        Measure("there", "ac", take="when vdb(out)=level fall=1"),
        Measure("corner", "ac", kind="bandwidth", arguments={"node": "out"}),
    ]
    body = control_block([Analysis("ac", "ac dec 200 1k 10Meg")], measures, ["vin"], {"in", "out", "0"})
    printed = read_printed(run_ngspice(deck, body, tmp_path))

    def gain(frequency):
        return -10 * math.log10(1 + (2 * math.pi * 1e-6 * frequency) ** 2)

    expected = {
        "Level": gain(300e3),
        "out": gain(100e3),
        "frequency": gain(1e3),
        "there": 300e3,
        "corner": 1 / (2 * math.pi * 1e-6),
    }
    assert printed == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_blocks_of_two_benches_run_one_after_the_other(tmp_path):
    """As ``source`` runs them: ngspice goes on counting plots and ``fourier`` calls."""
    second = "sine\nvs out 0 sin(0 1 1k)\nb1 bent 0 v=v(out)+0.1*v(out)*v(out)"
    measures = [Measure("thd_2", "tran", kind="thd", arguments={"node": "bent", "fundamental": 1e3})]
    body = control_block([Analysis("tran", "tran 1u 2m 0 1u")], measures, [])
    (tmp_path / "second.cir").write_text("\n".join([second, ".control", *body, ".endc", ".end", ""]))
    first = "vs out 0 sin(0 1 1k)\nb1 bent 0 v=v(out)+0.2*v(out)*v(out)"
    measures = [
        Measure(f"thd_{k}", "tran", kind="thd", arguments={"node": node, "fundamental": 1e3})
        for k, node in (("a", "bent"), ("b", "out"))
    ]
    body = control_block([Analysis("tran", "tran 1u 2m 0 1u")], measures, [])
    printed = read_printed(run_ngspice(first, [*body, "source second.cir"], tmp_path))
    assert printed == pytest.approx({"thd_a": 10.0, "thd_b": 0.0, "thd_2": 5.0}, rel=1e-3, abs=1e-3)


def test_a_measure_that_ngspice_cannot_compute_becomes_a_comment(monkeypatch):
    import dataclasses

    from circuits import signoff

    kinds = {"dc_gain": dataclasses.replace(signoff.KINDS["dc_gain"], script=None)}
    monkeypatch.setattr(signoff, "KINDS", kinds)
    lines = control_block([Analysis("ac", "ac lin 1 1 1")], [gain("gain", "ac")], [])
    assert "* gain: ngspice has no command for it" in lines
    assert not any("echo" in line for line in lines)


def test_printed_figures_are_told_from_everything_else():
    text = """
No. of Data Rows : 19
m_corner            =  1.591549e+05
gain = 72.4163
phase margin = 60
GBW = 1.2E+07
bad =
worse = nan
pair = 1.0,2.0
i = -3e-06
v(out) = 0.5 volts
"""
    assert read_printed(text) == {"gain": 72.4163, "GBW": 1.2e7, "i": -3e-6}


@pytest.mark.parametrize("name", ["gain", "slew+", "3dB", "größe"])
def test_result_vectors_are_plain_words(name):
    vector = result_vector(name)
    assert vector.isascii()
    assert vector.isidentifier()
    assert vector == vector.lower()
