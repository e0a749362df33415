"""The file of a study: every trial, and all that decided their history, in one SQLite file.

Write-ahead logging with ``synchronous=FULL``: a batch is one transaction, on disk before the optimizer hears of it, so
that a killed run loses at most the batch in flight.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from automl_core.errors import RecordError
from automl_core.problem import Trial
from automl_core.space import Array

__all__ = ["Record"]

_FORMAT = 2
_TRIALS = """
CREATE TABLE IF NOT EXISTS trials (
    number INTEGER PRIMARY KEY, asked BLOB NOT NULL, unit BLOB NOT NULL, point BLOB NOT NULL, by_scenario BLOB NOT NULL,
    metrics BLOB NOT NULL, observations BLOB NOT NULL, status TEXT NOT NULL, error TEXT, parent INTEGER,
    cost INTEGER NOT NULL, seconds REAL NOT NULL, artifacts BLOB NOT NULL);
"""
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
{_TRIALS}{_TRIALS.replace("trials", "earlier")}
CREATE TABLE IF NOT EXISTS checkpoints (trials INTEGER PRIMARY KEY, state BLOB NOT NULL);
"""
_INSERT = f"INSERT INTO trials VALUES ({', '.join('?' * 13)})"


class Record:
    """One study's file, open.

    Use :meth:`create` or :meth:`open`; one process writes at a time.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def create(cls, path: Path | str) -> Record:
        """Make a new file; ``":memory:"`` keeps it in memory.

        Raises:
            RecordError: the file exists, or cannot be written.
        """
        path = Path(path)
        if path.exists():
            raise RecordError("this study exists already", place=str(path), remedy="resume it, or name another one")
        record = cls._connect(path)
        with record._transaction():
            record._connection.executescript(_SCHEMA)
        record.write_fact("format", _FORMAT)
        return record

    @classmethod
    def begin(cls, path: Path, facts: Mapping[str, object], earlier: Iterable[Trial] = ()) -> Record:
        """Make a new file that holds all that decides a history from the moment it exists.

        Args:
            path: of the file.
            facts: named JSON values.
            earlier: trials of other studies, as :meth:`write_earlier` keeps them.

        Raises:
            RecordError: the file exists, or cannot be written.
        """
        if path.exists():
            return cls.create(path)  # which refuses
        draft = path.with_name(f".{path.name}")
        for rest in path.parent.glob(f"{draft.name}*"):
            rest.unlink()
        with cls.create(draft) as record:
            for name, value in facts.items():
                record.write_fact(name, value)
            record.write_earlier(earlier)
            record.gather()
        draft.rename(path)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path | str) -> Record:
        """Open a file that :meth:`create` made.

        Raises:
            RecordError: there is no such file, it is damaged, or another version wrote it.
        """
        path = Path(path)
        if not path.is_file():
            raise RecordError("there is no such study", place=str(path), remedy="check the path of the run folder")
        record = cls._connect(path)
        found = record.facts().get("format")
        if found != _FORMAT:
            raise RecordError(
                f"the format of this study is {found}, not {_FORMAT}",
                place=str(path),
                remedy="use the version it names",
            )
        return record

    @classmethod
    def _connect(cls, path: Path) -> Record:
        with _explained(path):
            connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        return cls(path, connection)

    def close(self) -> None:
        """Close the file; the record cannot be used any more."""
        self._connection.close()

    def gather(self) -> None:
        """Bring what stands in the log beside the file into it, so that the file alone can be moved or copied.

        Closing does so too, but not while anybody else has the file open.

        Raises:
            RecordError: somebody reads the file for longer than the time-out.
        """
        with _explained(self.path):
            busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise sqlite3.OperationalError("database is locked")

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Facts: what decided the history, and what is known of the run.

    def write_fact(self, name: str, value: object) -> None:
        """Keep one named JSON value, replacing an earlier one."""
        with self._transaction():
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, orjson.dumps(value)))

    def facts(self) -> dict[str, Any]:
        """All named values."""
        with _explained(self.path):
            return {name: orjson.loads(value) for name, value in self._connection.execute("SELECT * FROM facts")}

    # Trials.

    def append(self, trials: Sequence[Trial], *, elapsed: float = 0.0, checkpoint: bytes | None = None) -> None:
        """Write one batch, durably, together with the state of the optimizer that was about to ask for it.

        Args:
            trials: new trials, numbered on from the last.
            elapsed: wall time of the study so far, in seconds.
            checkpoint: what the optimizer needs to go on, where replaying it would cost too much.
        """
        rows = [_to_row(trial) for trial in trials]
        with self._transaction():
            self._connection.executemany(_INSERT, rows)
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('elapsed', ?)", (orjson.dumps(elapsed),))
            if checkpoint is not None:
                self._connection.execute("DELETE FROM checkpoints")
                seen = len(self) - len(trials)
                self._connection.execute("INSERT INTO checkpoints VALUES (?, ?)", (seen, checkpoint))

    def __len__(self) -> int:
        with _explained(self.path):
            return int(self._connection.execute("SELECT COUNT(*) FROM trials").fetchone()[0])

    def trials(self) -> Iterator[Trial]:
        """Every trial, in order."""
        with _explained(self.path):
            for row in self._connection.execute("SELECT * FROM trials ORDER BY number"):
                yield _from_row(row)

    # Trials of other studies, kept here so that this one can be replayed wherever those have gone.

    def write_earlier(self, trials: Iterable[Trial]) -> None:
        """Keep trials of other studies, in order; they are numbered anew from 0."""
        rows = [_to_row(replace(trial, number=number)) for number, trial in enumerate(trials)]
        with self._transaction():
            self._connection.executemany(_INSERT.replace("trials", "earlier"), rows)

    def earlier(self) -> list[Trial]:
        """The trials of other studies that this one began from."""
        with _explained(self.path):
            rows = self._connection.execute("SELECT * FROM earlier ORDER BY number").fetchall()
        return [_from_row(row) for row in rows]

    def checkpoint(self) -> tuple[int, bytes] | None:
        """How many trials the last kept state of the optimizer had seen, and that state."""
        with _explained(self.path):
            row = self._connection.execute("SELECT trials, state FROM checkpoints").fetchone()
        return None if row is None else (int(row[0]), bytes(row[1]))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _explained(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says into what a person can act on."""
    try:
        yield
    except sqlite3.Error as error:
        remedies: list[tuple[str, str]] = [
            ("disk I/O", "check the space there, then `sizewise resume` the run: what was written is kept"),
            ("full", "free some space on the disk, then `sizewise resume` the run: what was written is kept"),
            ("locked", "another process writes to this study: wait for it or stop it"),
            ("malformed", "the file is damaged: restore it from a copy"),
            ("not a database", "this is not the file of a study"),
            ("unable to open", "check that the folder exists and can be written"),
            ("readonly", "check that the file can be written"),
        ]
        remedy = next((text for word, text in remedies if word in str(error)), None)
        raise RecordError(f"the study cannot be kept: {error}", place=str(path), remedy=remedy) from error


def _to_row(trial: Trial) -> tuple[object, ...]:
    dump: Callable[[object], bytes] = orjson.dumps
    return (
        trial.number,
        np.asarray(trial.asked, dtype="<f8").tobytes(),
        np.asarray(trial.unit, dtype="<f8").tobytes(),
        dump(dict(trial.point)),
        dump({scenario: dict(metrics) for scenario, metrics in trial.by_scenario.items()}),
        dump(dict(trial.metrics)),
        dump({node: dict(seen) for node, seen in trial.observations.items()}),
        trial.status,
        trial.error,
        trial.parent,
        trial.cost,
        trial.seconds,
        dump(trial.artifacts),
    )


def _from_row(row: tuple[Any, ...]) -> Trial:
    number, asked, unit, point, by_scenario, metrics, observations, status, error, parent, cost, seconds, artifacts = (
        row
    )
    return Trial(
        number=number,
        asked=_array(asked),
        unit=_array(unit),
        point=orjson.loads(point),
        metrics={} if status in ("failed", "timeout") else _numbers(orjson.loads(metrics)),  # older files hold some
        by_scenario={scenario: _numbers(values) for scenario, values in orjson.loads(by_scenario).items()},
        observations={node: _numbers(values) for node, values in orjson.loads(observations).items()},
        status=status,
        error=error,
        parent=parent,
        cost=cost,
        seconds=seconds,
        artifacts=tuple((path, checksum) for path, checksum in orjson.loads(artifacts)),
    )


def _array(blob: bytes) -> Array:
    return np.frombuffer(blob, dtype="<f8").astype(np.float64)


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    """JSON has no NaN: it is kept as null."""
    return {name: math.nan if value is None else value for name, value in values.items()}
