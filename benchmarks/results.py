"""Writes docs/results.md from what the full benchmarks measured, the JSON files in benchmarks/results.

Nothing in that page is typed by hand: run a benchmark with ``--json benchmarks/results/NAME.json``, then this.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import figures
from automl_core.errors import InputError
from figures import met_text, parse, run, value_text

HEADER = """# Results

Written by `python benchmarks/results.py` from the files that the benchmarks write to `benchmarks/results`; do not edit.
The bar is what a figure is meant to reach, where there is one; those that miss it are shown too. The command under each
section measures it again; `make results` runs every benchmark in full, which takes many hours.
"""
NO_BENCHMARKS = ("figures", "networks", "results")
"""What else lies in the folder of the benchmarks."""


@dataclass(frozen=True)
class Args:
    """The two places."""

    results: Annotated[Path, "the folder of JSON files"] = figures.ROOT / "benchmarks" / "results"
    output: Annotated[Path, "the page to write"] = figures.ROOT / "docs" / "results.md"


def read(path: Path) -> Mapping[str, Any]:
    """One result.

    Raises:
        InputError: the file is not the result of a full benchmark.
    """
    remedy = f"run the benchmark again: python benchmarks/{path.stem}.py --json benchmarks/results/{path.name}"
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", place=str(path), remedy=remedy) from error
    wanted = {"command", "seed", "versions", "machine", "when", "seconds", "figures"}
    missing = sorted(wanted - set(result)) if isinstance(result, dict) else sorted(wanted)
    if missing:
        raise InputError(f"lacks {', '.join(missing)}", place=str(path), remedy=remedy)
    if "--quick" in shlex.split(result["command"]):
        raise InputError("is a quick run, and this page shows full ones", place=str(path), remedy=remedy)
    return dict(result)


def section(name: str, result: Mapping[str, Any]) -> str:
    """The part of the page that shows one benchmark."""
    rows = [
        f"| {cell(item['name'])} | {value_text(item['value'])} | {cell(item['bar'] or '-')} | {met_text(item['met'])} |"
        for item in result["figures"]
    ]
    last = "; results of earlier calls were taken up, and this last one took" if result.get("resumed") else ","
    versions = ", ".join(f"{package} {version}" for package, version in result["versions"].items())
    return "\n".join(
        [
            f"## {name.replace('_', ' ').capitalize()}",
            "",
            "| figure | value | bar | met |",
            "|---|---:|---|---|",
            *rows,
            "",
            *(line for table in result.get("tables", []) for line in table_lines(table)),
            f"`{result['command']}`, seed {result['seed']}, {result['when']}{last} {duration_text(result['seconds'])}.",
            f"On {machine_text(result['machine'])}.",
            f"With {versions}.",
            "",
        ]
    )


def machine_text(machine: Mapping[str, Any]) -> str:
    """What the figures were measured on."""
    card = [machine["accelerator"]] if "accelerator" in machine else []
    return ", ".join(
        [machine["processor"], f"{machine['cores']} cores", f"{machine['memory_gib']} GiB", *card, machine["system"]]
    )


def table_lines(table: Mapping[str, Any]) -> list[str]:
    """A table that stands behind the figures, as Markdown; every column after the first is set flush right."""
    return [
        f"{cell(table['title'])}:",
        "",
        "| " + " | ".join(map(cell, table["columns"])) + " |",
        "|---|" + "---:|" * (len(table["columns"]) - 1),
        *("| " + " | ".join(map(cell, row)) + " |" for row in table["rows"]),
        "",
    ]


def cell(text: str) -> str:
    """Text that a Markdown table shows as it is: a bare ``<`` starts HTML and a ``|`` ends the cell."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def duration_text(seconds: float) -> str:
    """Seconds, or minutes and seconds from two minutes on."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes >= 2 else f"{seconds:.1f} s"


def page(files: Sequence[Path]) -> str:
    """The whole page, in the order of the files.

    Raises:
        InputError: a file is not the result of a full benchmark.
    """
    missing = sorted(set(benchmarks()) - {path.stem for path in files})
    told = [f"Not measured yet: {', '.join(f'`benchmarks/{name}.py`' for name in missing)}.", ""] if missing else []
    return "\n".join([HEADER, *told, *(section(path.stem, read(path)) for path in files)])


def benchmarks() -> list[str]:
    """The names of all benchmarks."""
    scripts = (figures.ROOT / "benchmarks").glob("*.py")
    return [script.stem for script in scripts if script.stem not in NO_BENCHMARKS]


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the page.

    Raises:
        InputError: there is no result, or a file is none.
    """
    args = parse(Args, __doc__, argv)
    files = sorted(args.results.glob("*.json"))
    if not files:
        raise InputError("no results", place=str(args.results), remedy="run `make results`")
    text = page(files)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(text, encoding="utf-8")
    print(f"{args.output}: {len(files)} benchmarks")
    return 0


if __name__ == "__main__":
    run(main)
