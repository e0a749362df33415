"""Anytime curves, read off the figure."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import PolyCollection

from automl_core.anytime import Curve
from automl_core.contest import Outcome
from automl_core.report.comparison_figures import anytime
from automl_core.specs import Spec, Specs
from tests.automl_core.test_standings import outcome

FOUND = [
    outcome("a", 0, {1: 3.0, 10: 0.8}),
    outcome("a", 1, {1: 3.0, 20: 0.5}),
    outcome("a", 2, {1: 3.0, 40: 0.9}),
    outcome("a", 3, {1: 3.0, 50: 1.5}),
    outcome("b", 0, {1: 2.0, 30: 0.4}, budget=50),
]


def test_medians_and_shares_at_some_numbers_of_evaluations() -> None:
    violation, merit, share = anytime("p", FOUND).axes
    a, b = violation.lines
    at = dict(zip(np.asarray(a.get_xdata()).tolist(), np.asarray(a.get_ydata()).tolist(), strict=True))
    assert (min(at), max(at), len(at) > 50) == (1, 100, True)
    assert at[1] == at[9] == 2 / 3  # a shortfall s of the bound 1 counts s / (1 + s)
    assert at[20] == (0 + 2 / 3) / 2 and at[40] == 0.0
    assert max(np.asarray(b.get_xdata())) == 50
    shares = dict(zip(np.asarray(share.lines[0].get_xdata()), np.asarray(share.lines[0].get_ydata()), strict=True))
    assert [shares[n] for n in (9, 10, 20, 40, 100)] == [0.0, 0.25, 0.5, 0.75, 0.75]
    merits = dict(zip(np.asarray(merit.lines[0].get_xdata()), np.asarray(merit.lines[0].get_ydata()), strict=True))
    assert np.isnan(merits[20])  # half of the seeds have no merit yet, so neither has their median
    assert abs(merits[40] - 0.15) < 1e-12  # the median of 0.2, 0.5, 0.1 and none


def test_bands_are_the_quartiles() -> None:
    violation = anytime("p", FOUND).axes[0]
    band = next(c for c in violation.collections if isinstance(c, PolyCollection))
    (path,) = band.get_paths()
    heights = {round(float(y), 9) for x, y in path.vertices if 10 <= x < 20}
    low, high = np.quantile([0.0, 2 / 3, 2 / 3, 2 / 3], [0.25, 0.75])
    assert heights >= {round(float(low), 9), round(float(high), 9)}


def test_without_goals_there_is_no_panel_of_merit() -> None:
    specs = Specs([Spec("x", maximum=1.0)])
    plain = [Outcome("p", "a", 0, 100, "finished", Curve(FOUND[0].curve.steps, specs), 10)]
    assert len(anytime("p", plain).axes) == 2


def test_the_legend_names_the_optimizers_and_their_seeds_and_what_has_not_run_is_left_out() -> None:
    figure = anytime("p", [*FOUND, outcome("c", 0, {}, status="unfinished")])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a (4)", "b (1)"]


def test_many_optimizers_can_be_told_apart() -> None:
    found = [outcome(f"o{n}", 0, {n + 1: 0.5}) for n in range(14)]
    looks = {(line.get_color(), line.get_linestyle()) for line in anytime("p", found).axes[0].lines}
    assert len(looks) == 14


def test_nothing_that_has_ended_can_be_drawn_too() -> None:
    assert len(anytime("p", [outcome("c", 0, {}, status="unfinished")]).axes) == 3
