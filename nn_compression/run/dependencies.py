"""What a run depends on: its data, the user's own code and the files that were named, each with a checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from automl_core.errors import RecordError
from nn_compression.data import SettledData
from nn_compression.files.user_code import is_user_reference, users_files
from nn_compression.run.settings import Settings

__all__ = ["digests", "refuse_changes"]


def digests(settings: Settings, data: SettledData) -> dict[str, str | None]:
    """The checksum of each thing, by its name; ``None`` for a file that is not there."""
    own = any(is_user_reference(each) for each in (settings.model or "", settings.data or ""))
    files = [*settings.files, *(map(Path, sorted(users_files())) if own else ())]
    return {**_of_splits(data), **{str(file): _of_file(file) for file in files}}


def refuse_changes(folder: Path, known: Mapping[str, str | None], data: SettledData, needless: str | None) -> None:
    """Refuse to go on with a run where something it depends on is not what it was.

    Args:
        folder: of the run, for messages.
        known: ``digests`` when it began.
        data: as it is now.
        needless: a file that the run does not need any more.

    Raises:
        RecordError: what has changed, or is gone.
    """
    splits = _of_splits(data)
    for name, checksum in known.items():
        found = splits[name] if name in splits else _of_file(Path(name))
        if name == needless or found == checksum:
            continue
        if found is None:
            remedy = "bring it back, or begin a new run"
            raise RecordError(f"{name} is gone, and the run still needs it", place=str(folder), remedy=remedy)
        raise RecordError(
            f"{name} has changed since the run began: what it holds does not fit any more",
            place=str(folder),
            remedy="undo the change, or begin a new run",
        )


def _of_splits(data: SettledData) -> dict[str, str]:
    splits = {"training": data.train, "validation": data.validation, "test": data.test}
    return {f"the {name} split": split.checksum for name, split in splits.items()}


def _of_file(path: Path) -> str | None:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() if path.is_file() else None
