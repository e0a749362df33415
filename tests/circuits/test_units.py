"""Units: their spelling, whether they fit, and figures for people."""

from __future__ import annotations

import math
import re

import pytest

from automl_core.errors import InputError
from circuits.measures import KINDS
from circuits.units import check_unit, engineering


@pytest.mark.parametrize(
    ("written", "usual"),
    [
        ("Ω", "Ohm"),
        ("ohms", "Ohm"),
        ("degrees", "deg"),
        ("°", "deg"),
        ("db", "dB"),
        ("hz", "Hz"),
        ("V/s", "V/s"),
        ("V/sqrt(Hz)", "V/√Hz"),
        ("%", "%"),
        ("sec", "s"),
    ],
)
def test_common_spellings_come_to_one(written: str, usual: str) -> None:
    assert check_unit(written) == usual


def test_an_unknown_unit_names_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        check_unit("Hzz", place="amp.yaml:7")
    assert str(caught.value).startswith("amp.yaml:7: unknown unit 'Hzz'")
    assert "'Hz'" in caught.value.remedy


@pytest.mark.parametrize("prefixed", ["MHz", "mV", "uA", "kOhm", "pF"])
def test_a_prefix_belongs_to_the_number(prefixed: str) -> None:
    """SPICE's M is milli: a unit of MHz would leave open which one counts."""
    with pytest.raises(InputError):
        check_unit(prefixed)
    with pytest.raises(InputError):
        check_unit(prefixed, expected=prefixed[1:])


def test_a_unit_of_another_measure_is_refused_with_the_right_one() -> None:
    with pytest.raises(InputError) as caught:
        check_unit("V", expected="dB", place="a:1")
    assert "'V' does not fit: this measure is in dB" in caught.value.problem
    assert caught.value.remedy.startswith("write `unit: dB`")


@pytest.mark.parametrize("name", sorted(KINDS))
def test_units_of_the_built_in_measures_are_known(name: str) -> None:
    unit = KINDS[name].unit
    if isinstance(unit, str) and unit:
        assert check_unit(unit, expected=unit)


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
