"""What a document's model finds wrong with it, told with the file, the line and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from automl_core.errors import InputError
from automl_core.located_yaml import LocatedYaml, Location, read_yaml
from automl_core.nearest import did_you_mean

__all__ = ["explained", "read_document"]

SomeDocument = TypeVar("SomeDocument", bound=BaseModel)


def read_document(path: Path, kind: type[SomeDocument]) -> tuple[LocatedYaml, SomeDocument]:
    """Read a YAML file whose keys are all at the top.

    Args:
        path: the file.
        kind: its model.

    Returns:
        The file with the places of its keys, and what it says.

    Raises:
        InputError: with file, line and value: whatever is wrong with it.
    """
    source = read_yaml(path)
    try:
        return source, kind.model_validate(source.tree)
    except ValidationError as error:
        raise explained(source, error, lambda _: kind.model_fields) from None


def explained(
    source: LocatedYaml, error: ValidationError, known: Callable[[Location], Iterable[str]], what: str = "the keys"
) -> InputError:
    """The first thing that is wrong.

    Args:
        source: the document.
        error: what pydantic found; a message of the model's own may part problem and remedy by a semicolon.
        known: the keys that may stand where an unknown one was found.
        what: the plural of these, with "the".
    """
    first = error.errors()[0]
    location, kind, message = first["loc"], first["type"], first["msg"]
    where, name = source.place(location), str(location[-1]) if location else ""
    if kind == "extra_forbidden":
        return InputError(f"unknown key {name!r}", place=where, remedy=did_you_mean(name, known(location), what))
    if kind == "missing":
        above = f" of {str(location[-2])!r}" if len(location) > 1 else ""
        return InputError(f"the key {name!r}{above} is missing", place=where, remedy=f"add `{name}:`")
    if kind == "literal_error":
        remedy = message.replace("Input should be", "it should be")
        return InputError(f"{name} is {first.get('input')!r}", place=where, remedy=remedy)
    problem, remedy = _split(message.removeprefix("Value error, "))
    path = ".".join(map(str, location))
    return InputError(f"{path}: {problem}", place=where, remedy=remedy or "correct this value")


def _split(message: str) -> tuple[str, str]:
    """Problem and remedy, which a semicolon parts; one inside a quoted value does not."""
    match = re.fullmatch(r"((?:'[^']*'|\"[^\"]*\"|[^'\"])*?); (.*)", message, re.DOTALL)
    return (match[1], match[2]) if match else (message, "")
