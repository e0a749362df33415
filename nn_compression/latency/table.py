"""A file of times measured on one machine, for exact shapes: operators in eager torch, fused blocks in ONNX Runtime.

Nothing is ever interpolated: eleven channels can take longer than sixteen. What a search asks for and the table lacks
is measured then, once.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from automl_core.errors import InputError
from automl_core.machine import processor
from automl_core.nearest import did_you_mean
from automl_core.runs import write_whole

__all__ = ["ENGINES", "Engine", "LatencyTable", "Time", "engine_of", "machine_facts"]

Engine: TypeAlias = Literal["eager", "onnxruntime"]

ENGINES: tuple[Engine, ...] = get_args(Engine)

_FORMAT = "sizewise latency table 1"
_EVERY = 50
"""New times after which the file is written: a run that is killed loses no more."""


@dataclass(frozen=True)
class Time:
    """The time of an operator or a block.

    Args:
        seconds: of one thread.
        takes: for each input, whether it is in ONNX Runtime's blocked layout.
        gives: whether the output is.
    """

    seconds: float
    takes: tuple[bool, ...] = ()
    gives: bool = False


class LatencyTable:
    """Measured times by engine and text.

    Args:
        path: the file; read where it exists, written by ``save``. ``None``: kept in memory.

    Raises:
        InputError: the file is no table, or was measured on another machine or with other versions.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.times: dict[Engine, dict[str, Time]] = {engine: {} for engine in ENGINES}
        self.scales: dict[Engine, float] = {}
        self._unsaved = 0
        if path is not None and path.exists():
            self._read(path)

    def time(self, engine: Engine, text: str, measure: Callable[[], Time]) -> Time:
        """A time of the table; measured now where the table lacks it, and saved now and then."""
        if text not in self.times[engine]:
            self.times[engine][text] = measure()
            self._unsaved += 1
            if self._unsaved >= _EVERY:
                self.save()
        return self.times[engine][text]

    def __len__(self) -> int:
        return sum(map(len, self.times.values()))

    def save(self) -> None:
        """Write the file whole; what another process put there in the meantime is kept.

        Raises:
            InputError: it cannot be written.
        """
        if self.path is None:
            return
        if self.path.exists():
            self._read(self.path)
        with suppress(OSError):  # writing then says what is wrong
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self.copy_to(self.path)
        self._unsaved = 0

    def copy_to(self, path: Path) -> None:
        """Write another file of the same times; what stands there is replaced.

        Raises:
            InputError: it cannot be written.
        """
        content = {
            "format": _FORMAT,
            "machine": machine_facts(),
            "scales": self.scales,
            "times": {
                engine: {text: _to_json(time) for text, time in self.times[engine].items()} for engine in ENGINES
            },
        }
        write_whole(path, json.dumps(content, indent=0) + "\n")

    @contextmanager
    def saved(self) -> Iterator[None]:
        """What is measured in the block is in the file after it, however the block ends."""
        try:
            yield
        finally:
            if self._unsaved:
                self.save()

    def _read(self, path: Path) -> None:
        content = _content(path)
        found, here = content["machine"], machine_facts()
        if other := [name for name in here if found.get(name) != here[name]]:
            was = ", ".join(f"{name} {found.get(name)}" for name in other)
            remedy = f"measure another table here: sizewise latency -o FILE (here: {here[other[0]]})"
            raise InputError(f"the table was measured on another machine: {was}", place=str(path), remedy=remedy)
        try:
            read = {
                engine: {text: _from_json(time) for text, time in content["times"].get(engine, {}).items()}
                for engine in ENGINES
            }
            scales = {engine_of(name): float(scale) for name, scale in content["scales"].items()}
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise _no_table(path, "an entry is damaged") from error
        self.times = {engine: read[engine] | self.times[engine] for engine in ENGINES}
        self.scales = scales | self.scales


def engine_of(name: str) -> Engine:
    """The engine of that name.

    Raises:
        InputError: there is none.
    """
    for engine in ENGINES:
        if engine == name:
            return engine
    raise InputError(f"there is no engine {name!r}", remedy=did_you_mean(name, ENGINES, "the engines"))


@lru_cache(maxsize=1)
def machine_facts() -> Mapping[str, str]:
    """What a time depends on beside the shapes."""
    return {
        "processor": processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "torch": metadata.version("torch"),
        "onnxruntime": metadata.version("onnxruntime"),
        "threads": "1",
    }


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", place=str(path), remedy="check the path") from error
    except ValueError as error:
        raise _no_table(path, "it is not JSON") from error
    if (
        not isinstance(content, dict)
        or content.get("format") != _FORMAT
        or not isinstance(content.get("machine"), dict)
    ):
        raise _no_table(path, f"it does not say {_FORMAT!r}")
    return content


def _no_table(path: Path, reason: str) -> InputError:
    remedy = "name another file; one that is not there yet is measured anew"
    return InputError(f"this is no latency table: {reason}", place=str(path), remedy=remedy)


def _to_json(time: Time) -> Any:
    """Seconds alone, or with the layouts where one is blocked."""
    if not (any(time.takes) or time.gives):
        return [time.seconds, len(time.takes)]
    return [time.seconds, [int(taken) for taken in time.takes], int(time.gives)]


def _from_json(value: Any) -> Time:
    if len(value) == 2:
        return Time(float(value[0]), (False,) * int(value[1]))
    return Time(float(value[0]), tuple(map(bool, value[1])), bool(value[2]))
