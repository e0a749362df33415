"""One study of a comparison: a problem, an optimizer, a seed; run to its end once, and kept in a file of its own."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import orjson

from automl_core.anytime import Curve
from automl_core.budget import Budget
from automl_core.errors import RecordError
from automl_core.optimizers import Checkpointed, make
from automl_core.pool import Pool
from automl_core.problem import Problem, Trial
from automl_core.record import Record
from automl_core.runs import write_whole
from automl_core.space import Array
from automl_core.specs import Specs
from automl_core.study import BATCH, Stop, Study

__all__ = ["Contest", "Entry", "Outcome", "Status"]

Status = Literal["finished", "unfinished", "failed"]

_KEPT = "problem.json"
_NOTED_EVERY = 5.0
"""Seconds between two notes of the time spent, for a study that is killed and restored."""


@dataclass(frozen=True)
class Entry:
    """A problem in a comparison.

    Args:
        name: unique in the comparison, fit for a folder.
        problem: what is evaluated; it is sent to the processes that run the studies.
        specs: by which the optimizers are judged, and which they are given.
        evaluation_seconds: what one evaluation was measured to cost; for whoever plans by it.
        identity: what else a record must agree in to be of this problem: checksums, the simulator's modes.

    What was measured (the seconds, parts of the identity) decides histories, so it is kept in the folder of the
    comparison: an entry that is made again is made from there.
    """

    name: str
    problem: Problem
    specs: Specs
    evaluation_seconds: float | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)

    def keep(self, folder: Path) -> None:
        """Write down what was measured, where that is not done yet.

        Args:
            folder: of the comparison.

        Raises:
            InputError: it cannot be written.
        """
        path = folder / self.name / _KEPT
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            content = {"evaluation_seconds": self.evaluation_seconds, "identity": dict(self.identity)}
            write_whole(path, orjson.dumps(content, option=orjson.OPT_INDENT_2))

    @staticmethod
    def kept(folder: Path, name: str) -> tuple[float | None, dict[str, Any]] | None:
        """The seconds and the identity of the entry of that name; ``None`` where nothing is kept of it.

        Raises:
            RecordError: the file is damaged.
        """
        path = folder / name / _KEPT
        if not path.exists():
            return None
        try:
            content = orjson.loads(path.read_bytes())
            return content["evaluation_seconds"], dict(content["identity"])
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"damaged: {error}", place=str(path), remedy="compare in another folder (-o)") from error


@dataclass(frozen=True)
class Outcome:
    """What a study of a comparison came to.

    Args:
        problem: name of the entry.
        optimizer: name of the optimizer.
        seed: of the study.
        budget: evaluations it may spend.
        status: ``finished``; ``unfinished``, where it has not run or was cut off; ``failed``, where the optimizer did.
        curve: its improvements.
        evaluations: spent.
        wall_seconds: from the first ask to the end, interruptions left out; ``None`` unless it is finished.
        optimizer_seconds: of these, those of the optimizer: neither evaluating nor recording.
        evaluation_seconds: wall time of the evaluations themselves.
        failure: why it failed.
    """

    problem: str
    optimizer: str
    seed: int
    budget: int
    status: Status
    curve: Curve
    evaluations: int = 0
    wall_seconds: float | None = None
    optimizer_seconds: float | None = None
    evaluation_seconds: float | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Contest:
    """One study.

    Args:
        entry: the problem.
        optimizer: a name of the registry.
        evaluations: its budget.
        seed: of the study.
        stop: ``budget``: when the budget is spent; ``met``: at the first design that meets all specs.
        folder: of the comparison.
    """

    entry: Entry
    optimizer: str
    evaluations: int
    seed: int
    stop: Stop
    folder: Path

    @property
    def path(self) -> Path:
        """The file of its record."""
        return self.folder / self.entry.name / self.optimizer / f"{self.seed}.sqlite"

    @property
    def settings(self) -> dict[str, Any]:
        """What decides its history, as the record holds it."""
        decisive = {
            "kind": "contest",
            "problem": self.entry.name,
            "identity": dict(self.entry.identity),
            "specs": [asdict(spec) for spec in self.entry.specs.specs],
            "optimizer": self.optimizer,
            "seed": self.seed,
            "budget": asdict(self.budget),
            "stop": self.stop,
            "batch": BATCH,
        }
        return dict(orjson.loads(orjson.dumps(decisive)))

    @property
    def budget(self) -> Budget:
        """What it may spend."""
        return Budget(self.evaluations, evaluation_seconds=self.entry.evaluation_seconds)

    def check(self) -> None:
        """Refuse a record that other settings made: its trials are not of this comparison.

        Raises:
            RecordError: there is one, or it cannot be read.
        """
        if self.path.exists():
            with Record.open(self.path) as record:
                self._check(record.facts())

    def _check(self, facts: Mapping[str, Any]) -> None:
        for name, value in self.settings.items():
            if facts.get(name) != value:
                raise RecordError(
                    f"this study was run with another {name}: {_difference(facts.get(name), value)}",
                    place=str(self.path),
                    remedy="compare in another folder (-o), or with the settings of this one",
                )

    def run(self) -> None:
        """Run it to its end, going on from its record; a finished one is left alone.

        Two processes that are at it wait for one another.

        Raises:
            Exception: whatever the optimizer or the problem raises.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(self.path), self._record() as record:
            facts = record.facts()
            self._check(facts)
            if "outcome" not in facts:
                record.write_fact("failure", None)
                record.write_fact("outcome", self._outcome_of(record))

    def note_failure(self, failure: str) -> None:
        """Write down why it failed; the next run tries it again, from where it was.

        Raises:
            RecordError: the record cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._record() as record:
            record.write_fact("failure", failure)

    def outcome(self) -> Outcome:
        """What it came to so far.

        Raises:
            RecordError: the record cannot be read, or other settings made it.
        """
        known = (self.entry.name, self.optimizer, self.seed, self.evaluations)
        specs = self.entry.specs
        if not self.path.exists():
            return Outcome(*known, "unfinished", Curve([], specs))
        with Record.open(self.path) as record:
            facts = record.facts()
            self._check(facts)
            end = facts.get("outcome")
            if end is not None:
                curve = Curve.from_json(end.pop("curve"), specs)
                return Outcome(*known, "finished", curve, **{k: v for k, v in end.items() if k != "reason"})
            trials = list(record.trials())
        failure = facts.get("failure")
        status: Status = "unfinished" if failure is None else "failed"
        spent = sum(trial.cost for trial in trials)
        return Outcome(*known, status, Curve.of(trials, specs), spent, failure=failure)

    def _record(self) -> Record:
        """Its record, with the settings in it from the moment that it exists."""
        return Record.open(self.path) if self.path.exists() else Record.begin(self.path, self.settings)

    def _outcome_of(self, record: Record) -> dict[str, Any]:
        """Run the study: how it ended, as the record keeps it."""
        problem, specs = self.entry.problem, self.entry.specs
        optimizer = make(self.optimizer, problem.space, specs, self.seed, self.budget)
        if isinstance(problem, _Observing):
            problem.observe = bool(getattr(optimizer, "observes", False))
        with ExitStack() as stack:
            if isinstance(problem, _Closing):
                stack.callback(problem.close)
            study = _ClockedStudy(problem, specs, stack.enter_context(Pool(problem)), record, self.seed, self.budget)
            study.restored = isinstance(optimizer, Checkpointed) and record.checkpoint() is not None
            reason = study.run(optimizer, stop=self.stop)
        return {
            "reason": reason,
            "evaluations": study.spent,
            "wall_seconds": study.elapsed,
            "optimizer_seconds": study.optimizer_seconds,
            "evaluation_seconds": sum(trial.seconds for trial in study.trials),
            "curve": Curve.of(study.trials, specs).as_json(),
        }


@runtime_checkable
class _Observing(Protocol):
    """A problem that observes its nodes only where somebody reads that."""

    observe: bool


@runtime_checkable
class _Closing(Protocol):
    """A problem that holds something: processes, files."""

    def close(self) -> None: ...


class _ClockedStudy(Study):
    """A study that knows how much of its time went to evaluations, and so how much the optimizer took.

    An optimizer that is replayed does its work again, so that its time is whole without that of the runs before; of one
    that is restored, the time before is read from the record.
    """

    def __init__(self, problem: Problem, specs: Specs, pool: Pool, record: Record, seed: int, budget: Budget) -> None:
        super().__init__(problem, specs, pool, record, seed=seed, budget=budget)
        self.restored = False
        self._before = float(record.facts().get("optimizer_seconds", 0.0))
        self._kept = record
        self._start = self._noted = time.perf_counter()
        self._evaluating = 0.0

    @property
    def optimizer_seconds(self) -> float:
        """Time that was neither evaluation nor recording."""
        before = self._before if self.restored else 0.0
        return before + time.perf_counter() - self._start - self._evaluating

    def evaluate(self, asked: Array, *, checkpoint: bytes | None = None) -> list[Trial]:
        """As any study, by the clock."""
        began = time.perf_counter()
        if began - self._noted > _NOTED_EVERY:
            self._noted = began
            self._kept.write_fact("optimizer_seconds", self.optimizer_seconds)
        trials = super().evaluate(asked, checkpoint=checkpoint)
        self._evaluating += time.perf_counter() - began
        return trials


def _difference(found: Any, asked: Any) -> str:
    """Where two settings part, in few words."""
    if isinstance(found, dict) and isinstance(asked, dict):
        part = next(name for name in [*asked, *found] if found.get(name) != asked.get(name))
        return f"{part} {found.get(part)!r}, not {asked.get(part)!r}"
    if isinstance(found, list) and isinstance(asked, list):
        pairs = [*zip(found, asked, strict=False), (len(found), len(asked))]
        return _difference(*next(pair for pair in pairs if pair[0] != pair[1]))
    return f"{found!r}, not {asked!r}"


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process runs this study: one that lost its parent may need a moment to end.

    The lock is a file beside the record; SQLite's own locks are lost when a process closes any handle of its file.
    """
    with path.with_name(f".{path.stem}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
