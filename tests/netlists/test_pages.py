"""The pages of the netlists say what the decks give."""

import re
from pathlib import Path

import pytest

from circuits.numbers import parse_number
from circuits.problem import CircuitProblem
from circuits.sized_deck import MAIN, sized_decks
from circuits.specfile import read_spec
from tests.netlists.plain_ngspice import NETLISTS

CIRCUITS = ("two_stage_op_amp", "five_transistor_ota", "two_stage_tia")


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_the_figures_of_the_page_are_those_of_a_fresh_ngspice(circuit: str, tmp_path: Path) -> None:
    from circuits.signoff import sign_off

    page = (NETLISTS / circuit / "README.md").read_text(encoding="utf-8")
    stated = {name: parse_number(figure) for name, figure in re.findall(r"^\| (\w+) \| ([\d.]\S*) \|$", page, re.M)}
    problem = CircuitProblem(read_spec(NETLISTS / circuit / "spec.yaml"))
    assert problem.space.start is not None
    for name, text in sized_decks(problem, problem.space.start).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    printed = sign_off(tmp_path, MAIN, {}, problem.spec.specs).printed
    assert stated.keys() == printed.keys() == problem.spec.specs.by_metric.keys()
    assert stated == pytest.approx(printed, rel=0.01)


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_the_first_cut_lies_in_every_range_and_leaves_work_to_do(circuit: str) -> None:
    problem = CircuitProblem(read_spec(NETLISTS / circuit / "spec.yaml"))
    start = problem.space.start
    assert start is not None
    for variable in problem.space.variables:
        written = next(d.parameter(variable.name).start for d in problem.decks.values())
        assert written is not None and variable.low <= written <= variable.high
        assert float(start[variable.name]) == pytest.approx(written, rel=1e-6)
    with problem:
        metrics = problem.evaluate(start, "", 0).metrics
    assert not problem.spec.specs.score(metrics).feasible
