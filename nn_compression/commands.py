"""The network commands of the command line: ``compress``, ``latency``.

Each function reads its arguments, calls what does the work, and shows the outcome. Imports stand inside the functions,
so that ``--help`` does not wait for torch, onnx or matplotlib.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automl_core.optimizers import names
from automl_core.report.options import Jobs, Json, Seed
from automl_core.report.terminal import command_line, goes_on_with, json_text, make_console, say, shown

if TYPE_CHECKING:
    from nn_compression.run.compression import CompressionRun
    from nn_compression.run.narration import Narration
    from nn_compression.run.settings import Settings

__all__ = ["COMMANDS", "resume_run"]

_Model = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]",
        help="module:function that returns a torch.nn.Module, or a network of the zoo (resnet20, mobilenet_v1_x0.5, "
        "...). Without: a small network on scikit-learn's digits.",
        show_default=False,
    ),
]
_Data = Annotated[
    str | None,
    typer.Option(
        help="module:function that returns Data; digits, mnist, cifar10, tinyshakespeare; or a .txt file.",
        show_default=False,
    ),
]
_Weights = Annotated[Path | None, typer.Option(help="The network's weights: a safetensors file.", show_default=False)]
_Keep = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LAYER",
        help="Keep all channels that this layer makes (it may read fewer), all its weights, and 8 bits.",
        show_default=False,
    ),
]


def compress(
    model: _Model = None,
    data: _Data = None,
    weights: _Weights = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="macs=0.5 or 20M, bytes=0.1 or 44k, latency=0.6 or 0.2ms, energy=0.5 or 2mJ: a share of the "
            "network's own, or an amount. channels: macs, bytes, latency (measured here); bits: bytes, latency or "
            "energy (modelled); sparsity, deep, all: bytes of the coded file.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(help="channels, bits, sparsity, deep (Deep Compression), or all: channels, sparsity, bits.")
    ] = "channels",
    max_drop: Annotated[
        float | None,
        typer.Option(min=0, help="Instead of a budget: the smallest network within this loss.", show_default=False),
    ] = None,
    optimizer: Annotated[str, typer.Option(help=f"{', '.join(names())}.")] = "auto",
    evaluations: Annotated[
        str | None,
        typer.Option(
            help="What a search may spend: evaluations or wall time (30s, 10m, 2h). Default 200, or 100 without MODEL.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run folder; runs/NAME-N by default.")
    ] = None,
    train_epochs: Annotated[
        int | None, typer.Option(min=0, help="Train the network first, so many epochs.", show_default=False)
    ] = None,
    finetune_epochs: Annotated[int, typer.Option(min=0, help="Epochs of training afterwards.")] = 10,
    lr: Annotated[
        float | None,
        typer.Option(
            min=1e-12,
            help="Peak learning rate of initial training; fine-tuning uses a fifth of it.",
            show_default=False,
        ),
    ] = None,
    distill: Annotated[
        bool, typer.Option("--distill", help="Also learn from the original network's outputs (distillation).")
    ] = False,
    keep: _Keep = None,
    round_to: Annotated[
        int | None, typer.Option(min=1, help="Channels that are kept: multiples of this.", show_default=False)
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option(
            help="Hardware model for latency or energy: edge (default), cloud, or a roofline YAML file.",
            show_default=False,
        ),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="A file of `sizewise latency`; your cache's by default.", show_default=False)
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="What an agent learnt on another network: its run, or RUN/METHOD/policy of it.", show_default=False
        ),
    ] = None,
    seed: Seed = 0,
    jobs: Jobs = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show layers, couplings and the smallest budget that can be met.")
    ] = False,
    json: Json = False,
) -> None:
    """Compress a network: channels, bits and weights are chosen until it meets a budget; the rest is trained again."""
    from automl_core.runs import new_run_folder
    from nn_compression.run.compression import CompressionRun
    from nn_compression.run.narration import Narration
    from nn_compression.run.settings import Settings

    settings = Settings(
        model=model,
        data=data,
        weights=None if weights is None else str(weights),
        method=method,
        budget=budget,
        max_drop=max_drop,
        optimizer=optimizer,
        evaluations=evaluations or ("100" if model is None else "200"),
        seed=seed,
        train_epochs=train_epochs,
        finetune_epochs=finetune_epochs,
        learning_rate=lr,
        distill=distill,
        keep=tuple(keep or ()),
        round_to=round_to,
        hardware=hardware,
        table=None if table is None else str(table),
        policy=None if policy is None else str(policy),
    )
    narration = Narration(make_console(), quiet=json)
    if dry_run:
        _dry_run(settings, json=json)
        return
    with narration.doing("reading the network and its data"):
        run = CompressionRun.begin(lambda name: new_run_folder(output, name), settings, command_line())
    _finish(run, jobs, narration, json=json)


def latency(
    model: _Model = None,
    data: _Data = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The table; one that is there is gone on with.")
    ] = Path("latency.json"),
    round_to: Annotated[int, typer.Option(min=1, help="Channels: multiples of this.")] = 1,
    keep: _Keep = None,
    counts: Annotated[int, typer.Option(min=1, help="Numbers of channels to measure of each coupled group.")] = 8,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure a latency table of a network on this machine: torch operator by operator, ONNX Runtime block by block."""
    from nn_compression.latency.report import report_of
    from nn_compression.run.narration import Narration
    from nn_compression.run.settings import Settings

    console = make_console()
    settings = Settings(model=model, data=data, keep=tuple(keep or ()), round_to=round_to, seed=seed).settled()
    try:
        report = report_of(settings, output, counts, Narration(console, quiet=json))
    except KeyboardInterrupt:
        kept = f"what was measured is kept in {output}; the same command goes on from there"
        sys.stderr.write((kept if output.is_file() else "nothing is measured yet") + "\n")
        raise typer.Exit(130) from None
    if json:
        sys.stdout.write(json_text(report.as_json()))
    else:
        report.show(console)


COMMANDS: tuple[Callable[..., None], ...] = (compress, latency)


def resume_run(folder: Path, jobs: int, *, learning_rate: float | None, json: bool) -> None:
    """Go on with a compression; nothing that was evaluated or trained is repeated."""
    from nn_compression.run.compression import CompressionRun
    from nn_compression.run.narration import Narration

    narration = Narration(make_console(), quiet=json)
    with narration.doing("reading the network and its data"):
        run = CompressionRun.reopen(folder, learning_rate)
    _finish(run, jobs, narration, json=json)


def _finish(run: CompressionRun, jobs: int, narration: Narration, *, json: bool) -> None:
    """Run it to its end and show what came of it. Exit status 1 where the budget is not met."""
    from nn_compression.run.summary import show

    narration.say(f"run folder {run.folder}", *run.headline)
    if run.finished:
        narration.say("this run is finished; its result, as it was written:")
    try:
        outcome = run.execute(jobs, narration)
    except KeyboardInterrupt:
        sys.stderr.write(goes_on_with(run.folder))
        raise typer.Exit(130) from None
    if json:
        sys.stdout.write((run.folder / "result.json").read_text(encoding="utf-8"))
    else:
        console = make_console()
        show(console, outcome)
        say(console, *map(str, run.files), f"{outcome.seconds:.1f} s in all")
    if not outcome.met:
        raise typer.Exit(1)


def _dry_run(settings: Settings, *, json: bool) -> None:
    """Show what could be done, and do nothing."""
    from nn_compression.run.prospect import prospect_of

    console, measures = make_console(), settings.measures_latency
    words = "reading the network and its data" + (", and measuring latencies" if measures else "")
    with shown(console, words, quiet=json):
        prospect = prospect_of(settings)
    if json:
        sys.stdout.write(json_text(prospect.as_json()))
    else:
        prospect.show(console)
