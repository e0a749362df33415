"""Budgets as people write them."""

from __future__ import annotations

import math

import pytest

from automl_core.budget import Budget
from automl_core.errors import InputError


@pytest.mark.parametrize(("text", "evaluations"), [("2000", 2000), (" 1 ", 1), ("16.0", 16)])
def test_a_plain_number_counts_evaluations(text: str, evaluations: int) -> None:
    assert Budget.parse(text) == Budget(evaluations=evaluations)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("10m", 600), ("10 min", 600), ("2h", 7200), ("1.5h", 5400), ("0.5s", 0.5)]
)
def test_a_number_with_a_unit_is_wall_time(text: str, seconds: float) -> None:
    assert Budget.parse(text) == Budget(seconds=seconds)


@pytest.mark.parametrize("text", ["", "0", "0s", "-5", "1.5", "many", "10d", "1e3", "nan", "inf", "10m s", "٣"])
def test_everything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InputError) as caught:
        Budget.parse(text)
    assert repr(text) in caught.value.problem
    assert "10m" in caught.value.remedy


@pytest.mark.parametrize(
    ("budget", "text", "expected"),
    [
        (Budget(evaluations=200), "200 evaluations", 200),
        (Budget(seconds=90, evaluation_seconds=0.1), "90 s", 900),
        (Budget(seconds=1, evaluation_seconds=60), "1 s", 1),
        (Budget(seconds=90), "90 s", math.inf),
        (Budget(), "no limit", math.inf),
    ],
)
def test_what_to_plan_for(budget: Budget, text: str, expected: float) -> None:
    assert str(budget) == text
    assert budget.expected_evaluations == pytest.approx(expected)
