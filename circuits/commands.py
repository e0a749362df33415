"""The circuit commands of the command line: ``init``, ``check``, ``size``, ``train``, ``apply``.

Each function reads its arguments, calls what does the work, and shows the outcome. Imports stand inside the functions,
so that ``--help`` does not wait for ngspice, numpy or matplotlib.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from automl_core.optimizers import names
from automl_core.report.options import Jobs, Json, Seed
from automl_core.report.terminal import command_line, cores, goes_on_with, json_text, make_console, say, shown

if TYPE_CHECKING:
    from rich.console import Console

    from circuits.sizing import SizingRun

__all__ = ["COMMANDS", "resume_run"]

_Policy = Annotated[
    Path | None, typer.Option(help="A policy to begin from: a folder that `train` made.", show_default=False)
]
_Earlier = Annotated[
    list[Path] | None,
    typer.Option("--from", help="A run to begin from; its trials are scored by these specs.", show_default=False),
]
_TRYING = "trying the deck: what an evaluation costs, and whether its devices can be altered in place"


def init(
    deck: Annotated[Path, typer.Argument(help="A netlist that runs in ngspice.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The spec file; DECK.yaml by default.")] = None,
    allow: Annotated[list[Path] | None, typer.Option(help="A folder outside the deck's own that it may read.")] = None,
    lift: Annotated[
        bool | None,
        typer.Option(
            "--lift/--no-lift",
            help="Turn literal W, L, R, C and M into parameters of a new deck; by default where it has none.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a spec file for a deck: what can vary, what it measures, what it reaches today. Edit it, then `size` it."""
    from circuits.initial_spec import write_initial_spec

    written = write_initial_spec(deck, output, tuple(allow or ()), lift=lift, confirm=_confirm_folders)
    for line in written.report:
        typer.echo(line)
    typer.echo(f"wrote {', '.join(map(str, written.files))}")
    typer.echo(f"next: edit the specs in {written.spec}, then `sizewise check {shlex.quote(str(written.spec))}`")


def _confirm_folders(folders: list[Path]) -> bool:
    """Ask whether a deck may read folders outside its own; without a terminal the answer is no."""
    typer.echo("the deck reads files outside its own folder:")
    for folder in folders:
        typer.echo(f"  {folder}")
    return sys.stdin.isatty() and typer.confirm("may it?", default=False)


def check(
    spec: Annotated[Path, typer.Argument(help="The spec file.")],
    timeout: Annotated[float | None, typer.Option(min=0.001, help="Seconds an evaluation may take.")] = None,
    json: Json = False,
) -> None:
    """Try a spec: what varies, what the deck's own sizing reaches, what an evaluation costs, whether it repeats."""
    from circuits.checking import examine

    report = examine(spec, limit_seconds=timeout)
    if json:
        sys.stdout.write(json_text(report.as_json()))
    else:
        report.show(make_console())
    if not report.sound:
        raise typer.Exit(2)


def size(
    spec: Annotated[Path, typer.Argument(help="The spec file.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run folder; runs/NAME-N by default.")
    ] = None,
    optimizer: Annotated[str, typer.Option(help=f"{', '.join(names())}.")] = "auto",
    budget: Annotated[str, typer.Option(help="Evaluations (2000) or wall time (30s, 10m, 2h).")] = "2000",
    seed: Seed = 0,
    jobs: Jobs = 0,
    timeout: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds an evaluation may take; 20 times its measured cost.")
    ] = None,
    stop: Annotated[
        Literal["met", "stall", "budget"] | None,
        typer.Option(help="When to end; by default met, or stall where a spec has a goal.", show_default=False),
    ] = None,
    policy: _Policy = None,
    earlier: _Earlier = None,
    json: Json = False,
) -> None:
    """Size a circuit: vary its parameters until ngspice says that every spec is met."""
    from automl_core.runs import new_run_folder
    from circuits.sizing import Settings, SizingRun
    from circuits.specfile import circuit_name

    began = time.monotonic()
    settings = Settings(optimizer, budget, seed, timeout, stop, _absolute(policy), _folders(earlier))
    _refuse_taken(output)
    trying = shown(make_console(), _TRYING, quiet=json)
    run = SizingRun.begin(
        spec, lambda: new_run_folder(output, circuit_name(spec)), settings, command_line(), trying=trying
    )
    _finish(run, jobs, began, json=json)


def train(
    spec: Annotated[Path, typer.Argument(help="The spec file.")],
    targets: Annotated[Path, typer.Option(help="A file of ranges: metric: {min: [LEAST, GREATEST], scale: log}.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The policy's folder; runs/NAME-policy-N by default.")
    ] = None,
    optimizer: Annotated[str, typer.Option(help="The agent: seq2seq or gcn.")] = "seq2seq",
    budget: Annotated[str, typer.Option(help="Evaluations (5000) or wall time (30s, 10m, 2h).")] = "5000",
    seed: Seed = 0,
    jobs: Jobs = 0,
    timeout: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds an evaluation may take; 20 times its measured cost.")
    ] = None,
    policy: _Policy = None,
    earlier: _Earlier = None,
) -> None:
    """Train a policy over ranges of targets; `size SPEC --policy POLICY` then meets an unseen one in a handful."""
    from automl_core.runs import new_run_folder
    from circuits.sizing import Settings, SizingRun
    from circuits.specfile import circuit_name

    settings = Settings(
        optimizer, budget, seed, timeout, "budget", _absolute(policy), _folders(earlier), _absolute(targets)
    )
    _refuse_taken(output)
    trying = shown(make_console(), _TRYING)
    name = f"{circuit_name(spec)}-policy"
    run = SizingRun.begin(spec, lambda: new_run_folder(output, name), settings, command_line(), trying=trying)
    _finish_training(run, jobs)


def apply(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to; RUN/applied by default.")] = None,
) -> None:
    """Put the sizes that a run found into a copy of the deck, and show the difference. Paths of includes may change."""
    from circuits.application import apply_best

    applied = apply_best(run, output or run / "applied")
    typer.echo(applied.difference, nl=False)
    typer.echo(f"wrote {', '.join(map(str, applied.files))}")


COMMANDS: tuple[Callable[..., None], ...] = (init, check, size, train, apply)


def resume_run(folder: Path, jobs: int, *, json: bool) -> None:
    """Go on with a sizing or a training; no simulation is repeated."""
    from circuits.sizing import SizingRun

    began = time.monotonic()
    opened = SizingRun.reopen(folder)
    if opened.trains:
        _finish_training(opened, jobs)
    else:
        _finish(opened, jobs, began, json=json)


def _finish(run: SizingRun, jobs: int, began: float, *, json: bool) -> None:
    """Run a study to its end, write and show what it found. Exit status 1 where a spec is not met or not confirmed."""
    from automl_core.report.engineering import engineering
    from automl_core.report.live import LiveView
    from circuits.results import draw_results, write_results
    from circuits.summary import show

    console = make_console()
    if not json:
        _announce(run, console)
    with run.problem:
        try:
            with LiveView(console, engineering, f"sizing {run.problem.spec.path}", quiet=json) as view:
                study, reason = run.execute(cores(jobs), view, console.print)
        except KeyboardInterrupt:
            _show_unfinished(run, console, began, json=json)
            raise typer.Exit(130) from None
        best = study.best
        if best is None:
            _report_no_result(run, study.trials[0].error)
            raise typer.Exit(1)
        with shown(console, "signing off: a fresh ngspice runs the sized deck", quiet=json):
            results = write_results(run.folder, run.problem, study, run.facts, best, began=began)
    if not json:
        show(console, study, reason, results)
    with shown(console, "drawing the figures", quiet=json):
        files = [*results.files, *draw_results(run.folder, run.problem, study, results)]
    if json:
        sys.stdout.write((run.folder / "best.json").read_text(encoding="utf-8"))
    else:
        say(console, *map(str, files), f"{time.monotonic() - began:.1f} s in all")
    if study.best_score is None or not study.best_score.feasible or not results.confirmed:
        raise typer.Exit(1)


def _show_unfinished(run: SizingRun, console: Console, began: float, *, json: bool) -> None:
    """After Ctrl-C: the best design so far, written too, but neither signed off nor drawn."""
    from circuits.results import write_results
    from circuits.summary import show

    study = run.study
    if study is not None and study.best is not None:
        results = write_results(run.folder, run.problem, study, run.facts, study.best, began=began, interrupted=True)
        if not json:
            show(console, study, "interrupted", results)
            say(console, *map(str, results.files))
    sys.stderr.write(goes_on_with(run.folder))


def _finish_training(run: SizingRun, jobs: int) -> None:
    """Run a training to its end and say where the policy is."""
    from automl_core.report.engineering import engineering
    from automl_core.report.live import LiveView

    console = make_console()
    _announce(run, console)
    try:
        title = f"training on {run.problem.spec.path}; shown: the target in the middle of the ranges"
        with LiveView(console, engineering, title) as view:
            study, _ = run.execute(cores(jobs), view, console.print)
    except KeyboardInterrupt:
        sys.stderr.write(goes_on_with(run.folder))
        raise typer.Exit(130) from None
    met, drawn = run.known_targets()
    console.print(f"trained on {study.spent} evaluations in {study.elapsed:.1f} s", highlight=False)
    console.print(f"a design of the training meets {met} of {drawn} targets drawn from the ranges", highlight=False)
    if met < drawn / 2:
        console.print("warning: few are met: the ranges may ask for more than the circuit can do", highlight=False)
    use = f"`sizewise size SPEC --policy {shlex.quote(str(run.folder))}` uses it"
    console.print(f"policy {run.folder}: {use}", highlight=False, soft_wrap=True)


def _refuse_taken(output: Path | None) -> None:
    """A run folder that holds something already is refused before the deck is tried.

    Raises:
        InputError: it cannot be the folder of a new run.
    """
    from automl_core.runs import new_run_folder

    if output is not None and output.exists():
        new_run_folder(output, "")  # which makes nothing of a folder that is there


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())


def _folders(paths: list[Path] | None) -> tuple[str, ...]:
    return tuple(str(path.resolve()) for path in paths or ())


def _announce(run: SizingRun, console: Console) -> None:
    facts = run.facts
    say(console, *(f"warning: {warning}" for warning in [*run.warnings, *run.silent_measures]))
    how = ", ".join(f"{bench or 'deck'}: {mode}" for bench, mode in facts["modes"].items())
    say(
        console,
        f"run folder {run.folder}",
        f"optimizer {facts['optimizer']} ({facts['reason']}), seed {facts['seed']}",
        f"simulator {how}; an evaluation is killed after {facts['limit_seconds']:.3g} s",
    )


def _report_no_result(run: SizingRun, error: str | None) -> None:
    sys.stderr.write(f"no design gave any figures; the first one failed with: {error or 'no reason given'}\n")
    sys.stderr.write(f"the trials are kept in {run.folder}\n")
