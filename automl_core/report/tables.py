"""Tables for a terminal: what was asked for and what was reached."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from automl_core.specs import Spec, Specs

__all__ = ["rows_table", "spec_table", "target"]

Format = Callable[[float, str], str]


def target(spec: Spec, write: Format) -> str:
    """What a spec asks for, in words: ``>= 60 dB, maximize``."""
    if spec.minimum is not None and spec.minimum == spec.maximum:
        words = [f"= {write(spec.minimum, spec.unit)}"]
    else:
        lower = [] if spec.minimum is None else [f">= {write(spec.minimum, spec.unit)}"]
        words = lower + ([] if spec.maximum is None else [f"<= {write(spec.maximum, spec.unit)}"])
    return ", ".join(words + ([spec.goal] if spec.goal else []))


def spec_table(
    specs: Specs,
    metrics: Mapping[str, float],
    write: Format,
    *,
    start: Mapping[str, float] | None = None,
    title: str | None = None,
) -> Table:
    """Spec, target, reached, margin, met; and where it started from.

    Args:
        specs: what was asked for.
        metrics: what was reached.
        write: (value, unit) -> text.
        start: what the first design reached.
        title: above the table.
    """
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    table.add_column("spec")
    for column in ["target", *(["start"] if start is not None else []), "reached", "margin"]:
        table.add_column(column, justify="right")
    table.add_column("met")
    for spec in specs.specs:
        value = metrics.get(spec.metric, math.nan)
        margin = spec.margin(value)
        cells: list[Text | str] = [_plain(spec.metric), target(spec, write)]
        cells += [write(start.get(spec.metric, math.nan), spec.unit)] if start is not None else []
        cells += [write(value, spec.unit), "" if math.isinf(margin) else write(margin, spec.unit)]
        met = Text("yes", "green") if spec.met(value) else Text("no", "red")
        table.add_row(*cells, met)
    return table


def _plain(text: str) -> Text:
    """A name in which brackets are brackets, not markup."""
    return Text(text)


def rows_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> Table:
    """A plain table; every column after the first is set flush right."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for position, column in enumerate(columns):
        table.add_column(column, justify="right" if position else "left")
    for row in rows:
        table.add_row(*[_plain(cell) for cell in row])
    return table
