"""Figures of a frequency sweep against the poles that made it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuits.measures import KINDS, NotFound
from tests.circuits.ngspice_runs import Waveforms


def sweep(transfer, start=1.0, stop=1e10, per_decade=20, **others):
    """The plot of "ac" for a transfer function of s, at the node out."""
    points = round(per_decade * math.log10(stop / start)) + 1
    frequency = np.geomspace(start, stop, points)
    s = 2j * math.pi * frequency
    vectors = {"v(out)": transfer(s), **{f"v({name})": other(s) for name, other in others.items()}}
    return {"ac": Waveforms(frequency, {name: np.asarray(value, dtype=complex) for name, value in vectors.items()})}


def poles(gain, *frequencies):
    def transfer(s):
        response = gain * np.ones_like(s)
        for frequency in frequencies:
            response = response / (1 + s / (2 * math.pi * frequency))
        return response

    return transfer


def figure(kind, plots, **arguments):
    return KINDS[kind].compute(plots, "ac", {"node": "out", **arguments})


def two_pole_unity(gain, p1, p2):
    """The frequency at which (1 + (f/p1)^2)(1 + (f/p2)^2) = gain^2: a quadratic in f^2."""
    a, b, c = 1 / (p1 * p2) ** 2, 1 / p1**2 + 1 / p2**2, 1 - gain**2
    return math.sqrt((-b + math.sqrt(b * b - 4 * a * c)) / (2 * a))


def test_one_pole_has_its_gain_bandwidth_and_unity_gain_frequency():
    plots = sweep(poles(1000, 1e3), per_decade=200)
    assert figure("dc_gain", plots) == pytest.approx(60, abs=1e-4)
    assert figure("dc_gain", plots, scale="v/v") == pytest.approx(1000, rel=1e-5)
    assert figure("gain", plots, at=1e3) == pytest.approx(60 - 10 * math.log10(2), abs=1e-3)
    assert figure("bandwidth", plots) == pytest.approx(1e3, rel=1e-4)
    assert figure("bandwidth", plots, drop=20.0) == pytest.approx(1e3 * math.sqrt(99), rel=1e-4)
    assert figure("gain_bandwidth", plots) == pytest.approx(1e6, rel=1e-4)
    assert figure("unity_gain_frequency", plots) == pytest.approx(1e3 * math.sqrt(1e6 - 1), rel=1e-4)
    assert figure("phase_margin", plots) == pytest.approx(180 - math.degrees(math.atan(1e3)), abs=1e-2)
    assert figure("peaking", plots) == pytest.approx(0, abs=1e-9)


@given(st.floats(20, 1e5), st.floats(1.5, 1e4), st.floats(0.05, 20))
def test_two_poles_have_the_margin_of_the_quadratic(gain, p1, share):
    p2 = share * gain * p1
    unity = two_pole_unity(gain, p1, p2)
    margin = 180 - math.degrees(math.atan(unity / p1) + math.atan(unity / p2))
    plots = sweep(poles(gain, p1, p2), stop=1e12)
    # a chord of a falling convex curve lies above it: at 20 points a decade at most (ln 10/20)^2/8 = 0.17 % too high
    assert -1e-9 < figure("unity_gain_frequency", plots) / unity - 1 < 0.0018
    assert figure("phase_margin", plots) == pytest.approx(margin, abs=0.1)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("start", [0.1, 1.0, 3e4])
def test_the_margin_depends_neither_on_the_sign_nor_on_where_the_sweep_starts(sign, start):
    gain, p1, p2 = 1000, 1e3, 2e6
    unity = two_pole_unity(gain, p1, p2)
    expected = 180 - math.degrees(math.atan(unity / p1) + math.atan(unity / p2))
    assert figure("phase_margin", sweep(poles(sign * gain, p1, p2), start=start)) == pytest.approx(expected, abs=0.1)


def test_a_path_that_inverts_reads_as_one_that_does_not_when_it_is_told_so():
    plots = sweep(poles(-1000, 1e3, 2e6))
    right = figure("phase_margin", plots, polarity="inverting")
    assert right == pytest.approx(figure("phase_margin", plots), abs=1e-9)
    # positive feedback around it: half a turn less
    assert figure("phase_margin", plots, polarity="non_inverting") == pytest.approx(right - 180, abs=1e-9)


def test_three_equal_poles_turn_at_root_three():
    # (1 + j sqrt 3)^3 = -8
    plots = sweep(poles(4, 1e4, 1e4, 1e4), per_decade=200, stop=1e7)
    assert figure("gain_margin", plots) == pytest.approx(20 * math.log10(8 / 4), abs=1e-3)
    unity = 1e4 * math.sqrt(4 ** (2 / 3) - 1)
    assert figure("unity_gain_frequency", plots) == pytest.approx(unity, rel=1e-4)
    assert figure("phase_margin", plots) == pytest.approx(180 - 3 * math.degrees(math.atan(unity / 1e4)), abs=0.01)


def test_a_gain_margin_above_zero_db_is_negative():
    plots = sweep(poles(16, 1e4, 1e4, 1e4), per_decade=200, stop=1e7)
    assert figure("gain_margin", plots) == pytest.approx(20 * math.log10(8 / 16), abs=1e-3)


def test_a_phase_that_never_turns_gives_what_the_sweep_proves():
    plots = sweep(poles(1000, 1e3), stop=1e9)
    assert figure("gain_margin", plots) == pytest.approx(60, abs=1e-4)


def test_the_phase_is_followed_through_many_turns():
    delay = 1e-7  # a pure delay wraps the angle again and again
    plots = sweep(lambda s: poles(1000, 1e3)(s) * np.exp(-s * delay), per_decade=100, stop=1e7)
    unity = 1e3 * math.sqrt(1e6 - 1)
    expected = 180 - math.degrees(math.atan(1e3)) - 360 * unity * delay
    assert figure("phase_margin", plots) == pytest.approx(expected, abs=0.05)


def bump(s):
    """One pole, then a resonance that lifts the gain above 1 again."""
    w0, damping = 2 * math.pi * 1e7, 0.01
    return poles(1000, 1e3)(s) / (1 + 2 * damping * s / w0 + (s / w0) ** 2)


def test_a_gain_that_rises_again_counts_to_its_last_crossing():
    plots = sweep(bump, per_decade=400, stop=1e9)
    assert figure("unity_gain_frequency", plots, crossing="first") == pytest.approx(1.01e6, rel=1e-2)
    # |A| = (1e6/f) / (f^2/w0^2 - 1) = 1 just above the resonance: x (x^2 - 1) = 0.1
    x = 1.0466805  # solves x^3 - x = 0.1
    assert figure("unity_gain_frequency", plots) == pytest.approx(x * 1e7, rel=2e-3)
    assert figure("phase_margin", plots, crossing="first") > 85
    assert figure("phase_margin", plots) < -60


@pytest.mark.parametrize("damping", [0.2, 0.5, 0.7])
def test_a_resonance_peaks_by_its_damping(damping):
    w0 = 2 * math.pi * 1e6
    plots = sweep(lambda s: 50 / (1 + 2 * damping * s / w0 + (s / w0) ** 2), per_decade=400, stop=1e8)
    expected = -20 * math.log10(2 * damping * math.sqrt(1 - damping**2))
    assert figure("peaking", plots) == pytest.approx(expected, abs=1e-3)


def test_an_input_that_is_not_one_is_divided_out():
    drive = poles(0.25, 5e5)
    plots = sweep(
        lambda s: poles(1000, 1e3)(s) * drive(s),
        per_decade=200,
        inp=lambda s: drive(s) / 2,
        inn=lambda s: -drive(s) / 2,
    )
    assert figure("dc_gain", plots, input="inp,inn") == pytest.approx(60, abs=1e-4)
    assert figure("bandwidth", plots, input="v(inp,inn)") == pytest.approx(1e3, rel=1e-4)
    assert figure("phase_margin", plots, input="inp, inn") == pytest.approx(90.06, abs=0.01)


def test_a_pair_of_nets_is_their_difference():
    half = poles(500, 1e3)
    plots = sweep(half, outn=lambda s: -half(s))
    assert figure("dc_gain", plots, node="out,outn") == pytest.approx(60, abs=1e-4)
    assert figure("dc_gain", plots, node="outn,0") == pytest.approx(20 * math.log10(500), abs=1e-4)


@pytest.mark.parametrize("kind", ["psrr", "cmrr"])
def test_rejection_is_the_ratio_of_two_gains(kind):
    plots = {
        **sweep(poles(1000, 1e3)),
        "supply": sweep(poles(0.5, 1e5), stop=1e6, per_decade=7)["ac"],
    }
    assert figure(kind, plots, against="supply") == pytest.approx(20 * math.log10(2000), abs=1e-4)
    expected = 20 * math.log10(abs(poles(2000, 1e3)(2e4j * math.pi)[()] / poles(1, 1e5)(2e4j * math.pi)[()]))
    assert figure(kind, plots, against="supply", at=1e4) == pytest.approx(expected, abs=0.02)


def test_a_figure_that_does_not_exist_says_why():
    with pytest.raises(NotFound, match=r"stays below 1: its peak is -6\.02 dB"):
        figure("unity_gain_frequency", sweep(poles(0.5, 1e3)))
    with pytest.raises(NotFound, match=r"still 20 dB at the end of the sweep, 1e\+05 Hz"):
        figure("phase_margin", sweep(poles(1000, 1e3), stop=1e5))
    notch = sweep(lambda s: 10 * (1 + (s / 6e4) ** 2) / ((1 + s / 3e3) * (1 + s / 1.2e6)), stop=1e6)  # 5 at its end
    for kind in ("unity_gain_frequency", "phase_margin"):
        with pytest.raises(NotFound, match=r"is again \d+(\.\d)? dB at the end of the sweep, 1e\+06 Hz"):
            figure(kind, notch)
        figure(kind, notch, crossing="first")
    with pytest.raises(NotFound, match=r"never drops by 3\.01 dB"):
        figure("bandwidth", sweep(poles(1000, 1e3), stop=100))
    with pytest.raises(NotFound, match="between the first two points, 9e\\+05 and"):
        figure("unity_gain_frequency", sweep(poles(1000, 1e3), start=9e5, per_decade=1))
    with pytest.raises(NotFound, match="outside the analysis, which runs from 1 to 1e\\+06"):
        figure("gain", sweep(poles(1000, 1e3), stop=1e6), at=1e7)
    with pytest.raises(NotFound, match="no vector v\\(nowhere\\)"):
        figure("dc_gain", sweep(poles(1000, 1e3)), node="nowhere")
    with pytest.raises(NotFound, match="'supply' gave no data"):
        figure("psrr", sweep(poles(1000, 1e3)), against="supply")


@pytest.mark.parametrize("broken", [0.0, math.nan, math.inf])
def test_a_dead_output_is_not_found(broken):
    plots = {"ac": Waveforms(np.geomspace(1, 1e6, 61), {"v(out)": np.full(61, complex(broken))})}
    for kind in ("dc_gain", "unity_gain_frequency", "phase_margin", "gain_margin", "bandwidth", "peaking"):
        with pytest.raises(NotFound):
            figure(kind, plots)
