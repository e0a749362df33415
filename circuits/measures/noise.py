"""Figures of a noise analysis: spot noise and integrated noise, at the input or the output.

Between two frequencies a density follows a power law (a straight line in log-log), which is exact for white and for
flicker noise and is how ngspice integrates (ninteg.c). With q = f S^2 the power between two frequencies is
ln(f2/f1) times the logarithmic mean of q1 and q2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from circuits.bench import Analysis
from circuits.measures import signals
from circuits.measures.arguments import Argument, Arguments, ordered
from circuits.measures.kinds import Kind
from circuits.measures.plot import NotFound, Plots, read
from circuits.measures.scripts import lookup, number

__all__ = ["NOISE_KINDS"]

Floats = NDArray[np.float64]

_CURRENT_INPUT = re.compile(r"noise\s+v\([^)]*\)\s+i", re.IGNORECASE)
"""A noise analysis whose input is a current source, named after the output."""
_AT = Argument(
    "at", "number", "the frequency in Hz of a density; the integral over the band when absent", low=0, unit="Hz"
)
_FROM = Argument(
    "from", "number", "the lower end of the band in Hz; that of the analysis when absent", low=0, unit="Hz"
)
_TO = Argument("to", "number", "the upper end of the band in Hz; that of the analysis when absent", low=0, unit="Hz")


def _spectrum(plots: Plots, analysis: str, name: str) -> tuple[Floats, Floats]:
    plot = read(plots, analysis)
    frequency, density = plot.scale, signals.vector(plot, name).real
    if frequency.size != density.size or not density.min() > 0:
        raise NotFound(f"the analysis {analysis!r} gave no noise spectrum")
    return frequency, density


def _noise(plots: Plots, analysis: str, arguments: Arguments, name: str) -> float:
    frequency, density = _spectrum(plots, analysis, name)
    at = arguments.get("at")
    if at is not None:
        _inside(frequency, at)
        return math.exp(float(np.interp(math.log(at), np.log(frequency), np.log(density))))
    low = frequency[0] if arguments.get("from") is None else arguments["from"]
    high = frequency[-1] if arguments.get("to") is None else arguments["to"]
    _inside(frequency, low)
    _inside(frequency, high)
    if low >= high:
        raise NotFound(f"the band from {low:g} to {high:g} Hz is empty")
    return math.sqrt(_power(frequency, density, low, high))


def _inside(frequency: Floats, at: float) -> None:
    if not frequency[0] <= at <= frequency[-1]:
        raise NotFound(f"{at:.6g} Hz lies outside the analysis, {frequency[0]:.6g} to {frequency[-1]:.6g} Hz")


def _power(frequency: Floats, density: Floats, low: float, high: float) -> float:
    """The integral of density^2 from ``low`` to ``high``, all within the analysis."""
    inside = (frequency > low) & (frequency < high)
    x = np.concatenate(([low], frequency[inside], [high]))
    logarithm = np.log(x)
    q = x * np.exp(2 * np.interp(logarithm, np.log(frequency), np.log(density)))
    ratio = np.diff(np.log(q))
    flat = np.abs(ratio) < 1e-4
    mean = np.where(flat, (q[1:] + q[:-1]) / 2, np.diff(q) / np.where(flat, 1.0, ratio))
    return float(np.sum(mean * np.diff(logarithm)))


def _noise_script(result: str, analysis: Analysis, arguments: Arguments, name: str) -> list[str]:
    at = arguments.get("at")
    spectrum = [
        f"let {result}_x = ln(frequency)",
        f"let {result}_y = ln({name})",
        f"let {result}_n = length({result}_x)",
    ]
    return [*spectrum, *(_band_script(result, arguments) if at is None else _spot_script(result, at))]


def _spot_script(result: str, at: float) -> list[str]:
    return [
        *lookup(f"{result}_ln", f"{result}_x", f"{result}_y", f"ln({number(at)})"),
        f"let {result} = exp({result}_ln)",
    ]


def _band_script(result: str, arguments: Arguments) -> list[str]:
    """Each segment cut at the ends of the band; one outside becomes empty."""
    x, y, n = f"{result}_x", f"{result}_y", f"{result}_n"
    low = f"{x}[0]" if arguments.get("from") is None else f"ln({number(arguments['from'])})"
    high = f"{x}[{n}-1]" if arguments.get("to") is None else f"ln({number(arguments['to'])})"
    lines = [f"let {result}_low = {low}", f"let {result}_high = {high}"]
    for end, part in (("a", f"0,{n}-2"), ("b", f"1,{n}-1")):
        raw, cut = f"{result}_{end}", f"{result}_{end}cut"
        lines += [
            f"let {raw} = {x}[{part}]",
            f"let {cut} = {raw}+({result}_low-{raw})*({raw} lt {result}_low)",
            f"let {cut} = {cut}+({result}_high-{cut})*({cut} gt {result}_high)",
        ]
    slope = f"({y}[1,{n}-1]-{y}[0,{n}-2])/({result}_b-{result}_a)"
    return [
        *lines,
        f"let {result}_slope = {slope}",
        f"let {result}_u = ({result}_bcut-{result}_acut)*(1+2*{result}_slope)",
        f"let {result}_q = exp({result}_acut+2*({y}[0,{n}-2]+{result}_slope*({result}_acut-{result}_a)))",
        f"let {result}_flat = abs({result}_u) lt 1e-4",
        f"let {result}_grow = exp({result}_u)",
        f"let {result}_steep = (1-{result}_flat)*({result}_grow-1)/({result}_u+{result}_flat)",
        f"let {result}_mean = {result}_flat*(1+{result}_grow)/2+{result}_steep",
        f"let {result}_parts = {result}_q*{result}_mean*({result}_bcut-{result}_acut)",
        f"let {result} = sqrt(mean({result}_parts)*({n}-1))",
    ]


def _rule(analysis: str | None, arguments: Arguments) -> str | None:
    low, high, at = (arguments.get(name) for name in ("from", "to", "at"))
    if at is not None and (low is not None or high is not None):
        return "`at` gives a density, `from` and `to` an integral: give one or the other"
    return ordered(analysis, arguments)


def _unit_at_the_input(command: str) -> str:
    return "A" if _CURRENT_INPUT.match(command.strip()) else "V"


def _kind(name: str, vector: str, where: str, unit: Callable[[str], str]) -> Kind:
    return Kind(
        name=name,
        meaning=f"the noise {where}: the density at a frequency, or its root-mean-square over a band",
        analyses=("noise",),
        unit=lambda arguments, command: unit(command) if arguments["at"] is None else f"{unit(command)}/√Hz",
        arguments=(_AT, _FROM, _TO),
        figure=lambda plots, analysis, arguments: _noise(plots, analysis, arguments, vector),
        reads=lambda arguments: (vector,),
        script=lambda result, analysis, arguments: _noise_script(result, analysis, arguments, vector),
        rule=_rule,
    )


NOISE_KINDS = (
    _kind(
        "input_referred_noise",
        "inoise_spectrum",
        "referred to the input source (A where it is a current source)",
        _unit_at_the_input,
    ),
    _kind("output_noise", "onoise_spectrum", "at the output", lambda command: "V"),
)
