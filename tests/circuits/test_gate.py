"""What may reach ngspice."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl_core.errors import InputError
from circuits.bench import Analysis, Bench
from circuits.gate import checked, flattened
from tests.circuits.deck_runs import batch, needs_ngspice, printed


def _bench(*lines: str, **changes: object) -> Bench:
    return Bench(("title", *lines, ".end"), (), (), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "phrase",
    [
        "op; shell touch hacked",
        "op `touch hacked`",
        "tran 1n 1u > /tmp/hacked",
        "ac dec 10 1 $stop",
        "op | cat",
        "op & op",
        "op\nshell touch hacked",
        "op !1",
        "op \\",
    ],
)
def test_a_phrase_that_does_more_than_one_thing_is_refused(phrase: str) -> None:
    with pytest.raises(InputError, match="the analysis 'a'"):
        checked(phrase, "the analysis 'a'")


@pytest.mark.parametrize(
    "phrase",
    [
        "max vdb(out)",
        "trig v(in) val=-0.9 rise=1 targ v(x1.out) val=0.9 fall=last",
        "find @m.x1.m1[gm] at=1e-6",
        "dc vin -1 1 0.1 temp -40 125 55",
    ],
)
def test_what_measures_are_written_with_passes(phrase: str) -> None:
    assert checked(phrase, "a measure") == phrase


@pytest.mark.parametrize("phrase", ["find v(b) at='1k*2'", "when v(out)={half}", "param='a**2'", "dc v1 0 'top' 1"])
def test_expressions_which_commands_do_not_compute_are_refused(phrase: str) -> None:
    """Some, ngspice would read by halves: see the next test."""
    with pytest.raises(InputError, match="a measure holds ") as caught:
        checked(phrase, "a measure")
    assert "numbers" in caught.value.remedy


@needs_ngspice
def test_ngspice_reads_an_expression_in_a_command_by_halves(tmp_path: Path) -> None:
    """A card ``at='0.2*2'`` is 0.4; in a command it is 0.2."""
    lines = ["t", "v1 a 0 0", "r1 a 0 1"]
    said = batch(tmp_path, lines, ["dc v1 0 1 0.1", "meas dc x find v(a) at='0.2*2'", "meas dc y find v(a) at=0.4"])
    assert printed(said) == pytest.approx({"x": 0.2, "y": 0.4})


def test_a_phrase_longer_than_a_line_of_ngspice_is_refused() -> None:
    with pytest.raises(InputError, match="901 characters"):
        checked("a" * 901, "the measure 'm'")


@pytest.mark.parametrize(
    "line",
    [
        ".control",
        "  .Control",
        ".include /etc/passwd",
        ".inc x",
        ".lib 'x' tt",
        ".model p d_process(process_file=hack)",
        ".model p D_COSIM simulation=x",
    ],
)
def test_cards_that_run_or_read_are_refused(line: str) -> None:
    with pytest.raises(InputError) as caught:
        flattened(_bench("r1 1 0 1k", line))
    assert caught.value.place == "line 3 of the flattened deck"
    assert line.strip() in caught.value.problem


def test_commands_in_comments_and_titles_do_not_pass() -> None:
    bench = Bench(("*ng_script", "*# shell touch hacked", "* plain", "r1 1 0 1k", ".END", ".control"), (), ())
    assert flattened(bench) == ["* sizewise", "*", "*", "r1 1 0 1k", ".end"]


def test_options_and_temperature_come_after_the_decks_own() -> None:
    bench = _bench(".TEMP 50", ".options reltol=1e-3", options=(("reltol", "1e-5"), ("interp", "")), temperature=-40)
    assert flattened(bench)[1:] == [
        "*",
        ".options reltol=1e-3",
        ".options reltol=1e-5",
        ".options interp",
        ".options temp=-40.0",
        ".end",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"options": (("reltol", "1e-3\n.control"),)},
        {"compat": "hsa; shell id"},
        {"devices": ("m1 > x",)},
        {"alters": {"w": ("@m1[w];quit",)}},
        {"analyses": (Analysis("a", "shell id"),)},
        {"analyses": (Analysis("a", "quit"),)},
    ],
)
def test_other_parts_of_a_bench_cannot_carry_commands(changes: dict[str, object]) -> None:
    from dataclasses import replace

    with pytest.raises(InputError):
        flattened(replace(_bench("r1 1 0 1k"), **changes))  # type: ignore[arg-type]
