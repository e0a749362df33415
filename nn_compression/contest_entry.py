"""A network as an entry of a comparison: trained once, and from then on as its weights are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from automl_core.contest import Entry
from automl_core.errors import EvaluationError, InputError, RecordError
from nn_compression.files.tensor_files import digest
from nn_compression.hardware import HARDWARE, load_hardware
from nn_compression.problem_files import ProblemSpec, parse_problem, read_problem
from nn_compression.problems.network_problem import NetworkProblem
from nn_compression.training.loop import Epoch
from nn_compression.training.trained_weights import trained_weights, usual_schedule

__all__ = ["network_entry"]


def network_entry(text: str, folder: Path | None = None, *, told: Callable[[str], None] | None = None) -> Entry:
    """Make an entry.

    Args:
        text: ``NETWORK:METHOD:BUDGET`` of the zoo, or the path of a file, as :mod:`nn_compression.problem_files` says.
        folder: of the comparison, if it has been begun: what an evaluation was measured to cost is kept there.
        told: hears of every epoch of a training.

    Raises:
        InputError: the problem, the network or its weights are wrong, or the start gives no figure.
        RecordError: the network is not the one that the comparison was begun with.
    """
    path = Path(text)
    spec = read_problem(path) if path.suffix in (".yaml", ".yml") else parse_problem(text)
    problem = spec.problem(spec.weights or _trained(spec, told))
    identity = _identity(spec, problem)
    kept = None if folder is None else Entry.kept(folder, spec.name)
    if kept is None:
        return Entry(spec.name, problem, problem.specs, _cost(problem, text), identity)
    seconds, known = kept
    if changed := [part for part in identity if known.get(part) != identity[part]]:
        raise RecordError(
            f"the {changed[0]} of the network has changed since the comparison began",
            place=text,
            remedy="undo the change, or compare in another folder (-o)",
        )
    return Entry(spec.name, problem, problem.specs, seconds, identity)


def _trained(spec: ProblemSpec, told: Callable[[str], None] | None) -> Path:
    schedule = usual_schedule(spec.network)
    if schedule is None:
        raise InputError("a network of your own needs its weights", place=spec.network, remedy="add `weights:`")

    def progress(epoch: Epoch) -> None:
        if told is not None:
            told(f"training {spec.network}: epoch {epoch.number} of {schedule.epochs}")

    return trained_weights(spec.network, spec.data, schedule, seed=spec.seed, progress=progress)


def _identity(spec: ProblemSpec, problem: NetworkProblem) -> dict[str, Any]:
    """What a record must agree in; the weights by their checksum and a machine by its peaks, wherever they lie."""
    split = problem.network.data.validation
    return {
        "settings": {
            "network": spec.network,
            "data": spec.data,
            "method": spec.method,
            "budget": str(spec.budget),
            "keep": list(spec.keep),
            "round_to": spec.round_to,
            "hardware": spec.hardware if spec.hardware in HARDWARE else str(load_hardware(spec.hardware)),
            "seed": spec.seed,
        },
        "judging": asdict(problem.judging),
        "weights": digest(problem.network.model.state_dict()),
        "validation data": digest({"inputs": split.inputs, "targets": split.targets}),
    }


def _cost(problem: NetworkProblem, place: str) -> float:
    """Seconds of an evaluation, once what it needs is loaded."""
    start = problem.space.start or {}
    try:
        for _ in range(2):
            began = time.perf_counter()
            problem.evaluate(start, "", 0)
    except EvaluationError as error:
        remedy = "correct the network or its data; nothing of it can be compared as it is"
        raise InputError(f"the uniform design gives no figure: {error.problem}", place=place, remedy=remedy) from error
    return time.perf_counter() - began
