"""A search kept in a file: begun once, gone on with after any interruption. What searches is the core's."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from automl_core.budget import Budget
from automl_core.errors import EvaluationError, InputError
from automl_core.optimizers import Optimizer, Transferable, make
from automl_core.optimizers.portfolio import choose
from automl_core.pool import Pool
from automl_core.problem import Problem, Repairing
from automl_core.record import Record
from automl_core.space import Point
from automl_core.specs import Specs
from automl_core.study import BATCH, StopReason, Study, evaluation_seed

__all__ = ["Found", "Search"]

_WORTH_WORKERS = 60.0
"""Seconds of evaluating that are worth worker processes, each of which imports torch and reads the data."""


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Args:
        study: all of it.
        optimizer: what searched, in words.
        reason: why that one.
        seconds: wall time, interruptions left out.
        ended: why.
    """

    study: Study
    optimizer: str
    reason: str
    seconds: float
    ended: StopReason


@dataclass(frozen=True)
class Search:
    """A problem, what orders its designs, who proposes them, and what that may cost.

    Args:
        path: of its record.
        problem: what is searched.
        specs: what orders the designs.
        optimizer: a name of the registry.
        budget: what may be spent.
        seed: of the study.
        policy: a folder with what an agent learnt elsewhere, to begin from.
    """

    path: Path
    problem: Problem
    specs: Specs
    optimizer: str
    budget: Budget
    seed: int
    policy: Path | None = None

    def run(self, jobs: int, progress: Callable[[Study], None], *, keep: Path | None = None) -> Found:
        """Run it to the end of its budget; what the record holds is not evaluated again.

        Args:
            jobs: workers; 0: one a core, where the search is long enough for that.
            progress: called after every batch.
            keep: a folder for what an agent learnt, which other searches can begin from.

        Raises:
            InputError: this optimizer begins from no policy, or the policy cannot be read.
            RecordError: the record was made by other settings, or cannot be written.
        """
        with self._record() as record:
            facts = self._decided(record)
            budget = Budget(**facts["budget"])
            optimizer = self._optimizer(facts["optimizer"], facts["seed"], budget)
            workers = jobs or _workers(budget)
            with Pool(self.problem, workers, "processes" if workers > 1 else "threads") as pool:
                study = Study(
                    self.problem, self.specs, pool, record, seed=facts["seed"], budget=budget, progress=progress
                )
                ended = study.run(optimizer, stop="budget", batch=facts["batch"])
            if keep is not None and isinstance(optimizer, Transferable):
                keep.mkdir(parents=True, exist_ok=True)
                optimizer.save(keep)
            if "seconds" not in record.facts():
                record.write_fact("seconds", study.elapsed)
            return Found(study, facts["words"], facts["reason"], float(record.facts()["seconds"]), ended)

    def _optimizer(self, name: str, seed: int, budget: Budget) -> Optimizer:
        optimizer = make(name, self.problem.space, self.specs, seed, budget)
        if self.policy is not None:
            if not isinstance(optimizer, Transferable):
                raise InputError(f"{name} begins from no policy", place=str(self.policy), remedy="take seq2seq or gcn")
            optimizer.load(self.policy)
        return optimizer

    def _record(self) -> Record:
        return Record.open(self.path) if self.path.exists() else Record.begin(self.path, {"kind": "search"})

    def _decided(self, record: Record) -> Mapping[str, Any]:
        """What decides the history, written down before the first design is asked for."""
        kept = record.facts().get("search")
        if kept is not None:
            return dict(kept)
        planned = Budget(self.budget.evaluations, self.budget.seconds, self._cost())
        words, reason = self.optimizer, "asked for"
        if self.optimizer == "auto":
            choice = choose(self.problem.space, self.specs, planned)
            words, reason = choice.words, f"{choice.words}: {choice.reason}"
        facts = {
            "optimizer": self.optimizer,
            "words": words,
            "reason": reason,
            "budget": asdict(planned),
            "batch": BATCH,
            "seed": self.seed,
        }
        record.write_fact("search", facts)
        return facts

    def _cost(self) -> float | None:
        """Seconds of one evaluation, once what it needs is loaded; ``None`` where the start cannot be evaluated."""
        space = self.problem.space
        point: Point = space.start or {variable.name: variable.decode(1.0) for variable in space.variables}
        if isinstance(self.problem, Repairing):
            point = self.problem.repair(point)
        try:
            for _ in range(2):
                began = time.perf_counter()
                self.problem.evaluate(point, self.problem.scenarios[0], evaluation_seed(self.seed, point))
        except EvaluationError:
            return None
        return time.perf_counter() - began


def _workers(budget: Budget) -> int:
    """One a core, where evaluating takes long; one otherwise. It decides no history."""
    expected = budget.expected_evaluations * (budget.evaluation_seconds or 0.0)
    seconds = budget.seconds or (expected if math.isfinite(expected) else 0.0)
    return (os.cpu_count() or 1) if seconds > _WORTH_WORKERS else 1
