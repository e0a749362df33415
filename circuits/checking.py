"""What ``check`` says of a spec before a study: what varies, what the start reaches, its cost, whether it repeats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_core.errors import EvaluationError
from automl_core.problem import Evaluation
from automl_core.report.engineering import engineering
from automl_core.report.tables import rows_table, spec_table
from circuits.calibration import Calibration, Comparison, calibrate, check_determinism, remedy_for, start_of
from circuits.design_space import moved_starts
from circuits.matching import Match, find_matches
from circuits.numbers import short_number
from circuits.problem import CircuitProblem
from circuits.specfile import read_spec

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Report", "examine"]


@dataclass(frozen=True)
class Report:
    """What was found.

    Args:
        problem: the circuit.
        calibration: cost, time limit, modes and the start's figures.
        comparison: A, B, A, and A in a fresh child.
        notes: measure -> why it has no figure at the start.
        matches: matched devices found in the circuit.
    """

    problem: CircuitProblem
    calibration: Calibration
    comparison: Comparison
    notes: dict[str, str]
    matches: tuple[Match, ...]

    @property
    def failure(self) -> str | None:
        """Why the start gave nothing; ``None`` where it gave figures."""
        start = self.calibration.start
        return f"{start}\n  {remedy_for(start)}" if isinstance(start, EvaluationError) else None

    @property
    def sound(self) -> bool:
        """Whether a study can begin: the start has figures, and the same design always gives the same ones."""
        return self.failure is None and not self.comparison.differences

    @property
    def metrics(self) -> dict[str, float]:
        """Of the start."""
        start = self.calibration.start
        return dict(start.metrics) if isinstance(start, Evaluation) else {}

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        calibration, problem = self.calibration, self.problem
        return {
            "sound": self.sound,
            "failure": self.failure,
            "metrics": self.metrics,
            "notes": self.notes,
            "met": {s.metric: s.met(self.metrics.get(s.metric, math.nan)) for s in problem.spec.specs.specs},
            "deterministic": not self.comparison.differences,
            "differences": list(self.comparison.differences),
            "milliseconds": calibration.seconds * 1e3,
            "limit_seconds": calibration.limit_seconds,
            "modes": {
                bench: {"mode": mode, "reason": calibration.reasons[bench]} for bench, mode in calibration.modes.items()
            },
            "variables": {v.name: {"low": v.low, "high": v.high, "start": v.start} for v in problem.space.variables},
            "matches": [{"kind": match.kind, "devices": list(match.devices)} for match in self.matches],
            "warnings": self.warnings,
        }

    @property
    def warnings(self) -> list[str]:
        """What is probably not meant."""
        problem = self.problem
        return [*problem.spec.warnings, *moved_starts(problem.spec, problem.decks, problem.space)]

    def show(self, console: Console) -> None:
        """For people."""
        for line in [f"warning: {warning}" for warning in self.warnings]:
            _say(console, line)
        console.print(self._variables())
        self._show_circuit(console)
        if self.failure is not None:
            _say(console, f"the deck's own sizing gives no figures: {self.failure}")
            return
        console.print(spec_table(self.problem.spec.specs, self.metrics, engineering, title="the deck's own sizing"))
        for name, note in self.notes.items():
            _say(console, f"{name}: {note}")
        self._show_simulation(console)

    def _variables(self) -> Any:
        rows = []
        labels = {device.name: device.label for deck in self.problem.decks.values() for device in deck.devices}
        for variable in self.problem.space.variables:
            users = [
                f"{labels.get(node.name, node.name)}.{slot}"
                for node in self.problem.space.nodes
                for slot, name in node.slots.items()
                if name == variable.name
            ]
            grid = (
                "integer"
                if variable.integer
                else f"step {short_number(variable.step)}"
                if variable.step
                else variable.scale
            )
            values = [
                short_number(float(value))
                for value in (variable.low, variable.high, float(start_of(self.problem)[variable.name]))
            ]
            rows.append([variable.name, *values, grid, ", ".join(users)])
        return rows_table(["variable", "min", "max", "start", "scale", "sets"], rows, title="what varies")

    def _show_circuit(self, console: Console) -> None:
        for bench, deck in self.problem.decks.items():
            _say(
                console,
                f"{deck.path.name}{f' ({bench})' if bench else ''}: {len(deck.devices)} devices, {len(deck.nets)} nets",
            )
            for note in deck.notes:
                _say(console, f"  not lifted: {note}")
        for match in self.matches:
            _say(console, f"matched: {match.kind.replace('_', ' ')} {', '.join(match.devices)} ({match.evidence})")

    def _show_simulation(self, console: Console) -> None:
        calibration = self.calibration
        for bench, mode in calibration.modes.items():
            _say(console, f"simulation of {bench or 'the deck'}: mode {mode}: {calibration.reasons[bench]}")
        milliseconds = calibration.seconds * 1e3
        _say(console, f"{milliseconds:.3g} ms an evaluation; one is killed after {calibration.limit_seconds:.3g} s")
        for difference in self.comparison.differences:
            _say(console, f"not deterministic: {difference}")
        if self.comparison.differences:
            _say(
                console,
                "the kit probably draws random numbers: choose a section without statistics, or switch them off",
            )
        else:
            _say(console, "deterministic: A, B, A, and A in a fresh simulator gave the same figures to the last bit")


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def examine(spec_path: Path, *, limit_seconds: float | None = None) -> Report:
    """Check a spec and its decks by running them.

    Raises:
        InputError: the spec or a deck is wrong.
        MissingError: there is no libngspice.
    """
    with CircuitProblem(read_spec(spec_path)) as problem:
        calibration = calibrate(problem, limit_seconds=limit_seconds)
        comparison = check_determinism(problem)
        notes = _notes(problem)
    matches = {match.devices: match for deck in problem.decks.values() for match in find_matches(deck)}
    return Report(problem, calibration, comparison, notes, tuple(matches.values()))


def _notes(problem: CircuitProblem) -> dict[str, str]:
    """Why measures have no figure at the start."""
    try:
        readings = problem.read(start_of(problem), {})
    except EvaluationError:
        return {}
    return {name: note for reading in readings.values() for name, note in reading.notes.items()}
