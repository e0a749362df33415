"""Where a comparison stands: a bar that moves in a terminal, a line a study elsewhere."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from automl_core.comparison import Progress
from automl_core.report.comparison_tables import outcome_line

__all__ = ["ComparisonView", "progress_words"]


class ComparisonView:
    """Shows a comparison while it runs; pass it to the comparison as ``progress``.

    Args:
        console: where to.
        total: studies in all.
        done: of these, those that are finished already.
        quiet: show nothing.
    """

    def __init__(self, console: Console, total: int, done: int, *, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._bar = Bar(*columns, console=console, transient=True)
        self._task = self._bar.add_task(progress_words(done, total, math.nan), total=total, completed=done)

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._quiet:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Show a study that has ended; in a terminal, only one that failed stays."""
        if self._quiet:
            return
        words = progress_words(progress.done, progress.total, progress.seconds_left)
        line = outcome_line(progress.outcome)
        if not self._console.is_terminal:
            self._print(f"{line}; {words}")
            return
        if progress.outcome.status == "failed":
            self._print(line)
        self._bar.update(self._task, description=words, completed=progress.done)

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def progress_words(done: int, total: int, seconds_left: float) -> str:
    """How many studies are done, and how long the rest will take."""
    words = f"{done} of {total} studies"
    if done == total or math.isnan(seconds_left):
        return words
    minutes = seconds_left / 60
    time = (
        f"{seconds_left:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
    )
    return f"{words}, about {time} left"
