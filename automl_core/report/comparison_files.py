"""A comparison in files: tables as CSV, curves as CSV and SVG, all of it as JSON.

What depends on the machine (times) stands in files of its own: the same comparison gives the same other files.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from automl_core.anytime import Quartiles
from automl_core.contest import Outcome
from automl_core.report.comparison_figures import anytime
from automl_core.report.figures import save
from automl_core.runs import write_whole
from automl_core.significance import Pair
from automl_core.standings import Standing, Standings

__all__ = ["as_json", "write_comparison"]


def write_comparison(folder: Path, outcomes: Sequence[Outcome], found: Sequence[Standings]) -> list[Path]:
    """Write ``studies.csv``, ``curves.csv``, ``pairs.csv``, ``times.csv`` and an SVG a problem.

    Args:
        folder: that exists.
        outcomes: every study.
        found: the standings of these.

    Returns:
        What was written, in the order worth reading.
    """
    tables = {
        "studies.csv": _studies(outcomes, found),
        "pairs.csv": _pairs(found),
        "curves.csv": _curves(outcomes),
        "times.csv": _times(outcomes),
    }
    for name, rows in tables.items():
        write_whole(folder / name, _csv(rows))
    figures = []
    for problem in dict.fromkeys(outcome.problem for outcome in outcomes):
        figures.append(folder / f"{problem}.svg")
        save(anytime(problem, [outcome for outcome in outcomes if outcome.problem == problem]), figures[-1])
    return [*figures, *(folder / name for name in tables)]


def _studies(outcomes: Sequence[Outcome], found: Sequence[Standings]) -> Iterable[Sequence[object]]:
    """A row for every study at every number of evaluations that it was compared at."""
    head = ("problem", "optimizer", "seed", "status", "budget", "evaluations", "at", "evaluations_to_specs", "met")
    yield (*head, "violation", "merit", "best_trial", "failure")
    for outcome in outcomes:
        for at in (s.at for s in found if s.problem == outcome.problem and s.at <= outcome.budget):
            known = (outcome.problem, outcome.optimizer, outcome.seed, outcome.status, outcome.budget)
            if outcome.status == "unfinished":
                yield (*known, outcome.evaluations, at, *[None] * 6)
                continue
            best, score = outcome.curve.best(at), outcome.curve.score(at)
            yield (
                *known,
                outcome.evaluations,
                at,
                _finite(outcome.curve.to_specs(at)),
                int(score.feasible),
                score.violation,
                score.merit if score.feasible else None,
                best and best.trial,
                outcome.failure,
            )


def _pairs(found: Sequence[Standings]) -> Iterable[Sequence[object]]:
    yield "problem", "at", "measure", "first", "second", "superiority_of_first", "p", "p_holm", "better"
    for standings in found:
        for measure, pairs in (("evaluations_to_specs", standings.to_specs), ("best", standings.best)):
            for pair in pairs:
                numbers = (pair.superiority, pair.p, pair.adjusted)
                yield standings.problem, standings.at, measure, pair.first, pair.second, *numbers, pair.better()


def _curves(outcomes: Sequence[Outcome]) -> Iterable[Sequence[object]]:
    yield "problem", "optimizer", "seed", "evaluations", "trial", "violation", "merit"
    for outcome in outcomes:
        for step in outcome.curve.steps:
            known = (outcome.problem, outcome.optimizer, outcome.seed, step.evaluations, step.trial)
            yield (*known, step.score.violation, step.score.merit if step.score.feasible else None)


def _times(outcomes: Sequence[Outcome]) -> Iterable[Sequence[object]]:
    yield "problem", "optimizer", "seed", "evaluations", "wall_seconds", "optimizer_seconds", "evaluation_seconds"
    for outcome in outcomes:
        known = (outcome.problem, outcome.optimizer, outcome.seed, outcome.evaluations)
        yield (*known, outcome.wall_seconds, outcome.optimizer_seconds, outcome.evaluation_seconds)


def _csv(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def as_json(outcomes: Sequence[Outcome], found: Sequence[Standings]) -> dict[str, Any]:
    """Standings, pairs and studies as JSON holds them: a figure that is infinite or unknown is null."""
    return {
        "standings": [
            {
                "problem": standings.problem,
                "at": standings.at,
                "optimizers": [_standing(row) for row in standings.rows],
                "evaluations_to_specs": [_pair(pair) for pair in standings.to_specs],
                "best": [_pair(pair) for pair in standings.best],
            }
            for standings in found
        ],
        "studies": [_study(outcome) for outcome in outcomes],
    }


def _standing(row: Standing) -> dict[str, Any]:
    spread = {name: value for name, value in asdict(row).items() if isinstance(value, tuple)}
    plain = {name: value for name, value in asdict(row).items() if name not in spread}
    named = {name: Quartiles(*value)._asdict() for name, value in spread.items()}
    return _all_finite({**plain, **{name: _all_finite(value) for name, value in named.items()}})


def _pair(pair: Pair) -> dict[str, Any]:
    return {**asdict(pair), "better": pair.better()}


def _study(outcome: Outcome) -> dict[str, Any]:
    score, best = outcome.curve.score(), outcome.curve.best()
    plain = {name: getattr(outcome, name) for name in outcome.__dataclass_fields__ if name != "curve"}
    reached = {"evaluations_to_specs": outcome.curve.to_specs(), "met": score.feasible, "violation": score.violation}
    metrics = {"merit": score.merit if score.feasible else None, "metrics": best and _all_finite(best.metrics)}
    return _all_finite({**plain, **reached, **metrics})


def _all_finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _finite(value) for name, value in values.items()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
