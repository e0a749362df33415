"""Figures for people: engineering notation that reads back."""

from __future__ import annotations

import math
import re

import pytest

from automl_core.report.engineering import engineering


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3.12e7, "Hz", "31.2 MHz"),
        (1e-5, "A", "10 uA"),
        (-2.5e-3, "V", "-2.5 mV"),
        (1.23e-12, "F", "1.23 pF"),
        (999.96, "Hz", "1 kHz"),
        (9.9996e-4, "s", "1 ms"),
        (999.94, "Hz", "999.9 Hz"),
        (0.0, "V", "0 V"),
        (60.0, "dB", "60 dB"),
        (0.05, "dB", "0.05 dB"),
        (12345.0, "deg", "1.234e+04 deg"),
        (5.0, "%", "5 %"),
        (2.0e-14, "V^2/Hz", "2e-14 V^2/Hz"),
        (2.5e13, "V/s", "25 TV/s"),
        (2e-17, "F", "0.02 fF"),
        (1500.0, "", "1500"),
        (44_000.0, "B", "44 kB"),
        (1234.5, "bits per character", "1234 bits per character"),
        (math.nan, "V", "none"),
        (math.inf, "V", "inf"),
    ],
)
def test_figures_for_people(value: float, unit: str, text: str) -> None:
    assert engineering(value, unit) == text


@pytest.mark.parametrize("exponent", range(-16, 14))
@pytest.mark.parametrize("mantissa", [1.0, -9.99951, 3.14159, 9.9999])
def test_the_figure_reads_back_to_its_digits(mantissa: float, exponent: int) -> None:
    value = mantissa * 10.0**exponent
    powers = dict(zip("fpnumkMGT", (-15, -12, -9, -6, -3, 3, 6, 9, 12), strict=True))
    match = re.fullmatch(r"(-?[\d.e+]+) ([fpnumkMGT]?)V", engineering(value, "V"))
    assert match
    assert float(match[1]) * 10.0 ** powers.get(match[2], 0) == pytest.approx(value, rel=5.1e-4)
    assert abs(float(match[1])) < 1000
