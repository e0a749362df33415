"""What is measured before a study: that the deck runs, what an evaluation costs, which mode of simulation is safe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from automl_core.errors import EvaluationError, EvaluationTimeout, InputError
from automl_core.problem import Evaluation
from automl_core.space import Point
from circuits.problem import CircuitProblem
from circuits.refusals import located
from circuits.simulator import Simulator, compare_modes

__all__ = ["Calibration", "Comparison", "calibrate", "check_determinism", "remedy_for", "start_of"]

_AGREEMENT = 1e-5
"""Relative difference up to which altering instances counts as the same as expanding the deck anew: ``meas`` itself
keeps seven digits."""
_COMPARED = 8
_FIRST_PATIENCE = 60.0
"""Seconds that the first evaluation in each mode may take, where the user sets no limit."""
_PATIENCE = 600.0
"""Seconds that a measured evaluation may take there."""


@dataclass(frozen=True)
class Calibration:
    """What was measured.

    Args:
        seconds: wall time of one evaluation, all benches.
        limit_seconds: the time limit of an evaluation on a bench.
        modes: test bench -> "alter" or "reset".
        reasons: test bench -> why.
        start: what the start gave, or why it gave nothing.
    """

    seconds: float
    limit_seconds: float
    modes: Mapping[str, str]
    reasons: Mapping[str, str]
    start: Evaluation | EvaluationError


@dataclass(frozen=True)
class Comparison:
    """A, B, A in one child and A in a fresh one: metrics that differ, as (metric, what was compared, values)."""

    a: Evaluation | EvaluationError
    b: Evaluation | EvaluationError
    differences: tuple[str, ...]


def start_of(problem: CircuitProblem) -> Point:
    """The designer's own sizing; the middle of the space where the deck says nothing."""
    return problem.space.start or problem.space.decode(np.full(problem.space.dim, 0.5))


def remedy_for(error: EvaluationError) -> str:
    """What to do about a start that gives nothing."""
    if isinstance(error, EvaluationTimeout):
        return "shorten the analyses of the spec, or allow more time with --timeout"
    if "singular matrix" in error.problem:
        return "look at the node that it names: a loop of voltage sources and inductors, or no path to ground"
    return "make it run in ngspice first: set starting values (`start:`) that bias the circuit, or a .nodeset"


def calibrate(problem: CircuitProblem, *, limit_seconds: float | None = None) -> Calibration:
    """Measure an evaluation, choose the modes, and settle the problem on what was found.

    Args:
        problem: as it will be studied; it keeps one of the children of each bench that were started for this.
        limit_seconds: the user's time limit; by default max(1 s, 20 times the measured cost).

    Raises:
        InputError: ngspice refuses the deck.
        MissingError: there is no libngspice.
    """
    patience = limit_seconds or _PATIENCE
    problem.settle(limit_seconds=limit_seconds or _FIRST_PATIENCE, modes={})
    with ThreadPoolExecutor() as threads:
        try:
            found = dict(zip(problem.benches, threads.map(partial(_mode, problem), problem.benches), strict=True))
        except BaseException:
            problem.stop()  # or the threads would be waited for
            raise
    modes = {name: choice.mode for name, choice in found.items()}
    started = {name: choice.simulator for name, choice in found.items() if choice.simulator is not None}
    problem.settle(limit_seconds=patience, modes=modes, started=started)
    start, seconds = _timed(problem)
    limit = limit_seconds or max(1.0, 20.0 * seconds)
    problem.settle(limit_seconds=limit, modes=modes)
    return Calibration(seconds, limit, modes, {name: choice.reason for name, choice in found.items()}, start)


@dataclass(frozen=True)
class _Mode:
    """The mode of a bench, why, and a simulator that runs in it, where one was started."""

    mode: str
    reason: str
    simulator: Simulator | None = None


def _timed(problem: CircuitProblem) -> tuple[Evaluation | EvaluationError, float]:
    """The start's evaluation, and the least of three times: the first one loads the deck."""
    point, answer, seconds = start_of(problem), None, math.inf
    for _ in range(3):
        try:
            answer = problem.evaluate(point, "", 0)
            seconds = min(seconds, answer.seconds)
        except EvaluationError as error:
            return error, 0.0 if math.isinf(seconds) else seconds
    return answer or Evaluation({}), seconds


def _mode(problem: CircuitProblem, name: str) -> _Mode:
    reason = problem.unalterable(name)
    if reason is not None:
        return _Mode("reset", reason)
    expanded, altered = (problem.simulator(name, mode) for mode in ("reset", "alter"))
    try:
        worst = compare_modes(expanded, altered, _spread(problem, name))
    except InputError as error:
        raise located(error, problem.decks[name], problem.benches[name].lines) from None
    if worst <= _AGREEMENT:
        reason = f"altering devices agrees with expanding the deck anew to {worst:.1e} at {_COMPARED} designs"
        return _Mode("alter", reason, altered)
    reason = f"altering devices differs from expanding the deck anew by {worst:.1e} at {_COMPARED} designs"
    return _Mode("reset", reason, expanded)


def _spread(problem: CircuitProblem, name: str) -> list[dict[str, float]]:
    """Designs spread over the space, the start first."""
    units = np.random.default_rng(0).random((_COMPARED - 1, problem.space.dim))
    points = [start_of(problem), *(problem.space.decode(unit) for unit in units)]
    return [problem.values(name, point) for point in points]


def check_determinism(problem: CircuitProblem) -> Comparison:
    """Evaluate A, B, A, and A in a fresh child: the same design has to give the same figures to the last bit.

    Raises:
        InputError: ngspice refuses the deck.
        MissingError: there is no libngspice.
    """
    a = start_of(problem)
    units = problem.space.encode(a)
    b = problem.space.decode(units + np.where(units > 0.8, -0.2, 0.2))
    first, other, again = (_answer(problem, point) for point in (a, b, a))
    problem.close()
    fresh = _answer(problem, a)
    differences = [*_differences(first, again, "after another design"), *_differences(first, fresh, "in a fresh child")]
    return Comparison(first, other, tuple(differences))


def _answer(problem: CircuitProblem, point: Point) -> Evaluation | EvaluationError:
    try:
        return problem.evaluate(point, "", 0)
    except EvaluationError as error:
        return error


def _differences(one: Evaluation | EvaluationError, two: Evaluation | EvaluationError, when: str) -> list[str]:
    if isinstance(one, EvaluationError) or isinstance(two, EvaluationError):
        return [] if type(one) is type(two) else [f"a design failed once and not again ({when})"]
    return [
        f"{name} was {value!r}, then {two.metrics.get(name)!r} {when}"
        for name, value in one.metrics.items()
        if repr(two.metrics.get(name)) != repr(value)
    ]
