"""Figures of the operating point, of dc sweeps and of noise against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuits.measures import KINDS, NotFound
from tests.circuits.ngspice_runs import Waveforms


def op(**values):
    names = {"i": "i({})", "v": "v({})"}
    vectors = {names[kind].format(name): np.array([value]) for (kind, _, name), value in _split(values)}
    return {"op": Waveforms(np.zeros(1), vectors)}


def _split(values):
    return [(key.partition("_"), value) for key, value in values.items()]


def devices(**quantities):
    vectors = {
        f"@{device}[{name}]": np.array([value])
        for device, all_of in quantities.items()
        for name, value in all_of.items()
    }
    return {"op": Waveforms(np.zeros(1), vectors)}


def figure(kind, plots, analysis="op", **arguments):
    return KINDS[kind].compute(plots, analysis, arguments)


def test_currents_of_supplies_add_up_by_magnitude():
    plots = op(i_vdd=-2e-3, i_vss=1e-3)
    assert figure("supply_current", plots, source="vdd") == pytest.approx(2e-3)
    assert figure("supply_current", plots, source="VDD, vss") == pytest.approx(3e-3)
    assert figure("supply_current", plots, source=["vdd", "vss"]) == pytest.approx(3e-3)


def test_power_is_what_the_supplies_deliver():
    plots = {"op": Waveforms(np.zeros(1), {"@vdd[p]": np.array([-3.6e-3]), "@vref[p]": np.array([0.6e-3])})}
    assert figure("supply_power", plots, source="vdd") == pytest.approx(3.6e-3)
    assert figure("supply_power", plots, source="vdd,vref") == pytest.approx(3.0e-3)


def test_a_transient_is_averaged_over_its_window():
    time = np.sort(np.concatenate(([0.0, 4.0], np.random.default_rng(1).uniform(0, 4, 500))))
    plots = {"tran": Waveforms(time, {"i(vdd)": -2 * time, "@vdd[p]": -3 * time})}
    assert figure("supply_current", plots, "tran", source="vdd") == pytest.approx(4.0)
    assert figure("supply_current", plots, "tran", source="vdd", start=1.0, stop=2.0) == pytest.approx(3.0)
    assert figure("supply_power", plots, "tran", source="vdd", start=3.0) == pytest.approx(10.5)


def test_offset_is_the_distance_from_where_a_net_belongs():
    plots = op(v_out=0.51, v_in=0.5, v_outn=0.505)
    assert figure("offset", plots, node="out", reference="in") == pytest.approx(10e-3)
    assert figure("offset", plots, node="in", reference="out") == pytest.approx(10e-3)
    assert figure("offset", plots, node="in", reference="out", sign="signed") == pytest.approx(-10e-3)
    assert figure("offset", plots, node="out,outn") == pytest.approx(5e-3)
    assert figure("offset", plots, node="out", level=0.6) == pytest.approx(0.09)
    assert figure("voltage", plots, node="out,in") == pytest.approx(10e-3)


def test_the_device_nearest_to_triode_sets_the_margin():
    plots = devices(
        m1={"vds": 0.9, "vdsat": 0.2, "vgs": 0.6, "vth": 0.4},
        m2={"vds": -0.5, "vdsat": -0.42, "vgs": 0.3, "vth": -0.45},
    )
    assert figure("saturation_margin", plots, devices="m1,m2") == pytest.approx(0.08)
    assert figure("saturation_margin", plots, devices="m1") == pytest.approx(0.7)
    assert figure("overdrive", plots, devices="m1,m2") == pytest.approx(-0.15)
    with pytest.raises(NotFound, match="no MOSFETs to judge"):
        figure("saturation_margin", plots)


def tanh(start, stop, points, sign=1.0):
    x = np.linspace(start, stop, points)
    return {"dc": Waveforms(x, {"v(out)": sign * np.tanh(x)})}


@given(st.floats(0.05, 0.95), st.sampled_from([1.0, -1.0]), st.floats(-0.5, 0.5))
def test_swing_ends_where_the_gain_has_fallen(fraction, sign, shift):
    # the gain of tanh is 1 - tanh^2: it is a fraction f of its peak where |tanh| = sqrt(1 - f)
    plots = tanh(-6 + shift, 6 + shift, 2401, sign)
    assert figure("swing", plots, "dc", node="out", fraction=fraction) == pytest.approx(
        2 * math.sqrt(1 - fraction), rel=1e-4
    )


def test_swing_is_cut_by_the_sweep():
    assert figure("swing", tanh(-1, 0.5, 1501), "dc", node="out", fraction=0.1) == pytest.approx(
        math.tanh(1) + math.tanh(0.5)
    )
    assert figure("swing", tanh(-9, 0.5, 9501), "dc", node="out") == pytest.approx(
        math.sqrt(0.5) + math.tanh(0.5), rel=1e-4
    )


def test_swing_counts_only_the_region_of_the_peak():
    x = np.linspace(0, 10, 1001)
    out = np.interp(x, [0, 2, 3, 5, 6, 7, 10], [0, 0, 0.3, 0.3, 1.3, 1.3, 1.3])  # a slope of 0.3, then one of 1
    plots = {"dc": Waveforms(x, {"v(out)": out})}
    assert figure("swing", plots, "dc", node="out", fraction=0.2) == pytest.approx(1.0, rel=1e-2)


def test_a_sweep_without_a_swing_says_why():
    with pytest.raises(NotFound, match="does not move with the sweep: it stays at 0 V"):
        figure("swing", {"dc": Waveforms(np.arange(9.0), {"v(out)": np.zeros(9)})}, "dc", node="out")
    nested = Waveforms(np.tile(np.arange(5.0), 2), {"v(out)": np.arange(10.0)})
    with pytest.raises(NotFound, match="nested or uneven"):
        figure("swing", {"dc": nested}, "dc", node="out")


def spectrum(white, corner, start=1.0, stop=1e8, per_decade=10):
    frequency = np.geomspace(start, stop, round(per_decade * math.log10(stop / start)) + 1)
    density = white * np.sqrt(1 + corner / frequency)
    return {"noise": Waveforms(frequency, {"inoise_spectrum": density, "onoise_spectrum": 10 * density})}


def white_and_flicker(white, corner, low, high):
    return white * math.sqrt(high - low + corner * math.log(high / low))


@pytest.mark.parametrize("corner", [0.0, 1e3, 1e12])
@pytest.mark.parametrize("band", [{}, {"from": 10.0, "to": 1e5}, {"from": 33.0, "to": 34.0}])
def test_white_and_flicker_noise_integrate(corner, band):
    white = 5e-9
    plots = spectrum(white, corner)
    expected = white_and_flicker(white, corner, band.get("from", 1.0), band.get("to", 1e8))
    assert figure("input_referred_noise", plots, "noise", **band) == pytest.approx(expected, rel=1e-3)
    assert figure("output_noise", plots, "noise", **band) == pytest.approx(10 * expected, rel=1e-3)


def test_pure_flicker_noise_integrates_to_a_logarithm():
    # f S^2 is constant: the power law's integral is 0/0 there
    frequency = np.geomspace(1, 1e6, 61)
    plots = {"noise": Waveforms(frequency, {"onoise_spectrum": 1e-6 / np.sqrt(frequency)})}
    assert figure("output_noise", plots, "noise") == pytest.approx(1e-6 * math.sqrt(math.log(1e6)), rel=1e-12)


@given(st.floats(1, 1e8), st.floats(0, 1e6))
def test_spot_noise_is_the_density(at, corner):
    plots = spectrum(5e-9, corner, per_decade=20)
    expected = 5e-9 * math.sqrt(1 + corner / at)
    assert figure("input_referred_noise", plots, "noise", at=at) == pytest.approx(expected, rel=1e-3)


def test_bands_add_up_in_power():
    plots = spectrum(5e-9, 1e4)
    parts = [figure("output_noise", plots, "noise", **{"from": a, "to": b}) for a, b in ((1.0, 777.0), (777.0, 1e8))]
    assert math.hypot(*parts) == pytest.approx(figure("output_noise", plots, "noise"), rel=1e-12)


def test_noise_outside_the_analysis_is_not_found():
    with pytest.raises(NotFound, match="outside the analysis, 1 to 1e\\+08 Hz"):
        figure("output_noise", spectrum(1e-9, 0), "noise", at=1e9)
    with pytest.raises(NotFound, match="outside the analysis"):
        figure("output_noise", spectrum(1e-9, 0), "noise", **{"from": 0.1})
    silent = Waveforms(np.array([1.0, 2.0]), {"onoise_spectrum": np.zeros(2)})
    with pytest.raises(NotFound, match="no noise spectrum"):
        figure("output_noise", {"noise": silent}, "noise")
