"""A circuit as a problem for the core: a design is simulated on every test bench, each in a child of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from automl_core.errors import EvaluationError, InputError
from automl_core.problem import Evaluation, Request
from automl_core.space import DesignSpace, Point
from circuits.bench import Bench, Reading
from circuits.computed import ComputedMetrics
from circuits.decks import deck_of
from circuits.design_space import circuit_space, own_parameters
from circuits.device_names import analysis_as_ngspice_names_it, measure_as_ngspice_names_it
from circuits.netlist import Deck, alter_targets
from circuits.references import check_references
from circuits.refusals import located
from circuits.rounding import rounded
from circuits.sessions import Sessions
from circuits.simulator import Outcome, Simulator
from circuits.specfile import SpecFile, read_spec

__all__ = ["CircuitProblem", "Waveforms"]

Waveforms = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Test bench -> analysis -> vectors to return; no vector named: all."""

_CHUNK = 16
"""Designs in one exchange with a child at most: enough to hide the exchange."""


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
    divisible = True

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
        self.computed = ComputedMetrics(spec, self.decks)
        self.space: DesignSpace = circuit_space(spec, self.decks)
        self._sessions = Sessions()

    def __reduce__(self) -> tuple[object, ...]:
        """As a reference: decks and children stay here."""
        return _rebuild, (self.spec.path, self.limit_seconds, self.modes, self.observe)

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
            analyses=tuple(
                analysis_as_ngspice_names_it(analysis, deck) for bench, analysis in spec.analyses if bench == name
            ),
            measures=tuple(
                measure_as_ngspice_names_it(measure, deck, devices) for bench, measure in spec.measures if bench == name
            ),
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

    def repair(self, point: Point) -> Point:
        """The same design in as many digits as designers write, so that what is simulated is what the deck gets."""
        return rounded(self.space, point)

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
        answers = [_Answer() for _ in requests]
        with self._sessions.one(self._simulators) as session:
            for name, simulator in session.items():
                alive = [position for position, answer in enumerate(answers) if answer.error is None]
                values = [self.values(name, requests[position].point) for position in alive]
                try:
                    outcomes = simulator.evaluate_chunk(values, observe=self.observe)
                except InputError as error:
                    raise located(error, self.decks[name], simulator.bench.lines) from None
                for position, outcome in zip(alive, outcomes, strict=True):
                    answers[position].add(outcome, name)
        if self.computed:
            for answer, request in zip(answers, requests, strict=True):
                answer.metrics |= self.computed.values(answer.metrics, request.point) if answer.error is None else {}
        return [answer.error or Evaluation(answer.metrics, answer.observations, answer.seconds) for answer in answers]

    def read(self, point: Point, waveforms: Waveforms) -> dict[str, Reading]:
        """One design with its operating points and waveforms, by test bench.

        Raises:
            EvaluationError: ngspice gave no figures.
        """
        with self._sessions.one(self._simulators) as session:
            return {
                name: simulator.evaluate(self.values(name, point), observe=True, waveforms=waveforms.get(name, {}))
                for name, simulator in session.items()
            }

    # The simulators.

    def with_settings(self, *, limit_seconds: float | None, modes: Mapping[str, str]) -> CircuitProblem:
        """The same circuit with other settings, and simulators of its own."""
        other = CircuitProblem.__new__(CircuitProblem)
        other.__dict__.update(self.__dict__, limit_seconds=limit_seconds, modes=dict(modes), _sessions=Sessions())
        other.__dict__.pop("benches", None)
        return other

    def settle(
        self, *, limit_seconds: float, modes: Mapping[str, str], started: Mapping[str, Simulator] | None = None
    ) -> None:
        """Go on with other settings.

        Args:
            limit_seconds: an evaluation that takes longer on a bench is killed.
            modes: "alter" or "reset", by test bench.
            started: simulators from :meth:`simulator` in these modes, by test bench, to go on with.
        """
        started = started or {}
        if started or dict(modes) != self.modes:
            self._sessions.close(but=started.values())
        self.limit_seconds, self.modes = limit_seconds, dict(modes)
        self.__dict__.pop("benches", None)
        if started:
            self._sessions.adopt({**self._simulators(), **started})
        self._sessions.limit(limit_seconds)

    def simulator(self, bench: str, mode: str) -> Simulator:
        """A simulator of one bench in a mode of its own, which ends with the others."""
        held = replace(self.benches[bench], mode=mode)
        return self._sessions.apart(Simulator(held, limit_seconds=self.limit_seconds))

    def stop(self) -> None:
        """End all children for good: whoever waits for one gets an :class:`EvaluationError` and starts no other."""
        self._sessions.stop()

    def close(self) -> None:
        """End all children, those at work too."""
        self._sessions.close()

    def __enter__(self) -> CircuitProblem:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _simulators(self) -> dict[str, Simulator]:
        return {name: Simulator(bench, limit_seconds=self.limit_seconds) for name, bench in self.benches.items()}


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
