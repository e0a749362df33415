"""Figures of a transient against the closed forms of ramps, exponentials, resonances and sums of sines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuits.measures import KINDS, NotFound
from tests.circuits.ngspice_runs import Waveforms


def uneven(stop, points, seed=0, start=0.0):
    """An ascending grid whose steps vary by a factor of three, as a simulator's do; it has the step's own time, 1."""
    steps = np.random.default_rng(seed).uniform(0.5, 1.5, points)
    grid = np.concatenate(([0.0], np.cumsum(steps)))
    return np.union1d(start + grid * (stop - start) / grid[-1], [1.0])


def transient(wave, time=None, **others):
    time = uneven(10.0, 20_000) if time is None else time
    return {"tran": Waveforms(time, {"v(out)": wave(time), **{f"v({k})": other(time) for k, other in others.items()}})}


def figure(kind, plots, **arguments):
    return KINDS[kind].compute(plots, "tran", {"node": "out", **arguments})


def exponential(tau, at=1.0, low=0.2, high=1.2):
    def wave(time):
        return low + (high - low) * np.where(time < at, 0.0, 1 - np.exp(-np.clip(time - at, 0, None) / tau))

    return wave


def resonance(damping, omega, at=1.0):
    def wave(time):
        t = np.clip(time - at, 0, None)
        root = math.sqrt(1 - damping**2)
        return 1 - np.exp(-damping * omega * t) * (np.cos(root * omega * t) + damping / root * np.sin(root * omega * t))

    return wave


@given(st.floats(0.05, 0.6), st.floats(-2, 2), st.floats(0.1, 3), st.integers(0, 100))
def test_an_exponential_has_its_times(tau, low, height, seed):
    plots = transient(exponential(tau, 1.0, low, low + height), uneven(12.0, 20_000, seed))
    assert figure("rise_time", plots, start=1.0) == pytest.approx(tau * math.log(9), rel=1e-3)
    slew = 0.8 * height / (tau * math.log(9))
    assert figure("slew_rate", plots, start=1.0) == pytest.approx(slew, rel=1e-3)
    settling = figure("settling_time", plots, start=1.0, final=low + height, tolerance=0.01)
    assert settling == pytest.approx(tau * math.log(100), rel=1e-3)
    assert figure("overshoot", plots) == 0


@pytest.mark.parametrize("tolerance", [0.1, 0.01, 0.001])
def test_settling_ends_where_the_band_begins(tolerance):
    plots = transient(exponential(0.3))
    expected = -0.3 * math.log(tolerance)
    assert figure("settling_time", plots, start=1.0, tolerance=tolerance) == pytest.approx(expected, rel=1e-3)
    assert figure("settling_time", plots, tolerance=tolerance) == pytest.approx(1 + expected, rel=1e-3)


def test_a_falling_step_reads_as_a_rising_one():
    rising, falling = transient(exponential(0.3)), transient(exponential(0.3, low=1.2, high=0.2))
    for kind in ("slew_rate", "rise_time", "settling_time", "overshoot"):
        assert figure(kind, falling, start=1.0) == pytest.approx(figure(kind, rising, start=1.0), rel=1e-9, abs=1e-9)


def test_a_ramp_slews_at_its_slope_whatever_the_levels():
    plots = transient(lambda time: np.clip(3.0 * (time - 2), 0, 1.5))
    assert figure("slew_rate", plots) == pytest.approx(3.0, rel=1e-6)
    assert figure("slew_rate", plots, **{"from": 0.2, "to": 0.6}) == pytest.approx(3.0, rel=1e-6)
    assert figure("rise_time", plots, **{"from": 0.2, "to": 0.6}) == pytest.approx(0.2, rel=1e-6)


@pytest.mark.parametrize("damping", [0.1, 0.3, 0.6])
def test_a_resonance_overshoots_by_its_damping(damping):
    plots = transient(resonance(damping, 20.0), uneven(10.0, 40_000))
    expected = 100 * math.exp(-math.pi * damping / math.sqrt(1 - damping**2))
    assert figure("overshoot", plots, final=1.0) == pytest.approx(expected, rel=1e-4)
    assert figure("overshoot", plots, start=1.0) == pytest.approx(expected, rel=1e-3)


def test_ringing_settles_at_its_last_entry_into_the_band():
    # |error| <= exp(-zeta w t), a slow envelope: the last entry lies just below ln(1/tol)/(zeta w)
    damping, omega = 0.02, 60.0
    plots = transient(resonance(damping, omega, at=0.0), uneven(10.0, 60_000))
    bound = math.log(1 / 0.05 / math.sqrt(1 - damping**2)) / (damping * omega)
    settled = figure("settling_time", plots, final=1.0, tolerance=0.05)
    assert bound - math.pi / omega < settled <= bound


def test_windows_pick_the_edge():
    def pulse(time):
        return np.interp(time, [0, 1, 1.5, 5, 5.25, 10], [0, 0, 1, 1, 0, 0])

    plots = transient(pulse)
    assert figure("slew_rate", plots, edge="rise", start=0.5, stop=4.0) == pytest.approx(2.0, rel=1e-6)
    assert figure("slew_rate", plots, edge="fall", start=4.0) == pytest.approx(4.0, rel=1e-6)
    with pytest.raises(NotFound, match="goes from 1 to 0, which is no rise"):
        figure("slew_rate", plots, edge="rise", start=4.0)
    with pytest.raises(NotFound, match="does not step: it is 0 at the start and at the end"):
        figure("slew_rate", plots)


def test_delay_is_between_the_middles_of_two_steps():
    plots = transient(exponential(0.4, at=2.0, low=1.0, high=-1.0), clock=lambda t: np.clip((t - 2) * 1e3, 0, 1))
    expected = 0.4 * math.log(2) - 0.5e-3
    assert figure("delay", plots, input="clock") == pytest.approx(expected, rel=1e-3)
    expected = 0.4 * math.log(10 / 7) - 0.3e-3
    assert figure("delay", plots, input="clock", level=0.3) == pytest.approx(expected, rel=1e-3)


def sines(*amplitudes, fundamental=3.0, offset=0.4):
    def wave(time):
        turns = 2 * math.pi * fundamental * time
        return offset + sum(a * np.sin((k + 1) * turns + 0.3 * k) for k, a in enumerate(amplitudes))

    return wave


@given(st.floats(0.01, 0.3), st.floats(0.01, 0.3), st.integers(0, 50))
def test_distortion_is_the_harmonics_over_the_fundamental(second, third, seed):
    plots = transient(sines(1.0, second, third), uneven(10.0, 60_000, seed))
    expected = 100 * math.hypot(second, third)
    assert figure("thd", plots, fundamental=3.0) == pytest.approx(expected, rel=1e-3)
    assert figure("thd", plots, fundamental=3.0, periods=7) == pytest.approx(expected, rel=1e-3)
    assert figure("thd", plots, fundamental=3.0, harmonics=2) == pytest.approx(100 * second, rel=1e-3)


def test_distortion_is_taken_from_the_last_periods():
    def wave(time):  # clipped while it starts up
        return np.where(time < 5, np.clip(sines(1.0)(time), -0.2, 0.7), sines(1.0, 0.1)(time))

    assert figure("thd", transient(wave), fundamental=3.0, periods=10) == pytest.approx(10, rel=1e-3)


def test_a_pure_sine_is_clean_to_the_interpolation():
    plots = transient(sines(1.0), uneven(10.0, 60_000))
    assert figure("thd", plots, fundamental=3.0) < 1e-3


def test_a_figure_that_does_not_exist_says_why():
    with pytest.raises(NotFound, match=r"still 1[34]\.\d % of the step off at 3 s"):
        figure("settling_time", transient(exponential(1.0), uneven(3.0, 1000)), final=1.2, tolerance=0.05)
    with pytest.raises(NotFound, match="between the first two points, 0 and"):
        figure("rise_time", transient(lambda t: np.where(t > 0, 1.0, 0.0)))
    with pytest.raises(NotFound, match="12 lies outside the analysis, which runs from 0 to 10"):
        figure("overshoot", transient(exponential(0.3)), start=12.0)
    with pytest.raises(NotFound, match="2 periods last 20 s, but the transient only 10 s"):
        figure("thd", transient(sines(1.0)), fundamental=0.1, periods=2)
    with pytest.raises(NotFound, match="nothing at 3 Hz"):
        figure("thd", transient(lambda t: np.full_like(t, 0.3)), fundamental=3.0)
    with pytest.raises(NotFound, match="fewer than three points"):
        figure("slew_rate", transient(np.sin, np.array([0.0, 1.0])))


@pytest.mark.parametrize("kind", ["slew_rate", "rise_time", "settling_time", "overshoot", "thd"])
def test_values_that_are_not_numbers_are_not_found(kind):
    arguments = {"fundamental": 3.0} if kind == "thd" else {}
    with pytest.raises(NotFound):
        figure(kind, transient(lambda t: np.full_like(t, math.nan)), **arguments)
