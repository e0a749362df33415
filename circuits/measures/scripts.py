"""The pieces of ngspice ``.control`` language that the measures' scripts are made of.

What ngspice 39 does, found by experiment:

- ``meas`` keeps seven digits and leaves no vector where it fails (its return code is 0 all the same); ``find … at`` and
  ``when`` are linear between points; it works on vectors made by ``let``, but not in a noise plot.
- ``avg from= to=`` takes whole steps (it does not cut them at the ends of the window); ``integ`` cuts them.
- ``vp()`` and ``cph()`` are in radians unless ``set units=degrees``; ``cph()`` is unwrapped, ``vp()`` is not.
- ``i(vdd)`` flows into the + terminal: negative for a supply that delivers. ``@vdd[p]`` is it times the voltage.
- A device's ``@m1[vds]``, ``[vgs]``, ``[vth]`` are those of an n-channel device for both polarities.
- MOSFETs of level 1 to 3 have ``von`` instead of ``vth``; a quantity that a model lacks gives a vector of no length.
- ``noise`` leaves two plots: the spectra, and after it the totals, which is the current one. ``onoise_total`` agrees
  with the integral of ``onoise_spectrum``, but ``inoise_total`` does not with that of ``inoise_spectrum``: for an RC it
  is 12 % high at 10 points a decade, 1 % at 100. So no total is read here.
- The scale of a ``dc`` plot, "v-sweep", cannot be named in an expression (it reads as v minus sweep).
- A vector of one value cannot be indexed, not even by [0].
- Numbers of plots ("ac3") are shared between kinds, and those of ``fourier`` vectors between plots: hence the shell
  variables below.
"""

from __future__ import annotations

import re

from circuits.measures.arguments import Arguments

__all__ = ["FOURIER_CALLS", "lookup", "number", "option", "plot_variable", "window"]

FOURIER_CALLS = "fourier_calls"
"""The shell variable that counts calls of ``fourier`` in a run of ngspice; the first block of the run sets it to 0."""


def plot_variable(analysis: str) -> str:
    """The shell variable that holds the name of an analysis's plot."""
    return "plot_" + re.sub(r"\W", "_", analysis.lower())


def number(value: float) -> str:
    """All digits of a number, in a form that ngspice reads."""
    return f"{value:.15g}"


def option(arguments: Arguments, **words: str) -> str:
    """``word=value`` for each argument that is given: ``option(arguments, start="td", stop="to")``."""
    given = ((word, arguments[name]) for name, word in words.items())
    return "".join(f" {word}={number(value)}" for word, value in given if value is not None)


def window(arguments: Arguments) -> str:
    """The ``from=`` and ``to=`` of the arguments ``start`` and ``stop``."""
    return option(arguments, start="from", stop="to")


def lookup(result: str, x: str, y: str, at: str) -> list[str]:
    """Make ``result``: ``y`` where the ascending ``x`` is ``at``, linear between points, with all digits.

    Args:
        result: the vector to make; ``result_k`` is the index of the point before.
        x: a vector of at least two values.
        y: a vector of the same length.
        at: an expression.
    """
    k = f"{result}_k"
    slope = f"({y}[{k}+1]-{y}[{k}])/({x}[{k}+1]-{x}[{k}])"
    return [
        f"let {k} = vecmax(vector(length({x})-1)*({x}[0,length({x})-2] le {at}))",
        f"let {result} = {y}[{k}]+({at}-{x}[{k}])*{slope}",
    ]
