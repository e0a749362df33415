"""The command ``compare``: optimizers on circuits, networks and toys, at equal evaluations.

Imports stand inside the functions, so that ``--help`` does not wait for ngspice, numpy or matplotlib.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from automl_core.report.terminal import command_line, cores, json_text, make_console, say

if TYPE_CHECKING:
    from rich.console import Console

    from automl_core.comparison import Comparison, Contestant
    from automl_core.contest import Entry, Outcome

__all__ = ["compare"]

_TOY, _NETWORK = "toy:", "net:"
_SUMMARY = "comparison.json"
_PACKAGES = ("numpy", "scipy", "cmaes", "pymoo", "optuna", "botorch", "torch", "stable-baselines3")


def compare(
    problems: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC...",
            help="Spec files of circuits; networks of the zoo, as net:NETWORK:METHOD:BUDGET (METHOD: channels, bits, "
            "sparsity or joint; net:digits_net:channels:macs=0.5), or a YAML file with keys network, data, weights, "
            "method and budget for one of your own; toys, as in toy:rosenbrock.",
        ),
    ],
    optimizers: Annotated[
        str, typer.Option(help="Names with commas between; NAME:EVALUATIONS for one with a budget of its own.")
    ] = "auto,cmaes,de,random",
    seeds: Annotated[int, typer.Option(min=1, help="Studies of each optimizer on each problem: seeds 0, 1, ...")] = 10,
    budget: Annotated[str, typer.Option(help="Evaluations of each study.")] = "2000",
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, help="Studies at once; 0: one a core.", show_default=False)
    ] = 0,
    stop: Annotated[
        Literal["met", "budget"], typer.Option(help="End a study when all specs are met, or when the budget is spent.")
    ] = "budget",
    timeout: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds a simulation may take; 20 times its measured cost.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run folder, new or begun; runs/compare-N by default.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Compare optimizers at equal evaluations. The same command with the same -o goes on where it was stopped."""
    from automl_core.comparison import Comparison
    from automl_core.runs import new_run_folder

    contestants = _contestants(optimizers, budget)
    begun = output is not None and (output / _SUMMARY).is_file()
    entries = [_entry(problem, output if begun else None, timeout, quiet=json) for problem in problems]

    def plan(folder: Path) -> Comparison:
        return Comparison(folder, entries, contestants, range(seeds), stop)

    plan(Path())  # refuses what cannot be compared, before a folder is made
    folder = output if output is not None and begun else new_run_folder(output, "compare")
    outcomes = _run(plan(folder), cores(jobs), quiet=json)
    if any(outcome.status != "finished" for outcome in outcomes):
        raise typer.Exit(1)


def _contestants(optimizers: str, budget: str) -> list[Contestant]:
    """The optimizers, refused before any work where one does not exist.

    Raises:
        InputError: a name or a budget is wrong.
    """
    from automl_core.budget import Budget
    from automl_core.comparison import Contestant, check_contestants
    from automl_core.errors import InputError

    evaluations = Budget.parse(budget).evaluations
    if evaluations is None:
        raise InputError(
            f"the budget {budget!r} is a time, and a comparison is at equal evaluations",
            place="--budget",
            remedy="give evaluations, as in 2000",
        )
    contestants = [Contestant.parse(text, evaluations) for text in optimizers.split(",") if text.strip()]
    check_contestants(contestants)
    return contestants


def _entry(problem: str, folder: Path | None, timeout: float | None, *, quiet: bool) -> Entry:
    from automl_core.contest import Entry

    if problem.startswith(_TOY):
        name = problem.removeprefix(_TOY)
        toy = _toy(name)
        return Entry(name, toy, toy.specs)
    if (network := _network(problem)) is not None:
        from nn_compression.contest_entry import network_entry

        return network_entry(network, folder, told=None if quiet else lambda line: say(make_console(160), line))
    from circuits.contest_entry import circuit_entry

    return circuit_entry(Path(problem), folder, limit_seconds=timeout)


_NETWORKS = {"network", "data", "method", "budget"}
"""Keys of a network's file, none of which a circuit's has."""


def _network(problem: str) -> str | None:
    """What names a network: behind ``net:``, or a YAML file of one; ``None`` for a circuit."""
    if problem.startswith(_NETWORK):
        return problem.removeprefix(_NETWORK)
    from automl_core.errors import InputError
    from automl_core.located_yaml import read_yaml

    try:
        return problem if _NETWORKS & set(read_yaml(Path(problem)).tree) else None
    except InputError:
        return None  # whoever reads circuits says what is wrong with it


def _toy(name: str) -> Any:
    """A toy by its name in lower case, words joined by hyphens.

    Raises:
        InputError: there is none of that name.
    """
    from automl_core import toys
    from automl_core.errors import InputError
    from automl_core.nearest import did_you_mean

    known = {re.sub(r"(?<!^)(?=[A-Z])", "-", kind).lower(): kind for kind in toys.__all__}
    if name not in known:
        remedy = did_you_mean(name, known, "the toys")
        raise InputError(f"there is no toy {name!r}", place=_TOY + name, remedy=remedy)
    return getattr(toys, known[name])()


def _run(comparison: Comparison, jobs: int, *, quiet: bool) -> Sequence[Outcome]:
    """Run a comparison to its end, write what came out, and show it."""
    from automl_core.report.comparison_files import as_json, write_comparison
    from automl_core.report.comparison_progress import ComparisonView
    from automl_core.runs import versions, write_whole
    from automl_core.standings import standings

    folder, console = comparison.folder, make_console(160)
    comparison.check()
    head = {"kind": "comparison", "command": command_line(), "versions": versions(*_PACKAGES)}
    write_whole(folder / _SUMMARY, json_text(head))
    done = comparison.finished
    if not quiet:
        _announce(comparison, console, done)
    try:
        with ComparisonView(console, len(comparison.contests), done, quiet=quiet) as view:
            outcomes = comparison.run(jobs, view)
    except KeyboardInterrupt:
        sys.stderr.write(f"the same command with `-o {shlex.quote(str(folder))}` goes on from here\n")
        raise typer.Exit(130) from None
    found = standings(outcomes)
    content = json_text({**head, **as_json(outcomes, found)})
    files = write_comparison(folder, outcomes, found)
    write_whole(folder / _SUMMARY, content)
    if quiet:
        sys.stdout.write(content)
    else:
        _show(console, outcomes, found, [*files, folder / _SUMMARY])
        if comparison.stop == "met":
            console.print("studies ended when all specs were met: their best is of that moment", soft_wrap=True)
    return outcomes


def _announce(comparison: Comparison, console: Console, done: int) -> None:
    names = ", ".join(f"{c.optimizer} ({c.evaluations})" for c in comparison.contestants)
    lines = [
        f"run folder {comparison.folder}",
        f"{len(comparison.contests)} studies, {done} of them finished before: {names} on "
        f"{', '.join(entry.name for entry in comparison.entries)}, {len(comparison.seeds)} seeds",
    ]
    say(console, *lines)


def _show(console: Console, outcomes: Sequence[Outcome], found: Sequence[Any], files: Sequence[Path]) -> None:
    from automl_core.report.comparison_tables import LEGEND, outcome_line, tables

    for standings in found:
        for table in tables(standings):
            console.print(table)
    failed = [outcome_line(outcome) for outcome in outcomes if outcome.status == "failed"]
    say(console, *LEGEND.splitlines(), *failed, *map(str, files))
