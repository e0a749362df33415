"""The one gate to evaluation: decode, repair, drop duplicates, race scenarios, charge the budget, record.

Every optimizer is driven through :meth:`Study.evaluate`, so that all are counted alike and a comparison is at equal
budget by construction.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal, TypeAlias, TypeVar

import numpy as np
import orjson

from automl_core.budget import Budget
from automl_core.errors import EvaluationError, EvaluationTimeout, RecordError
from automl_core.optimizers import Checkpointed, Masked, Optimizer
from automl_core.pool import Answer, Pool
from automl_core.problem import (
    Evaluation,
    Metrics,
    Observations,
    Problem,
    Repairing,
    Request,
    Sequential,
    Status,
    Trial,
)
from automl_core.record import Record
from automl_core.space import Array, Point
from automl_core.specs import Score, Specs

__all__ = ["Study", "Stop", "StopReason", "evaluation_seed"]

T = TypeVar("T")
Stop: TypeAlias = Literal["met", "stall", "budget"]
StopReason: TypeAlias = Literal["met", "stall", "budget", "exhausted"]

BATCH = 16
"""Designs asked for at once. It decides the history, so it does not follow the number of workers."""
_PATIENCE = 20
"""A run stalls after this many evaluations per variable (and 200 at least) without a better design."""
_STUCK = 5
"""Batches in a row without a new design, after which designs are drawn as well."""
_FRUITLESS = 50
"""Batches in a row without a new design, after which the space counts as exhausted."""


def evaluation_seed(study_seed: int, point: Point) -> int:
    """Seed of an evaluation: a hash of the study's seed and the design, in [0, 2^31)."""
    return _seed(study_seed, _key(point))


def _seed(study_seed: int, key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key + str(study_seed).encode(), digest_size=4).digest(), "big") >> 1


def _key(point: Point) -> bytes:
    return orjson.dumps(dict(point), option=orjson.OPT_SORT_KEYS)


def _plain(value: T) -> T:
    """The same number as Python's own, which JSON knows: numpy's scalars are none of it."""
    return value.item() if isinstance(value, np.generic) else value


def _as_kept(evaluation: Evaluation) -> Evaluation:
    """An evaluation as a record gives it back: plain numbers, and NaN for what is not finite, which orders nothing."""
    metrics = {name: _plain(value) if math.isfinite(value) else math.nan for name, value in evaluation.metrics.items()}
    seen = {node: {n: _plain(value) for n, value in values.items()} for node, values in evaluation.observations.items()}
    return replace(evaluation, metrics=metrics, observations=seen, seconds=_plain(evaluation.seconds))


def _as_asked(trial: Trial, asked: Array) -> Trial:
    """A known trial, told for what was asked now."""
    return trial if trial.asked is asked else replace(trial, asked=asked)


@dataclass
class _Candidate:
    """A design on its way through the scenarios."""

    asked: Array
    point: Point
    key: bytes
    answers: dict[str, Answer] = field(default_factory=dict)
    status: Status = "ok"

    @property
    def evaluations(self) -> dict[str, Evaluation]:
        return {scenario: answer for scenario, answer in self.answers.items() if isinstance(answer, Evaluation)}

    @property
    def metrics(self) -> dict[str, Metrics]:
        return {scenario: evaluation.metrics for scenario, evaluation in self.evaluations.items()}


class Study:
    """A problem under optimisation, and all that was tried.

    Args:
        problem: what is evaluated.
        specs: what orders the designs.
        pool: the workers.
        record: where every trial is kept; a record that holds trials already is replayed: whoever asks for the same
            designs in the same order gets them from the record, charged but not evaluated again.
        seed: of the study; every evaluation's seed follows from it and the design.
        budget: what may be spent.
        earlier: trials of other studies of this space, which optimizers hear of, scored by these specs, at no charge.
        progress: called after every batch.
    """

    def __init__(
        self,
        problem: Problem,
        specs: Specs,
        pool: Pool,
        record: Record,
        *,
        seed: int = 0,
        budget: Budget | None = None,
        earlier: Sequence[Trial] = (),
        progress: Callable[[Study], None] | None = None,
    ) -> None:
        self.problem = problem
        self.specs = specs
        self.seed = seed
        self.budget = budget or Budget()
        self.trials: list[Trial] = []
        self.best: Trial | None = None
        self.best_score: Score | None = None
        self.spent = 0
        self._pool = pool
        self._record = record
        self._progress = progress
        self._earlier = tuple(self._judged_anew(trial) for trial in earlier)
        self._repair = problem.repair if isinstance(problem, Repairing) else None
        self._known: dict[bytes, Trial] = {}
        self._recorded = {_key(trial.point): trial for trial in record.trials()}
        self._recorded_seconds = float(record.facts().get("elapsed", 0.0))
        self._began = time.monotonic() - self._recorded_seconds
        self._worst_counts: Counter[str] = Counter()
        self._complete: deque[Trial] = deque(maxlen=8)
        self._improved_at = 0

    def _judged_anew(self, trial: Trial) -> Trial:
        """A trial of another study with the worst figures by these specs: its own may have had other worst ones."""
        if trial.status != "ok" or not trial.by_scenario:
            return trial
        return replace(trial, metrics=self.specs.worst(trial.by_scenario))

    def __deepcopy__(self, memo: object) -> Study:
        """Itself: there is one gate. Gymnasium copies the arguments that an environment is made with."""
        return self

    # Spending.

    @property
    def elapsed(self) -> float:
        """Wall time of the study in seconds, that of the runs before a resumption included."""
        return time.monotonic() - self._began

    @property
    def remaining(self) -> int | None:
        """Evaluations left, or ``None`` where time is the limit."""
        return None if self.budget.evaluations is None else max(self.budget.evaluations - self.spent, 0)

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent: time cannot be before there is a trial, nor while the record is replayed."""
        if self.budget.seconds is not None and self.trials and not self._replaying:
            return self.elapsed >= self.budget.seconds
        return self.remaining == 0

    @property
    def _replaying(self) -> bool:
        """Whether the record holds trials that nobody has asked for again yet."""
        return len(self.trials) < len(self._recorded)

    # Evaluation.

    def evaluate(self, asked: Array, *, checkpoint: bytes | None = None) -> list[Trial]:
        """Evaluate designs: the only door to a simulator or a training run.

        A design that is known already (after rounding and repair) gives its earlier trial again, at no charge. Where
        the budget ends before the last design, the list ends there.

        Args:
            asked: shape (n, dim), in [0, 1].
            checkpoint: the optimizer's state before it asked for these, to be kept with them.

        Returns:
            A trial for each design, in order.
        """
        candidates = [self._candidate(coordinates) for coordinates in np.atleast_2d(asked)]
        fresh: dict[bytes, _Candidate] = {}
        for candidate in candidates:
            if candidate.key not in self._known:
                fresh.setdefault(candidate.key, candidate)
        if fresh:
            self._settle(list(fresh.values()), checkpoint)
        return [_as_asked(self._known[c.key], c.asked) for c in candidates if c.key in self._known]

    def _candidate(self, coordinates: Array) -> _Candidate:
        point: Point = self.problem.space.decode(coordinates)
        if self._repair is not None:
            point = {name: _plain(value) for name, value in self._repair(point).items()}
        return _Candidate(np.array(coordinates), point, _key(point))

    def _settle(self, candidates: list[_Candidate], checkpoint: bytes | None) -> None:
        """Turn new candidates into trials: from the record, or by evaluation."""
        replayed = {c.key: self._recorded[c.key] for c in candidates if c.key in self._recorded}
        if replayed or (self._replaying and self.remaining != 0):
            self._check_replay(candidates, list(replayed.values()))
            self._adopt(replayed)
            candidates, checkpoint = candidates[len(replayed) :], None  # a state of before the part that is replayed
            if not candidates or self.remaining == 0:
                return
        reached = self._race(candidates)
        trials = {c.key: self._trial(number, c) for number, c in enumerate(reached, start=len(self.trials))}
        self._record.append(list(trials.values()), elapsed=self.elapsed, checkpoint=checkpoint)
        self._adopt(trials)
        if self._progress is not None:
            self._progress(self)

    def _check_replay(self, candidates: list[_Candidate], replayed: list[Trial]) -> None:
        """Refuse a record that does not go on with these; it may end among them, where a smaller budget did."""
        complete = len(replayed) == len(candidates) or len(replayed) == len(self._recorded) - len(self.trials)
        first = all(c.key in self._recorded for c in candidates[: len(replayed)])
        numbers = [trial.number for trial in replayed]
        if not (complete and first) or numbers != list(range(len(self.trials), len(self.trials) + len(replayed))):
            raise RecordError(
                f"the record does not follow from its own settings at trial {len(self.trials)}",
                place=str(self._record.path),
                remedy="it was made by another version or on other libraries: begin a new run",
            )

    def _adopt(self, trials: Mapping[bytes, Trial]) -> None:
        replaying = self._replaying
        for key, trial in trials.items():
            self.trials.append(trial)
            self._known[key] = trial
            self.spent += trial.cost
            self._count_worst(trial)
            score = self.specs.judge(trial)
            if trial.status == "ok" and score.better_than(self.best_score):
                self.best, self.best_score, self._improved_at = trial, score, self.spent
        if replaying and not self._replaying:  # what it took to think all this is in the recorded time already
            self._began = time.monotonic() - self._recorded_seconds

    def _trial(self, number: int, candidate: _Candidate) -> Trial:
        answers, evaluations = candidate.answers.values(), list(candidate.evaluations.values())
        failure = next(
            (f"{s}: {a}" if s else str(a) for s, a in candidate.answers.items() if isinstance(a, EvaluationError)), None
        )
        seen: Observations = evaluations[0].observations if evaluations else {}
        gave_none = candidate.status in ("failed", "timeout")  # whatever the scenarios before it gave
        return Trial(
            number=number,
            asked=candidate.asked,
            unit=self.problem.space.encode(candidate.point),
            point=candidate.point,
            metrics={} if gave_none else self.specs.worst({**candidate.metrics, **self._expected(candidate)}),
            by_scenario=candidate.metrics,
            observations=seen,
            status=candidate.status,
            error=failure,
            cost=len(answers),
            seconds=sum(evaluation.seconds for evaluation in evaluations),
            artifacts=tuple(artifact for evaluation in evaluations for artifact in evaluation.artifacts),
        )

    # Scenarios.

    def _race(self, candidates: list[_Candidate]) -> list[_Candidate]:
        """Evaluate candidates, nominal scenario first; drop those that are worse than the best already.

        The worst over scenarios can only get worse with every further one, so a candidate that is not better than the
        best after some of them never will be.

        Returns:
            The candidates that the budget reached.
        """
        order = self._scenario_order()
        reached: list[_Candidate] = []
        alive = candidates
        for position, scenario in enumerate(order):
            left = None if self.remaining is None else self.remaining - sum(len(c.answers) for c in reached)
            running = alive if left is None else alive[:left]
            for candidate in alive[len(running) :]:
                candidate.status = "raced"
            self._answer(running, scenario)
            reached = running if position == 0 else reached
            alive = [c for c in running if c.status == "ok" and (len(order) == 1 or self._survives(c))]
        return reached

    def _answer(self, candidates: list[_Candidate], scenario: str) -> None:
        requests = [Request(c.point, scenario, _seed(self.seed, c.key)) for c in candidates]
        for candidate, answer in zip(candidates, self._pool.evaluate(requests), strict=True):
            candidate.answers[scenario] = _as_kept(answer) if isinstance(answer, Evaluation) else answer
            if isinstance(answer, EvaluationError):
                candidate.status = "timeout" if isinstance(answer, EvaluationTimeout) else "failed"

    def _survives(self, candidate: _Candidate) -> bool:
        if len(candidate.answers) == len(self.problem.scenarios):
            return True
        if self.specs.score(self.specs.worst(candidate.metrics)).better_than(self.best_score):
            return True
        candidate.status = "raced"
        return False

    def _expected(self, candidate: _Candidate) -> dict[str, Metrics]:
        """What a raced candidate would have shown in the scenarios it was spared.

        Its nominal figures, moved by what lay between the scenarios in the last designs that saw all. Without this, a
        candidate dropped early would rank above one that was dropped late, and lead optimizers astray.
        """
        if candidate.status != "raced" or not candidate.metrics:
            return {}
        nominal = self.problem.scenarios[0]
        seen = candidate.metrics[nominal]
        return {
            scenario: {
                name: value
                + float(
                    np.mean(
                        [
                            t.by_scenario[scenario].get(name, value) - t.by_scenario[nominal].get(name, value)
                            for t in self._complete
                        ]
                    )
                )
                for name, value in seen.items()
            }
            for scenario in self.problem.scenarios
            if scenario not in candidate.metrics and self._complete
        }

    def _scenario_order(self) -> list[str]:
        """Nominal first, then those that were the worst one most often so far."""
        nominal, *others = self.problem.scenarios
        return [nominal, *sorted(others, key=lambda scenario: -self._worst_counts[scenario])]

    def _count_worst(self, trial: Trial) -> None:
        if trial.status == "ok" and len(trial.by_scenario) > 1:
            scores: Mapping[str, Score] = {s: self.specs.score(m) for s, m in trial.by_scenario.items()}
            worst = max(scores, key=lambda scenario: scores[scenario].loss)
            self._worst_counts[worst] += 1
            self._complete.append(trial)

    # The loop.

    def run(self, optimizer: Optimizer, *, stop: Stop | None = None, batch: int = BATCH) -> StopReason:
        """Drive an optimizer until a rule stops it.

        Args:
            optimizer: who proposes. It hears of trial 0, the start of the space, first.
            stop: ``met``: at the first design that meets all specs; ``stall``: when, all specs met, the best has not
                improved for long; ``budget``: when the budget is spent. By default ``met``, or ``stall`` where a spec
                has a goal.
            batch: designs asked for at once.

        Returns:
            Why it ended: one of the rules, or ``exhausted``, where every design of the space is known: neither the
            optimizer nor chance finds another.
        """
        rule = stop or ("stall" if self.specs.goals else "met")
        if isinstance(optimizer, Masked) and isinstance(self.problem, Sequential):
            optimizer.restrict(self.problem.allowed)
        if not self._go_on(optimizer):
            self._begin(optimizer)
        fruitless = 0
        while not (reason := self._reason_to_stop(rule)):
            before = len(self.trials)
            state = optimizer.checkpoint() if isinstance(optimizer, Checkpointed) else None
            count = batch if self.remaining is None else min(batch, self.remaining)
            optimizer.tell(self.evaluate(optimizer.ask(count), checkpoint=state))
            if fruitless >= _STUCK and len(self.trials) == before:
                optimizer.tell(self.evaluate(self._drawn(count, fruitless)))
            fruitless = 0 if len(self.trials) > before else fruitless + 1
            if fruitless == _FRUITLESS or len(self.trials) >= self.problem.space.size:
                return "exhausted"
        return reason

    def _begin(self, optimizer: Optimizer) -> None:
        """Tell an optimizer of earlier studies; evaluate the start of the space, and the best that those found."""
        if self._earlier:
            optimizer.tell(self._earlier)
        space = self.problem.space
        first: list[Point] = [space.start] if space.start is not None else []
        if self._earlier:
            first.append(min(self._earlier, key=lambda trial: self.specs.judge(trial).loss).point)
        for point in first:
            if not self.exhausted:
                optimizer.tell(self.evaluate(space.encode(point)[np.newaxis]))

    def _drawn(self, count: int, fruitless: int) -> Array:
        """Designs drawn uniformly; a study that is gone on with draws the same."""
        generator = np.random.default_rng([self.seed, len(self.trials), fruitless])
        return generator.random((count, self.problem.space.dim))

    def _go_on(self, optimizer: Optimizer) -> bool:
        """Restore an optimizer that has a state in the record; what came after that state is replayed."""
        kept = self._record.checkpoint() if isinstance(optimizer, Checkpointed) else None
        if kept is None or not isinstance(optimizer, Checkpointed):
            return False
        count, state = kept
        seen = dict(islice(self._recorded.items(), count))
        self._adopt(seen)
        optimizer.restore(state, [*self._earlier, *seen.values()])
        return True

    def _reason_to_stop(self, rule: Stop) -> StopReason | None:
        met = self.best_score is not None and self.best_score.feasible
        if rule == "met" and met:
            return "met"
        patience = max(200, _PATIENCE * self.problem.space.dim)
        if rule == "stall" and met and self.spent - self._improved_at >= patience:
            return "stall"
        return "budget" if self.exhausted else None
