"""A comparison of optimizers: every optimizer on every problem under every seed, at equal evaluations.

Each study is kept in ``<folder>/<problem>/<optimizer>/<seed>.sqlite``. A finished one is never run again and one that
was cut off goes on from its record, so that a comparison is resumed, or made larger, by asking for it again. A study
runs in one process and evaluates on one worker: its history does not depend on how many run at once, and an optimizer
that fails takes down nothing but its own study.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from automl_core.contest import Contest, Entry, Outcome
from automl_core.crew import Failed, each
from automl_core.errors import InputError
from automl_core.optimizers import check_name
from automl_core.study import Stop

__all__ = ["Comparison", "Contestant", "Progress", "check_contestants"]


@dataclass(frozen=True)
class Contestant:
    """An optimizer and what it may spend on every problem.

    Args:
        optimizer: a name of the registry.
        evaluations: its budget.
    """

    optimizer: str
    evaluations: int

    @classmethod
    def parse(cls, text: str, evaluations: int) -> Contestant:
        """Read ``cmaes``, or ``trust-region:500`` for one with a budget of its own.

        Args:
            text: as the user wrote it.
            evaluations: the budget of those that name none.

        Raises:
            InputError: the budget is no whole number above 0.
        """
        name, colon, budget = text.strip().partition(":")
        if colon and not (budget.isascii() and budget.isdigit() and int(budget) > 0):
            raise InputError(
                f"cannot read the budget of {text.strip()!r}", remedy="write NAME or NAME:EVALUATIONS, as in cmaes:500"
            )
        return cls(name, int(budget) if colon else evaluations)


@dataclass(frozen=True)
class Progress:
    """Where a comparison stands, at the end of a study.

    Args:
        outcome: of that study.
        done: studies finished or failed by now.
        total: studies in all.
        seconds_left: a guess, from how long studies of the same optimizer took.
    """

    outcome: Outcome
    done: int
    total: int
    seconds_left: float


class Comparison:
    """Problems, optimizers and seeds, and the folder that their studies are kept in.

    Args:
        folder: of the studies; made when the first one runs.
        entries: the problems.
        contestants: the optimizers.
        seeds: of the studies.
        stop: when a study ends: ``budget``, or ``met`` at the first design that meets all specs.

    Raises:
        InputError: an optimizer is unknown or named twice, two problems share a name, or there is nothing to do.
    """

    def __init__(
        self,
        folder: Path,
        entries: Iterable[Entry],
        contestants: Iterable[Contestant],
        seeds: Iterable[int],
        stop: Stop = "budget",
    ) -> None:
        self.folder = folder
        self.entries, self.contestants, self.seeds = tuple(entries), tuple(contestants), tuple(seeds)
        self.stop = stop
        check_contestants(self.contestants)
        _refuse_twice((entry.name for entry in self.entries), "problem", "rename the file or the folder of one")
        if not (self.entries and self.contestants and self.seeds):
            raise InputError("there is nothing to compare", remedy="name a problem, an optimizer and a seed at least")

    @property
    def contests(self) -> list[Contest]:
        """Every study, seed by seed: what is done early then says something of every optimizer."""
        return [
            Contest(entry, contestant.optimizer, contestant.evaluations, seed, self.stop, self.folder)
            for seed in self.seeds
            for entry in self.entries
            for contestant in self.contestants
        ]

    def check(self) -> None:
        """Refuse a folder whose records were made by other settings, before any work.

        Raises:
            RecordError: a record is of another budget, spec or circuit, or cannot be read.
        """
        for contest in self.contests:
            contest.check()

    def run(self, jobs: int = 1, progress: Callable[[Progress], None] | None = None) -> list[Outcome]:
        """Run what is not finished.

        Args:
            jobs: studies at once.
            progress: called at the end of every study.

        Returns:
            The outcome of every study, in the order of :attr:`contests`.

        Raises:
            InputError: ``jobs`` is below 1.
            RecordError: as :meth:`check`.
        """
        self.check()
        for entry in self.entries:
            entry.keep(self.folder)
        contests = self.contests
        outcomes = {contest.path: contest.outcome() for contest in contests}
        waiting = [contest for contest in contests if outcomes[contest.path].status != "finished"]
        forecast = _Forecast(waiting, jobs, [outcome for outcome in outcomes.values() if outcome.wall_seconds])
        for contest, answer in each(Contest.run, waiting, jobs):
            if isinstance(answer, Failed):
                contest.note_failure(answer.reason)
            outcome = outcomes[contest.path] = contest.outcome()
            forecast.note(outcome, contest.path)
            if progress is not None:
                progress(Progress(outcome, len(contests) - forecast.left, len(contests), forecast.seconds))
        return [outcomes[contest.path] for contest in contests]

    @property
    def finished(self) -> int:
        """How many studies are finished."""
        return sum(outcome.status == "finished" for outcome in self.outcomes())

    def outcomes(self) -> list[Outcome]:
        """What every study came to so far, in the order of :attr:`contests`; nothing is run."""
        return [contest.outcome() for contest in self.contests]


def check_contestants(contestants: Sequence[Contestant]) -> None:
    """Refuse optimizers that do not exist, or stand there twice.

    Raises:
        InputError: naming the nearest that does exist.
    """
    for contestant in contestants:
        check_name(contestant.optimizer)
    _refuse_twice((contestant.optimizer for contestant in contestants), "optimizer", "name it once")


def _refuse_twice(found: Iterable[str], what: str, remedy: str) -> None:
    twice = [name for name, count in Counter(found).items() if count > 1]
    if twice:
        raise InputError(f"the {what} {twice[0]!r} stands there twice", remedy=remedy)


class _Forecast:
    """How long the rest will take, by how long studies of the same optimizer took for an evaluation."""

    def __init__(self, waiting: Sequence[Contest], jobs: int, known: Sequence[Outcome]) -> None:
        self._waiting = {contest.path: contest for contest in waiting}
        self._jobs = jobs
        self._rates: dict[tuple[str, str], list[float]] = {}
        self._begun = {contest.path: time.monotonic() for contest in waiting[:jobs]}
        self._queue = list(waiting[jobs:])
        for outcome in known:
            self._learn(outcome)

    @property
    def left(self) -> int:
        """Studies that have not ended."""
        return len(self._waiting)

    def note(self, outcome: Outcome, path: Path) -> None:
        """A study has ended; the next one begins."""
        del self._waiting[path]
        self._learn(outcome)
        if self._queue:
            self._begun[self._queue.pop(0).path] = time.monotonic()

    def _learn(self, outcome: Outcome) -> None:
        if outcome.wall_seconds and outcome.evaluations:
            rates = self._rates.setdefault((outcome.problem, outcome.optimizer), [])
            rates.append(outcome.wall_seconds / outcome.evaluations)

    @property
    def seconds(self) -> float:
        """Seconds until all studies have ended; NaN where none has that says anything of it."""
        if not self._rates:
            return math.nan
        now = time.monotonic()
        left = [
            max(self._rate(contest) * contest.evaluations - (now - self._begun.get(path, now)), 0.0)
            for path, contest in self._waiting.items()
        ]
        return max(sum(left) / self._jobs, max(left, default=0.0))

    def _rate(self, contest: Contest) -> float:
        """Seconds an evaluation: of the same study under other seeds, or of whatever is known."""
        same = self._rates.get((contest.entry.name, contest.optimizer))
        return fmean(same if same else [fmean(rates) for rates in self._rates.values()])
