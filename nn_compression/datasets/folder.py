"""Where the standard data sets lie: the folder that SIZEWISE_DATA names, by default ``data``."""

from __future__ import annotations

import os
from pathlib import Path

from automl_core.errors import InputError

__all__ = ["data_folder", "read_whole", "required"]


def data_folder() -> Path:
    """The folder of the data sets: ``SIZEWISE_DATA``, or ``data`` in the current folder."""
    return Path(os.environ.get("SIZEWISE_DATA") or "data")


def required(path: Path, source: str | None) -> Path:
    """A file that must be there.

    Args:
        path: where it is expected.
        source: where to get it, as an end of "get it from ..."; ``None``: it is the user's own, of no data set.

    Raises:
        InputError: it is not there.
    """
    if not path.is_file():
        if source is None:
            raise InputError("there is no such file", place=str(path.absolute()), remedy="give the path of one")
        remedy = f"get it from {source}, or set SIZEWISE_DATA to the folder that holds it"
        raise InputError("this file of the data set is missing", place=str(path.absolute()), remedy=remedy)
    return path


def read_whole(path: Path, source: str | None) -> bytes:
    """The bytes of a file that must be there, as ``required`` takes it.

    Raises:
        InputError: it is not there, or cannot be read.
    """
    try:
        return required(path, source).read_bytes()
    except OSError as error:
        raise InputError(
            f"it cannot be read: {error.strerror}", place=str(path), remedy="check the rights to it"
        ) from error
