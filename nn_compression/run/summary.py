"""What a compression ends with, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from automl_core.report.engineering import engineering
from automl_core.report.tables import rows_table
from automl_core.report.terminal import say
from nn_compression.run.outcome import Outcome, Reached, SearchFigures, Timing

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["before_and_after", "reached_line", "search_table", "show"]

_COSTS = {"macs": "", "bytes": "", "latency": "latency ", "energy": "energy ", "drop": "drop of "}
"""What stands before a figure whose unit does not say it."""


def show(console: Console, outcome: Outcome) -> None:
    """The table before and after, the searches beside their baselines, and whether the budget is met."""
    console.print(before_and_after(outcome))
    if outcome.searches:
        console.print(search_table(outcome))
    say(console, *_notes(outcome), *outcome.notes, reached_line(outcome.reached))


def before_and_after(outcome: Outcome) -> Table:
    """A row a figure: before, after, and how they compare."""
    return rows_table(["", "before", "after", "change"], list(_rows(outcome)))


def _rows(outcome: Outcome) -> Iterator[tuple[str, str, str, str]]:
    before, after, unit = outcome.before, outcome.after, outcome.unit
    named = unit if " " in unit else f"{outcome.metric} ({unit})" if unit else outcome.metric
    for split in ("validation", "test"):
        old, new = getattr(before, split), getattr(after, split)
        yield f"{named}, {split}", _figure(old), _figure(new), f"{new - old:+.3g}"
    yield "MACs of one example", f"{before.macs:,}", f"{after.macs:,}", _ratio(before.macs, after.macs)
    yield "weights", f"{before.weights:,}", f"{after.weights:,}", _ratio(before.weights, after.weights)
    yield (
        "bytes of the file",
        f"{before.file_bytes:,}",
        f"{after.file_bytes:,}",
        _ratio(before.file_bytes, after.file_bytes),
    )
    for name, engine in (("eager", "torch, eager"), ("onnx", "ONNX Runtime")):
        old_time, new_time = getattr(before, name), getattr(after, name)
        timed = old_time is not None and new_time is not None
        ratio = _ratio(old_time.seconds, new_time.seconds) if timed else ""
        yield f"latency, {engine}", _timing(old_time), _timing(new_time), ratio


def _timing(timing: Timing | None) -> str:
    """The minimum, and by how much the greatest of three lies above it."""
    return "none" if timing is None else f"{engineering(timing.seconds, 's', 3)} (+{timing.spread:.0%})"


def _figure(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"


def _ratio(before: float, after: float) -> str:
    """How much less it is: ``4.2x less``; more where it grew; ``as before`` where three digits show no change."""
    if not after or not before:
        return ""
    ratio = f"{max(before, after) / min(before, after):.3g}x"
    return "as before" if ratio == "1x" else f"{ratio} {'less' if before > after else 'more'}"


def search_table(outcome: Outcome) -> Table:
    """What the search found beside uniform and random designs, before any of them was trained."""
    title = "before fine-tuning, on the validation split; equal budgets, equal evaluations"
    columns = ["search", "evaluations", "of", "searched", "uniform", "random", "s"]
    return rows_table(columns, [_search_row(search) for search in outcome.searches], title)


def _notes(outcome: Outcome) -> Iterator[str]:
    """What the table of searches does not explain itself."""
    if any(search.ordered_by not in ("", search.metric) for search in outcome.searches):
        yield "of each search the design whose outputs are nearest to those before; the table shows its metric"
    if any(math.isnan(value) for search in outcome.searches for value in (search.found, search.random)):
        yield "none: no design was within the budget or the drop"


def _search_row(search: SearchFigures) -> list[str]:
    figures = [_reached(value, search.unit) for value in (search.found, search.uniform, search.random)]
    name = f"{search.method} by {search.optimizer}"
    return [name, str(search.evaluations), search.metric, *figures, f"{search.seconds:.1f}"]


def _reached(value: float, unit: str) -> str:
    """A long unit stands in the name of the metric already."""
    return "none" if math.isnan(value) else engineering(value, "" if " " in unit else unit)


def reached_line(reached: Reached) -> str:
    """One sentence on the budget."""
    verdict = "met" if reached.met else "NOT met"
    label = f"{'modelled ' if reached.modelled else ''}{_COSTS.get(reached.metric, f'{reached.metric} ')}"
    line = f"budget {verdict}: {label}{_amount(reached.value, reached.unit)} of {_amount(reached.bound, reached.unit)}"
    if reached.spread is not None:
        line += f" (the minimum of three measurements, which spread by {reached.spread:.1%})"
    return line


def _amount(value: float, unit: str) -> str:
    """Counts to the last one, anything else in four digits."""
    if math.isnan(value):
        return "unknown"
    return f"{value:,.0f} {unit}" if unit in ("MACs", "bytes") else engineering(value, unit)
