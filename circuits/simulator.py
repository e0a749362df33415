"""The handle to a simulator child: start, evaluate, time out, kill, start again."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self

from automl_core.errors import EvaluationError, EvaluationTimeout, InputError
from circuits.bench import Analysis, Bench, Measure, Reading
from circuits.child import Child, Died, TookTooLong

__all__ = ["Analysis", "Bench", "Measure", "Reading", "Simulator", "compare_modes"]

Point = Mapping[str, float]
Outcome = Reading | EvaluationError


class Simulator:
    """Evaluates points of one deck in a child process, which starts at the first of them.

    What a point gives depends on the point alone: not on those before it, nor on deaths and restarts. One thread at a
    time; a copy (by pickle or by a fork) has a child of its own.

    Args:
        bench: the deck, its analyses and measures.
        limit_seconds: an evaluation that takes longer is killed; None: none is.
        start_seconds: how long starting the child and loading the deck may take.
        recycle_after: evaluations after which a child is replaced, because ngspice leaks a little.
        memory_bytes: of address space that a child may take.
    """

    def __init__(
        self,
        bench: Bench,
        *,
        limit_seconds: float | None,
        start_seconds: float = 120.0,
        recycle_after: int = 30_000,
        memory_bytes: int = 4 << 30,
    ) -> None:
        self.bench = bench
        self.limit_seconds = limit_seconds
        self._start_seconds = start_seconds
        self._recycle_after = recycle_after
        self._memory_bytes = memory_bytes
        self._child: Child | None = None
        self._names: frozenset[str] | None = None
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_child": None, "_names": None}

    @property
    def pid(self) -> int | None:
        """The process id of the child; None where none runs."""
        return None if self._child is None else self._child.pid

    @property
    def version(self) -> str:
        """Of ngspice: "39". Starts the child."""
        return self._ready(self._names).version

    def start(self) -> None:
        """Start the child and load the deck now rather than at the first point.

        Raises:
            InputError: ngspice refuses the deck; in its words.
            MissingError: there is no libngspice.
        """
        self._ready(self._names)

    def stop(self) -> None:
        """End the child for good, from any thread: whoever waits for it gets an :class:`EvaluationError`."""
        self._stopped = True
        self.close()

    def close(self) -> None:
        """End the child. The next evaluation starts another."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def evaluate(
        self, values: Point, *, observe: bool = False, waveforms: Mapping[str, tuple[str, ...]] | None = None
    ) -> Reading:
        """Evaluate one point.

        Args:
            values: by parameter of the deck; parameters left out keep the deck's values.
            observe: also read the operating points of the bench's devices (0.2 ms for eight of them).
            waveforms: analysis -> vectors to return, none named: all.

        Raises:
            EvaluationError: ngspice gave no result, or died of this point twice.
            EvaluationTimeout: it took longer than the limit.
            InputError: the deck or a parameter is wrong.
            MissingError: there is no libngspice.
        """
        outcome = self.evaluate_chunk([values], observe=observe, waveforms=waveforms)[0]
        if isinstance(outcome, EvaluationError):
            raise outcome
        return outcome

    def evaluate_chunk(
        self, points: Sequence[Point], *, observe: bool = False, waveforms: Mapping[str, tuple[str, ...]] | None = None
    ) -> list[Outcome]:
        """Evaluate points in one exchange with the child, which streams its replies.

        A point that hangs is killed at the limit; one whose child dies is tried once more, because the death may have
        come from outside. The rest goes on in a fresh child.

        Args:
            points: as for :meth:`evaluate`.
            observe: as there.
            waveforms: as there.

        Returns:
            A reading or an error for each point, in their order.

        Raises:
            InputError: the deck or a parameter is wrong.
            MissingError: there is no libngspice.
        """
        outcomes: list[Outcome] = []
        deaths = 0
        while len(outcomes) < len(points):
            done = len(outcomes)
            try:
                self._exchange(points, outcomes, observe, waveforms)
            except Died as death:
                deaths = 1 if len(outcomes) > done else deaths + 1
                self.close()
                if deaths == 2:
                    outcomes.append(EvaluationError(f"the simulator died of this point, twice: {death}"))
                    deaths = 0
            except BaseException:
                self.close()  # whatever it is at, it is not waiting for us
                raise
        return outcomes

    def _exchange(
        self,
        points: Sequence[Point],
        outcomes: list[Outcome],
        observe: bool,
        waveforms: Mapping[str, tuple[str, ...]] | None,
    ) -> None:
        """Send the points that have no outcome yet and append outcomes as they come, until the child is no more."""
        names = frozenset(points[len(outcomes)])
        rest = [point for point in points[len(outcomes) :] if names == point.keys()]
        if len(rest) < len(points) - len(outcomes):
            rest = rest[:1]
        child = self._ready(names)
        child.send(
            ([{name: float(value) for name, value in point.items()} for point in rest], observe, dict(waveforms or {}))
        )
        for _ in rest:
            try:
                word, reply = child.receive(self.limit_seconds)
            except TookTooLong:
                outcomes.append(EvaluationTimeout(f"no result after {self.limit_seconds:g} s"))
                self.close()
                return
            if word == "refused":
                raise reply
            child.evaluated += 1
            outcomes.append(Reading._make(reply) if word == "reading" else reply)
            if word == "lost":
                self.close()
                return

    def _ready(self, names: frozenset[str] | None) -> Child:
        """A child in which these parameters, and no others, are set at every point."""
        child = self._child
        if child is not None and child.owner != os.getpid():  # we are a fork: that child is our parent's
            child = self._child = None
        if child is not None and (child.evaluated >= self._recycle_after or (child.evaluated and names != self._names)):
            self.close()
            child = None
        if child is None and not self._stopped:
            child = self._child = self._started()
        if self._stopped or child is None:
            self.close()
            raise EvaluationError("the simulation was stopped")
        self._names = names
        return child

    def _started(self) -> Child:
        """A child with the deck loaded; tried once more where it dies, because that may have come from outside."""
        start = partial(Child, self.bench, start_seconds=self._start_seconds, memory_bytes=self._memory_bytes)
        try:
            return start()
        except Died:
            pass
        try:
            return start()
        except Died as death:
            problem = f"the simulator died loading the deck, twice: {death}"
            raise InputError(problem, remedy="run `ngspice -n -b` on it by hand to see more") from None


def compare_modes(expanded: Simulator, altered: Simulator, points: Sequence[Point]) -> float:
    """How far altering instances directly is from expanding the deck anew.

    Args:
        expanded: of a bench in the mode "reset".
        altered: of the same bench in the mode "alter", with ``alters`` for every parameter of the points.
        points: some eight of them, spread over the space, the start first. The limit of the simulators holds for the
            start; the others may take 20 times as long as it took, and 1 s at least.

    Returns:
        The worst difference of a metric between the modes, relative to it or to a thousandth of its largest value,
        whichever is larger; infinite where the first point fails, or where one mode fails or lacks a metric and the
        other does not.

    Raises:
        InputError: the deck is refused.
        MissingError: there is no libngspice.
    """
    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(lambda simulator: _patient(simulator, points), (expanded, altered)))
    if not all(isinstance(own[0], Reading) for own in outcomes):
        return math.inf
    worst = 0.0
    for one, other in zip(*outcomes, strict=True):
        if isinstance(one, Reading) and isinstance(other, Reading):
            worst = max(worst, _difference(one, other, _largest(outcomes[0])))
        elif isinstance(one, Reading) or isinstance(other, Reading):
            return math.inf
    return worst


def _patient(simulator: Simulator, points: Sequence[Point]) -> list[Outcome]:
    """What the points give; the first alone where that fails."""
    first = simulator.evaluate_chunk(points[:1])
    if not isinstance(first[0], Reading):
        return first
    limit, patience = simulator.limit_seconds, max(1.0, 20 * first[0].seconds)
    simulator.limit_seconds = patience if limit is None else min(limit, patience)
    return [*first, *simulator.evaluate_chunk(points[1:])]


def _largest(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The largest magnitude of every metric."""
    largest: dict[str, float] = {}
    for outcome in outcomes:
        for name, value in outcome.metrics.items() if isinstance(outcome, Reading) else ():
            largest[name] = max(largest.get(name, 0.0), 0.0 if math.isnan(value) else abs(value))
    return largest


def _difference(one: Reading, other: Reading, largest: Mapping[str, float]) -> float:
    worst = 0.0
    for name, value in one.metrics.items():
        second = other.metrics[name]
        if math.isnan(value) != math.isnan(second):
            return math.inf
        if not math.isnan(value) and value != second:
            worst = max(worst, abs(value - second) / max(abs(value), abs(second), largest[name] / 1000))
    return worst
