"""A comparison for a terminal: how each optimizer did, and which beats which."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from automl_core.contest import Outcome
from automl_core.report.tables import rows_table
from automl_core.significance import LEVEL, Pair, least_p
from automl_core.standings import Standing, Standings

__all__ = ["LEGEND", "outcome_line", "pairs_table", "standings_table", "tables"]

LEGEND = (
    "median and quartiles over seeds; best: the merit as the specs count it, or v: the violation where one is not met\n"
    f"row against column: > better, < worse, = may be chance (p >= {LEVEL:g}); p of Mann-Whitney, two-sided, after Holm"
)

_COLUMNS = (
    *("optimizer", "specs met", "evaluations\nto specs", "quartiles"),
    *("best", "quartiles", "wall s", "optimizer's\nown s"),
)
_NAMED = 5
"""Up to this many optimizers, the columns of a table of pairs carry their names."""


def tables(found: Standings) -> Iterator[RenderableType]:
    """All that is said of one problem at one number of evaluations."""
    yield _line(f"{found.problem}, {found.at} evaluations each", "bold")
    yield standings_table(found)
    if found.to_specs:
        yield _line("which meets the specs after fewer evaluations")
        yield pairs_table(found.rows, found.to_specs)
        yield _line(f"whose best is better after {found.at} evaluations")
        yield pairs_table(found.rows, found.best)
        studies = max(row.studies for row in found.rows)
        if studies and least_p(studies, studies) * len(found.best) >= LEVEL:
            words = f"with {studies} studies each and {len(found.best)} pairs, no difference can be significant"
            yield _line(f"{words}: more seeds, or fewer optimizers", "yellow")


def _line(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="fold")


def standings_table(found: Standings) -> Table:
    """An optimizer a row: how many studies met the specs, how soon, how good the best was, and the time it took."""
    rows = [_row(row, found) for row in found.rows]
    kept = [column for column in range(len(_COLUMNS)) if any(row[column] for row in rows)]
    return rows_table([_COLUMNS[column] for column in kept], [[row[column] for column in kept] for row in rows])


def _row(row: Standing, found: Standings) -> list[str]:
    at, goals = found.at, found.goals
    notes = [f"{row.failed} failed"] if row.failed else []
    notes += [f"{row.missing} not run"] if row.missing else []
    if not row.studies:
        return [row.optimizer, ", ".join(notes), *[""] * (len(_COLUMNS) - 2)]
    return [
        row.optimizer,
        f"{row.solved} of {row.studies}" + (f" ({', '.join(notes)})" if notes else ""),
        _count(row.to_specs.median, at),
        f"{_count(row.to_specs.low, at)} .. {_count(row.to_specs.high, at)}",
        _best(row.merit.median, row.violation.median, goals),
        # from the worse quartile to the better one: the higher a merit and the lower a violation, the better
        f"{_best(row.merit.low, row.violation.high, goals)} .. {_best(row.merit.high, row.violation.low, goals)}",
        _seconds(row.wall_seconds),
        _seconds(row.optimizer_seconds),
    ]


def _count(evaluations: float, at: int) -> str:
    return f"> {at}" if math.isinf(evaluations) else f"{evaluations:.0f}"


def _best(merit: float, violation: float, goals: bool) -> str:
    if math.isinf(merit):
        return f"v {violation:.3g}"
    return f"{merit:.4g}" if goals else "met"


def _seconds(seconds: float) -> str:
    return "" if math.isnan(seconds) else f"{seconds:.3g}"


def pairs_table(rows: Sequence[Standing], pairs: Sequence[Pair]) -> Table:
    """Every optimizer against every other; where there are many, the columns carry their numbers."""
    names = [row.optimizer for row in rows]
    cells = {(pair.first, pair.second): _verdict(pair, pair.first) for pair in pairs}
    cells |= {(pair.second, pair.first): _verdict(pair, pair.second) for pair in pairs}
    body = [[cells.get((name, other), "") for other in names] for name in names]
    if len(names) <= _NAMED:
        return rows_table(["", *names], [[name, *row] for name, row in zip(names, body, strict=True)])
    numbers = [str(position) for position in range(1, len(names) + 1)]
    labels = [f"{number:>2} {name}" for number, name in zip(numbers, names, strict=True)]
    return rows_table(["", *numbers], [[label, *row] for label, row in zip(labels, body, strict=True)])


def _verdict(pair: Pair, side: str) -> str:
    better = pair.better()
    sign = "=" if better is None else ">" if better == side else "<"
    return f"{sign} {pair.adjusted:.2g}" if pair.adjusted >= 0.001 else f"{sign} <.001"


def outcome_line(outcome: Outcome) -> str:
    """One study in one sentence."""
    name = f"{outcome.problem}, {outcome.optimizer}, seed {outcome.seed}"
    if outcome.status == "failed":
        return f"{name}: FAILED after {outcome.evaluations} evaluations: {outcome.failure}"
    met, score = outcome.curve.to_specs(), outcome.curve.score()
    how = f"all specs met after {met:.0f}" if math.isfinite(met) else f"specs not met, violation {score.violation:.3g}"
    merit = f", merit {score.merit:.4g}" if score.feasible and outcome.curve.specs.goals else ""
    time = f"{outcome.wall_seconds or 0:.1f} s, the optimizer's own {outcome.optimizer_seconds or 0:.1f} s"
    return f"{name}: {how}{merit}; {outcome.evaluations} evaluations, {time}"
