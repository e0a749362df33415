"""What a person sees while a network is compressed: what goes on, epoch by epoch and batch by batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from automl_core.report.engineering import engineering
from automl_core.report.terminal import say, shown

if TYPE_CHECKING:
    from rich.console import Console

    from automl_core.specs import Spec
    from automl_core.study import Study
    from nn_compression.training.loop import Epoch

__all__ = ["Narration", "Narrator"]

_LINE_EVERY = 2.0
"""Seconds between two lines where the output is no terminal."""


class Narrator(Protocol):
    """Whoever hears what goes on."""

    def say(self, *lines: str) -> None:
        """Lines that stay."""

    def doing(self, words: str) -> AbstractContextManager[None]:
        """Something that takes a while begins, and ends with the block."""

    def training(self, title: str, epochs: int) -> AbstractContextManager[Callable[[Epoch], None]]:
        """A training; what the block is given hears of every epoch."""

    def measuring(self) -> AbstractContextManager[Callable[[str, int, int], None]]:
        """Many measurements; what the block is given hears what is measured, how many are done, and of how many."""

    def searching(self, title: str, figure: Spec) -> AbstractContextManager[Callable[[Study], None]]:
        """A search, told by a figure of its best design; what the block is given hears of every batch."""


class Narration:
    """Tells it on a console: lines that renew themselves in a terminal, one now and then elsewhere.

    Args:
        console: where to.
        quiet: tell nothing.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet

    def say(self, *lines: str) -> None:
        """Lines that stay."""
        if not self._quiet:
            say(self._console, *lines)

    def doing(self, words: str) -> AbstractContextManager[None]:
        """Something that takes a while."""
        return shown(self._console, words, quiet=self._quiet)

    @contextmanager
    def training(self, title: str, epochs: int) -> Iterator[Callable[[Epoch], None]]:
        """The epochs of a training, the last of which stays."""
        began, told = time.monotonic(), time.monotonic()
        last: Epoch | None = None
        status = self._console.status(title)
        if self._console.is_terminal and not self._quiet:
            status.start()

        def hear(epoch: Epoch) -> None:
            nonlocal last, told
            last, now = epoch, time.monotonic()
            line = epoch_line(title, epoch, epochs)
            if self._console.is_terminal:
                status.update(line)
            elif now - told >= _LINE_EVERY and epoch.number < epochs and not self._quiet:  # the last is told below
                told = now
                say(self._console, line)

        try:
            yield hear
        finally:
            status.stop()
        if last is not None:
            self.say(f"{epoch_line(title, last, epochs)}; {time.monotonic() - began:.1f} s")

    @contextmanager
    def measuring(self) -> Iterator[Callable[[str, int, int], None]]:
        """Measurements, counted."""
        told, status = time.monotonic(), self._console.status("measuring")
        if self._console.is_terminal and not self._quiet:
            status.start()

        def hear(what: str, done: int, of: int) -> None:
            nonlocal told
            line, now = f"measuring {what}: {done} of {of}", time.monotonic()
            if self._console.is_terminal:
                status.update(line)
            elif now - told >= _LINE_EVERY:
                told = now
                self.say(line)

        try:
            yield hear
        finally:
            status.stop()

    @contextmanager
    def searching(self, title: str, figure: Spec) -> Iterator[Callable[[Study], None]]:
        """A study, live."""
        from automl_core.report.live import LiveView

        def words(study: Study) -> str:
            best, score = study.best, study.best_score
            if best is None or score is None or not score.feasible:
                return "no design meets it yet"
            return f"{figure.metric} {engineering(best.metrics[figure.metric], figure.unit)}"

        if not self._console.is_terminal:  # in a terminal it stands above the table
            self.say(title)
        with LiveView(self._console, engineering, title, words=words, quiet=self._quiet) as view:
            yield view


def epoch_line(title: str, epoch: Epoch, epochs: int) -> str:
    """One epoch in words."""
    words = f"{title}: epoch {epoch.number} of {epochs}, loss {epoch.loss:.4g}"
    if epoch.metric is None:
        return words
    best = "" if epoch.best == epoch.number else f" (best so far: epoch {epoch.best})"
    return f"{words}, validation {epoch.metric:.4g}{best}"
