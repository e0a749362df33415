"""The Pareto front of a study: the designs that meet every spec and that no other beats in every goal.

Source: Deb, "Multi-Objective Optimization using Evolutionary Algorithms" (2001), section 2.4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from automl_core.problem import Trial
from automl_core.space import Array
from automl_core.specs import Specs

__all__ = ["feasible", "goal_merits", "pareto_front"]


def goal_merits(trial: Trial, specs: Specs) -> Array:
    """Normalised merit of each goal, shape (goals,); larger is better, and 0 where a metric is missing."""
    return np.array([spec.merit(trial.metrics.get(spec.metric, np.nan)) for spec in specs.goals])


def feasible(trials: Sequence[Trial], specs: Specs) -> list[Trial]:
    """The trials that meet every spec in every scenario, in their order; a raced one was not seen in all of them."""
    return [trial for trial in trials if trial.status == "ok" and specs.judge(trial).feasible]


def pareto_front(trials: Sequence[Trial], specs: Specs) -> list[Trial]:
    """The feasible trials that no other feasible one dominates: is no worse in any goal, and better in one.

    Of designs that are equal in all goals, every one is on the front. Where no spec has a goal, none dominates.

    Returns:
        From the best in the first goal to the worst.
    """
    candidates = feasible(trials, specs)
    merits = np.array([goal_merits(trial, specs) for trial in candidates]).reshape(len(candidates), len(specs.goals))
    kept: list[int] = []
    for position in np.argsort(-merits.sum(axis=1), kind="stable").tolist():  # what dominates has the greater sum
        others = merits[kept]
        no_worse, better = (others >= merits[position]).all(axis=1), (others > merits[position]).any(axis=1)
        if not (no_worse & better).any():
            kept.append(position)
    kept.sort(key=lambda position: (*-merits[position], candidates[position].number))
    return [candidates[position] for position in kept]
