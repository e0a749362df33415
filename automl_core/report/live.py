"""The live view of a run: a table that renews itself in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from automl_core.report.tables import spec_table
from automl_core.study import Study

__all__ = ["LiveView"]

_LINE_EVERY = 2.0
"""Seconds between two lines where the output is no terminal."""


class LiveView:
    """Shows a study while it runs; pass it to the study as ``progress``.

    Args:
        console: where to.
        write: (value, unit) -> text.
        title: above the table.
        words: what a line says of the best design; by default how many specs it meets and its merit or violation.
        quiet: show nothing.
    """

    def __init__(
        self,
        console: Console,
        write: Callable[[float, str], str],
        title: str,
        *,
        words: Callable[[Study], str] | None = None,
        quiet: bool = False,
    ) -> None:
        self._console, self._write, self._title, self._quiet = console, write, title, quiet
        self._words = words or _specs_met
        self._live = Live(console=console, refresh_per_second=8, transient=True)
        self._said = time.monotonic()
        self._first: tuple[int, float] | None = None

    def __enter__(self) -> LiveView:
        if self._console.is_terminal and not self._quiet:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, study: Study) -> None:
        """Show where the study stands."""
        if self._quiet:
            return
        now, _ = time.monotonic(), self._rate(study)
        if self._console.is_terminal:
            self._live.update(self._render(study))
        elif now - self._said >= _LINE_EVERY:
            self._said = now
            self._console.print(self._line(study), highlight=False)

    def _line(self, study: Study) -> str:
        failed = sum(trial.status in ("failed", "timeout") for trial in study.trials)
        rate = self._rate(study)
        parts = [
            f"{study.spent} evaluations",
            self._words(study),
            *([f"{rate:.0f}/s"] if rate > 0 else []),
            *([f"{failed} failed"] if failed else []),
            *self._left(study),
        ]
        return ", ".join(parts)

    def _rate(self, study: Study) -> float:
        """Evaluations per second, from the first batch on: before it lie the start of the workers and any replay."""
        if self._first is None:
            self._first = (study.spent, time.monotonic())
        spent, began = self._first
        return (study.spent - spent) / max(time.monotonic() - began, 1e-3)

    def _left(self, study: Study) -> list[str]:
        """Time until the budget is spent, at the present rate."""
        if study.budget.seconds is not None:
            return [f"{max(study.budget.seconds - study.elapsed, 0):.0f} s left"]
        rate = self._rate(study)
        return [] if study.remaining is None or rate <= 0 else [f"at most {study.remaining / rate:.0f} s left"]

    def _render(self, study: Study) -> RenderableType:
        if study.best is None:
            return Text(f"{self._title}\n{self._line(study)}")
        table = spec_table(study.specs, study.best.metrics, self._write, title=self._title)
        return Group(table, Text(self._line(study), "dim"))


def _specs_met(study: Study) -> str:
    """How near the best design is to its specs."""
    best, specs, score = study.best, study.specs, study.best_score
    met = 0 if best is None else sum(s.met(best.metrics.get(s.metric, float("nan"))) for s in specs.specs)
    words = f"{met} of {len(specs.specs)} specs met"
    if score is None:
        return words
    return f"{words}, merit {score.merit:.4g}" if score.feasible else f"{words}, violation {score.violation:.4g}"
