"""A circuit as a problem for the core: a design is simulated on every test bench, each in a child of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from threading import Lock

from automl_core.errors import EvaluationError, InputError
from automl_core.problem import Evaluation, Request
from automl_core.space import DesignSpace, Point
from circuits.alteration import alter_targets
from circuits.bench import Bench, Measure, Reading
from circuits.decks import deck_of
from circuits.design_space import circuit_space, own_parameters
from circuits.measures import KINDS
from circuits.netlist import Deck
from circuits.references import check_references
from circuits.refusals import located
from circuits.simulator import Outcome, Simulator
from circuits.specfile import SpecFile, read_spec

__all__ = ["CircuitProblem", "Waveforms"]

Waveforms = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Test bench -> analysis -> vectors to return; no vector named: all."""

_CHUNK = 4
"""Designs in one exchange with a child: enough to hide the exchange, few enough to share a batch among workers."""


class CircuitProblem:
    """A spec and its decks.

    Pickles as the path of the spec and the settings; the decks are read again where it arrives.

    Args:
        spec: the spec, read.
        limit_seconds: an evaluation that takes longer on a bench is killed.
        modes: test bench -> "alter" where instances may be altered directly; "reset" everywhere else.
        observe: also read the operating points of the transistors.
    """

    scenarios = ("",)
    chunk = _CHUNK

    def __init__(
        self,
        spec: SpecFile,
        *,
        limit_seconds: float | None = None,
        modes: Mapping[str, str] | None = None,
        observe: bool = False,
    ) -> None:
        self.spec = spec
        self.limit_seconds = limit_seconds
        self.modes = dict(modes or {})
        self.observe = observe
        self.decks: dict[str, Deck] = {bench: deck_of(spec, bench) for bench in spec.decks}
        check_references(spec, self.decks)
        self.space: DesignSpace = circuit_space(spec, self.decks)
        self._idle: list[_Session] = []
        self._busy: list[_Session] = []
        self._lock = Lock()
        self._stopped = False

    def __reduce__(self) -> tuple[object, ...]:
        """As a reference: decks and children stay here."""
        return _rebuild, (self.spec.path, self.limit_seconds, self.modes, self.observe)

    def with_settings(self, *, limit_seconds: float | None, modes: Mapping[str, str]) -> CircuitProblem:
        """The same circuit with other settings of its simulators."""
        return CircuitProblem(self.spec, limit_seconds=limit_seconds, modes=modes, observe=self.observe)

    @cached_property
    def benches(self) -> dict[str, Bench]:
        """What each child holds, by test bench."""
        return {name: self._bench(name) for name in self.decks}

    def _bench(self, name: str) -> Bench:
        deck, spec = self.decks[name], self.spec
        expressions = {key: entry.expr for key, entry in spec.variables.items() if entry.expr is not None}
        fixed = {key: expressions[key] for key in own_parameters(deck, expressions)}
        devices = tuple(device.name for device in deck.devices if device.kind in ("nmos", "pmos"))
        return Bench(
            lines=deck.flatten(fixed),
            analyses=tuple(analysis for bench, analysis in spec.analyses if bench == name),
            measures=tuple(_complete(measure, devices) for bench, measure in spec.measures if bench == name),
            devices=devices,
            compat=spec.simulator.compat,
            options=tuple(spec.simulator.options.items()),
            alters=self._alters(name),
            mode=self.modes.get(name, "reset"),
        )

    def _alters(self, name: str) -> Mapping[str, tuple[str, ...]]:
        """The targets of ``alter``, where every variable of the bench has some; nothing where one has none."""
        if self.unalterable(name):
            return {}
        deck = self.decks[name]
        return {parameter: alter.targets for parameter, alter in alter_targets(deck, self._own[name]).items()}

    def unalterable(self, bench: str) -> str | None:
        """Why the instances of a bench may not be altered directly; ``None`` where they may."""
        deck = self.decks[bench]
        derived = next((name for name, entry in self.spec.variables.items() if entry.expr is not None), None)
        if derived is not None:
            return f"{derived} follows from other variables"
        found = alter_targets(deck, self._own[bench])
        return next((f"{name}: {found[name].reason}" for name in found if found[name].reason is not None), None)

    def values(self, bench: str, point: Point) -> dict[str, float]:
        """What a design sets in one deck."""
        return {name: float(point[name]) for name in self._own[bench]}

    @cached_property
    def _own(self) -> dict[str, list[str]]:
        """The variables that each deck defines."""
        return {bench: own_parameters(deck, self.space.by_name) for bench, deck in self.decks.items()}

    # The Problem protocol.

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """Simulate one design on every bench.

        Raises:
            EvaluationError: ngspice gave no figures.
        """
        answer = self.evaluate_chunk([Request(point, scenario, seed)])[0]
        if isinstance(answer, EvaluationError):
            raise answer
        return answer

    def evaluate_chunk(self, requests: Sequence[Request]) -> list[Evaluation | EvaluationError]:
        """Simulate designs, bench by bench; what failed on one is not tried on the next."""
        session = self._take()
        try:
            answers = session.evaluate([request.point for request in requests], self)
        except BaseException:
            session.close()
            raise
        finally:
            self._give_back(session)
        return answers

    def read(self, point: Point, waveforms: Waveforms) -> dict[str, Reading]:
        """One design with its operating points and waveforms, by test bench.

        Raises:
            EvaluationError: ngspice gave no figures.
        """
        session = self._take()
        try:
            return {
                name: simulator.evaluate(self.values(name, point), observe=True, waveforms=waveforms.get(name, {}))
                for name, simulator in session.simulators.items()
            }
        finally:
            self._give_back(session)

    def stop(self) -> None:
        """End all children for good: whoever waits for one gets an :class:`EvaluationError` and starts no other."""
        with self._lock:
            self._stopped = True
            sessions = [*self._idle, *self._busy]
        for session in sessions:
            session.stop()

    def close(self) -> None:
        """End all children, those at work too."""
        with self._lock:
            sessions, self._idle = [*self._idle, *self._busy], []
        for session in sessions:
            session.close()

    def __enter__(self) -> CircuitProblem:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self) -> _Session:
        with self._lock:
            if self._stopped:
                raise EvaluationError("the simulations were stopped")
            session = self._idle.pop() if self._idle else None
            if session is None:
                limit = self.limit_seconds
                session = _Session({n: Simulator(b, limit_seconds=limit) for n, b in self.benches.items()})
            self._busy.append(session)
            return session

    def _give_back(self, session: _Session) -> None:
        with self._lock:
            self._busy.remove(session)
            self._idle.append(session)


def _complete(measure: Measure, devices: tuple[str, ...]) -> Measure:
    """A measure whose ``devices: all`` names the transistors of its deck."""
    if measure.kind is None:
        return measure
    return replace(measure, arguments=KINDS[measure.kind].complete(measure.arguments, devices=devices))


@dataclass
class _Session:
    """One child for each test bench, used by one thread at a time."""

    simulators: dict[str, Simulator] = field(default_factory=dict)

    def close(self) -> None:
        for simulator in self.simulators.values():
            simulator.close()

    def stop(self) -> None:
        for simulator in self.simulators.values():
            simulator.stop()

    def evaluate(self, points: Sequence[Point], problem: CircuitProblem) -> list[Evaluation | EvaluationError]:
        answers = [_Answer() for _ in points]
        for name, simulator in self.simulators.items():
            alive = [position for position, answer in enumerate(answers) if answer.error is None]
            values = [problem.values(name, points[position]) for position in alive]
            try:
                outcomes = simulator.evaluate_chunk(values, observe=problem.observe)
            except InputError as error:
                raise located(error, problem.decks[name], simulator.bench.lines) from None
            for position, outcome in zip(alive, outcomes, strict=True):
                answers[position].add(outcome, name)
        return [answer.error or Evaluation(answer.metrics, answer.observations, answer.seconds) for answer in answers]


@dataclass
class _Answer:
    """What the benches gave of one design so far."""

    metrics: dict[str, float] = field(default_factory=dict)
    observations: dict[str, Mapping[str, float]] = field(default_factory=dict)
    seconds: float = 0.0
    error: EvaluationError | None = None

    def add(self, outcome: Outcome, bench: str) -> None:
        """Add what one more bench gave; a device that stands on several is observed on the first."""
        if isinstance(outcome, EvaluationError):
            problem = f"bench {bench!r}: {outcome.problem}" if bench else outcome.problem
            self.error = type(outcome)(problem, place=outcome.place, remedy=outcome.remedy)
            return
        self.metrics |= outcome.metrics
        self.observations = {**outcome.observations, **self.observations}
        self.seconds += outcome.seconds


def _rebuild(path: Path, limit_seconds: float | None, modes: Mapping[str, str], observe: bool) -> CircuitProblem:
    return CircuitProblem(read_spec(path), limit_seconds=limit_seconds, modes=modes, observe=observe)
