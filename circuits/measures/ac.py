"""Figures of a frequency sweep: gain, bandwidth, stability margins, rejection.

The transfer function A(f) is the signal at ``node`` over the one at ``input``, or over 1 where no input is named (a
stimulus of AC magnitude 1: a voltage, or a current for a transimpedance). Its phase is unwrapped from the lowest
frequency of the sweep on. Definitions: Gray, Hurst, Lewis, Meyer, "Analysis and Design of Analog Integrated Circuits",
5th edition, chapters 3, 6 and 9. Crossings are linear between points in frequency and dB, as in ``meas`` of ngspice; at
20 points a decade this places the unity-gain frequency of a -20 dB/decade slope at most 0.17 % high.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from circuits.bench import Analysis
from circuits.measures import signals
from circuits.measures.arguments import Argument, Arguments
from circuits.measures.crossings import between, crossing, passage, value_at
from circuits.measures.kinds import Kind
from circuits.measures.plot import NotFound, Plots, read
from circuits.measures.scripts import number, plot_variable

__all__ = ["AC_KINDS"]

Floats = NDArray[np.float64]

_HALF_POWER = 10 * math.log10(2)
_NODE = Argument("node", "signal", "the output: a net or a pair of nets 'p,n'", required=True)
_INPUT = Argument("input", "signal", "the input, where the stimulus is not 1: a net, a pair 'p,n' or a current")
_SCALE = Argument(
    "scale", "choice", "dB, or the unit of the plain ratio", default="dB", choices=("dB", "V/V", "V/A", "A/V", "A/A")
)
_AT = Argument("at", "number", "the frequency in Hz; the lowest of the sweep when absent", low=0, unit="Hz")
_CROSSING = Argument(
    "crossing", "choice", "which downward crossing of 0 dB counts", default="last", choices=("first", "last")
)
_POLARITY = Argument(
    "polarity",
    "choice",
    "whether the path inverts; auto judges by the phase at the lowest frequency",
    default="auto",
    choices=("auto", "non_inverting", "inverting"),
)


def _transfer(plots: Plots, analysis: str, arguments: Arguments) -> tuple[Floats, NDArray[np.complex128]]:
    """Frequencies and the complex transfer function, shape (n,) each."""
    plot = read(plots, analysis)
    output = signals.values(plot, arguments["node"])
    if arguments.get("input"):
        output = output / signals.values(plot, arguments["input"])
    frequency = plot.scale
    if frequency.size != output.size or frequency.size == 0:
        raise NotFound(f"the sweep of {analysis!r} gave no transfer function")
    if not output.any():
        raise NotFound(
            f"no signal reaches it in {analysis!r}: give the input source an AC magnitude, as in `dc 0.9 ac 1`"
        )
    return frequency, output


def _decibels(plots: Plots, analysis: str, arguments: Arguments) -> tuple[Floats, Floats]:
    frequency, transfer = _transfer(plots, analysis, arguments)
    return frequency, 20 * np.log10(np.abs(transfer))


def _phase(transfer: NDArray[np.complex128], polarity: str) -> Floats:
    """Degrees from where the path starts at DC: 0 there, negative for lag."""
    angle = np.degrees(np.arctan2(transfer.imag, transfer.real))
    steps = np.diff(angle)
    steps -= 360 * np.rint(steps / 360)  # as np.unwrap, at a third of its cost
    phase = np.concatenate(([0.0], np.cumsum(steps)))
    lag: Floats = phase + (angle[0] - _REFERENCE[polarity](float(angle[0])))
    return lag


_REFERENCE: dict[str, Callable[[float], float]] = {
    "auto": lambda start: 180 * np.floor(start / 180 + 0.75),
    "non_inverting": lambda start: 360 * np.floor(start / 360 + 0.625),
    "inverting": lambda start: 360 * np.floor(start / 360 + 0.125) + 180,
}
_REFERENCE_SCRIPT = {
    "auto": "180*floor({}/180+0.75)",
    "non_inverting": "360*floor({}/360+0.625)",
    "inverting": "360*floor({}/360+0.125)+180",
}


def _reads(arguments: Arguments) -> tuple[str, ...]:
    return signals.vectors(arguments["node"], arguments.get("input"))


def _quotient(arguments: Arguments) -> str:
    """A(f) in ngspice's language."""
    output = signals.expression(arguments["node"])
    return f"{output}/{signals.expression(arguments['input'])}" if arguments.get("input") else output


def _first(vector: str) -> list[str]:
    """Make ``vector_first``, its value at the lowest frequency. ngspice cannot index what has one value: widen it."""
    return [f"let {vector}_wide = {vector}+0*vector(2)", f"let {vector}_first = {vector}_wide[0]"]


def _gain(plots: Plots, analysis: str, arguments: Arguments) -> float:
    frequency, transfer = _transfer(plots, analysis, arguments)
    at = arguments.get("at")
    gain = _decibel(transfer[0]) if at is None else value_at(frequency, 20 * np.log10(np.abs(transfer)), at)
    return gain if arguments["scale"] == "dB" else 10 ** (gain / 20)


def _gain_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    at = arguments.get("at")
    there = f"{result}_db_first" if at is None else f"{result}_at"
    find = _first(f"{result}_db") if at is None else [f"meas ac {there} find {result}_db at={number(at)}"]
    return [
        f"let {result}_db = db({_quotient(arguments)})",
        *find,
        f"let {result} = {there if arguments['scale'] == 'dB' else f'10^({there}/20)'}",
    ]


def _decibel(ratio: complex) -> float:
    """Of one value: numpy takes longer to be asked than this takes to compute."""
    magnitude = abs(complex(ratio))
    return 20 * math.log10(magnitude) if magnitude else -math.inf


def _unity(frequency: Floats, transfer: NDArray[np.complex128], which: str) -> float:
    """The frequency of the downward crossing of 0 dB; the last one counts only where the gain then stays below."""
    magnitude = np.abs(transfer)
    k = passage(frequency, magnitude, 1.0, "fall", which)
    ends_above = magnitude[-1] > 1
    if k is not None and not (ends_above and which == "last"):
        return between(frequency, k, [_decibel(value) for value in magnitude[k : k + 2].tolist()], 0.0)
    if ends_above:
        end = f"{_decibel(magnitude[-1]):.3g} dB at the end of the sweep, {frequency[-1]:.3g} Hz"
        raise NotFound(f"the gain is {'still' if k is None else 'again'} {end}")
    raise NotFound(f"the gain stays below 1: its peak is {_decibel(magnitude.max()):.3g} dB")


def _unity_gain_frequency(plots: Plots, analysis: str, arguments: Arguments) -> float:
    return _unity(*_transfer(plots, analysis, arguments), arguments["crossing"])


def _at_unity(result: str, found: str, arguments: Arguments) -> list[str]:
    """Make ``result``, what ``meas`` finds at the unity-gain frequency, from ``result_db``."""
    find = f"meas ac {result} {found}when {result}_db=0"
    if arguments["crossing"] == "first":
        return [f"{find} fall=1"]
    return [f"if {result}_db[length({result}_db)-1] <= 0", f"  {find} fall=last", "end"]


def _unity_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    return [f"let {result}_db = db({_quotient(arguments)})", *_at_unity(result, "", arguments)]


def _phase_margin(plots: Plots, analysis: str, arguments: Arguments) -> float:
    frequency, transfer = _transfer(plots, analysis, arguments)
    unity = _unity(frequency, transfer, arguments["crossing"])
    return 180 + value_at(frequency, _phase(transfer, arguments["polarity"]), unity)


def _phase_script(result: str, arguments: Arguments) -> list[str]:
    """The gain in dB and the phase from DC on, as ``result_db`` and ``result_phase``."""
    reference = _REFERENCE_SCRIPT[arguments["polarity"]].format(f"{result}_degrees_first")
    return [
        f"let {result}_db = db({_quotient(arguments)})",
        f"let {result}_radians = cph({_quotient(arguments)})",
        f"let {result}_degrees = {result}_radians*180/pi",
        *_first(f"{result}_degrees"),
        f"let {result}_phase = {result}_degrees-({reference})",
    ]


def _phase_margin_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    return [
        *_phase_script(result, arguments),
        f"let {result}_margin = 180+{result}_phase",
        *_at_unity(result, f"find {result}_margin ", arguments),
    ]


def _gain_margin(plots: Plots, analysis: str, arguments: Arguments) -> float:
    frequency, transfer = _transfer(plots, analysis, arguments)
    decibels = 20 * np.log10(np.abs(transfer))
    turned = crossing(frequency, _phase(transfer, arguments["polarity"]), -180.0, "fall")
    return -float(decibels[-1]) if turned is None else -value_at(frequency, decibels, turned)


def _gain_margin_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    return [
        *_phase_script(result, arguments),
        f"let {result}_margin = -{result}_db",
        f"if vecmin({result}_phase) <= -180",
        f"  meas ac {result} find {result}_margin when {result}_phase=-180 fall=1",
        "else",
        f"  let {result} = {result}_margin[length({result}_margin)-1]",
        "end",
    ]


def _bandwidth(plots: Plots, analysis: str, arguments: Arguments) -> float:
    frequency, decibels = _decibels(plots, analysis, arguments)
    relative = decibels - decibels[0]
    found = crossing(frequency, relative, -arguments["drop"], "fall")
    if found is None:
        raise NotFound(
            f"the gain never drops by {arguments['drop']:.3g} dB: it is {-relative[-1]:.3g} dB down at the end of the"
            f" sweep, {frequency[-1]:.3g} Hz"
        )
    return found


def _bandwidth_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    return [
        *_relative_script(result, arguments),
        f"meas ac {result} when {result}_relative={number(-arguments['drop'])} fall=1",
    ]


def _relative_script(result: str, arguments: Arguments) -> list[str]:
    return [
        f"let {result}_db = db({_quotient(arguments)})",
        *_first(f"{result}_db"),
        f"let {result}_relative = {result}_db-{result}_db_first",
    ]


def _gain_bandwidth(plots: Plots, analysis: str, arguments: Arguments) -> float:
    _, decibels = _decibels(plots, analysis, arguments)
    return float(10 ** (decibels[0] / 20)) * _bandwidth(plots, analysis, {**arguments, "drop": _HALF_POWER})


def _gain_bandwidth_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    return [
        *_bandwidth_script(f"{result}_corner", analysis, {**arguments, "drop": _HALF_POWER}),
        f"let {result} = {result}_corner*10^({result}_corner_db_first/20)",
    ]


def _peaking(plots: Plots, analysis: str, arguments: Arguments) -> float:
    _, decibels = _decibels(plots, analysis, arguments)
    return float(np.max(decibels) - decibels[0])


def _peaking_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    return [*_relative_script(result, arguments), f"meas ac {result} max {result}_relative"]


def _rejection(plots: Plots, analysis: str, arguments: Arguments) -> float:
    frequency, wanted = _decibels(plots, analysis, arguments)
    other, unwanted = _decibels(plots, arguments["against"], {"node": arguments["node"]})
    at = arguments.get("at")
    if at is None:
        return float(wanted[0] - unwanted[0])
    return value_at(frequency, wanted, at) - value_at(other, unwanted, at)


def _rejection_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    own, other = plot_variable(analysis.name), plot_variable(arguments["against"])
    return [
        *_gain_script(f"{result}_wanted", analysis, {**arguments, "scale": "dB"}),
        f"setplot ${other}",
        *_gain_script(f"{result}_unwanted", analysis, {**arguments, "scale": "dB", "input": None}),
        f"setplot ${own}",
        f"let {result} = {result}_wanted-{{${other}}}.{result}_unwanted",
    ]


def _rejection_kind(name: str, stimulus: str, source: str) -> Kind:
    return Kind(
        name=name,
        meaning=f"|A/A_u|: A is the gain for the signal, A_u that from {stimulus} to the same output ({source})",
        analyses=("ac",),
        unit="dB",
        arguments=(
            _NODE,
            _INPUT,
            Argument("against", "analysis", f"the ac analysis whose stimulus of 1 V is on {stimulus}", required=True),
            _AT,
        ),
        figure=_rejection,
        reads=_reads,
        script=_rejection_script,
    )


AC_KINDS = (
    Kind(
        name="dc_gain",
        meaning="|A| at the lowest frequency of the sweep",
        analyses=("ac",),
        unit=lambda arguments, command: arguments["scale"],
        arguments=(_NODE, _INPUT, _SCALE),
        figure=_gain,
        reads=_reads,
        script=_gain_script,
    ),
    Kind(
        name="gain",
        meaning="|A| at one frequency, linear in dB between points",
        analyses=("ac",),
        unit=lambda arguments, command: arguments["scale"],
        arguments=(
            _NODE,
            _INPUT,
            Argument("at", "number", "the frequency in Hz", required=True, low=0, unit="Hz"),
            _SCALE,
        ),
        figure=_gain,
        reads=_reads,
        script=_gain_script,
    ),
    Kind(
        name="unity_gain_frequency",
        meaning="the frequency above which |A| stays below 1 (crossing: first gives the first downward crossing)",
        analyses=("ac",),
        unit="Hz",
        arguments=(_NODE, _INPUT, _CROSSING),
        figure=_unity_gain_frequency,
        reads=_reads,
        script=_unity_script,
    ),
    Kind(
        name="phase_margin",
        meaning=(
            "180 degrees minus the phase lag that A gathers from DC to its unity-gain frequency; the phase at DC is 0"
            " or 180 degrees, whichever fits the lowest frequency with a lag below 135 or a lead below 45 degrees"
        ),
        analyses=("ac",),
        unit="deg",
        arguments=(_NODE, _INPUT, _POLARITY, _CROSSING),
        figure=_phase_margin,
        reads=_reads,
        script=_phase_margin_script,
    ),
    Kind(
        name="gain_margin",
        meaning=(
            "-|A| in dB where the lag from DC first reaches 180 degrees; where it does not within the sweep, at the"
            " sweep's end, which is the least margin that the sweep proves"
        ),
        analyses=("ac",),
        unit="dB",
        arguments=(_NODE, _INPUT, _POLARITY),
        figure=_gain_margin,
        reads=_reads,
        script=_gain_margin_script,
    ),
    Kind(
        name="bandwidth",
        meaning="the frequency where |A| has first dropped by so many dB below its value at the lowest frequency",
        analyses=("ac",),
        unit="Hz",
        arguments=(_NODE, _INPUT, Argument("drop", "number", "the drop in dB", default=_HALF_POWER, low=0)),
        figure=_bandwidth,
        reads=_reads,
        script=_bandwidth_script,
    ),
    Kind(
        name="gain_bandwidth",
        meaning="|A| (as a ratio) at the lowest frequency times the half-power bandwidth",
        analyses=("ac",),
        unit="Hz",
        arguments=(_NODE, _INPUT),
        figure=_gain_bandwidth,
        reads=_reads,
        script=_gain_bandwidth_script,
    ),
    Kind(
        name="peaking",
        meaning="the largest |A| above its value at the lowest frequency",
        analyses=("ac",),
        unit="dB",
        arguments=(_NODE, _INPUT),
        figure=_peaking,
        reads=_reads,
        script=_peaking_script,
    ),
    _rejection_kind("psrr", "the supply", "Gray and Meyer, section 6.3"),
    _rejection_kind("cmrr", "both inputs together", "Gray and Meyer, section 3.5"),
)
