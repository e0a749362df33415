"""The bars of the comparison on circuits, on studies made by hand: a claim that fails is shown to fail."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest

import compare_circuits as bench
from automl_core.anytime import Curve, Step
from automl_core.contest import Outcome
from automl_core.figure_of_merit import FigureOfMerit, with_goals
from automl_core.specs import Spec, Specs
from automl_core.standings import standings
from figures import Args, Figures

RANGES = {"gain": (0.0, 100.0), "speed": (0.0, 10.0)}
SPECS = with_goals(Specs([Spec("gain", minimum=50.0), Spec("speed", minimum=1.0)]), {"speed": "maximize"}, RANGES)
MERIT = FigureOfMerit(SPECS, RANGES)


def study(
    optimizer: str, seed: int, met: int | None, speed: float, *, budget: int = 2000, circuit: str = "amp"
) -> Outcome:
    """A study that met its specs after ``met`` simulations and then, at once, reached ``speed``."""
    reached = {1: {"gain": 10.0, "speed": 5.0}} | ({met: {"gain": 60.0, "speed": speed}} if met is not None else {})
    steps = [Step(n, n - 1, metrics, SPECS.score(metrics)) for n, metrics in reached.items()]
    return Outcome(circuit, optimizer, seed, budget, "finished", Curve(steps, SPECS), budget, 10.0, 1.0, 5.0)


def findings(table: Mapping[str, tuple[int | None, float]], circuit: str = "amp", seeds: int = 10) -> bench.Findings:
    """Studies that differ by a simulation from seed to seed."""
    found = {
        name: [
            study(
                name,
                s,
                met if met is None else met + s,
                speed,
                budget=500 if name == bench.COSTLY else 2000,
                circuit=circuit,
            )
            for s in range(seeds)
        ]
        for name, (met, speed) in table.items()
    }
    return bench.Findings(circuit, found, MERIT, 2000)


GOOD: dict[str, tuple[int | None, float]] = {
    "random": (900, 3.0),
    "cmaes": (400, 6.0),
    "de": (450, 5.0),
    "tpe": (500, 5.5),
    "trust-region": (150, 4.0),
    "auto": (120, 6.0),
    "seq2seq": (100, 6.5),
    "gcn": (120, 6.2),
    "seq2seq-no-model": (300, 5.0),
    "gcn-no-model": (400, 5.0),
}


def figures(*found: bench.Findings) -> dict[str, tuple[float, bool | None]]:
    table = Figures(Args(), "compare_circuits.py")
    bench.add_bars(table, list(found), bars=True)
    return {figure.name: (figure.value, figure.met) for figure in table.figures}


def test_every_bar_is_met_by_an_agent_that_wins() -> None:
    shown = figures(findings(GOOD))
    assert {met for _, met in shown.values()} == {True, None}
    # exact two-sided p of two separate samples of ten; the correction is for two agents by two measures
    p, _ = shown["amp: seq2seq is better than random search, p (Mann-Whitney, Holm)"]
    assert p == pytest.approx(4 * 2 / math.comb(20, 10))
    merit = {name: MERIT({"gain": 60.0, "speed": speed}) for name, (_, speed) in GOOD.items()}
    value, _ = shown["amp: figure of merit of seq2seq over that of cmaes at 2000"]
    assert value == pytest.approx(merit["seq2seq"] / merit["cmaes"])
    assert merit["seq2seq"] == pytest.approx(0.5 + 0.65)  # the gain clipped at 50 of 100, the speed 6.5 of 10
    assert shown["amp: the same of the two goals alone, over cmaes at 2000"] == (pytest.approx(6.5 / 6.0), None)
    assert shown["circuits on which the better agent is above all of them"][0] == 1
    assert shown["amp: simulations to specs of auto over those of seq2seq"][0] == pytest.approx(124.5 / 104.5)


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        (
            {"seq2seq": (900, 3.0), "seq2seq-no-model": (1900, 3.0)},
            {"amp: seq2seq is better than random search, p (Mann-Whitney, Holm)"},
        ),
        (
            {"seq2seq": (1500, 2.0), "seq2seq-no-model": (None, 2.0)},
            {
                "amp: seq2seq is better than random search, p (Mann-Whitney, Holm)",
                "amp: simulations to specs of seq2seq over those without its model",
            },
        ),
        ({"auto": (140, 6.0)}, {"amp: simulations to specs of auto over those of seq2seq"}),
        ({"auto": (None, 6.0)}, {"amp: simulations to specs of auto over those of seq2seq"}),
        ({"gcn-no-model": (200, 5.0)}, {"amp: simulations to specs of gcn over those without its model"}),
        (
            {"cmaes": (400, 6.8)},
            {
                "amp: figure of merit of seq2seq over that of cmaes at 2000",
                "circuits on which the better agent is above all of them",
            },
        ),
        (
            {"trust-region": (150, 9.0)},
            {
                "amp: figure of merit of seq2seq over that of trust-region at 500",
                "circuits on which the better agent is above all of them",
            },
        ),
        ({"tpe": (500, 6.55)}, {"circuits on which the better agent is above all of them"}),  # 0.996 of it: near enough
    ],
)
def test_a_claim_that_fails_is_shown_to_fail(change: dict[str, tuple[int | None, float]], missed: set[str]) -> None:
    shown = figures(findings({**GOOD, **change}))
    assert {name for name, (_, met) in shown.items() if met is False} == missed


def test_what_has_not_run_misses_its_bars() -> None:
    shown = figures(findings({name: GOOD[name] for name in ("random", "cmaes", "de")}))
    assert not any(met for _, met in shown.values())


def test_a_model_is_not_asked_to_save_what_random_search_does_not_need() -> None:
    easy = {name: (5, speed) for name, (_, speed) in GOOD.items()}
    assert not any("without its model" in name for name in figures(findings(easy)))


def test_a_median_that_was_never_reached_is_the_budget_at_least() -> None:
    assert bench.quotient(100.0, math.inf, 2000) == 0.05
    assert bench.quotient(math.inf, 100.0, 2000) == math.inf
    assert math.isnan(bench.quotient(math.inf, math.inf, 2000))


def test_ratios_of_what_meets_no_spec() -> None:
    assert bench.ratio(1.2, -0.3) == math.inf
    assert bench.ratio(-0.5, -0.3) == 0.0
    assert bench.ratio(-0.3, -0.3) == 1.0
    assert bench.ratio(1.2, 1.5) == pytest.approx(0.8)


def rows(found: bench.Findings) -> dict[str, Sequence[str]]:
    table = Figures(Args(), "compare_circuits.py")
    outcomes = [outcome for of in found.by_optimizer.values() for outcome in of]
    bench.add_table(table, found, standings(outcomes))
    return {row[0]: row for row in table.tables[0].rows}


def test_the_table_shows_a_loss_as_plainly_as_a_win() -> None:
    shown = rows(findings({"random": (100, 3.0), "gcn": (900, 2.0), "trust-region": (None, 0.0)}))
    assert shown["random"] == [
        "random",
        "10 of 10",
        "104",
        "102 .. 107",
        "0.8000",
        "0.8000",
        "10.0",
        "1.0",
        "gcn, trust-region",
        "-",
    ]
    assert shown["gcn"][2:] == ["904", "902 .. 907", "-0.4444", "0.7000", "10.0", "1.0", "-", "random"]
    assert shown["trust-region"][1:6] == ["0 of 10", "> 500", "> 500 .. > 500", "-0.4444", "-"]
    assert shown["trust-region"][-2:] == ["-", "random"]  # gcn is no better at the 500 simulations that both had
