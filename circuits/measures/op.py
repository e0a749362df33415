"""Figures of the operating point: supply current and power, offset, saturation; the supply's also over a transient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from circuits.bench import Analysis
from circuits.measures import signals
from circuits.measures.arguments import Argument, Arguments, ordered
from circuits.measures.crossings import value_at
from circuits.measures.kinds import Kind
from circuits.measures.plot import NotFound, Plot, Plots, read
from circuits.measures.scripts import number, window

__all__ = ["OP_KINDS"]

_SOURCES = Argument(
    "source", "source", "the voltage source that supplies, or several with commas", required=True, many=True
)
_START = Argument("start", "number", "the time in s from which a transient is averaged")
_STOP = Argument("stop", "number", "the time in s up to which a transient is averaged")
_NODE = Argument("node", "signal", "a net or a pair of nets 'p,n'", required=True)
_DEVICES = Argument("devices", "device", "the MOSFETs that must hold it, or all", default="all", many=True)


def _scalar(plot: Plot, name: str) -> float:
    return float(signals.values(plot, name)[0].real)


def _mean(plot: Plot, waveform: NDArray[np.float64], arguments: Arguments) -> float:
    """The value at an operating point; over a transient the average between ``start`` and ``stop``."""
    if waveform.size == 1:
        return float(waveform[0])
    time = plot.scale
    start = time[0] if arguments.get("start") is None else arguments["start"]
    stop = time[-1] if arguments.get("stop") is None else arguments["stop"]
    ends = [value_at(time, waveform, start), value_at(time, waveform, stop)]
    inside = (time > start) & (time < stop)
    x = np.concatenate(([start], time[inside], [stop]))
    y = np.concatenate((ends[:1], waveform[inside], ends[1:]))
    return float(np.trapezoid(y, x) / (stop - start))


def _mean_script(result: str, analysis: Analysis, arguments: Arguments, expression: str) -> list[str]:
    if analysis.kind == "op":
        return [f"let {result} = {expression}"]
    start, stop = arguments.get("start"), arguments.get("stop")
    wave = f"{result}_wave"
    lines = [f"let {wave} = {expression}"]
    if start is None and stop is None:
        return [*lines, f"meas tran {result} avg {wave}"]
    first = "time[0]" if start is None else number(start)
    last = "time[length(time)-1]" if stop is None else number(stop)
    return [
        *lines,
        f"meas tran {result}_area integ {wave}{window(arguments)}",
        f"let {result} = {result}_area/({last}-{first})",
    ]


def _supply_current(plots: Plots, analysis: str, arguments: Arguments) -> float:
    plot = read(plots, analysis)
    currents = [signals.values(plot, f"i({source})").real for source in arguments["source"]]
    return sum(abs(_mean(plot, current, arguments)) for current in currents)


def _supply_current_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    lines, parts = [], []
    for index, source in enumerate(arguments["source"]):
        part = f"{result}_{index}"
        lines += _mean_script(part, analysis, arguments, signals.expression(f"i({source})"))
        parts.append(f"abs({part})")
    return [*lines, f"let {result} = {'+'.join(parts)}"]


def _supply_power(plots: Plots, analysis: str, arguments: Arguments) -> float:
    plot = read(plots, analysis)
    return sum(_mean(plot, _delivered(plot, source), arguments) for source in arguments["source"])


def _delivered(plot: Plot, source: str) -> NDArray[np.float64]:
    """The power that a source delivers, shape (n,)."""
    return -signals.values(plot, f"@{source}[p]").real


def _supply_power_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    lines, parts = [], []
    for index, source in enumerate(arguments["source"]):
        part = f"{result}_{index}"
        lines += _mean_script(part, analysis, arguments, f"-{signals.expression(f'@{source}[p]')}")
        parts.append(part)
    return [*lines, f"let {result} = {'+'.join(parts)}"]


def _supply_reads(arguments: Arguments) -> tuple[str, ...]:
    return tuple(f"i({source})" for source in arguments["source"])


def _power_reads(arguments: Arguments) -> tuple[str, ...]:
    return tuple(f"@{source}[p]" for source in arguments["source"])


def _voltage(plots: Plots, analysis: str, arguments: Arguments) -> float:
    return _scalar(read(plots, analysis), arguments["node"])


def _voltage_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    return [f"let {result} = {signals.expression(arguments['node'])}"]


def _offset(plots: Plots, analysis: str, arguments: Arguments) -> float:
    plot = read(plots, analysis)
    reference = _scalar(plot, arguments["reference"]) if arguments.get("reference") else 0.0
    offset = _scalar(plot, arguments["node"]) - reference - (arguments.get("level") or 0.0)
    return offset if arguments["sign"] == "signed" else abs(offset)


def _offset_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    offset = signals.expression(arguments["node"])
    if arguments.get("reference"):
        offset += f"-{signals.expression(arguments['reference'])}"
    if arguments.get("level"):
        offset += f"-({number(arguments['level'])})"
    return [f"let {result} = {offset if arguments['sign'] == 'signed' else f'abs({offset})'}"]


def _offset_reads(arguments: Arguments) -> tuple[str, ...]:
    return signals.vectors(arguments["node"], arguments.get("reference"))


def _saturation_margin(plots: Plots, analysis: str, arguments: Arguments) -> float:
    plot = read(plots, analysis)
    margins = [abs(_scalar(plot, f"@{m}[vds]")) - abs(_scalar(plot, f"@{m}[vdsat]")) for m in _named(arguments)]
    return min(margins)


def _overdrive(plots: Plots, analysis: str, arguments: Arguments) -> float:
    plot = read(plots, analysis)
    return min(_scalar(plot, f"@{m}[vgs]") - abs(_scalar(plot, f"@{m}[vth]")) for m in _named(arguments))


def _named(arguments: Arguments) -> tuple[str, ...]:
    devices: tuple[str, ...] = arguments["devices"]
    if devices in (("all",), ()):
        raise NotFound("there are no MOSFETs to judge: name them in `devices`")
    return devices


def _smallest_script(result: str, arguments: Arguments, margin: str) -> list[str]:
    devices = _named(arguments)
    each = [f"let {result}_each[{index}] = {margin.replace('#', device)}" for index, device in enumerate(devices)]
    return [f"let {result}_each = vector({len(devices)})", *each, f"let {result} = vecmin({result}_each)"]


def _saturation_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    return _smallest_script(result, arguments, 'abs("@#[vds]")-abs("@#[vdsat]")')


def _overdrive_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    return _smallest_script(result, arguments, '"@#[vgs]"-abs("@#[vth]")')


def _device_reads(*quantities: str) -> Callable[[Arguments], tuple[str, ...]]:
    def reads(arguments: Arguments) -> tuple[str, ...]:
        return tuple(f"@{device}[{quantity}]" for device in _named(arguments) for quantity in quantities)

    return reads


OP_KINDS = (
    Kind(
        name="supply_current",
        meaning="the magnitude of the current through a supply, averaged over a transient; several add up",
        analyses=("op", "tran"),
        unit="A",
        arguments=(_SOURCES, _START, _STOP),
        figure=_supply_current,
        reads=_supply_reads,
        script=_supply_current_script,
        rule=ordered,
    ),
    Kind(
        name="supply_power",
        meaning="the power that a supply delivers, averaged over a transient; several add up",
        analyses=("op", "tran"),
        unit="W",
        arguments=(
            _SOURCES,
            _START,
            _STOP,
        ),
        figure=_supply_power,
        reads=_power_reads,
        script=_supply_power_script,
        rule=ordered,
    ),
    Kind(
        name="voltage",
        meaning="the operating-point value of a net, a pair of nets, a current or a device's quantity",
        analyses=("op",),
        unit="V",
        arguments=(_NODE,),
        figure=_voltage,
        reads=_offset_reads,
        script=_voltage_script,
    ),
    Kind(
        name="offset",
        meaning="how far a net is from where it belongs: |v(node) - v(reference) - level|",
        analyses=("op",),
        unit="V",
        arguments=(
            _NODE,
            Argument("reference", "signal", "the net that it should equal"),
            Argument("level", "number", "the value in V that it should have, above the reference if there is one"),
            Argument(
                "sign", "choice", "whether the sign is kept", default="magnitude", choices=("magnitude", "signed")
            ),
        ),
        figure=_offset,
        reads=_offset_reads,
        script=_offset_script,
    ),
    Kind(
        name="saturation_margin",
        meaning="the least |Vds| - |Vdsat| of the devices",
        analyses=("op",),
        unit="V",
        arguments=(_DEVICES,),
        figure=_saturation_margin,
        reads=_device_reads("vds", "vdsat"),
        script=_saturation_script,
    ),
    Kind(
        name="overdrive",
        meaning="the least Vgs - Vth of the devices, both as of an n-channel device",
        analyses=("op",),
        unit="V",
        arguments=(_DEVICES,),
        figure=_overdrive,
        reads=_device_reads("vgs", "vth"),
        script=_overdrive_script,
    ),
)
