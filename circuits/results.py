"""What a sizing run leaves in its folder: the sized deck, the figures, and whether a fresh ngspice confirms them.

matplotlib is imported only to draw: that takes longer than most of what is done here.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automl_core.errors import EvaluationError, InputError, MissingError
from automl_core.problem import Trial
from automl_core.report.terminal import json_text
from automl_core.runs import write_whole
from automl_core.study import Study
from circuits.bench import Array, Reading
from circuits.measures import KINDS
from circuits.problem import CircuitProblem, Waveforms
from circuits.signoff import SignOff, sign_off
from circuits.sized_deck import MAIN, device_values, sized_decks

__all__ = ["Results", "draw_results", "write_results"]

_TAKEN_NET = re.compile(r"\bv(?:db|m|p|r|i)?\(\s*([^\s(),]+)\s*\)", re.IGNORECASE)
"""A net's voltage in the language of ``meas``: "vdb(out)"; the difference of two nets is left out."""


@dataclass(frozen=True)
class Results:
    """What was written.

    Args:
        best: the best trial.
        sign_off: the independent run's verdict, or why there is none.
        devices: device -> its kind and sizes, as the sized deck has them; those that no variable sets are left out.
        operating_points: device -> gm, gds, id, ... of the best design.
        files: what was written, in the order worth reading.
        readings: the best design, simulated once more with its waveforms, by test bench.
    """

    best: Trial
    sign_off: SignOff | str
    devices: Mapping[str, Mapping[str, float | str]]
    operating_points: Mapping[str, Mapping[str, float]]
    files: tuple[Path, ...]
    readings: Mapping[str, Reading] = field(default_factory=dict, repr=False)

    @property
    def confirmed(self) -> bool:
        """Whether an independent run confirms every spec."""
        return isinstance(self.sign_off, SignOff) and not self.sign_off.objections


def write_results(
    folder: Path,
    problem: CircuitProblem,
    study: Study,
    facts: Mapping[str, Any],
    best: Trial,
    *,
    began: float | None = None,
    interrupted: bool = False,
) -> Results:
    """Write ``sized.cir`` and ``best.json``.

    Args:
        folder: of the run.
        problem: with its simulators, which are ended.
        study: the study.
        facts: of the run.
        best: its best trial.
        began: when the command did, as ``time.monotonic()`` says.
        interrupted: simulate nothing more: neither sign off nor read the operating points.
    """
    for name, text in sized_decks(problem, best.point).items():
        write_whole(folder / name, text)
    verdict = "the run was stopped before its end" if interrupted else _sign_off(folder, problem, study, best)
    readings = {} if interrupted else _readings(problem, best)
    points: dict[str, Mapping[str, float]] = {}
    for reading in readings.values():
        points = {**reading.observations, **points}  # a device that stands on several benches: as on the first
    devices = device_values(folder)
    sized = {node.name for node in problem.space.nodes if node.slots}
    labels = {device.label for deck in problem.decks.values() for device in deck.devices if device.name in sized}
    varied = {label: sizes for label, sizes in devices.items() if label in labels}
    results = Results(best, verdict, varied, points, (folder / MAIN, folder / "best.json"), readings)
    write_whole(folder / "best.json", _best_json(study, facts, results, devices, began))
    return results


def draw_results(folder: Path, problem: CircuitProblem, study: Study, results: Results) -> tuple[Path, ...]:
    """Draw the figures of a run.

    ``convergence.svg`` always; ``bode.svg`` where there is an AC analysis; ``front.svg`` where there are several goals.

    Returns:
        The files.
    """
    from automl_core.report.figures import convergence, front, save
    from circuits.bode import bode

    figures = {"convergence.svg": convergence(study.trials, study.specs)}
    curves = _responses(problem, results.readings)
    if curves:
        figures["bode.svg"] = bode(curves, results.best.metrics)
    if len(study.specs.goals) > 1:
        figures["front.svg"] = front(study.trials, study.specs)
    for name, figure in figures.items():
        save(figure, folder / name)
    return tuple(folder / name for name in figures)


def _sign_off(folder: Path, problem: CircuitProblem, study: Study, best: Trial) -> SignOff | str:
    try:
        return sign_off(folder, MAIN, best.metrics, study.specs, compat=problem.spec.simulator.compat)
    except (MissingError, EvaluationError) as error:
        return str(error)


def _curves(problem: CircuitProblem) -> list[tuple[str, str, str]]:
    """(bench, analysis, vector) of the responses to draw: the nodes that measures of plain AC analyses read."""
    plain = {analysis.name for _, analysis in problem.spec.analyses if analysis.kind == "ac" and not analysis.stimulus}
    found: dict[tuple[str, str, str], None] = {}
    for bench, measure in problem.spec.measures:
        if measure.analysis in plain and measure.kind is not None:
            vectors = KINDS[measure.kind].vectors(measure.arguments)
            found |= {(bench, measure.analysis, vector): None for vector in vectors[:1]}
        elif measure.analysis in plain and measure.take is not None:
            found |= {(bench, measure.analysis, f"v({net})"): None for net in _TAKEN_NET.findall(measure.take)[:1]}
    return list(found)


def _readings(problem: CircuitProblem, best: Trial) -> dict[str, Reading]:
    wanted: dict[str, dict[str, tuple[str, ...]]] = {}
    for bench, analysis, vector in _curves(problem):
        vectors = wanted.setdefault(bench, {})
        vectors[analysis] = (*vectors.get(analysis, ()), vector)
    waveforms: Waveforms = wanted
    try:
        return problem.read(best.point, waveforms)
    except (EvaluationError, InputError):  # a net that is not there: no plot is worth losing a result for
        return {}
    finally:
        problem.close()


def _responses(problem: CircuitProblem, readings: Mapping[str, Reading]) -> dict[str, tuple[Array, Array]]:
    curves = {}
    for bench, analysis, vector in _curves(problem):
        waves = readings[bench].waveforms.get(analysis, {}) if bench in readings else {}
        if vector in waves:
            curves[f"{vector}, {analysis}"] = (next(iter(waves.values())), waves[vector])
    return curves


def _best_json(
    study: Study,
    facts: Mapping[str, Any],
    results: Results,
    devices: Mapping[str, Mapping[str, float | str]],
    began: float | None,
) -> str:
    best, verdict = results.best, results.sign_off
    specs = [
        {
            "metric": spec.metric,
            "min": spec.minimum,
            "max": spec.maximum,
            "goal": spec.goal,
            "unit": spec.unit,
            "reached": best.metrics.get(spec.metric, math.nan),
            "margin": _finite(spec.margin(best.metrics.get(spec.metric, math.nan))),
            "met": spec.met(best.metrics.get(spec.metric, math.nan)),
        }
        for spec in study.specs.specs
    ]
    signed: dict[str, Any] = (
        {"error": verdict}
        if isinstance(verdict, str)
        else {
            "printed": dict(verdict.printed),
            "worst_relative_difference": verdict.worst,
            "unconfirmed": list(verdict.unconfirmed),
            "objections": list(verdict.objections),
        }
    )
    content = {
        "point": dict(best.point),
        "metrics": dict(best.metrics),
        "specs": specs,
        "met": all(entry["met"] for entry in specs),
        "confirmed": results.confirmed,
        "devices": devices,
        "operating_points": results.operating_points,
        "sign_off": signed,
        "trial": best.number,
        "evaluations": study.spent,
        "seconds": study.elapsed,
        "command_seconds": None if began is None else time.monotonic() - began,
        "simulator_seconds": sum(trial.seconds for trial in study.trials),
        **{name: facts[name] for name in ("command", "seed", "optimizer", "reason", "modes", "versions")},
    }
    return json_text(content)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
