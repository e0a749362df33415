"""A latency table built by one command, and what it says of the network whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_core.report.engineering import engineering
from automl_core.report.tables import rows_table
from automl_core.report.terminal import say
from nn_compression.latency.building import build_table
from nn_compression.latency.network_latency import NetworkLatency
from nn_compression.latency.table import ENGINES
from nn_compression.latency.whole import measure
from nn_compression.problems.network import NetworkReference
from nn_compression.run.narration import Narrator
from nn_compression.run.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["EngineReport", "LatencyReport", "report_of"]


@dataclass(frozen=True)
class EngineReport:
    """What the table holds of one engine.

    Args:
        engine: "eager" or "onnxruntime".
        times: operators or blocks in the table.
        terms: that the network is the sum of.
        measured: seconds of the network whole.
        spread: the greatest of three measurements over the least, less 1.
        predicted: the scaled sum.
        scale: fitted on a few whole networks.
    """

    engine: str
    times: int
    terms: int
    measured: float
    spread: float
    predicted: float
    scale: float


@dataclass(frozen=True)
class LatencyReport:
    """A table and what it says of the network as it is.

    Args:
        path: of the table.
        engines: one report each.
    """

    path: Path
    engines: tuple[EngineReport, ...]

    def as_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"table": str(self.path), "engines": [asdict(engine) for engine in self.engines]}

    def show(self, console: Console) -> None:
        """A row an engine."""
        columns = ["engine", "times in the table", "terms", "measured whole", "sum of the table", "scale"]
        rows = [
            [
                each.engine,
                str(each.times),
                str(each.terms),
                f"{engineering(each.measured, 's')} (+{each.spread:.0%})",
                engineering(each.predicted, "s"),
                f"{each.scale:.3f}",
            ]
            for each in self.engines
        ]
        console.print(rows_table(columns, rows, "latency of one example, one thread, this machine"))
        say(console, str(self.path), f"`sizewise compress ... --budget latency=0.6 --table {self.path}` uses it")


def report_of(settings: Settings, output: Path, counts: int, narrator: Narrator) -> LatencyReport:
    """Build a table, or go on with it, and hold it against the network whole.

    Args:
        settings: the network, settled; its weights decide no latency.
        output: of the table.
        counts: numbers of channels to measure of each coupled group.
        narrator: hears what goes on.

    Raises:
        InputError: the network cannot be read or measured, or the file is no table of this machine.
    """
    source = settings.source
    network = NetworkReference(source.data, source.model, seed=source.seed).load()
    model, example = network.model, network.example_input
    groups = network.groups(settings.keep, settings.round_to or 1)
    with narrator.measuring() as heard:
        table = build_table(model, example, output, groups=groups, counts=counts, seed=settings.seed, progress=heard)
    engines = []
    for engine in ENGINES:
        latency, whole = NetworkLatency(model, example, groups, table, engine), measure(model, example, engine)
        held = len(table.times[engine])
        sums = latency.seconds()
        engines.append(EngineReport(engine, held, len(latency.terms), whole.seconds, whole.spread, sums, latency.scale))
    table.save()
    return LatencyReport(output, tuple(engines))
