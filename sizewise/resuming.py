"""The command ``resume``: what kind of run a folder holds decides which field goes on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from automl_core.report.options import Jobs, Json
from circuits import commands as circuit_commands
from nn_compression import commands as network_commands

__all__ = ["resume"]

_CIRCUITS = ("sizing", "training")
_NETWORKS = ("compression",)


def resume(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    jobs: Jobs = 0,
    json: Json = False,
) -> None:
    """Go on with a run that was stopped, killed or cut off; nothing that was evaluated or trained is repeated."""
    go_on = circuit_commands.resume_run if _kind(run) in _CIRCUITS else network_commands.resume_run
    go_on(run, jobs, json=json)


def _kind(folder: Path) -> str:
    """What the record says that the run is.

    Raises:
        RecordError: there is no run, or one that nobody can go on with.
    """
    from automl_core.errors import RecordError
    from automl_core.record import Record
    from automl_core.runs import RECORD

    if any(folder.glob("*/problem.json")):
        remedy = "repeat its `sizewise compare` with the same -o: what is finished is not done again"
        raise RecordError("this is the folder of a comparison", place=str(folder), remedy=remedy)
    with Record.open(folder / RECORD) as record:
        kind = record.facts().get("kind")
    if kind not in (*_CIRCUITS, *_NETWORKS):
        remedy = "begin a new run"
        raise RecordError("this is not the folder of a finished set-up", place=str(folder), remedy=remedy)
    return str(kind)
