"""A circuit as an entry of a comparison: measured once, and from then on as it was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from automl_core.contest import Entry
from automl_core.errors import RecordError
from automl_core.specs import Specs
from circuits.calibration import calibrate
from circuits.problem import CircuitProblem
from circuits.sizing import digest, refuse_dead_start, scales_of
from circuits.specfile import circuit_name, read_spec

__all__ = ["circuit_entry"]


def circuit_entry(
    spec_path: Path, folder: Path | None = None, *, limit_seconds: float | None = None, specs: Specs | None = None
) -> Entry:
    """Make an entry: the time limit, the modes of the simulator and the cost of an evaluation decide histories.

    Args:
        spec_path: the spec.
        folder: of the comparison, where these are kept if it has been begun; otherwise they are measured now.
        limit_seconds: the user's time limit.
        specs: to be judged by, where not by those of the file.

    Raises:
        InputError: the spec or a deck is wrong, or the start gives no figures at all.
        RecordError: the circuit, or the limit, is not the one that the comparison was begun with.
        MissingError: there is no libngspice.
    """
    problem = CircuitProblem(read_spec(spec_path))
    specs = specs or problem.spec.specs
    kept = None if folder is None else Entry.kept(folder, circuit_name(spec_path))
    if kept is None:
        with problem:
            measured = calibrate(problem, limit_seconds=limit_seconds)
            refuse_dead_start(problem, measured)
        seconds: float | None = measured.seconds or None
        identity: dict[str, Any] = {
            "limit_seconds": measured.limit_seconds,
            "modes": dict(measured.modes),
            "scales": scales_of(specs, measured),
        }
    else:
        seconds, identity = kept
        _refuse_other_limit(identity["limit_seconds"], limit_seconds, spec_path)
        problem.settle(limit_seconds=identity["limit_seconds"], modes=identity["modes"])
    found = {**identity, "digest": digest(problem)}
    if kept is not None and found != identity:
        raise RecordError(
            "the circuit has changed since the comparison began, so its studies are not of this one",
            place=str(spec_path),
            remedy="undo the change, or compare in another folder (-o)",
        )
    scaled = specs.scaled_by(identity.get("scales", {}))
    return Entry(circuit_name(spec_path), problem, scaled, seconds, found)


def _refuse_other_limit(begun_with: float, asked: float | None, place: Path) -> None:
    if asked is not None and asked != begun_with:
        raise RecordError(
            f"the comparison was begun with a time limit of {begun_with:g} s, not {asked:g} s",
            place=str(place),
            remedy="leave --timeout out, or compare in another folder (-o)",
        )
