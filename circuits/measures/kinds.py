"""What a built-in measure is: name, analyses, arguments, and two independent ways to compute it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from automl_core.errors import InputError
from circuits.bench import Analysis

__all__ = ["Argument", "Arguments", "Kind", "NotFound", "Plot", "Plots", "read"]

ArgumentType = Literal["signal", "source", "device", "analysis", "number", "choice"]
Arguments = Mapping[str, Any]


class NotFound(Exception):
    """The figure does not exist in these waveforms; the message says why, with values."""


class Plot(Protocol):
    """The vectors of one analysis that was run."""

    @property
    def scale(self) -> NDArray[np.float64]:
        """Frequency (Hz), time (s) or the swept value, shape (n,)."""

    def vector(self, name: str) -> NDArray[Any]:
        """The values of "v(out)", "i(vdd)", "@m1[gm]" or "inoise_spectrum", shape (n,) or (1,); complex for ac.

        Raises:
            KeyError: the plot has no such vector.
        """


Plots = Mapping[str, Plot]


@dataclass(frozen=True)
class Argument:
    """One argument of a built-in measure, for whoever validates a spec.

    Args:
        name: as written in the spec.
        type: "signal" (a net, a pair of nets "p,n", or an explicit "i(vdd)", "@m1[id]"), "source" (an independent
            source), "device" (a MOSFET), "analysis" (the name of another analysis of the spec), "number", "choice".
        meaning: a phrase for messages and pages.
        required: there is no default.
        default: what is used when absent; None: the measure's own rule, which ``meaning`` states.
        choices: the words that a "choice" may take.
        low: a number must be above it (exclusive).
        high: a number must be below it (exclusive).
        many: a list, or names with commas between them, may be given. For a "device", ``all`` means every MOSFET.
    """

    name: str
    type: ArgumentType
    meaning: str
    required: bool = False
    default: float | str | None = None
    choices: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    many: bool = False

    def read(self, value: object) -> object:
        """The value as the measure expects it.

        Raises:
            InputError: a word where a number belongs, a number out of range, or an unknown choice.
        """
        if self.type == "number":
            return self._number(value)
        if self.type == "choice" and value not in self.choices:
            raise InputError(
                f"{self.name} = {value!r} is none of {', '.join(self.choices)}", remedy=_nearest(value, self.choices)
            )
        if self.many:
            return tuple(
                str(name).strip().lower() for name in (value.split(",") if isinstance(value, str) else _listed(value))
            )
        if isinstance(value, list | tuple):
            return ",".join(str(part).strip().lower() for part in value)
        return str(value).strip().lower() if self.type != "analysis" else str(value)

    def _number(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"{self.name} = {value!r} is not a number", remedy=f"give {self.meaning}")
        if not self.low < value < self.high:
            raise InputError(f"{self.name} = {value:g} must lie between {self.low:g} and {self.high:g}")
        return float(value)


@dataclass(frozen=True)
class Kind:
    """A built-in measure.

    ``figure`` computes it with numpy from the waveforms; ``script`` has ngspice compute it with its own commands, so
    that a fresh ``ngspice -n -b`` can confirm it. The two share no code and agree to the digits that ngspice prints.

    Args:
        name: as written in the spec (``kind: phase_margin``).
        meaning: the definition, in a line.
        analyses: the kinds of analysis that it can read ("ac", "op", "tran", "dc", "noise").
        unit: "dB", "V/s", ...; a function where it depends on the arguments.
        arguments: what it takes.
        figure: (plots, name of the analysis, complete arguments) -> value.
        reads: complete arguments -> names of the vectors read in each analysis that it reads.
        script: (name of the result vector, analysis, complete arguments) -> lines of a ``.control`` block, or None
            where ngspice cannot.
    """

    name: str
    meaning: str
    analyses: tuple[str, ...]
    unit: str | Callable[[Arguments], str]
    arguments: tuple[Argument, ...]
    figure: Callable[[Plots, str, Arguments], float]
    reads: Callable[[Arguments], tuple[str, ...]]
    script: Callable[[str, Analysis, Arguments], list[str]] | None

    def complete(self, given: Arguments, *, devices: tuple[str, ...] = ()) -> dict[str, Any]:
        """The arguments, checked, with the defaults filled in; doing it twice changes nothing.

        Args:
            given: from the spec.
            devices: what ``all`` stands for where a measure takes devices.

        Raises:
            InputError: an unknown or missing argument, or a bad value.
        """
        known = {argument.name: argument for argument in self.arguments}
        for name in given:
            if name not in known:
                raise InputError(
                    f"the measure {self.name} has no argument {name!r}", remedy=_nearest(name, tuple(known))
                )
        complete: dict[str, Any] = {}
        for argument in self.arguments:
            value = given.get(argument.name)
            if value is None and argument.required:
                raise InputError(
                    f"the measure {self.name} needs the argument {argument.name!r}", remedy=f"give {argument.meaning}"
                )
            complete[argument.name] = argument.default if value is None else argument.read(value)
            if argument.type == "device" and complete[argument.name] == ("all",) and devices:
                complete[argument.name] = tuple(devices)
        return complete

    def unit_of(self, arguments: Arguments) -> str:
        """The unit of the figure for these arguments."""
        return self.unit if isinstance(self.unit, str) else self.unit(self.complete(arguments))

    def vectors(self, arguments: Arguments) -> tuple[str, ...]:
        """Names of the vectors that :meth:`compute` asks of every plot that it reads."""
        return self.reads(self.complete(arguments))

    def other_analyses(self, arguments: Arguments) -> tuple[str, ...]:
        """Names of the analyses that it reads beside its own."""
        names = (arguments.get(argument.name) for argument in self.arguments if argument.type == "analysis")
        return tuple(str(name) for name in names if name is not None)

    def compute(self, plots: Plots, analysis: str, arguments: Arguments) -> float:
        """The figure from waveforms.

        Args:
            plots: by name of analysis; at least ``analysis`` and :meth:`other_analyses`.
            analysis: the one that the measure reads.
            arguments: from the spec, or complete.

        Raises:
            NotFound: it does not exist in these waveforms.
            InputError: the arguments are wrong.
        """
        with np.errstate(all="ignore"):
            figure = float(self.figure(plots, analysis, self.complete(arguments)))
        if not math.isfinite(figure):
            raise NotFound(f"{self.name} is {figure}: the waveforms hold zeros or values that are not finite")
        return figure

    def commands(self, result: str, analysis: Analysis, arguments: Arguments) -> list[str] | None:
        """Lines of a ``.control`` block after which the vector ``result`` of the current plot holds the figure.

        The plot of ``analysis`` is current when they start and when they end, and those of other analyses are
        reached through the shell variables of :func:`circuits.measures.scripts.plot_variable`. Where the figure does
        not exist, ``result`` does not exist afterwards. Scratch vectors are called ``result_...``.
        """
        return None if self.script is None else self.script(result, analysis, self.complete(arguments))


def read(plots: Plots, analysis: str) -> Plot:
    """The plot of an analysis.

    Raises:
        NotFound: it gave none.
    """
    try:
        return plots[analysis]
    except KeyError:
        raise NotFound(f"the analysis {analysis!r} gave no data") from None


def _listed(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _nearest(word: object, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(word), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
