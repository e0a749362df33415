"""The AC stimuli of a deck: which independent sources drive a small-signal analysis, and how strongly."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from automl_core.errors import InputError
from circuits.bench import Analysis

if TYPE_CHECKING:
    from circuits.ngspice import Library

__all__ = ["Drive", "Stimuli"]

Drive = Mapping[str, tuple[float, float]]
"""Source -> AC magnitude and phase in degrees."""

_SOURCE = re.compile(rb"stdout +\d+ : ([vi]\S*) ")


class Stimuli:
    """The independent sources of a loaded deck, of its subcircuits too.

    Args:
        library: with the deck loaded and nothing altered.
        send: runs commands.
    """

    def __init__(self, library: Library, send: Callable[[list[str]], None]) -> None:
        self._library = library
        self._send = send
        self._own: Drive | None = None
        self._now: Drive = {}

    def drive_of(self, analysis: Analysis) -> Drive | None:
        """What an analysis wants of every source; None: the deck's own.

        Raises:
            InputError: it names what is no independent source.
        """
        if not analysis.stimulus:
            return None
        if self._own is None:
            self._own = self._now = self._listed()
        wanted = {name.lower(): (float(magnitude), 0.0) for name, magnitude in analysis.stimulus}
        for name in wanted:
            if name not in self._own:
                raise InputError(
                    f"the analysis {analysis.name!r} stimulates {name!r}, which is no independent source of the deck",
                    remedy=f"its sources: {', '.join(self._own) or 'none'}",
                )
        return {name: wanted.get(name, (0.0, 0.0)) for name in self._own}

    def apply(self, drive: Drive) -> None:
        """Set all sources; only those that change cost time."""
        commands = []
        for name, (magnitude, phase) in drive.items():
            if magnitude != self._now[name][0]:
                commands.append(f"alter @{name}[acmag]={magnitude!r}")
            if phase != self._now[name][1]:
                commands.append(f"alter @{name}[acphase]={phase!r}")
        self._send(commands)
        self._now = drive

    def restore(self) -> None:
        """Set all sources as the deck has them."""
        if self._own is not None and self._now is not self._own:
            self.apply(self._own)

    def expanded(self) -> None:
        """Take note that the deck was expanded anew, which set all sources as it has them."""
        if self._own is not None:
            self._now = self._own

    def _listed(self) -> Drive:
        self._library.messages.clear()
        self._library.command(b"listing expand")
        names = [found[1] for message in self._library.messages if (found := _SOURCE.match(message))]
        self._library.messages.clear()
        return {name.decode(): (self._ask(name, b"acmag"), self._ask(name, b"acphase")) for name in names}

    def _ask(self, name: bytes, quantity: bytes) -> float:
        return self._library.scalar(b"@%s[%s]" % (name, quantity)) or 0.0
