"""SPICE numbers, against ngspice's own reading of them."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_core.errors import InputError
from circuits.numbers import expression_exponent, format_number, number_warning, parse_number, readable_number
from tests.circuits.deck_runs import needs_ngspice, volts

FINITE = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
TEXTS = ["1Meg", "1MEGohm", "10mil", "1F", "5MHz", "1M", "3t", "1g", "2.5k", "4m", "7u", "8n", "9p", "2.5e3k", "1e-6"]
TEXTS += [".5u", "5.", "-3.3m", "+2k", "1x", "1E-6", "1e", "12volts", "0.18um"]


@needs_ngspice
def test_reads_an_instance_s_numbers_as_ngspice_does(tmp_path: Path) -> None:
    for text, value in zip(TEXTS, volts(tmp_path, TEXTS), strict=True):
        assert value == pytest.approx(parse_number(text), rel=1e-12), text


@needs_ngspice
def test_mil_is_milli_inside_an_expression(tmp_path: Path) -> None:
    assert parse_number("10mil") == 10 * 25.4e-6
    assert volts(tmp_path, ["10mil", "{10mil}"]) == [pytest.approx(254e-6), pytest.approx(10e-3)]
    assert expression_exponent("mil") == -3


@given(FINITE)
def test_what_is_written_reads_back_the_same(value: float) -> None:
    assert parse_number(format_number(value)) == value


@given(FINITE)
def test_a_written_number_is_safe_for_ngspice(value: float) -> None:
    text = format_number(value)
    assert "M" not in text
    match = re.fullmatch(r"(-?[\d.]+)(t|g|meg|k|m|u|n|p|f)", text)
    if match:
        assert float(match[1]) * float(f"1e{expression_exponent(match[2])}") == value  # what numparam computes


@needs_ngspice
def test_ngspice_reads_what_is_written(tmp_path: Path) -> None:
    values = [
        1.5e-6,
        2.2e-15,
        3.3e9,
        -4.7e6,
        1 / 3,
        2e-20,
        6.02214076e23,
        180e-9,
        0.05,
        123456.789,
        9.87654321e-8,
        4e14,
    ]
    texts = [format_number(value) for value in values]
    for reading in (volts(tmp_path, texts), volts(tmp_path, [f"{{{text}}}" for text in texts])):
        assert reading == [pytest.approx(value, rel=1e-12) for value in values]


@pytest.mark.parametrize(
    ("value", "text"), [(1.5e-6, "1.5u"), (1e6, "1meg"), (2000.0, "2k"), (0.0, "0"), (3e-18, "3e-18")]
)
def test_writes_engineering_suffixes(value: float, text: str) -> None:
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(8e-5, "80u"), (1e-4, "100u"), (1.159e-5, "11.59u"), (1.23e-6, "1.23u"), (-8e-5, "-80u"), (2e3, "2k")],
        *[(0.0, "0"), (0.7, "700m"), (0.00015495, "154.95u"), (7.41835311e-5, "74.1835311u"), (2.5e6, "2.5meg")],
    ],
)
def test_decks_are_written_as_designers_write(value: float, text: str) -> None:
    assert readable_number(value) == text


@given(FINITE)
def test_what_is_readable_is_the_number_or_the_float_beside_it(value: float) -> None:
    text = readable_number(value)
    assert parse_number(text) == pytest.approx(value, rel=1e-15, abs=0)


@given(st.floats(1e-15, 9.99e14))
def test_a_deck_has_one_style(value: float) -> None:
    match = re.fullmatch(r"([1-9]\d{0,2})(\.\d+)?(t|g|meg|k|m|u|n|p|f)?", readable_number(value))
    assert match, "one to three digits before the point, and a factor"


@needs_ngspice
def test_ngspice_reads_what_is_readable(tmp_path: Path) -> None:
    values = [0.7, 8e-5, 0.00015495, 7.41835311e-5, 2.5e6, 3.3e-15, 1 / 3, 2e-20, 4e14]
    texts = [readable_number(value) for value in values]
    for reading in (volts(tmp_path, texts), volts(tmp_path, [f"{{{text}}}" for text in texts])):
        assert reading == [pytest.approx(value, rel=1e-12) for value in values]


@pytest.mark.parametrize(
    "text", ["", "  ", "w1", "2k2", "1 k", "1,5", "0x10", "nan", "inf", "--1", "1e400", "1meg5", "1_0"]
)
def test_refuses_what_is_no_number(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_number(text, place="a.cir:3")
    assert caught.value.place == "a.cir:3"
    assert caught.value.remedy


def test_a_remedy_says_what_to_write() -> None:
    with pytest.raises(InputError, match=r"write 2\.2k"):
        parse_number("2k2")
    with pytest.raises(InputError, match="write 1u"):
        parse_number("1µ")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_does_not_write_what_is_not_finite(value: float) -> None:
    with pytest.raises(InputError):
        format_number(value)


@pytest.mark.parametrize(
    ("text", "unit"),
    [("1M", "Hz"), ("5MHz", None), ("10M", "Ohm"), ("2M", "Ω"), ("10M", "V/s"), ("1F", "F"), ("1F", None)],
)
def test_warns_of_what_is_probably_meant_otherwise(text: str, unit: str | None) -> None:
    warning = number_warning(text, unit)
    assert warning is not None
    assert text in warning


@pytest.mark.parametrize(
    ("text", "unit"),
    [("1Meg", "Hz"), ("1m", "V"), ("1M", "V"), ("10mil", "m"), ("1p", "F"), ("200u", "W"), ("word", "Hz")],
)
def test_does_not_warn_without_cause(text: str, unit: str | None) -> None:
    assert number_warning(text, unit) is None
