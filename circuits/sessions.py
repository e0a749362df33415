"""The simulators of a problem, one for each test bench and thread, and their end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Lock

from automl_core.errors import EvaluationError, SizewiseError
from circuits.simulator import Simulator

__all__ = ["Session", "Sessions"]

Session = Mapping[str, Simulator]
"""A simulator for each test bench, used by one thread at a time."""


class Sessions:
    """As many sessions as there are threads that ask for one; what a thread gives back goes to the next."""

    def __init__(self) -> None:
        self._idle: list[Session] = []
        self._busy: list[Session] = []
        self._apart: list[Simulator] = []
        self._lock = Lock()
        self._stopped = False

    @contextmanager
    def one(self, make: Callable[[], Session]) -> Iterator[Session]:
        """A session for this thread alone.

        Args:
            make: a new one, not started; called where none is idle.

        Raises:
            EvaluationError: :meth:`stop` was called.
        """
        session = self._take(make)
        try:
            yield session
        except BaseException:
            _close(session)
            raise
        finally:
            with self._lock:
                self._busy.remove(session)
                self._idle.append(session)

    def apart(self, simulator: Simulator) -> Simulator:
        """Have a simulator that belongs to no session end with the others."""
        with self._lock:
            self._refuse_stopped()
            self._apart.append(simulator)
        return simulator

    def adopt(self, session: Session) -> None:
        """Make simulators that :meth:`apart` knows a session that waits for a thread."""
        with self._lock:
            self._refuse_stopped()
            self._apart = [simulator for simulator in self._apart if simulator not in session.values()]
            self._idle.append(session)

    def limit(self, seconds: float) -> None:
        """Change the time limit of an evaluation."""
        with self._lock:
            for simulator in self._all():
                simulator.limit_seconds = seconds

    def stop(self) -> None:
        """End all children for good: whoever waits for one gets an :class:`EvaluationError` and starts no other."""
        with self._lock:
            self._stopped = True
            simulators = self._all()
        for simulator in simulators:
            simulator.stop()

    def close(self, *, but: Collection[Simulator] = ()) -> None:
        """End all children, those at work too, and forget the sessions that wait.

        Args:
            but: those that go on, apart.
        """
        with self._lock:
            simulators = [simulator for simulator in self._all() if simulator not in but]
            self._idle, self._apart = [], list(but)
        for simulator in simulators:
            simulator.close()

    def _take(self, make: Callable[[], Session]) -> Session:
        with self._lock:
            self._refuse_stopped()
            new = not self._idle
            session = make() if new else self._idle.pop()
            self._busy.append(session)
        if new and len(session) > 1:
            _start(session)
        return session

    def _all(self) -> list[Simulator]:
        return [*(each for session in (*self._idle, *self._busy) for each in session.values()), *self._apart]

    def _refuse_stopped(self) -> None:
        if self._stopped:
            raise EvaluationError("the simulations were stopped")


def _start(session: Session) -> None:
    """Start all children of a session at once; one that cannot be started says why at its first evaluation."""

    def start(simulator: Simulator) -> None:
        with suppress(SizewiseError):
            simulator.start()

    with ThreadPoolExecutor(len(session)) as threads:
        list(threads.map(start, session.values()))


def _close(session: Session) -> None:
    for simulator in session.values():
        simulator.close()
