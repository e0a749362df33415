"""The Bode plot, on responses in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from circuits.bode import bode


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
    ticks = lower.xaxis.get_major_formatter()
    assert [ticks(hertz) for hertz in (1e3, 1e5, 1e6, 1e9)] == ["1k", "100k", "1M", "1G"]


def test_the_phase_of_many_poles_does_not_jump_and_a_zero_is_no_error() -> None:
    frequency = np.logspace(0, 6, 601)
    response = 1 / (1 + 1j * frequency / 1e2) ** 5
    response[-1] = 0
    upper, lower = _curves(bode({"v(out), ac": (frequency, response)}, {}))
    assert lower.lines[0].get_ydata()[-2] == pytest.approx(-450.0, abs=1)
    assert len(upper.lines) == 1
