"""What a search has to beat at the same budget: every layer treated alike, and random designs, as many."""

from __future__ import annotations

from automl_core.problem import Metrics, Trial
from automl_core.space import DesignSpace, Value
from automl_core.study import Study, evaluation_seed
from nn_compression.problems.smallest import SmallestProblem

__all__ = ["alike", "best_random", "smallest_uniform"]

_PLACES = 64
"""Places of a range that layers which are treated alike may lie at."""


def alike(space: DesignSpace, level: float) -> dict[str, Value]:
    """The design in which every variable lies at the same place of its range, from 0 (least) to 1 (greatest)."""
    return {variable.name: variable.decode(level) for variable in space.variables}


def best_random(study: Study) -> Trial | None:
    """The best design of a random search; its first trial is the start of the space, which was not drawn."""
    drawn = [trial for trial in study.trials[1:] if trial.status == "ok"]
    return min(drawn, key=lambda trial: study.specs.judge(trial).loss, default=None)


def smallest_uniform(problem: SmallestProblem, seed: int) -> Metrics:
    """Metrics of the smallest network within the drop whose layers are all treated alike, found by bisection.

    Where none is within it, as at 8 bits after stages that used the drop up, they are those of the largest.

    Args:
        problem: whose drop it is.
        seed: of the study.

    Raises:
        EvaluationError: the network fails.
    """
    low, high = 0, _PLACES
    metrics = _at(problem, high, seed)
    while low < high:
        middle = (low + high) // 2
        found = _at(problem, middle, seed)
        if problem.specs.score(found).feasible:
            high, metrics = middle, found
        else:
            low = middle + 1
    return metrics


def _at(problem: SmallestProblem, place: int, seed: int) -> Metrics:
    point = alike(problem.space, place / _PLACES)
    return problem.evaluate(point, "", evaluation_seed(seed, point)).metrics
