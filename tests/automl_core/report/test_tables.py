"""Tables of specs, as text."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console
from rich.table import Table

from automl_core.report.tables import rows_table, spec_table, target
from automl_core.specs import Spec, Specs


def _write(value: float, unit: str) -> str:
    return f"<{value:g}{unit}>"


def _rows(table: Table) -> list[list[str]]:
    """The cells of each line, at the widths of the header's columns."""
    out = io.StringIO()
    Console(file=out, width=200).print(table)
    lines = [line.split() for line in out.getvalue().splitlines() if line.strip() and not set(line) <= set(" ─")]
    return lines


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (Spec("a", minimum=60, unit="dB"), ">= <60dB>"),
        (Spec("a", maximum=2), "<= <2>"),
        (Spec("a", minimum=1, maximum=2), ">= <1>, <= <2>"),
        (Spec("a", minimum=3, maximum=3), "= <3>"),
        (Spec("a", maximum=2, goal="minimize"), "<= <2>, minimize"),
        (Spec("a", goal="maximize"), "maximize"),
    ],
)
def test_what_a_spec_asks_for(spec: Spec, words: str) -> None:
    assert target(spec, _write) == words


SPECS = Specs(
    [
        Spec("gain", minimum=60, unit="dB"),
        Spec("power", maximum=2, unit="W"),
        Spec("area", goal="minimize"),
        Spec("noise", maximum=1),
    ]
)
METRICS = {"gain": 57.5, "power": 1.5, "area": 7.0, "noise": math.nan}


def test_a_table_says_what_was_reached_by_how_much_and_whether_it_is_met() -> None:
    rows = _rows(spec_table(SPECS, METRICS, _write, title="best"))
    assert rows[0] == ["best"]
    assert rows[1] == ["spec", "target", "reached", "margin", "met"]
    assert rows[2] == ["gain", ">=", "<60dB>", "<57.5dB>", "<-2.5dB>", "no"]
    assert rows[3] == ["power", "<=", "<2W>", "<1.5W>", "<0.5W>", "yes"]
    assert rows[4] == ["area", "minimize", "<7>", "yes"], "a goal without a bound has no margin"
    assert rows[5] == ["noise", "<=", "<1>", "<nan>", "<nan>", "no"]


def test_a_metric_that_nobody_measured_is_not_met() -> None:
    assert all(row[-1] == "no" for row in _rows(spec_table(SPECS, {}, _write))[1:])


def test_the_start_stands_beside() -> None:
    rows = _rows(spec_table(SPECS, METRICS, _write, start={"gain": 40.0}))
    assert rows[0] == ["spec", "target", "start", "reached", "margin", "met"]
    assert rows[1][3] == "<40dB>" and rows[2][3] == "<nanW>"


def test_names_with_brackets_are_shown_as_they_are() -> None:
    """Markup of the terminal library must not eat a name."""
    table = rows_table(["device", "w"], [["m[1]", "[bold]2u"]], title="sizes")
    assert _rows(table)[2] == ["m[1]", "[bold]2u"]
    table = spec_table(Specs([Spec("id[m1]", maximum=1)]), {"id[m1]": 0.5}, _write)
    assert _rows(table)[1][0] == "id[m1]"
