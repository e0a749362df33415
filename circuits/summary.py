"""What a sizing run ends with, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from automl_core.report.engineering import engineering
from automl_core.report.tables import rows_table, spec_table
from circuits.results import Results
from circuits.signoff import SignOff

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from automl_core.study import StopReason, Study

__all__ = ["show"]

_ENDS = {
    "met": "all specs met",
    "stall": "all specs met, and no better design for long",
    "budget": "the budget is spent",
    "exhausted": "every design of the space is known",
    "interrupted": "stopped",
}
_UNITS = {"w": "m", "l": "m", "nf": "", "m": "", "mult": "", "r": "Ohm", "c": "F", "dc": "A", "value": "", "area": ""}
_HEADS = {"w": "W", "l": "L", "r": "R", "c": "C"}
_UNITS_OF_VALUE = {"resistor": "Ohm", "capacitor": "F", "inductor": "H", "isource": "A"}
"""Of `value`, and of the `l` of an inductor."""


def show(console: Console, study: Study, reason: StopReason | Literal["interrupted"], results: Results) -> None:
    """Specs, sizes and the sign-off."""
    first = study.trials[0]
    start = first.metrics if first.status == "ok" else {}
    console.print(spec_table(study.specs, results.best.metrics, engineering, start=start))
    console.print(_sizes(results))
    failed = sum(trial.status in ("failed", "timeout") for trial in study.trials)
    simulated = sum(trial.seconds for trial in study.trials)
    lines = [
        f"{_ENDS[reason]}: {study.spent} evaluations"
        + (f" ({failed} failed)" if failed else "")
        + f", {study.elapsed:.1f} s of search; the simulations took {simulated:.1f} s, added over all workers",
        *sign_off_lines(results.sign_off),
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _sizes(results: Results) -> Table:
    """Every device with its sizes, as the sized deck has them."""
    columns = [name for name in _UNITS if any(name in sizes for sizes in results.devices.values())]
    rows = []
    for device, sizes in results.devices.items():
        kind = "cell" if "cell" in sizes else str(sizes["kind"])
        cells = [_written(name, sizes[name], kind) if name in sizes else "" for name in columns]
        rows.append([device, str(sizes["kind"]), *cells])
    return rows_table(["device", "kind", *(_HEADS.get(name, name) for name in columns)], rows)


def _written(name: str, value: float | str, kind: str) -> str:
    """A size with its unit; a kit's cell counts in units of its own, often µm."""
    if kind == "cell":
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    unit = _UNITS_OF_VALUE.get(kind, "") if name == "value" or kind == "inductor" else _UNITS[name]
    return value if isinstance(value, str) else engineering(value, unit)


def sign_off_lines(verdict: SignOff | str) -> list[str]:
    """What the independent run says, and a sentence for every spec that it does not confirm."""
    if isinstance(verdict, str):
        return [f"not signed off: {verdict}"]
    reported = len(verdict.differences) + len(verdict.unconfirmed)
    line = f"sign-off: a fresh `ngspice -n -b` confirms {len(verdict.confirmed)} of {reported} metrics"
    if verdict.differences:
        worst = max(verdict.differences, key=lambda name: verdict.differences[name])
        line += f", the farthest {worst} to {verdict.worst * 100:.2g} %"
    if verdict.unconfirmed:
        line += f"; ngspice printed none for {', '.join(verdict.unconfirmed)}"
    return [line, *(f"not confirmed: {objection}" for objection in verdict.objections)]
