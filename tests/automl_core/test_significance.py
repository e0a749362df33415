"""Significance, against scipy's own tests, hand calculation and published examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from automl_core.significance import Pair, holm, mann_whitney, pairwise, ranks, superiority
from automl_core.specs import Score


def test_two_separate_samples_by_hand() -> None:
    # of the C(6, 3) = 20 orders of three and three values, two are as extreme as full separation
    assert mann_whitney([1, 2, 3], [4, 5, 6]) == pytest.approx(2 / 20)
    assert mann_whitney([4, 5, 6], [1, 2, 3]) == pytest.approx(2 / 20)
    assert mann_whitney([1, 2, 6], [3, 4, 5]) == pytest.approx(
        mannwhitneyu([1, 2, 6], [3, 4, 5], method="exact").pvalue
    )


def test_the_example_of_scipys_documentation() -> None:
    # ages at a diagnosis: U = 17, p = 0.1111 (exact)
    males, females = [19, 22, 16, 29, 24], [20, 11, 17, 12]
    assert mann_whitney(males, females) == pytest.approx(0.1111111, abs=1e-6)


def test_a_study_that_never_met_the_specs_is_worse_than_any_that_did_and_needs_no_number() -> None:
    solved, some = [100.0, 200.0, 300.0, 350.0, 400.0], [500.0, math.inf, math.inf, math.inf, math.inf]
    assert mann_whitney(solved, some) == mann_whitney(solved, [500.0, 2001.0, 2001.0, 2001.0, 2001.0])
    assert mann_whitney(solved, some) == mann_whitney(solved, [500.0, 9e9, 9e9, 9e9, 9e9])
    ties = mannwhitneyu([1, 2, 3, 4, 5], [6, 7, 7, 7, 7], method="asymptotic").pvalue
    assert mann_whitney(solved, some) == pytest.approx(ties)
    assert superiority(solved, some) == 1.0


@pytest.mark.parametrize(("first", "second"), [([math.inf] * 4, [math.inf] * 4), ([1.0], [1.0]), ([], [1.0, 2.0])])
def test_samples_that_say_nothing_give_one(first: list[float], second: list[float]) -> None:
    assert mann_whitney(first, second) == 1.0
    assert superiority(first, second) == 0.5


@given(st.lists(st.integers(0, 30), min_size=1, max_size=9), st.lists(st.integers(0, 30), min_size=1, max_size=9))
def test_u_counts_the_pairs(first: list[int], second: list[int]) -> None:
    wins = sum((a < b) + 0.5 * (a == b) for a in first for b in second)
    assert superiority(first, second) == pytest.approx(wins / (len(first) * len(second)))
    if len(set(first + second)) > 1:
        # scipy's U of the first sample counts the pairs in which it is the greater
        assert mannwhitneyu(second, first, method="asymptotic").statistic == pytest.approx(wins)
        assert 0 < mann_whitney(first, second) <= 1
        assert mann_whitney(first, second) == pytest.approx(mann_whitney(second, first))


def test_holm_by_hand() -> None:
    # sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 gives 0.02, 0.03, 0.06, 0.04; none may fall below one before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_lies_between_none_and_bonferroni(values: list[float]) -> None:
    adjusted = holm(values)
    assert all(p <= q <= min(1.0, len(values) * p) + 1e-12 for p, q in zip(values, adjusted, strict=True))
    order = np.argsort(values, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)
    if values:
        assert min(adjusted) == pytest.approx(min(1.0, len(values) * min(values)))  # Bonferroni for the smallest


def test_pairs_name_the_better_one_and_are_corrected_together() -> None:
    fast, slow, same = [float(x) for x in range(10)], [float(x) for x in range(50, 60)], [x + 0.5 for x in range(10)]
    pairs = {(pair.first, pair.second): pair for pair in pairwise({"fast": fast, "slow": slow, "same": same})}
    assert set(pairs) == {("fast", "slow"), ("fast", "same"), ("slow", "same")}
    assert pairs["fast", "slow"].better() == "fast"
    assert pairs["slow", "same"].better() == "same"
    assert pairs["fast", "same"].better() is None
    # two of C(20, 10) orders are as extreme; the smallest of three is multiplied by three
    assert pairs["fast", "slow"].p == pytest.approx(2 / math.comb(20, 10))
    assert pairs["fast", "slow"].adjusted == pytest.approx(6 / math.comb(20, 10))


def test_what_may_be_chance_names_nobody() -> None:
    assert Pair("a", "b", 0.9, 0.01, 0.06).better() is None
    assert Pair("a", "b", 0.1, 0.01, 0.04).better() == "b"
    assert Pair("a", "b", 0.1, 0.01, 0.04).better(level=0.01) is None


def test_ranks_follow_the_order_of_scores_over_all_samples() -> None:
    samples = {
        "a": [Score(0.0, True, 5.0), Score(0.3, False, 99.0)],
        "b": [Score(0.0, True, -2.0), Score(0.1, False, 0.0), Score(0.0, True, 5.0)],
    }
    assert ranks(samples) == {"a": [0.0, 4.0], "b": [2.0, 3.0, 0.0]}
