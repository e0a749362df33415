"""What travels between a problem and a simulator child: a deck with its analyses and measures, and a reading.

Plain data that pickles and imports nothing but numpy, because the child imports it at every start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Analysis", "Array", "Bench", "Measure", "Reading"]

Array = NDArray[np.float64] | NDArray[np.complex128]


@dataclass(frozen=True)
class Analysis:
    """One analysis of a deck.

    Args:
        name: what the spec calls it: the key below ``analyses:``.
        command: the command of ngspice: ``"op"``, ``"ac dec 20 1 10G"``, ``"tran 1n 10u"``.
        stimulus: AC magnitudes for this analysis alone, ((source, magnitude), ...); every other independent source
            then gets 0. Empty: the deck's own.
    """

    name: str
    command: str
    stimulus: tuple[tuple[str, float], ...] = ()

    @property
    def kind(self) -> str:
        """The first word of the command, in lower case: "op", "ac", "tran", "dc", "noise", ..."""
        return (self.command.split(maxsplit=1) or [""])[0].lower()


@dataclass(frozen=True)
class Measure:
    """One metric: a phrase in the measure language of ngspice, or a built-in figure.

    Args:
        name: the metric.
        analysis: the name of the analysis that it reads.
        take: all that follows the result's name in a ``meas`` command: ``"max vdb(out)"``. Exactly one of ``take``
            and ``kind`` is set.
        kind: the name of a built-in of :mod:`circuits.measures`.
        arguments: of the built-in: nodes, sources, numbers, names of further analyses.
    """

    name: str
    analysis: str
    take: str | None = None
    kind: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """All that one simulator child holds: one deck and one library section.

    Args:
        lines: the flattened deck: the title first, ``.end`` last; no ``.control`` block, no analysis or output cards,
            no ``.include`` and no ``.lib``.
        analyses: run in this order at every evaluation.
        measures: taken from them.
        devices: MOSFETs by the names that ngspice gives them ("m1", "m.x1.m1"), whose operating point is observed.
        compat: ``ngbehavior`` ("hsa").
        options: of the simulator, as in ``.options``: ((name, value), ...); an empty value sets a flag.
        temperature: in degrees Celsius; None: the deck's own.
        alters: parameter -> the targets of ``alter`` ("@m1[w]", "r1") that it sets; read in mode "alter" only.
        mode: "reset" sets parameters by ``alterparam`` and expands the deck again; "alter" alters the instances.
    """

    lines: tuple[str, ...]
    analyses: tuple[Analysis, ...]
    measures: tuple[Measure, ...]
    devices: tuple[str, ...] = ()
    compat: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    temperature: float | None = None
    alters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mode: str = "reset"


_NONE: Mapping[str, Any] = MappingProxyType({})


class Reading(NamedTuple):
    """What one evaluation gave.

    A tuple, because a thousand a second are made, sent as plain tuples and made again.

    Args:
        metrics: by measure; NaN where it did not trigger.
        notes: why, for every metric that is NaN.
        observations: device -> gm, gds (S), id (A), vth, vds, vdsat, vgs (V), region (2 saturation, 1 triode, 0 off);
            empty unless asked for.
        seconds: wall time in the child.
        waveforms: analysis -> vector name -> values, the scale first; only those asked for.
    """

    metrics: Mapping[str, float]
    notes: Mapping[str, str] = _NONE
    observations: Mapping[str, Mapping[str, float]] = _NONE
    seconds: float = 0.0
    waveforms: Mapping[str, Mapping[str, Array]] = _NONE
