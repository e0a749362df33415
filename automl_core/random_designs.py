"""Random designs of a problem, evaluated once and kept: what figures of merit are normalised by."""

from __future__ import annotations

from pathlib import Path

from automl_core.budget import Budget
from automl_core.optimizers.random import RandomSearch
from automl_core.pool import Pool
from automl_core.problem import Problem, Trial
from automl_core.record import Record
from automl_core.specs import Specs
from automl_core.study import Study

__all__ = ["random_designs"]

_SEED = 2_005_00406
"""No study's: random search under a study's seed must not draw the designs that it is judged by."""
_BATCH = 64


def random_designs(problem: Problem, specs: Specs, count: int, path: Path, *, jobs: int = 1) -> list[Trial]:
    """Evaluate points of a scrambled Sobol sequence, those that are not in the file yet.

    Args:
        problem: what is evaluated.
        specs: for the worst over scenarios.
        count: how many designs; fewer where some of them are the same after rounding.
        path: the file that keeps them; it goes on where it was cut off.
        jobs: workers.

    Raises:
        RecordError: the file cannot be used, or holds designs of another problem.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sobol = RandomSearch(problem.space, specs, _SEED, Budget())
    with Record.open(path) if path.exists() else Record.create(path) as record, Pool(problem, jobs) as pool:
        study = Study(problem, specs, pool, record, seed=_SEED)
        for begun in range(0, count, _BATCH):
            study.evaluate(sobol.ask(min(_BATCH, count - begun)))
    return study.trials
