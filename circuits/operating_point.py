"""The operating points of MOSFETs: what an analog designer looks at first, and what an agent observes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from circuits.ngspice import Library

__all__ = ["QUANTITIES", "OperatingPoints", "region"]

QUANTITIES = ("gm", "gds", "id", "vth", "vds", "vdsat", "vgs")
_ASKED = {"vth": ("vth", "von")}
"""Where models differ in the name; those of level 1 to 3 have "von"."""
_WEAK_INVERSION_VOLTS = 0.2


def region(point: Mapping[str, float]) -> float:
    """Where a MOSFET works: 2 saturation, 1 triode, 0 off; NaN where a model does not say.

    Off is more than 0.2 V below threshold: a device in weak inversion amplifies well and is in use, and its ``vdsat``
    (a few thermal voltages) tells saturation there too.

    Args:
        point: vgs, vth, vds, vdsat in V, signed as those of an n-channel device.
    """
    try:
        vgs, vth, vds, vdsat = (point[name] for name in ("vgs", "vth", "vds", "vdsat"))
    except KeyError:
        return math.nan
    if vgs < vth - _WEAK_INVERSION_VOLTS:
        return 0.0
    return 2.0 if abs(vds) >= abs(vdsat) else 1.0


class OperatingPoints:
    """Reads the devices of a deck.

    Asking ngspice for ``@m1[gm]`` after the run costs 6 µs a figure (an expression is parsed); vectors saved by the
    run itself cost 2.5 µs, ``save`` and ``delete`` included (8 devices: 145 µs against 350).

    Args:
        devices: names of MOSFETs as ngspice has them: "m1", "m.x1.m1".
    """

    def __init__(self, devices: tuple[str, ...]) -> None:
        self._devices = devices
        self._vectors: tuple[tuple[str, str, str], ...] | None = None

    @property
    def known(self) -> bool:
        """Whether :meth:`learn` was called."""
        return self._vectors is not None

    def learn(self, library: Library) -> None:
        """Find out which quantities the models have. Before a first analysis, asking would kill ngspice."""
        found = []
        for device, name in product(self._devices, QUANTITIES):
            vectors = (f"@{device}[{asked}]" for asked in _ASKED.get(name, (name,)))
            vector = next((vector for vector in vectors if library.scalar(vector.encode()) is not None), None)
            if vector is not None:
                found.append((device, name, vector))
        self._vectors = tuple(found)

    def vectors(self) -> tuple[str, ...]:
        """Names of the vectors that the run must save."""
        return tuple(vector for _, _, vector in self._vectors or ())

    def read(self, library: Library, plot: bytes) -> dict[str, dict[str, float]]:
        """By device: gm, gds (S), id (A), vth, vds, vdsat, vgs (V), region."""
        points: dict[str, dict[str, float]] = {device: {} for device in self._devices}
        for device, name, vector in self._vectors or ():
            value = library.scalar(plot + b"." + vector.encode())
            if value is not None:
                points[device][name] = (
                    abs(value) if name == "vdsat" else value
                )  # below zero for level 1 p-channel devices
        for point in points.values():
            if point:
                point["region"] = region(point)
        return points
