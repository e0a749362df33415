"""Studies in memory, whose pool counts the batches."""

from __future__ import annotations

from collections.abc import Sequence

from automl_core.budget import Budget
from automl_core.pool import Answer, Pool
from automl_core.problem import Problem, Request
from automl_core.record import Record
from automl_core.specs import Specs
from automl_core.study import Study


class CountingPool(Pool):
    """A pool that remembers how many requests came at once."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.batches: list[int] = []

    def evaluate(self, requests: Sequence[Request]) -> list[Answer]:
        self.batches.append(len(requests))
        return super().evaluate(requests)


def counted(problem: Problem, specs: Specs, evaluations: int | None = None, seed: int = 0) -> tuple[Study, list[int]]:
    """A study, and the sizes of its batches so far."""
    pool = CountingPool(problem)
    study = Study(problem, specs, pool, Record.create(":memory:"), seed=seed, budget=Budget(evaluations=evaluations))
    return study, pool.batches


def study_of(problem: Problem, specs: Specs, evaluations: int | None = None, seed: int = 0) -> Study:
    """A study alone."""
    return counted(problem, specs, evaluations, seed)[0]
