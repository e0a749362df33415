"""What may reach ngspice."""

from __future__ import annotations

import pytest

from automl_core.errors import InputError
from circuits.bench import Analysis, Bench
from circuits.gate import checked, flattened


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
        "trig v(in) val='0.5*1.8' rise=1 targ v(x1.out) val=0.9 fall=last",
        "find @m.x1.m1[gm] at=1e-6",
        "dc vin -1 1 0.1 temp -40 125 55",
        "param='a**2 + {b}' from=10n to=20n",
    ],
)
def test_what_measures_are_written_with_passes(phrase: str) -> None:
    assert checked(phrase, "a measure") == phrase


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
