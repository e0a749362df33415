"""What every benchmark shares: its arguments, its table of figures, and the JSON file it writes.

A benchmark is one flat script that proves one claim::

    @dataclass(frozen=True)
    class Args(figures.Args):
        points: Annotated[int, "designs to evaluate"] = 2000

    def main() -> int:
        args = parse(Args, __doc__)
        table = Figures(args)
        ...
        table.add("subprocess time over ours", ratio, ">= 5")
        return table.finish()

    if __name__ == "__main__":
        run(main)

``finish`` prints the table, writes ``--json FILE`` and returns the exit status: 1 where a bar was missed. ``run`` ends
the script with it, and tells bad input, such as data that are not there, without a traceback. A long benchmark keeps
what is done in a folder and goes on from there; ``keep_in`` sees to it that this was made by the same settings.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import operator
import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from importlib import metadata
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from automl_core.crew import Failed, each
from automl_core.errors import InputError, SizewiseError
from automl_core.machine import output_of, processor
from automl_core.nearest import did_you_mean
from automl_core.runs import write_whole

ROOT = Path(__file__).resolve().parents[1]

COMPARISONS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq, "<": operator.lt, ">": operator.gt}

PACKAGES = (
    *("sizewise", "numpy", "scipy", "PySpice", "cmaes", "pymoo", "optuna", "botorch"),
    *("torch", "gymnasium", "stable-baselines3", "torch-pruning", "scikit-learn", "constriction", "safetensors"),
    *("onnx", "onnxscript", "onnxruntime"),
)
"""The packages whose versions can move a figure."""


SETTINGS = "settings.json"
"""What the results in a folder were made by."""

PARTS = {
    *("quick", "seed", "seeds", "json", "runs", "jobs"),
    *("networks", "machines", "levels", "removed", "alone", "optimizers"),
}
"""Options that say which results are wanted, and not what they are."""


@dataclass(frozen=True)
class Args:
    """The options that every benchmark takes; the text beside a type is what ``--help`` says."""

    quick: Annotated[bool, "a small run: does it work, and roughly what comes out"] = False
    seed: Annotated[int, "what every random choice follows from"] = 0
    json: Annotated[Path | None, "also write the figures to this file"] = None


SomeArgs = TypeVar("SomeArgs")
Task = TypeVar("Task")
Result = TypeVar("Result")


def parse(kind: type[SomeArgs], description: str | None = None, argv: Sequence[str] | None = None) -> SomeArgs:
    """Reads the command line into a dataclass: ``--some-name`` for each field ``some_name``.

    Args:
        kind: a dataclass whose fields have defaults and are bool, int, float, str or Path, or one of these or None.
        description: for ``--help``; the docstring of the script.
        argv: the arguments; those of the process when None.

    Raises:
        TypeError: a field has another type, or no default.
        SystemExit: with status 2, for a wrong argument.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    hints = get_type_hints(kind, include_extras=True)
    for item in fields(kind):  # type: ignore[arg-type]
        if item.default is MISSING:
            raise TypeError(f"{kind.__name__}.{item.name} has no default: a benchmark runs without options")
        reader, text = read_hint(hints[item.name], f"{kind.__name__}.{item.name}")
        flag = "--" + item.name.replace("_", "-")
        if reader is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=item.default, help=text)
        else:
            parser.add_argument(flag, type=reader, default=item.default, help=f"{text} (default: {item.default})")
    found = vars(parser.parse_args(argv))
    if found.get("seeds", 1) < 1:
        parser.error(f"--seeds {found['seeds']}: give one or more")
    return kind(**found)


def chosen(text: str, known: Iterable[str], option: str) -> list[str]:
    """What an option lists, with commas between.

    Args:
        text: as given.
        known: what it may list.
        option: its name, as in "--networks".

    Raises:
        InputError: it lists something else, or nothing.
    """
    names, choices = [name.strip() for name in text.split(",")], list(known)
    for name in names:
        if name not in choices:
            raise InputError(f"there is no {name!r}", place=option, remedy=did_you_mean(name, choices, "the choices"))
    return names


def read_hint(hint: Any, place: str) -> tuple[type, str]:
    """The type that reads an option and its help: ``int`` and ``text`` of ``Annotated[int | None, text]``.

    Raises:
        TypeError: no option can be read as ``hint``.
    """
    text = ""
    if get_origin(hint) is Annotated:
        hint, text = get_args(hint)
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not NoneType]
    if len(kinds) != 1 or kinds[0] not in (bool, int, float, str, Path):
        raise TypeError(f"{place}: {hint} is not bool, int, float, str or Path, nor one of these or None")
    return kinds[0], text


def run(main: Callable[[], int]) -> NoReturn:
    """Ends the script with the status that ``main`` returns; bad input is told in words, with its own status."""
    try:
        sys.exit(main())
    except SizewiseError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_status)


def done(do: Callable[[Task], Result], tasks: Iterable[Task], jobs: int) -> Iterator[tuple[Task, Result]]:
    """Does long tasks, ``jobs`` at a time (0: one a core), each in a process; yields them as they are done.

    Raises:
        SystemExit: one of them failed; with its name and the reason.
    """
    for task, answer in each(do, tasks, jobs or len(os.sched_getaffinity(0))):
        if isinstance(answer, Failed):
            sys.exit(f"{task}: {answer.reason}")
        yield task, answer


@dataclass(frozen=True)
class Figure:
    """One measured number and what it had to reach.

    Attributes:
        name: what was measured, with its unit.
        value: the number; NaN where there is none, which misses every bar.
        bar: a comparison and a number, such as ``<= 1.5``; None for a figure that is only shown.
    """

    name: str
    value: float
    bar: str | None = None

    def __post_init__(self) -> None:
        if self.bar is not None:
            split_bar(self.bar)

    @property
    def met(self) -> bool | None:
        """Whether the value reaches the bar; None where there is no bar."""
        if self.bar is None:
            return None
        comparison, limit = split_bar(self.bar)
        return bool(COMPARISONS[comparison](self.value, limit))

    def as_json(self) -> dict[str, object]:
        """The figure as it is written; a value that JSON lacks (NaN, infinity) is null."""
        value = self.value if math.isfinite(self.value) else None
        return {"name": self.name, "value": value, "bar": self.bar, "met": self.met}


def split_bar(bar: str) -> tuple[str, float]:
    """The comparison and the number of a bar.

    Raises:
        ValueError: the bar is not a comparison followed by a number.
    """
    found = re.fullmatch(r"(<=|>=|==|<|>)\s*(\S+)", bar.strip())
    if not found:
        raise ValueError(f"bar {bar!r}: write a comparison ({', '.join(COMPARISONS)}) and a number, such as '<= 1.5'")
    return found[1], float(found[2])


@dataclass(frozen=True)
class Table:
    """What stands behind the figures, for people: shown as it is, held to no bar."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Figures:
    """The table of one run of a benchmark. The clock starts when it is made.

    Args:
        args: what the benchmark was called with.
        script: the file of the benchmark; the running one when None.
    """

    def __init__(self, args: Args, script: str | Path | None = None) -> None:
        self.args = args
        self.script = Path(script or sys.argv[0]).name
        self.figures: list[Figure] = []
        self.tables: list[Table] = []
        self.resumed = False
        self._started = time.perf_counter()

    def add(self, name: str, value: float, bar: str | None = None) -> Figure:
        """Adds a figure: its name with the unit, its value, and its bar (``<= 1.5``) where it has one."""
        figure = Figure(name, value, bar)
        self.figures.append(figure)
        return figure

    def show(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Adds a table of text to the result, and to the page of results; the caller prints it as it sees fit."""
        self.tables.append(Table(title, columns, rows))

    def keep_in(self, folder: Path, args: Args, **more: object) -> None:
        """Takes a folder for results that are kept, and not made again.

        Args:
            folder: it is made where it is not there.
            args: what they are made by, but for the options that only say which are wanted.
            more: what else they are made by.

        Raises:
            InputError: it holds results of other settings.
        """
        options = {item.name: getattr(args, item.name) for item in fields(args) if item.name not in PARTS}
        settings = {name: str(value) for name, value in sorted((options | more).items())}
        file = folder / SETTINGS
        folder.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            write_whole(file, json.dumps(settings, indent=2) + "\n")
            return
        kept = json.loads(file.read_text(encoding="utf-8"))
        differ = [name for name in settings | kept if settings.get(name) != kept.get(name)]
        if differ:
            told = "; ".join(f"{name}: {kept.get(name)} there, {settings.get(name)} here" for name in differ)
            remedy = "give another folder (--runs), or remove this one to begin anew"
            raise InputError(f"holds results of other settings: {told}", place=str(folder), remedy=remedy)
        self.resumed = True

    def finish(self) -> int:
        """Prints the table, writes the JSON file that was asked for, and returns the exit status.

        Returns:
            0 where every bar is met, 1 where one is not.
        """
        result = self.as_json()
        print(table_text(self.figures))
        print(f"{self.script}: {result['seconds']} s")
        if self.args.json is not None:
            self.args.json.parent.mkdir(parents=True, exist_ok=True)
            self.args.json.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        return int(any(figure.met is False for figure in self.figures))

    def as_json(self) -> dict[str, object]:
        """The result with all that it must carry: command, seed, versions, machine, date and time taken.

        Versions, machine and time are those of the last call, where earlier ones did a part of it (``resumed``).
        """
        return {
            "command": self.command(),
            "seed": self.args.seed,
            "versions": versions(),
            "machine": machine(),
            "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self._started, 1),
            **({"resumed": True} if self.resumed else {}),
            "figures": [figure.as_json() for figure in self.figures],
            **({"tables": [asdict(table) for table in self.tables]} if self.tables else {}),
        }

    def command(self) -> str:
        """The command that gives these figures again. Where they are written to changes nothing, and is left out."""
        words = ["python", f"benchmarks/{self.script}"]
        for item in fields(self.args):
            value = getattr(self.args, item.name)
            if item.name == "json" or (value == item.default and item.name != "seed"):
                continue
            flag = item.name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
            else:
                words += [f"--{flag}", str(value)]
        return shlex.join(words)


def value_text(value: float | None) -> str:
    """A value to four figures, or in full where it is whole; a dash where there is none."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e9 else f"{value:.4g}"


def met_text(met: bool | None) -> str:
    """Yes, no, or a dash for a figure without a bar."""
    return {True: "yes", False: "no", None: "-"}[met]


def table_text(figures: Sequence[Figure]) -> str:
    """The table as aligned text: figure, value, bar, met."""
    rows = [("figure", "value", "bar", "met")]
    rows += [(item.name, value_text(item.value), item.bar or "-", met_text(item.met)) for item in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {value:>{widths[1]}}  {bar:<{widths[2]}}  {met}" for name, value, bar, met in rows
    )


def versions() -> dict[str, str]:
    """The versions of Python, ngspice and the packages that are installed, and the commit of the checkout."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    ngspice = re.search(r"ngspice-(\S+)", output_of("ngspice", "--version"))
    if ngspice:
        found["ngspice"] = ngspice[1]
    commit = output_of("git", "-C", str(ROOT), "describe", "--always", "--dirty").strip()
    if commit:
        found["commit"] = commit
    return found


def machine() -> Mapping[str, object]:
    """What the figures were measured on: processor, cores this process may use, memory in GiB, CUDA card, system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    card = output_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").partition("\n")[0].strip()
    return {
        "processor": processor(),
        "cores": cores,
        "memory_gib": round(memory, 1),
        **({"accelerator": card} if card else {}),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
