"""What was simulated before: trials of earlier runs of the same circuit, whatever their specs were."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from automl_core.errors import InputError
from automl_core.problem import Trial
from automl_core.record import Record
from automl_core.runs import RECORD
from automl_core.space import DesignSpace
from circuits.problem import CircuitProblem

__all__ = ["earlier_trials", "fingerprint"]


def fingerprint(problem: CircuitProblem) -> dict[str, Any]:
    """What the figures depend on, wherever it lies: a checksum of the decks, and one of each metric's definition."""
    decks = [(name, bench.lines, bench.compat, bench.options) for name, bench in problem.benches.items()]
    metrics = {}
    for name, bench in problem.benches.items():
        analyses = {analysis.name: analysis for analysis in bench.analyses}
        for measure in bench.measures:
            metrics[measure.name] = _digest((name, measure, sorted(analyses.items(), key=lambda item: item[0])))
    measured = {name.lower(): digest for name, digest in metrics.items()}
    for name in problem.spec.computed:
        needs = sorted(problem.computed.needs(name).items())
        metrics[name] = _digest([(each, text, measured.get(each)) for each, text in needs])
    return {"decks": _digest(decks), "metrics": metrics}


def _digest(content: object) -> str:
    return hashlib.blake2b(repr(content).encode(), digest_size=16).hexdigest()


def earlier_trials(folder: Path, problem: CircuitProblem, *, required: bool = True) -> list[Trial]:
    """Trials of another run, as far as they tell of this circuit.

    Metrics that were measured otherwise there are left out; so are designs beyond the ranges of this spec.

    Args:
        folder: of the run.
        problem: the circuit at hand.
        required: whether a run of another circuit is refused, or gives nothing.

    Raises:
        InputError: it is a run of another circuit, or has no design within the ranges.
        RecordError: there is no run.
    """
    with Record.open(folder / RECORD) as record:
        theirs, trials = record.facts().get("circuit"), [*record.earlier(), *record.trials()]
    ours = fingerprint(problem)
    if not isinstance(theirs, Mapping) or theirs.get("decks") != ours["decks"]:
        if not required:
            return []
        raise InputError(
            "that run is of another circuit: its deck or the options of its simulator differ",
            place=str(folder),
            remedy="name a run of the same deck; a policy (--policy) carries over to another one",
        )
    common = {name for name, digest in ours["metrics"].items() if theirs["metrics"].get(name) == digest}
    found = [_adapted(trial, problem.space, common) for trial in trials if _within(trial, problem.space)]
    if not found and required:
        raise InputError(
            "no design of that run lies within the ranges of this spec", place=str(folder), remedy="widen the ranges"
        )
    return found


def _within(trial: Trial, space: DesignSpace) -> bool:
    try:
        return all(
            math.isclose(float(variable.nearest(trial.point[variable.name])), float(trial.point[variable.name]))
            for variable in space.variables
        )
    except (KeyError, ValueError):
        return False


def _adapted(trial: Trial, space: DesignSpace, metrics: set[str]) -> Trial:
    """The trial with coordinates of this space, and only the metrics that mean the same here."""
    unit = space.encode(trial.point)
    kept = {name: value for name, value in trial.metrics.items() if name in metrics}
    by_scenario = {s: {n: v for n, v in m.items() if n in metrics} for s, m in trial.by_scenario.items()}
    return replace(trial, asked=unit, unit=unit, metrics=kept, by_scenario=by_scenario)
