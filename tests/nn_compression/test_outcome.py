"""What a compression ends with: figures that survive a file, and tables that say them."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from automl_core.report.terminal import json_text
from nn_compression.run.kept import KeptLayer
from nn_compression.run.outcome import Figures, Outcome, Reached, SearchFigures, Timing, drop_between
from nn_compression.run.summary import reached_line, show

BEFORE = Figures(99.3333, 98.5, 231_680, 15_248, 62_336, Timing(65e-6, 0.01), Timing(8.3e-6, 0.06))
AFTER = Figures(98.0, 98.25, 115_840, 7_600, 26_234, Timing(60e-6, 0.02), None)
OUTCOME = Outcome(
    before=BEFORE,
    after=AFTER,
    reached=Reached("macs", 115_840, 115_840, "MACs"),
    searches=[SearchFigures("channels", "cmaes", 40, "accuracy", "%", 97.5, 96.0, math.nan, 2.0)],
    layers=[KeptLayer("conv", "conv", 1, 1, 8, 16, 72, 144, 100, 200)],
    unit="%",
    higher_is_better=True,
    seconds=12.5,
    notes=("300 examples held out",),
    metric="accuracy",
)


def test_an_outcome_comes_back_from_its_file() -> None:
    back = Outcome.from_json(json.loads(json_text(OUTCOME.as_json())))
    assert repr(back) == repr(replace(OUTCOME, notes=["300 examples held out"]))


def test_the_table_says_all_figures_before_and_after() -> None:
    out = io.StringIO()
    show(Console(file=out, width=120), OUTCOME)
    rows = {line[:28].strip(): line[28:].split() for line in out.getvalue().splitlines()}
    assert rows["accuracy (%), validation"] == ["99.33", "98.00", "-1.33"]
    assert rows["accuracy (%), test"] == ["98.50", "98.25", "-0.25"]
    assert rows["MACs of one example"] == ["231,680", "115,840", "2x", "less"]
    assert rows["bytes of the file"] == ["62,336", "26,234", "2.38x", "less"]
    assert rows["latency, torch, eager"] == ["65", "us", "(+1%)", "60", "us", "(+2%)", "1.08x", "less"]
    assert rows["latency, ONNX Runtime"] == ["8.3", "us", "(+6%)", "none"]
    assert any(
        "channels by cmaes" in line and "none" in line and "97.5 %" in line for line in out.getvalue().splitlines()
    )
    assert "300 examples held out" in out.getvalue()


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (8.3e-6, "as before"),
        (8.31e-6, "as before"),
        (8.29e-6, "as before"),
        (4.15e-6, "2x less"),
        (8.8e-6, "1.06x more"),
    ],
)
def test_a_latency_that_stays_is_said_to_stay(after: float, said: str) -> None:
    out = io.StringIO()
    same = replace(BEFORE, onnx=Timing(after, 0.01))
    show(Console(file=out, width=120), replace(OUTCOME, after=same))
    rows = {line[:28].strip(): line for line in out.getvalue().splitlines()}
    assert said in rows["latency, ONNX Runtime"]
    assert rows["weights"].strip().endswith("as before"), "weights that stay as they are"


def test_an_order_by_outputs_and_a_search_without_result_are_explained() -> None:
    out = io.StringIO()
    search = SearchFigures("channels", "cmaes", 9, "accuracy", "%", 90.0, 91.0, math.nan, 1.0, "divergence")
    show(Console(file=out, width=300), replace(OUTCOME, searches=(search,)))
    assert "outputs are nearest to those before" in out.getvalue() and "none: no design" in out.getvalue()
    plain = io.StringIO()
    show(Console(file=plain, width=300), replace(OUTCOME, searches=(replace(search, ordered_by="", random=80.0),)))
    assert "nearest" not in plain.getvalue() and "none:" not in plain.getvalue()


@pytest.mark.parametrize(
    ("reached", "line"),
    [
        (Reached("macs", 1000, 1000, "MACs"), "budget met: 1,000 MACs of 1,000 MACs"),
        (Reached("bytes", 1000, 1001, "bytes"), "budget NOT met: 1,001 bytes of 1,000 bytes"),
        (Reached("energy", 2e-6, 1e-6, "J", modelled=True), "budget met: modelled energy 1 uJ of 2 uJ"),
        (
            Reached("latency", 2e-3, 1.5e-3, "s", spread=0.034),
            "budget met: latency 1.5 ms of 2 ms (the minimum of three measurements, which spread by 3.4%)",
        ),
        (Reached("drop", 0.5, 0.6, "%"), "budget NOT met: drop of 0.6 % of 0.5 %"),
        (Reached("latency", 2e-3, math.nan, "s"), "budget NOT met: latency unknown of 2 ms"),
    ],
)
def test_a_budget_is_met_to_the_last_unit(reached: Reached, line: str) -> None:
    assert reached_line(reached) == line
    assert reached.met == ("NOT" not in line)


def test_nine_of_three_hundred_examples_are_three_percent() -> None:
    before, after = 96.33333333333334, 93.33333333333333
    assert before - after > 3, "as floats have it"
    assert drop_between(before, after, higher_is_better=True) == 3.0
    assert drop_between(before, after, higher_is_better=False) == -3.0
