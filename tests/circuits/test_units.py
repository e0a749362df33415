"""Units: their spelling, and whether they fit."""

from __future__ import annotations

import pytest

from automl_core.errors import InputError
from circuits.measures import KINDS
from circuits.units import check_unit


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
