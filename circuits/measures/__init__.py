"""Figures from waveforms: the built-in measures, ``KINDS``, and what they need.

Each kind computes its figure with numpy (in the simulator child, which is why nothing heavy is imported here) and can
write ngspice commands that compute the same figure independently (for the sign-off).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from circuits.measures.ac import AC_KINDS
from circuits.measures.arguments import Argument, Complete
from circuits.measures.dc import DC_KINDS
from circuits.measures.kinds import Kind
from circuits.measures.noise import NOISE_KINDS
from circuits.measures.op import OP_KINDS
from circuits.measures.plot import NotFound, Plot
from circuits.measures.tran import TRAN_KINDS

__all__ = ["KINDS", "Argument", "Complete", "Kind", "NotFound", "Plot"]

KINDS: Mapping[str, Kind] = MappingProxyType(
    {kind.name: kind for kind in (*AC_KINDS, *TRAN_KINDS, *OP_KINDS, *DC_KINDS, *NOISE_KINDS)}
)
