"""Tables of a comparison, as they are printed: a loss stands there as plainly as a win."""

from __future__ import annotations

import io
import re
from itertools import pairwise

from rich.console import Console

from automl_core.anytime import Curve
from automl_core.contest import Outcome
from automl_core.report.comparison_tables import outcome_line, tables
from automl_core.specs import Spec, Specs
from automl_core.standings import Standings, standings
from tests.automl_core.test_standings import outcome


def printed(found: Standings, width: int = 120) -> str:
    console = Console(width=width, file=io.StringIO())
    for table in tables(found):
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def cells(text: str, name: str) -> list[list[str]]:
    """The cells of every row that begins with a name, heads of tables left out."""
    lines = text.splitlines()
    heads = {line for line, following in pairwise([*lines, ""]) if "──" in following}
    found = [re.split(r"\s{2,}", line.strip()) for line in lines if line not in heads]
    return [row for row in found if row[0] == name]


def lost() -> Standings:
    agent = [outcome("agent", s, {60 + s: 0.9} if s < 5 else {1: 3.0}) for s in range(8)]
    random = [outcome("random", s, {10 + s: 0.5}) for s in range(8)]
    return standings([*agent, *random])[0]


def test_a_loss_is_plain() -> None:
    text = printed(lost())
    assert text.splitlines()[0] == "p, 100 evaluations each"
    assert cells(text, "agent") == [
        ["agent", "5 of 8", "64", "62 .. > 100", "0.1", "v 0.667 .. 0.1", "13.5", "4.5"],
        ["agent", "< <.001"],
        ["agent", "< <.001"],
    ]
    assert cells(text, "random") == [
        ["random", "8 of 8", "14", "12 .. 15", "0.5", "0.5 .. 0.5", "13.5", "4.5"],
        ["random", "> <.001"],
        ["random", "> <.001"],
    ]


def test_what_may_be_chance_is_called_that() -> None:
    found = [outcome("a", s, {10 + s: 0.5}) for s in range(3)] + [outcome("b", s, {20 + s: 0.5}) for s in range(3)]
    assert cells(printed(standings(found)[0]), "a")[1:] == [["a", "= 0.1"], ["a", "= 1"]]


def test_failures_and_what_has_not_run_are_counted() -> None:
    found = [
        outcome("a", 0, {5: 0.5}),
        outcome("a", 1, {1: 3.0}, status="failed"),
        outcome("a", 2, {}, status="unfinished"),
    ]
    found += [outcome("b", s, {}, status="unfinished") for s in range(3)]
    text = printed(standings(found)[0], width=160)
    assert cells(text, "a")[0][1] == "1 of 2 (1 failed, 1 not run)"
    assert cells(text, "b")[0] == ["b", "3 not run"]


def test_without_goals_a_design_that_meets_the_specs_is_as_good_as_any() -> None:
    specs = Specs([Spec("x", maximum=1.0)])
    made = outcome("a", 0, {5: 0.5})
    plain = Outcome("p", "a", 0, 100, "finished", Curve(made.curve.steps, specs), 5, 1.0, 0.1, 0.5)
    assert cells(printed(standings([plain])[0]), "a")[0][4:6] == ["met", "met .. met"]


def test_many_optimizers_are_numbered_so_that_the_table_fits() -> None:
    names = [f"optimizer-number-{n}" for n in range(10)]
    found = [outcome(name, s, {10 * n + 5 + s: 0.5}) for n, name in enumerate(names) for s in range(5)]
    text = printed(standings(found)[0], width=130)
    assert max(map(len, text.splitlines())) <= 130 and "…" not in text
    header = next(line for line in text.splitlines() if line.split()[:3] == ["1", "2", "3"])
    assert header.split() == [str(n) for n in range(1, 11)]
    assert cells(text, "1 optimizer-number-0")[0][1:3] == ["= 0.36", "= 0.36"]  # 45 times 2 / C(10, 5)


def test_too_few_seeds_for_so_many_pairs_are_said_to_be() -> None:
    few = [outcome(name, s, {10 * n + s + 1: 0.5}) for n, name in enumerate("abcd") for s in range(5)]
    assert "no difference can be significant" not in printed(standings(few)[0])  # 6 pairs, 2 / C(10, 5) = 0.008 each
    more = [*few, *(outcome("e", s, {50 + s: 0.5}) for s in range(5))]
    assert "with 5 studies each and 10 pairs, no difference can be significant" in printed(standings(more)[0])


def test_a_study_in_a_sentence() -> None:
    met = outcome("cmaes", 2, {30: 0.75})
    assert outcome_line(met) == (
        "p, cmaes, seed 2: all specs met after 30, merit 0.25; 30 evaluations, 12.0 s, the optimizer's own 3.0 s"
    )
    assert "specs not met, violation 0.5;" in outcome_line(outcome("cmaes", 2, {30: 2.0}))
    assert (
        outcome_line(outcome("cmaes", 2, {3: 2.0}, status="failed"))
        == "p, cmaes, seed 2: FAILED after 3 evaluations: broke"
    )
