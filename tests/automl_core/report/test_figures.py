"""The convergence of a study, as it is drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from automl_core.problem import Trial
from automl_core.report.figures import convergence, front, save
from automl_core.specs import Spec, Specs

POINT = np.array([0.5])
MET = Specs([Spec("x", maximum=1.0)])
GOAL = Specs([Spec("x", maximum=1.0, goal="minimize")])


def _trials(*values: float | None, cost: int = 1) -> list[Trial]:
    return [
        Trial(
            n,
            POINT,
            POINT,
            {"v": 0.5},
            {} if x is None else {"x": x},
            status="failed" if x is None else "ok",
            cost=cost,
        )
        for n, x in enumerate(values)
    ]


def test_the_best_so_far_never_rises_and_failures_never_lead() -> None:
    (panel,) = convergence(_trials(3.0, None, 5.0, 2.0, 4.0, 0.5, 0.9, cost=3), MET).axes
    designs, best, met = panel.lines
    assert list(designs.get_xdata()) == list(best.get_xdata()) == [3, 6, 9, 12, 15, 18, 21]
    # a shortfall s of the bound 1 violates by s / (1 + s); a failure ranks worst: the weight plus 1
    assert np.allclose(designs.get_ydata(), [2 / 3, 2.0, 4 / 5, 1 / 2, 3 / 4, 0, 0])
    assert np.allclose(best.get_ydata(), [2 / 3, 2 / 3, 2 / 3, 1 / 2, 1 / 2, 0, 0])
    assert list(met.get_xdata()) == [18, 18]
    assert met.get_label() == "all specs met after 18"


def test_a_first_trial_that_fails_is_overtaken() -> None:
    (panel,) = convergence(_trials(None, 3.0), MET).axes
    assert np.allclose(panel.lines[1].get_ydata(), [2.0, 2 / 3])
    assert len(panel.lines) == 2, "nothing is met, so nothing says when"


def test_a_goal_has_a_panel_of_its_own() -> None:
    _, panel = convergence(_trials(3.0, 0.8, 0.9, 0.2), GOAL).axes
    designs, best = panel.lines
    assert list(designs.get_xdata()) == [2, 3, 4]
    assert np.allclose(designs.get_ydata(), [0.2, 0.1, 0.8])
    np.testing.assert_allclose(best.get_ydata(), [np.nan, 0.2, 0.2, 0.8])


def test_a_study_without_trials_can_be_drawn(tmp_path: Path) -> None:
    save(convergence([], GOAL), tmp_path / "empty.svg")
    assert ElementTree.parse(tmp_path / "empty.svg").getroot().tag.endswith("svg")


def test_the_same_figure_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(convergence(_trials(3.0, 0.8), GOAL), tmp_path / f"{name}.svg")
    one, two = (tmp_path / f"{name}.svg" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    texts = {text.text for text in ElementTree.parse(one).getroot().iter("{http://www.w3.org/2000/svg}text")}
    assert {"evaluations", "figure of merit", "violation of the specs"} <= texts


def _pairs(specs: Specs, *metrics: dict[str, float]) -> list[Trial]:
    return [Trial(n, POINT, POINT, {"v": 0.5}, m) for n, m in enumerate(metrics)]


AREA_GAIN = Specs([Spec("area", maximum=4.0, goal="minimize", unit="um2"), Spec("gain", minimum=1.0, goal="maximize")])


def test_the_front_of_two_goals_is_marked_among_the_feasible_designs(tmp_path: Path) -> None:
    values = [(1, 1), (2, 5), (3, 4), (3, 9), (5, 99), (2, 0.5)]
    figure = front(_pairs(AREA_GAIN, *({"area": a, "gain": g} for a, g in values)), AREA_GAIN)
    (panel,) = figure.axes
    designs, best = panel.lines
    assert designs.get_xydata().tolist() == [[1, 1], [2, 5], [3, 4], [3, 9]], "the others break a bound"
    assert best.get_xydata().tolist() == [[1, 1], [2, 5], [3, 9]], "(3, 4) is beaten by (2, 5)"
    assert panel.get_xlabel() == "area (um2), minimize" and panel.get_ylabel() == "gain, maximize"
    for name in ("one", "two"):
        save(figure, tmp_path / f"{name}.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_more_goals_are_drawn_in_pairs() -> None:
    specs = Specs([Spec(name, goal="minimize", scale=1.0) for name in "abcd"])
    figure = front(_pairs(specs, dict(zip("abcd", (1.0, 2.0, 3.0, 4.0), strict=True))), specs)
    titles = {(panel.get_xlabel()[0], panel.get_ylabel()[0]) for panel in figure.axes}
    assert titles == {("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")}


def test_a_front_without_designs_says_so(tmp_path: Path) -> None:
    save(front(_pairs(AREA_GAIN, {"area": 9.0, "gain": 0.0}), AREA_GAIN), tmp_path / "front.svg")
    assert "no design meets every spec" in (tmp_path / "front.svg").read_text()
