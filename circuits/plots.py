"""The vectors of one analysis as ngspice holds them, read when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from circuits.ngspice import Library

__all__ = ["NgspicePlot", "VectorNames"]

_SCALES = {"ac": "frequency", "noise": "frequency", "sp": "frequency", "disto": "frequency", "tran": "time"}
_SWEEPS = ("v-sweep", "i-sweep", "temp-sweep", "res-sweep")
_GROUND = ("0", "gnd")


class VectorNames:
    """The names that ngspice gives to the vectors of an analysis, which stay the same from run to run.

    Args:
        kind: of the analysis: "ac".
        listed: the names of the vectors, for each plot that the analysis makes (noise makes two).
    """

    def __init__(self, kind: str, listed: list[list[bytes]]) -> None:
        self._parts = {name.decode().lower(): (part, name) for part, names in enumerate(listed) for name in names}
        scales = (_SCALES[kind],) if kind in _SCALES else tuple(name for name in _SWEEPS if name in self._parts)
        self.scale = scales[0] if scales else None
        """The name of the scale; None at an operating point."""
        self._found: dict[str, tuple[int, bytes] | None] = {}

    def find(self, name: str) -> tuple[int, bytes] | None:
        """Which plot holds a vector, and its name there; None where none does."""
        if name not in self._found:
            self._found[name] = self._search(name.strip().lower())
        return self._found[name]

    def all(self) -> list[str]:
        """Every net and branch, in lower case: not the scale, nor what was saved of devices for a single run."""
        return [name for name in self._parts if name != self.scale and not name.startswith("@")]

    def __contains__(self, name: str) -> bool:
        return name in self._parts

    def _search(self, name: str) -> tuple[int, bytes] | None:
        if name.startswith("@"):
            return 0, name.encode()
        candidates = [name, f"v({name})"]  # ngspice calls the net 1 "V(1)" and the net out "out"
        if name.startswith("v(") and name.endswith(")"):
            candidates = [name[2:-1].strip(), name]
        elif name.startswith("i(") and name.endswith(")"):
            candidates = [f"{name[2:-1].strip()}#branch", name]
        return next((self._parts[candidate] for candidate in candidates if candidate in self._parts), None)


class NgspicePlot:
    """What one run of an analysis gave; a :class:`circuits.measures.Plot`.

    Valid until the library forgets its plots. Every vector is copied once.

    Args:
        library: that holds it.
        plots: the names of the plots: b"ac1".
        names: of the vectors.
    """

    def __init__(self, library: Library, plots: list[bytes], names: VectorNames) -> None:
        self._library = library
        self._plots = plots
        self.names = names
        self._vectors: dict[str, NDArray[Any]] = {}

    @property
    def scale(self) -> NDArray[np.float64]:
        """Frequency (Hz), time (s) or the swept value, shape (n,); a zero, shape (1,), at an operating point."""
        scale: NDArray[np.float64] = self.vector(self.names.scale).real if self.names.scale else np.zeros(1)
        return scale

    def vector(self, name: str) -> NDArray[Any]:
        """A copy of a vector, shape (n,): "v(out)", "v(a,b)", "i(vdd)", "@m1[gm]", "inoise_spectrum".

        Raises:
            KeyError: the plot has none of this name.
        """
        found = self._vectors.get(name)
        if found is None:
            found = self._vectors[name] = self._read(name)
        return found

    def waveforms(self, wanted: tuple[str, ...]) -> Mapping[str, NDArray[Any]]:
        """The scale and the vectors wanted; all of them where none is named."""
        scale = {self.names.scale: self.scale} if self.names.scale else {}
        return {**scale, **{name: self.vector(name) for name in wanted or self.names.all()}}

    def _read(self, name: str) -> NDArray[Any]:
        if name.startswith("v(") and "," in name:
            plus, _, minus = name[2:-1].partition(",")
            difference: NDArray[Any] = self._net(plus) - self._net(minus)
            return difference
        return self._net(name)

    def _net(self, name: str) -> NDArray[Any]:
        if name.strip().removeprefix("v(").removesuffix(")") in _GROUND:
            return np.zeros(1)
        found = self.names.find(name)
        values = None if found is None else self._library.vector(self._plots[found[0]] + b"." + found[1])
        if values is None:
            raise KeyError(name)
        return values
