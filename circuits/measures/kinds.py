"""What a built-in measure is: name, analyses, arguments, and two independent ways to compute it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from circuits.bench import Analysis
from circuits.measures.arguments import Argument, Arguments, Complete
from circuits.measures.plot import NotFound, Plots

__all__ = ["Kind"]


@dataclass(frozen=True)
class Kind:
    """A built-in measure.

    ``figure`` computes it with numpy from the waveforms; ``script`` has ngspice compute it with its own commands, so
    that a fresh ``ngspice -n -b`` can confirm it. The two share no code and agree to the digits that ngspice prints.

    Args:
        name: as written in the spec (``kind: phase_margin``).
        meaning: the definition, in a line.
        analyses: the kinds of analysis that it can read ("ac", "op", "tran", "dc", "noise").
        unit: "dB", "V/s", ...; a function where it depends on the arguments or on the command of the analysis.
        arguments: what it takes.
        figure: (plots, name of the analysis, complete arguments) -> value.
        reads: complete arguments -> names of the vectors read in each analysis that it reads.
        script: (name of the result vector, analysis, complete arguments) -> lines of a ``.control`` block; None where
            ngspice cannot compute it.
        rule: (kind of the analysis or None, complete arguments) -> what is wrong with them together, or None.
    """

    name: str
    meaning: str
    analyses: tuple[str, ...]
    unit: str | Callable[[Arguments, str], str]
    arguments: tuple[Argument, ...]
    figure: Callable[[Plots, str, Arguments], float]
    reads: Callable[[Arguments], tuple[str, ...]]
    script: Callable[[str, Analysis, Arguments], list[str]] | None
    rule: Callable[[str | None, Arguments], str | None] = lambda analysis, arguments: None

    def complete(
        self, given: Arguments, *, devices: tuple[str, ...] | None = None, analysis: str | None = None
    ) -> Complete:
        """The arguments, checked, with the defaults filled in; doing it again changes nothing but ``all``.

        Args:
            given: from the spec; numbers as numbers.
            devices: what ``all`` stands for where a measure takes devices.
            analysis: the kind of the analysis that the measure is to read, where that is to be checked too.

        Raises:
            InputError: an unknown or missing argument, a bad value, or an analysis of the wrong kind.
        """
        if isinstance(given, Complete) and devices is None and analysis is None:
            return given
        if analysis is not None and analysis not in self.analyses:
            raise InputError(
                f"{self.name} cannot read an analysis {analysis!r}", remedy=f"it reads {' or '.join(self.analyses)}"
            )
        known = [argument.name for argument in self.arguments]
        for name in given:
            if name not in known:
                raise InputError(
                    f"{self.name} has no argument {name!r}", remedy=did_you_mean(str(name), known, "its arguments")
                )
        complete = Complete({argument.name: self._read(argument, given, devices) for argument in self.arguments})
        wrong = self.rule(analysis, complete)
        if wrong:
            raise InputError(f"{self.name}: {wrong}")
        return complete

    def _read(self, argument: Argument, given: Arguments, devices: tuple[str, ...] | None) -> object:
        value = given.get(argument.name, argument.default)
        if value is None and argument.required:
            raise InputError(f"{self.name} needs the argument {argument.name!r}", remedy=f"give {argument.meaning}")
        read = None if value is None else argument.read(value)
        return devices if argument.type == "device" and read == ("all",) and devices is not None else read

    def unit_of(self, arguments: Arguments, command: str = "") -> str:
        """The unit of the figure.

        Args:
            arguments: from the spec.
            command: of the analysis that the measure reads: "noise v(out) iin dec 10 1k 1Meg".
        """
        return self.unit if isinstance(self.unit, str) else self.unit(self.complete(arguments), command)

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
            arguments: from the spec; from :meth:`complete`, they are not checked again.

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

        The plot of ``analysis`` is current when they start and when they end, and those of other analyses are reached
        through the shell variables of :func:`circuits.measures.scripts.plot_variable`. Where the figure does not
        exist, ``result`` does not exist afterwards. Scratch vectors are called ``result_...``. None: ngspice cannot.
        """
        return None if self.script is None else self.script(result, analysis, self.complete(arguments))
