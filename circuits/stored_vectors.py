"""What ngspice stores of its analyses: by itself every net and branch at every point; here what measures read.

A frequency point of a small amplifier takes 2 µs, and a twentieth of that goes into storing nets that nobody looks at;
more in a larger circuit. ``save`` holds for every analysis until ``delete all`` or ``reset``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from circuits.plots import VectorNames

if TYPE_CHECKING:
    from circuits.ngspice import Library

__all__ = ["LINE_BYTES", "StoredVectors"]

LINE_BYTES = 900
"""The longest command to send: ngspice copies one into 1024 bytes and drops the rest."""


class StoredVectors:
    """Tells ngspice what to store. At first that is everything, because what there is shows in what is stored.

    Args:
        library: with the deck loaded.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._few: tuple[str, ...] = ()
        self._narrow = False

    def learn(self, reads: Iterable[str], stored: Sequence[VectorNames]) -> None:
        """Hear what is enough.

        Args:
            reads: every vector that a measure reads: "v(out)", "i(vdd)"; those of devices are no matter.
            stored: what every analysis stores of itself.
        """
        nets = dict.fromkeys(name for name in reads if not name.startswith("@"))
        self._few = tuple(net for net in nets if all(names.find(net) is not None for names in stored))

    def begin(self, *, everything: bool) -> None:
        """Have stored what is enough, or everything, from here on."""
        narrow = bool(self._few) and not everything
        if narrow and not self._narrow:
            self._save("save", self._few)
        elif self._narrow and not narrow:
            self._library.command(b"delete all")
        self._narrow = narrow

    def expanded(self) -> None:
        """Take note that the deck was expanded anew, after which everything is stored."""
        self._narrow = False

    def add(self, internals: tuple[str, ...]) -> None:
        """Have device vectors ("@m1[gm]") stored too, up to :meth:`restore`."""
        self._save("save" if self._narrow else "save all", internals)

    def restore(self) -> None:
        """Have no device vectors stored any longer."""
        self._library.command(b"delete all")
        if self._narrow:
            self._save("save", self._few)

    def _save(self, line: str, names: tuple[str, ...]) -> None:
        for name in names:
            if len(line) > LINE_BYTES:
                self._library.command(line.encode())
                line = "save"
            line += f" {name}"
        self._library.command(line.encode())
