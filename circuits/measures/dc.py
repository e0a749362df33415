"""Figures of a dc sweep: output swing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.bench import Analysis
from circuits.measures import signals
from circuits.measures.arguments import Argument, Arguments
from circuits.measures.kinds import Kind
from circuits.measures.plot import NotFound, Plots, read
from circuits.measures.scripts import number

__all__ = ["DC_KINDS"]

Floats = NDArray[np.float64]


def _swing(plots: Plots, analysis: str, arguments: Arguments) -> float:
    """The output's change per step of the sweep is its gain, for the steps are equal.

    The gain of a step belongs to its middle; where it passes the level between two middles, the output there is
    linear in between.
    """
    plot = read(plots, analysis)
    output = signals.values(plot, arguments["node"]).real
    if output.size < 4:
        raise NotFound(f"the sweep {analysis!r} has fewer than four points")
    _check_even(plot.scale, analysis)
    gain = np.abs(np.diff(output))
    if not gain.max() > 0:
        raise NotFound(f"{arguments['node']} does not move with the sweep: it stays at {output[0]:.6g} V")
    relative = gain / gain.max() - arguments["fraction"]
    peak = gain.size - 1 - int(np.argmax(gain[::-1]))
    upper = _end(relative[peak:], output[peak:])
    lower = _end(relative[peak::-1], output[: peak + 2][::-1])
    return abs(upper - lower)


def _check_even(scale: Floats, analysis: str) -> None:
    steps = np.diff(scale)
    if np.any(np.abs(steps - steps[0]) > 1e-6 * abs(steps[0]) + 1e-12 * np.abs(scale).max()):
        raise NotFound(f"the sweep {analysis!r} is nested or uneven: a swing needs one source swept in equal steps")


def _end(relative: Floats, output: Floats) -> float:
    """The output where ``relative`` (m,), walking away from the peak, turns negative; ``output`` is (m + 1,)."""
    below = np.flatnonzero(relative < 0)
    if below.size == 0:
        return float(output[-1])
    k = int(below[0])
    middles = (output[:-1] + output[1:]) / 2
    share = relative[k - 1] / (relative[k - 1] - relative[k])
    return float(middles[k - 1] + share * (middles[k] - middles[k - 1]))


def _swing_script(result: str, analysis: Analysis, arguments: Arguments) -> list[str]:
    r, low, high = f"{result}_relative", f"{result}_low", f"{result}_high"
    middle, output, index = f"{result}_middle", f"{result}_output", f"{result}_index"
    return [
        f"let {output} = {signals.expression(arguments['node'])}",
        f"let {result}_n = length({output})",
        f"let {result}_a = {output}[0,{result}_n-2]",
        f"let {result}_b = {output}[1,{result}_n-1]",
        f"let {result}_gain = abs({result}_b-{result}_a)",
        f"let {r} = {result}_gain/vecmax({result}_gain)-{number(arguments['fraction'])}",
        f"let {middle} = ({result}_a+{result}_b)/2",
        f"let {index} = vector({result}_n-1)",
        f"let {result}_peak = vecmax(({result}_gain ge vecmax({result}_gain))*{index})",
        f"let {result}_k = vecmin({index}+{result}_n*(1-({r} lt 0)*({index} gt {result}_peak)))",
        f"if {result}_k > {result}_n-2",
        f"  let {high} = {output}[{result}_n-1]",
        "else",
        f"  let {high} = {_between(middle, r, f'{result}_k', '-')}",
        "end",
        f"let {result}_k = vecmax(({index}+1)*({r} lt 0)*({index} lt {result}_peak))-1",
        f"if {result}_k < 0",
        f"  let {low} = {output}[0]",
        "else",
        f"  let {low} = {_between(middle, r, f'{result}_k', '+')}",
        "end",
        f"let {result} = abs({high}-{low})",
    ]


def _between(middle: str, relative: str, k: str, side: str) -> str:
    """The output where ``relative`` is zero, between the middle k and its neighbour towards the peak."""
    inner = f"{k}{side}1"
    change = f"({middle}[{k}]-{middle}[{inner}])"
    return f"{middle}[{inner}]+{relative}[{inner}]*{change}/({relative}[{inner}]-{relative}[{k}])"


DC_KINDS = (
    Kind(
        name="swing",
        meaning=(
            "the range of the output over which its small-signal gain stays above a fraction of its largest, around"
            " where it is largest; the sweep's ends limit it"
        ),
        analyses=("dc",),
        unit="V",
        arguments=(
            Argument("node", "signal", "the output: a net or a pair of nets 'p,n'", required=True),
            Argument("fraction", "number", "the fraction of the largest gain", default=0.5, low=0, high=1),
        ),
        figure=_swing,
        reads=lambda arguments: signals.vectors(arguments["node"]),
        script=_swing_script,
    ),
)
