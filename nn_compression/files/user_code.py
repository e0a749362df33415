"""What a user names as ``module:function``: imported from the current folder, called, and blamed where it fails."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from automl_core.errors import InputError, SizewiseError
from automl_core.nearest import did_you_mean
from nn_compression.training.devices import is_about_memory

__all__ = ["blaming", "call", "function_of", "is_user_reference", "users_files", "users_line"]

_OURS = ("automl_core", "circuits", "nn_compression", "sizewise")
_INSTALLED = {"site-packages", "dist-packages"}


def is_user_reference(reference: str) -> bool:
    """Whether it is written ``module:function``."""
    return ":" in reference


def function_of(reference: str) -> Callable[[], Any]:
    """The function that a reference names.

    The current folder is importable, as it is for ``python -m``.

    Args:
        reference: "module:function" or "package.module:function".

    Raises:
        InputError: there is no such module or function, or importing it fails (with the file and line).
    """
    module_name, _, name = reference.partition(":")
    parts = module_name.split(".")
    if not name.isidentifier() or not all(part.isidentifier() for part in parts) or parts[-1] == "py":
        remedy = "write it module:function, with dots for folders and without .py: 'my_folder.my_model:network'"
        raise InputError("this is no module:function", place=reference, remedy=remedy)
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = _imported(module_name, reference)
    if not hasattr(module, name):
        public = [each for each in vars(module) if not each.startswith("_")]
        remedy = did_you_mean(name, public, "its names")
        raise InputError(f"the module {module_name!r} has no {name!r}", place=reference, remedy=remedy)
    function = getattr(module, name)
    if not callable(function):
        remedy = "name a function that takes no arguments"
        raise InputError(f"{name!r} is a {type(function).__name__}, no function", place=reference, remedy=remedy)
    return function  # type: ignore[no-any-return]


def _imported(module_name: str, reference: str) -> Any:
    importlib.invalidate_caches()  # the file may be newer than what the interpreter remembers of the folder
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            files = [path.stem for path in Path.cwd().glob("*.py")]
            remedy = f"it is looked for in {Path.cwd()} and among the installed packages; "
            remedy += did_you_mean(module_name, files, "the modules of that folder")
            raise InputError(f"there is no module {error.name!r}", place=reference, remedy=remedy) from error
        raise _blamed(error, reference, f"importing {module_name}") from error
    except (Exception, SystemExit) as error:
        raise _blamed(error, reference, f"importing {module_name}") from error


def call(function: Callable[[], Any], reference: str) -> Any:
    """Call a user's function.

    Raises:
        InputError: it raises, or takes arguments; with the file and line of the user's code.
    """
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise _blamed(error, reference, f"calling {reference}") from error


@contextmanager
def blaming(doing: str, place: str | None = None) -> Iterator[None]:
    """Within this, an error that comes from a user's file is told with its line.

    Args:
        doing: what is done with the user's code, after "it happened".
        place: where it was, for an error that comes from elsewhere (a user's network may be all of torch's own
            modules); ``None``: such an error is left alone. A lack of memory always is.

    Raises:
        InputError: an error came from a user's file, or from elsewhere and there is a ``place``.
    """
    try:
        yield
    except SizewiseError:
        raise
    except Exception as error:
        if is_about_memory(error) or not (place or _users_frames(error)):
            raise
        raise _blamed(error, place or "", doing) from error


def _blamed(error: BaseException, reference: str, doing: str) -> InputError:
    """The user's own line: the deepest frame that is not in this package, the interpreter or an installed one."""
    if isinstance(error, InputError):
        return InputError(error.problem, place=error.place or reference, remedy=error.remedy)
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}:{error.lineno}"
        return InputError(f"SyntaxError: {error.msg}", place=place, remedy="correct it there")
    line = users_line(error)
    place = line or reference
    text = str(error).strip().splitlines()
    remedy = f"it happened {doing}: correct it there"
    if line is None and isinstance(error, TypeError) and is_user_reference(reference):
        remedy = f"{reference} must be callable without arguments"
    return InputError(f"{type(error).__name__}{': ' + text[0] if text else ''}", place=place, remedy=remedy)


def users_line(error: BaseException) -> str | None:
    """``file:line`` of the user's own code that an error comes from; ``None`` where it passed through none."""
    frames = _users_frames(error)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def users_files() -> set[str]:
    """The files of all modules of the user's own that are imported, but for the script that runs."""
    modules = {name: each for name, each in sys.modules.items() if name not in ("__main__", "__mp_main__")}
    files = {file for each in modules.values() if (file := getattr(each, "__file__", None)) is not None}
    return {file for file in files if _is_users(file) and Path(file).is_file()}


def _users_frames(error: BaseException) -> list[traceback.FrameSummary]:
    return [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]


def _is_users(filename: str) -> bool:
    if filename.startswith("<") or _INSTALLED & set(Path(filename).parts):
        return False
    path = Path(filename).resolve()
    return not (_INSTALLED & set(path.parts) or any(path.is_relative_to(folder) for folder in _not_users()))


@cache
def _not_users() -> tuple[Path, ...]:
    """The folders of this package and of the interpreter."""
    root = Path(__file__).resolve().parents[2]
    return (*(root / package for package in _OURS), Path(os.__file__).resolve().parent)
