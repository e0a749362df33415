"""What could be done to a network, shown before anything is: its layers, what is coupled, the smallest budgets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from automl_core.errors import InputError
from automl_core.report.tables import rows_table
from automl_core.report.terminal import say
from nn_compression.channels import ChannelGroup
from nn_compression.data import SettledData
from nn_compression.files.references import load_data
from nn_compression.graph.layer import Layer, within
from nn_compression.problems.budget import METRICS, CostLimit
from nn_compression.problems.network import NetworkReference
from nn_compression.run.deliverables import ONNX, export
from nn_compression.run.designs import designs_of
from nn_compression.run.plan import BUDGETS, METHODS, Stage
from nn_compression.run.settings import Settings
from nn_compression.training.evaluation import evaluate

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Prospect", "Reachable", "prospect_of"]

_TRIED = 2
"""Examples that the network is tried on."""


@dataclass(frozen=True)
class Reachable:
    """How far a method can bring a cost down.

    Args:
        method: what is done.
        metric: what it costs.
        base: before.
        least: at the least; of bytes, as the search counts them, which a coded file comes close to.
        problem: why it cannot be told.
        modelled: whether the figures are those of a model of some hardware.
    """

    method: str
    metric: str
    base: float
    least: float
    problem: str | None = None
    modelled: bool = False

    @property
    def share(self) -> float:
        """The least as a share of the base."""
        return self.least / self.base


@dataclass(frozen=True)
class Prospect:
    """What could be done to a network.

    Args:
        settings: that were asked for, with the names that were left out.
        data: what it is judged on.
        layers: in data-flow order.
        groups: coupled channels.
        reachable: by method and budget.
        faults: what an ONNX file of the network lacks, or why there will be none.
    """

    settings: Settings
    data: SettledData
    layers: tuple[Layer, ...]
    groups: tuple[ChannelGroup, ...]
    reachable: tuple[Reachable, ...]
    faults: tuple[str, ...]

    @property
    def whole(self) -> tuple[str, ...]:
        """The layers that make all their channels in every design."""
        chosen = {member.layer for group in self.groups for member in group.members if member.axis == "out"}
        return tuple(layer.name for layer in self.layers if layer.name not in chosen)

    def _why_whole(self) -> Iterator[str]:
        """Which layers make all their channels, by the reason."""
        asked = [layer for layer in self.whole if any(within(layer, name) for name in self.settings.keep)]
        others = [layer for layer in self.whole if layer not in asked]
        reasons = {"--keep": asked, "outputs of the network, or needed at their number": others}
        for reason, layers in reasons.items():
            if layers:
                yield f"layers that make all their channels ({reason}): {', '.join(map(repr, layers))}"

    def as_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "layers": [asdict(layer) for layer in self.layers],
            "groups": [asdict(group) for group in self.groups],
            "whole": list(self.whole),
            "reachable": [{**asdict(each), "share": each.share} for each in self.reachable],
            "notes": list(self.data.notes),
            "warnings": [f"there will be {fault}" for fault in self.faults],
        }

    def show(self, console: Console) -> None:
        """Three tables, and what they leave out."""
        columns = ["layer", "kind", "reads", "makes", "kernel", "weights", "MACs", "share"]
        console.print(rows_table(columns, list(self._layer_rows()), "layers, in data-flow order; MACs of one example"))
        columns = ["channels", "of", "decided together in"]
        console.print(rows_table(columns, [_group_row(group) for group in self.groups], "couplings"))
        columns = ["method", "budget", "smallest", "of", "share"]
        console.print(rows_table(columns, [_reach_row(each) for each in self.reachable], "smallest budgets"))
        written = ", but for the table of latencies" if self.settings.measures_latency else ""
        warned = [f"warning: there will be {fault}" for fault in self.faults]
        say(
            console, *self._why_whole(), *self.data.notes, *warned, f"nothing was trained, searched or written{written}"
        )

    def _layer_rows(self) -> Iterator[list[str]]:
        whole = sum(layer.macs for layer in self.layers)
        for layer in self.layers:
            kernel = "x".join(map(str, layer.kernel))
            counts = [f"{layer.inputs:,}", f"{layer.outputs:,}", kernel, f"{layer.weights:,}", f"{layer.macs:,}"]
            yield [layer.name, layer.kind, *counts, f"{layer.macs / max(whole, 1):.1%}"]


def _group_row(group: ChannelGroup) -> list[str]:
    rule = f", multiples of {group.multiple}" if group.multiple > 1 else ""
    made = list(dict.fromkeys(member.layer for member in group.members if member.axis == "out"))
    return [group.name, f"{group.channels}{rule}", ", ".join(made)]


def _reach_row(each: Reachable) -> list[str]:
    budget = f"{each.metric}, modelled" if each.modelled else each.metric
    if each.problem is not None:
        return [each.method, budget, each.problem, "", ""]
    unit = METRICS[each.metric]
    amounts = [f"{v:,.0f} {unit}" if unit in ("MACs", "bytes") else f"{v:.4g} {unit}" for v in (each.least, each.base)]
    return [each.method, budget, *amounts, f"{each.share:.1%}"]


def prospect_of(asked: Settings) -> Prospect:
    """Read a network and its data, and see how far each method could bring it down. Nothing is trained.

    A latency is measured, which takes minutes, only where the budget is one: into the table that the run then uses.

    Raises:
        InputError: something of it cannot be used.
    """
    settings = asked.settled()
    source = settings.source
    settings.check()
    data = load_data(source.data, source.seed)
    weights = None if source.weights is None else Path(source.weights)
    reference = NetworkReference(source.data, source.model, weights, seed=source.seed)
    network = reference.load()
    evaluate(network.model, data.validation.first(_TRIED), data.task)  # what it makes fits the targets
    reachable = [
        _reachable(method, metric, reference, settings)
        for method in METHODS
        if method not in ("all", "deep")
        for metric in BUDGETS[method]
        if (method, metric) != ("channels", "latency") or settings.measures_latency
    ]
    groups = network.groups(settings.keep, settings.round_to or 1)
    with TemporaryDirectory(prefix="sizewise-") as aside:
        _, faults = export(network.model, network.example_input, Path(aside) / ONNX)
    return Prospect(settings, data, network.graph.layers, groups, tuple(reachable), faults)


def _reachable(method: Any, metric: str, reference: NetworkReference, settings: Settings) -> Reachable:
    limit = CostLimit(metric, 1.0)
    modelled = Stage(method, limit).modelled
    try:
        problem = designs_of(method, reference, settings).problem(limit)
    except InputError as error:
        return Reachable(method, metric, float("nan"), float("nan"), error.problem, modelled)
    return Reachable(method, metric, problem.base_cost, problem.legal.reachable, modelled=modelled)
