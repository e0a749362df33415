"""Figures of a transient: slew rate, rise time, delay, settling, overshoot, distortion.

A step runs from the value at ``start`` to the value at ``stop``, or to ``final``; it is normalised to y = 0 … 1, so
that rising and falling steps read alike. Levels and tolerances are fractions of the step (IEEE Std 181-2011: 10 % and
90 % reference levels, 50 % for delays).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuits.bench import Analysis
from circuits.measures import signals
from circuits.measures.arguments import Argument, Arguments, ordered
from circuits.measures.crossings import crossing, value_at
from circuits.measures.kinds import Kind
from circuits.measures.plot import NotFound, Plots, read
from circuits.measures.scripts import FOURIER_CALLS, lookup, number, option, window

__all__ = ["TRAN_KINDS"]

Floats = NDArray[np.float64]

_NODE = Argument("node", "signal", "the output: a net or a pair of nets 'p,n'", required=True)
_START = Argument("start", "number", "the time in s at which the input steps; the first of the analysis when absent")
_STOP = Argument("stop", "number", "the time in s at which the step is over; the last of the analysis when absent")
_FINAL = Argument("final", "number", "the value that it should settle to; the one at `stop` when absent")
_EDGE = Argument("edge", "choice", "which edge must be there", default="any", choices=("any", "rise", "fall"))
_FROM = Argument("from", "number", "the lower level, as a fraction of the step", default=0.1, low=0, high=1)
_TO = Argument("to", "number", "the upper level, as a fraction of the step", default=0.9, low=0, high=1)
_TOLERANCE = Argument("tolerance", "number", "the band, as a fraction of the step", default=0.01, low=0, high=1)
_GRID = 1024
_SIGNS = {"rise": ">", "fall": "<"}


class _Step(NamedTuple):
    """A step inside its window: times and normalised values, shape (n,) each."""

    time: Floats
    y: Floats
    height: float
    """Of the step, from its start to its final value."""
    end: float
    """The normalised value at ``stop``: 1 unless a final value is given."""


def _step(plots: Plots, analysis: str, arguments: Arguments, signal: str) -> _Step:
    plot = read(plots, analysis)
    time, waveform = plot.scale, signals.values(plot, signal).real
    if time.size != waveform.size or time.size < 3:
        raise NotFound(f"the transient {analysis!r} has fewer than three points")
    start, stop, final = arguments.get("start"), arguments.get("stop"), arguments.get("final")
    first = float(waveform[0]) if start is None else value_at(time, waveform, start)
    last = float(waveform[-1]) if stop is None else value_at(time, waveform, stop)
    height = (last if final is None else final) - first
    if height == 0:
        raise NotFound(f"{signal} does not step: it is {first:.6g} at the start and at the end")
    _check_edge(signal, first, height, arguments.get("edge", "any"))
    inside = (time >= (-math.inf if start is None else start)) & (time <= (math.inf if stop is None else stop))
    return _Step(time[inside], (waveform[inside] - first) / height, height, (last - first) / height)


def _check_edge(signal: str, first: float, height: float, edge: str) -> None:
    if edge != "any" and (height > 0) != (edge == "rise"):
        raise NotFound(f"{signal} goes from {first:.6g} to {first + height:.6g}, which is no {edge}")


def _step_script(result: str, arguments: Arguments, signal: str) -> list[str]:
    """The normalised step as ``result_y``, its height as ``result_height``."""
    wave = f"{result}_wave"
    lines = [f"let {wave} = {signals.expression(signal)}"]
    for name, limit, index in (("first", "start", "0"), ("last", "stop", f"length({wave})-1")):
        at = arguments.get(limit)
        value = f"{result}_{name}"
        lines += [f"let {value} = {wave}[{index}]"] if at is None else lookup(value, "time", wave, number(at))
    final = arguments.get("final")
    last = f"{result}_last" if final is None else number(final)
    return [
        *lines,
        f"let {result}_height = {last}-{result}_first",
        f"let {result}_y = ({wave}-{result}_first)/{result}_height",
    ]


def _rises(step: _Step, level: float, signal: str) -> float:
    found = crossing(step.time, step.y, level, "rise")
    if found is None:
        raise NotFound(f"{signal} does not pass {level:.3g} of its step: it reaches {np.max(step.y):.3g} of it")
    return found


def _rise(plots: Plots, analysis: str, arguments: Arguments) -> tuple[float, float]:
    """The time between the two levels, and the height of the step."""
    node = arguments["node"]
    step = _step(plots, analysis, arguments, node)
    return _rises(step, arguments["to"], node) - _rises(step, arguments["from"], node), step.height


def _rise_time(plots: Plots, analysis: str, arguments: Arguments) -> float:
    return _rise(plots, analysis, arguments)[0]


def _slew_rate(plots: Plots, analysis: str, arguments: Arguments) -> float:
    rise, height = _rise(plots, analysis, arguments)
    span: float = arguments["to"] - arguments["from"]
    return span * abs(height) / rise


def _rise_time_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    low, high, delay = number(arguments["from"]), number(arguments["to"]), option(arguments, start="td")
    y, edge = f"{result}_y", arguments["edge"]
    meas = f"meas tran {result} trig {y} val={low} rise=1{delay} targ {y} val={high} rise=1{delay}"
    judged = [meas] if edge == "any" else [f"if {result}_height {_SIGNS[edge]} 0", f"  {meas}", "end"]
    return [*_step_script(result, arguments, arguments["node"]), *judged]


def _slew_rate_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    span = number(arguments["to"] - arguments["from"])
    return [
        *_rise_time_script(f"{result}_rise", analysis, arguments),
        f"let {result} = {span}*abs({result}_rise_height)/{result}_rise",
    ]


def _delay(plots: Plots, analysis: str, arguments: Arguments) -> float:
    level = arguments["level"]
    times = [
        _rises(_step(plots, analysis, arguments, arguments[name]), level, arguments[name]) for name in ("input", "node")
    ]
    return times[1] - times[0]


def _delay_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    level, delay = number(arguments["level"]), option(arguments, start="td")
    cause, effect = f"{result}_in", f"{result}_out"
    return [
        *_step_script(cause, arguments, arguments["input"]),
        *_step_script(effect, arguments, arguments["node"]),
        f"meas tran {result} trig {cause}_y val={level} rise=1{delay} targ {effect}_y val={level} rise=1{delay}",
    ]


def _settling_time(plots: Plots, analysis: str, arguments: Arguments) -> float:
    step, tolerance = _step(plots, analysis, arguments, arguments["node"]), arguments["tolerance"]
    if not abs(step.end - 1) <= tolerance:
        off = 100 * abs(step.end - 1)
        raise NotFound(f"{arguments['node']} is still {off:.3g} % of the step off at {step.time[-1]:.4g} s")
    found = crossing(step.time, np.abs(step.y - 1), tolerance, "fall", "last")
    if found is None:
        raise NotFound(f"{arguments['node']} is within the tolerance from the first point on")
    start = arguments.get("start")
    return found - (float(step.time[0]) if start is None else start)


def _settling_time_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    start, tolerance = arguments.get("start"), number(arguments["tolerance"])
    error, edge = f"{result}_error", f"fall=last{window(arguments)}"
    if start is None:
        meas = [f"meas tran {result}_moment when {error}={tolerance} {edge}", f"let {result} = {result}_moment-time[0]"]
    else:  # meas keeps seven digits: it must take the difference itself
        meas = [f"meas tran {result} trig at={number(start)} targ {error} val={tolerance} {edge}"]
    return [
        *_step_script(result, arguments, arguments["node"]),
        f"let {error} = abs({result}_y-1)",
        f"if abs({result}_last-{result}_first-{result}_height) <= {tolerance}*abs({result}_height)",
        *(f"  {line}" for line in meas),
        "end",
    ]


def _overshoot(plots: Plots, analysis: str, arguments: Arguments) -> float:
    return float(np.maximum(0.0, 100 * (np.max(_step(plots, analysis, arguments, arguments["node"]).y) - 1)))


def _overshoot_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    return [
        *_step_script(result, arguments, arguments["node"]),
        f"let {result}_over = {result}_y-1",
        f"meas tran {result}_peak max {result}_over{window(arguments)}",
        f"let {result} = 50*({result}_peak+abs({result}_peak))",
    ]


def _thd(plots: Plots, analysis: str, arguments: Arguments) -> float:
    plot = read(plots, analysis)
    time, waveform = plot.scale, signals.values(plot, arguments["node"]).real
    periods, harmonics = int(arguments["periods"]), int(arguments["harmonics"])
    length = periods / arguments["fundamental"]
    if time[-1] - time[0] < length * (1 - 1e-9):
        raise NotFound(f"{periods} periods last {length:.4g} s, but the transient only {time[-1] - time[0]:.4g} s")
    points = _GRID * periods
    grid = time[-1] - length + length / points * np.arange(points)
    spectrum = np.abs(np.fft.rfft(np.interp(grid, time, waveform)))[periods::periods][:harmonics]
    if spectrum[0] <= 1e-12 * np.max(np.abs(waveform)) * points:
        raise NotFound(f"{arguments['node']} has nothing at {arguments['fundamental']:.4g} Hz")
    return float(100 * np.sqrt(np.sum(spectrum[1:] ** 2)) / spectrum[0])


def _thd_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    periods, harmonics = int(arguments["periods"]), int(arguments["harmonics"])
    spectrum = f"{result}_spectrum"
    picked = [f"{spectrum}[{periods * order}]^2" for order in range(2, harmonics + 1)]
    return [
        f"set nfreqs={periods * harmonics + 1}",
        f"set fourgridsize={_GRID * periods}",
        "set polydegree=1",
        f"let {result}_wave = {signals.expression(arguments['node'])}",
        f"fourier {number(arguments['fundamental'] / periods)} {result}_wave",
        f"let {result}_calls = ${FOURIER_CALLS}+1",
        f'set {FOURIER_CALLS}="$&{result}_calls"',
        f"let {spectrum} = fourier{{${FOURIER_CALLS}}}1[1]",
        f"let {result} = 100*sqrt({'+'.join(picked)})/{spectrum}[{periods}]",
    ]


def _reads_node(arguments: Arguments) -> tuple[str, ...]:
    return signals.vectors(arguments["node"], arguments.get("input"))


TRAN_KINDS = (
    Kind(
        name="slew_rate",
        meaning="the step between two levels over the time it takes: (to - from) |step| / (t_to - t_from)",
        analyses=("tran",),
        unit="V/s",
        arguments=(_NODE, _EDGE, _FROM, _TO, _START, _STOP),
        figure=_slew_rate,
        reads=_reads_node,
        script=_slew_rate_script,
        rule=ordered,
    ),
    Kind(
        name="rise_time",
        meaning="the time from one level of the step to the other, rising or falling",
        analyses=("tran",),
        unit="s",
        arguments=(_NODE, _EDGE, _FROM, _TO, _START, _STOP),
        figure=_rise_time,
        reads=_reads_node,
        script=_rise_time_script,
        rule=ordered,
    ),
    Kind(
        name="delay",
        meaning="the time from the input's passing a level of its own step to the output's passing that of its own",
        analyses=("tran",),
        unit="s",
        arguments=(
            _NODE,
            Argument("input", "signal", "the signal that steps first", required=True),
            Argument("level", "number", "the level, as a fraction of each step", default=0.5, low=0, high=1),
            _START,
            _STOP,
        ),
        figure=_delay,
        reads=_reads_node,
        script=_delay_script,
        rule=ordered,
    ),
    Kind(
        name="settling_time",
        meaning="the time from `start` until the output stays within a band around its final value",
        analyses=("tran",),
        unit="s",
        arguments=(_NODE, _TOLERANCE, _START, _STOP, _FINAL),
        figure=_settling_time,
        reads=_reads_node,
        script=_settling_time_script,
        rule=ordered,
    ),
    Kind(
        name="overshoot",
        meaning="how far the output passes its final value, in percent of the step; 0 where it does not",
        analyses=("tran",),
        unit="%",
        arguments=(_NODE, _START, _STOP, _FINAL),
        figure=_overshoot,
        reads=_reads_node,
        script=_overshoot_script,
        rule=ordered,
    ),
    Kind(
        name="thd",
        meaning=(
            "the root of the summed powers of harmonics 2 … n over the fundamental, in percent, over the last periods"
            f" of the transient, interpolated linearly to {_GRID} points a period (as `fourier` of ngspice does)"
        ),
        analyses=("tran",),
        unit="%",
        arguments=(
            _NODE,
            Argument("fundamental", "number", "the frequency of the sine in Hz", required=True, low=0, unit="Hz"),
            Argument("harmonics", "number", "the highest harmonic that counts", default=9, low=1, high=101, whole=True),
            Argument("periods", "number", "how many of the last periods", default=1, low=0, high=101, whole=True),
        ),
        figure=_thd,
        reads=_reads_node,
        script=_thd_script,
    ),
)
