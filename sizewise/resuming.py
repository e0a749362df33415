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
_SHOWN = 4
"""Runs that a message names, the newest."""


def resume(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    jobs: Jobs = 0,
    lr: Annotated[
        float | None,
        typer.Option(min=1e-12, help="Of a compression: another learning rate from now on.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Go on with a run that was stopped, killed or cut off; nothing that was evaluated or trained is repeated."""
    if _kind(run) in _NETWORKS:
        network_commands.resume_run(run, jobs, learning_rate=lr, json=json)
        return
    if lr is not None:
        from automl_core.errors import InputError

        raise InputError("a circuit is not trained", place="--lr", remedy="leave it out")
    circuit_commands.resume_run(run, jobs, json=json)


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
    if not (folder / RECORD).is_file():
        raise RecordError(_what_is_missing(folder), place=str(folder), remedy=_what_to_give(folder))
    with Record.open(folder / RECORD) as record:
        kind = record.facts().get("kind")
    if kind not in (*_CIRCUITS, *_NETWORKS):
        remedy = "begin a new run"
        raise RecordError("this is not the folder of a finished set-up", place=str(folder), remedy=remedy)
    return str(kind)


def _what_is_missing(folder: Path) -> str:
    from automl_core.runs import RECORD

    if not folder.exists():
        return "there is no such folder"
    return f"this is not the folder of a run: it holds no {RECORD}" if folder.is_dir() else "this is a file, no folder"


def _what_to_give(folder: Path) -> str:
    """What a run folder is, with the newest of those in the folder, beside it or in ``runs``."""
    from automl_core.runs import RECORD

    wanted = "give the folder that `sizewise size`, `train` or `compress` named as its run folder"
    for place in (folder, folder.parent, Path("runs")):
        found = sorted((path.parent for path in place.glob(f"*/{RECORD}")), key=lambda run: run.stat().st_mtime)
        if found:
            return f"{wanted}; there are {', '.join(map(str, reversed(found[-_SHOWN:])))}"
    return f"{wanted}; by default they are in runs"
