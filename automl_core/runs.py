"""The folder of a run: where it is, and that nothing in it is overwritten."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from automl_core.errors import InputError

__all__ = ["RECORD", "new_run_folder", "versions", "write_whole"]

RECORD = "study.sqlite"
"""The record's file in a run folder."""


def new_run_folder(asked: Path | None, name: str) -> Path:
    """Make the folder of a new run.

    Args:
        asked: where the user wants it; it may exist, if it is empty. ``None``: ``runs/<name>-<n>``.
        name: of what is run.

    Raises:
        InputError: the folder holds something already, or cannot be made.
    """
    folder = asked or Path("runs")
    try:
        if asked is None:
            return _make_next(folder, name)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            remedy = f"`sizewise resume {folder}` goes on with a run; or name another folder"
            raise InputError(
                "the folder is not empty, and a run never overwrites one", place=str(folder), remedy=remedy
            )
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"the run folder cannot be made: {reason}", place=str(folder), remedy="name another one with -o"
        ) from error
    return folder


def _make_next(parent: Path, name: str) -> Path:
    """Make the first of the numbered folders that is not there: of two runs begun at once, only one can."""
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = parent / f"{name}-{number}"
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all: a reader never sees half of it.

    Raises:
        InputError: it cannot be written (a full disk, a folder that is read-only).
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InputError(
            f"cannot be written: {error.strerror or error}",
            place=str(path),
            remedy="check the space and the rights there",
        ) from error


def versions(*packages: str) -> dict[str, str]:
    """The versions that a run stands on: Python's, sizewise's and those of the packages that decide its figures."""
    return {"python": platform.python_version(), **{name: version(name) for name in ("sizewise", *packages)}}
