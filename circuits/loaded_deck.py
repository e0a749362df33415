"""A deck in libngspice, ready to be evaluated: parameters in; analyses, measures, operating points out.

What a point gives depends on the point alone, bitwise, in both modes. Every parameter is set at every point; every
analysis of ngspice unmakes and makes the circuit's matrix and states anew (CKTunsetup and CKTsetup in cktdojob.c); and
where a solution was found by gmin or source stepping, or none was, which leaves a conductance of 1e-12 S at every net
behind, the deck is expanded anew. ``tests/circuits/test_simulator.py`` holds this.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from automl_core.errors import EvaluationError, InputError, SizewiseError
from circuits.bench import Analysis, Bench, Measure, Reading
from circuits.gate import checked, flattened
from circuits.measures import KINDS, NotFound, signals
from circuits.messages import reason_in
from circuits.operating_point import OperatingPoints
from circuits.plots import NgspicePlot, VectorNames
from circuits.stimuli import Drive, Stimuli
from circuits.stored_vectors import LINE_BYTES, StoredVectors

if TYPE_CHECKING:
    from circuits.ngspice import Library

__all__ = ["LibraryGone", "LoadedDeck"]

_ERROR = re.compile(rb"error|could not|can't|undefined|unknown|not found|closing", re.IGNORECASE)
_NOT_LOADED = (b"circuit not parsed", b"aren't any circuits")
_HOMOTOPY = (b"stepping", b"Transient op")
_OF_NETS = frozenset({"ac", "dc", "op", "tran"})


_VALUE = re.compile(r"%\(\w+\)r")
_VALUE_BYTES = 24


class LibraryGone(Exception):
    """This process cannot go on: ngspice asked to be unloaded, or lost the deck when it could not expand it anew."""


@dataclass
class _Take:
    """A measure in ngspice's language: its result becomes a vector of the plot."""

    metric: str
    vector: str
    """Named as the metric, because later measures may refer to it."""
    pattern: str
    command: bytes = b""

    def settle(self, names: VectorNames) -> None:
        """Choose another name where the metric is called as a net is, or as no vector may be."""
        if self.vector in names or not re.fullmatch(r"[a-z_]\w*", self.vector):
            self.vector = "measured_" + self.vector.encode().hex()
        self.command = self.pattern.format(self.vector).encode()


@dataclass
class _Step:
    """An analysis with all that is done around it."""

    analysis: Analysis
    command: bytes
    takes: list[_Take] = field(default_factory=list)
    internals: tuple[str, ...] = ()
    """Device vectors ("@m1[gm]") that measures read: ngspice keeps them only where told to."""
    drive: Drive | None = None
    """The AC stimulus; None: the deck's own."""
    names: VectorNames | None = None


class LoadedDeck:
    """One deck in one library.

    Args:
        library: with nothing loaded.
        bench: the deck, its analyses and measures.

    Raises:
        InputError: ngspice refuses the deck (in its words), or the bench holds what must not reach ngspice.
    """

    def __init__(self, library: Library, bench: Bench) -> None:
        self.library = library
        self._bench = bench
        self._points = OperatingPoints(bench.devices)
        self._settled = True
        self._failed = False
        self._expands = False
        """Whether every point expands the deck anew."""
        self._learnt = False
        self._parameters: Collection[str] = ()
        self._setting: list[str] = []
        """Lines of commands that set the parameters, to be filled in with their values."""
        self._plot = b"const"
        """The newest plot."""
        self._load()
        self._stimuli = Stimuli(library, self._send)
        self._stored = StoredVectors(library)
        self._steps = [self._step(analysis) for analysis in bench.analyses]
        self._steps.sort(key=lambda step: step.drive is not None)  # those with the deck's own stimulus first
        self._operating_point = self._operating_point_step()
        self._builtins = [(m, KINDS[m.kind], self._arguments(m)) for m in bench.measures if m.kind]

    def evaluate(
        self,
        values: Mapping[str, float],
        *,
        observe: bool = False,
        waveforms: Mapping[str, tuple[str, ...]] | None = None,
    ) -> Reading:
        """Set the parameters, run the analyses, take the measures.

        Whoever waits for the reading can be given it before :meth:`settle` is called.

        Args:
            values: by parameter; always the same ones.
            observe: also read the operating points of the devices.
            waveforms: analysis -> vectors to return (none named: all).

        Raises:
            EvaluationError: an analysis gave nothing; in the words of ngspice.
            InputError: a parameter that the deck does not have.
            LibraryGone: ngspice gave up; :meth:`words` says why.
        """
        self.settle()
        start = time.perf_counter()
        self.library.messages.clear()
        self._settled = False
        try:
            self._set(values)
            self._stored.begin(everything=bool(waveforms))
            reading = self._run(start, observe, waveforms or {})
        except SizewiseError:
            self._failed = True
            raise
        if not self._learnt:
            self._learn()
        return reading

    def _learn(self) -> None:
        """Note which vectors are enough; a phrase of ``meas`` may read any, and noise has vectors of its own."""
        self._learnt = True
        if {step.analysis.kind for step in self._steps} <= _OF_NETS and not any(step.takes for step in self._steps):
            reads = [name for _, kind, arguments in self._builtins for name in kind.reads(arguments)]
            self._stored.learn(reads, [step.names for step in self._steps if step.names is not None])

    def settle(self) -> None:
        """Leave the circuit as the deck has it, but for altered instances, which the next point alters anyhow.

        Raises:
            LibraryGone: ngspice could not expand the deck anew.
        """
        if self._settled:
            return
        said = self.library.said()
        stale = self._failed or any(word in said for word in _HOMOTOPY)
        self._settled, self._failed = True, False
        self.library.forget()
        self._plot = b"const"
        if stale and not self._expands:
            self._expand()
        else:
            self._stimuli.restore()

    def _expand(self) -> None:
        self.library.command(b"reset")
        self._stimuli.expanded()
        self._stored.expanded()

    def words(self) -> str:
        """What ngspice said that may be the reason of a fault, on one line."""
        return reason_in(self.library.messages)

    # ------------------------------------------------------------------ loading

    def _load(self) -> None:
        lines = flattened(self._bench)
        try:
            self.library.load(lines)
            refused = self.library.gone or (self._doubtful() and self._not_loaded())
        except LibraryGone:
            refused = True
        if refused:
            raise InputError(f"ngspice cannot load the deck: {self.words()}", remedy="correct the line that it names")
        self.library.messages.clear()

    def _doubtful(self) -> bool:
        return any(_ERROR.search(message) for message in self.library.messages)

    def _not_loaded(self) -> bool:
        """Whether no analysis starts: some words are harmless ("can't find model 'cc'" for a capacitor of value cc)."""
        said = list(self.library.messages)
        self.library.command(b"op")
        refused = self._deck_lost(len(said))
        self.library.forget()
        self.library.messages[:] = said
        return refused

    def _step(self, analysis: Analysis) -> _Step:
        step = _Step(analysis, checked(analysis.command, f"the analysis {analysis.name!r}").encode())
        internals: list[str] = []
        for measure in self._bench.measures:
            if measure.take and measure.analysis == analysis.name:
                step.takes.append(self._take(measure, analysis))
                internals += signals.quantities(measure.take)
            elif measure.kind and analysis.name in (measure.analysis, *self._others(measure)):
                internals += [name for name in self._vectors(measure) if name.startswith("@")]
        step.internals = tuple(dict.fromkeys(internals))
        step.drive = self._stimuli.drive_of(analysis)
        return step

    def _arguments(self, measure: Measure) -> dict[str, Any]:
        return KINDS[str(measure.kind)].complete(measure.arguments, devices=self._bench.devices)

    def _vectors(self, measure: Measure) -> tuple[str, ...]:
        return KINDS[str(measure.kind)].reads(self._arguments(measure))

    @staticmethod
    def _others(measure: Measure) -> tuple[str, ...]:
        return KINDS[str(measure.kind)].other_analyses(measure.arguments)

    @staticmethod
    def _take(measure: Measure, analysis: Analysis) -> _Take:
        phrase = checked(str(measure.take), f"the measure {measure.name!r}")
        return _Take(measure.name, measure.name.lower(), f"meas {analysis.kind} {{}} {phrase}")

    def _operating_point_step(self) -> _Step:
        """The analysis at which devices are observed: the first operating point, or one of its own."""
        own = next((step for step in self._steps if step.analysis.kind == "op"), None)
        return own or _Step(Analysis("", "op"), b"op")

    # ------------------------------------------------------------------ evaluating

    def _set(self, values: Mapping[str, float]) -> None:
        self._expands = self._bench.mode != "alter" and bool(values)
        if self._parameters != values.keys():
            self._setting = _lines([setter for name in values for setter in self._setters(name)])
            self._parameters = values.keys()
        wrong = next((name for name, value in values.items() if not math.isfinite(value)), None)
        if wrong is not None:
            raise EvaluationError(f"{wrong} = {values[wrong]}")
        for line in self._setting:
            self.library.command((line % values).encode())
        if b"rror" in self.library.said():
            self._explain_refusal()
        if self._expands:
            self._expand()

    def _explain_refusal(self) -> None:
        """Tell a parameter that is not there from a value without a model, after which nothing more would run."""
        said = self.library.said()
        if b"no such" in said or b"not found" in said:
            remedy = "vary a .param of the deck's top level" if self._bench.mode != "alter" else 'use the mode "reset"'
            raise InputError(f"a parameter cannot be set: {self.words()}", remedy=remedy)
        raise LibraryGone

    def _setters(self, name: str) -> list[str]:
        """The commands that set a parameter, with its name in place of the value."""
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise InputError(f"{name!r} is no name of a parameter", remedy="letters, digits and _ only")
        if self._bench.mode != "alter":
            return [f"alterparam {name.lower()}=%({name})r"]
        if name not in self._bench.alters:
            raise InputError(f"{name!r} cannot be altered directly", remedy='use the mode "reset"')
        return [f"alter {target.lower()}=%({name})r" for target in self._bench.alters[name]]

    def _send(self, commands: list[str]) -> None:
        """Run short commands, many to a line: parsing a line costs more than altering a device."""
        line = ";".join(commands).encode()
        while len(line) > LINE_BYTES and (cut := line.rfind(b";", 0, LINE_BYTES)) > 0:
            self.library.command(line[:cut])
            line = line[cut + 1 :]
        if line:
            self.library.command(line)

    def _run(self, start: float, observe: bool, waveforms: Mapping[str, tuple[str, ...]]) -> Reading:
        metrics: dict[str, float] = dict.fromkeys((m.name for m in self._bench.measures), math.nan)
        notes: dict[str, str] = {}
        plots: dict[str, NgspicePlot] = {}
        observations: dict[str, dict[str, float]] = {}
        if observe and self._operating_point not in self._steps:
            observations = self._observe(self._operating_point)[1]
        for step in self._steps:
            if observe and step is self._operating_point:
                plots[step.analysis.name], observations = self._observe(step)
            else:
                plots[step.analysis.name] = self._analyse(step, step.internals)
            for take in step.takes:
                self._measure(take, metrics, notes)
        self._compute(plots, metrics, notes)
        return Reading(
            metrics=metrics,
            notes=notes,
            observations=observations,
            waveforms={name: self._waveforms(plots, name, wanted) for name, wanted in waveforms.items()},
            seconds=time.perf_counter() - start,
        )

    def _observe(self, step: _Step) -> tuple[NgspicePlot, dict[str, dict[str, float]]]:
        if not self._points.known:
            self._analyse(step, step.internals)
            self._points.learn(self.library)
        plot = self._analyse(step, tuple(dict.fromkeys((*step.internals, *self._points.vectors()))))
        return plot, self._points.read(self.library, self._plot)

    def _analyse(self, step: _Step, internals: tuple[str, ...]) -> NgspicePlot:
        library = self.library
        if step.drive is not None:
            self._stimuli.apply(step.drive)
        said = len(library.messages)
        if internals:
            self._stored.add(internals)
        library.command(step.command)
        if internals:
            self._stored.restore()
        before, self._plot = self._plot, library.plot()
        plot = self._plot
        if plot == before and self._deck_lost(said):
            raise LibraryGone
        if plot == before or not plot.startswith(step.analysis.kind.encode()) or self._aborted(said):
            raise EvaluationError(
                f"{step.analysis.name or 'op'} gave no result: {self.words() or 'ngspice does not say why'}"
            )
        plots = library.plots()[1::-1] if step.analysis.kind == "noise" else [plot]
        if step.names is None:
            step.names = VectorNames(step.analysis.kind, [library.names(name) for name in plots])
            for take in step.takes:
                take.settle(step.names)
        return NgspicePlot(library, plots, step.names)

    def _deck_lost(self, since: int) -> bool:
        said = self.library.said(since)
        return any(words in said for words in _NOT_LOADED)

    def _aborted(self, since: int) -> bool:
        said = self.library.said(since)
        return b"aborted" in said or b"doAnalyses" in said

    def _measure(self, take: _Take, metrics: dict[str, float], notes: dict[str, str]) -> None:
        library, said = self.library, len(self.library.messages)
        library.command(take.command)
        words = library.said(said)
        failed = b"failed" in words or b"rror" in words
        value = None if failed else library.scalar(self._plot + b"." + take.vector.encode())
        if value is None or not math.isfinite(value):
            reason = b"; ".join(m.partition(b" ")[2].strip() for m in library.messages[said:]).decode(errors="replace")
            metrics[take.metric], notes[take.metric] = math.nan, reason or f"ngspice measured {value}"
        else:
            metrics[take.metric] = value

    def _compute(self, plots: Mapping[str, NgspicePlot], metrics: dict[str, float], notes: dict[str, str]) -> None:
        for measure, kind, arguments in self._builtins:
            try:
                value = float(kind.figure(plots, measure.analysis, arguments))
                note = "" if math.isfinite(value) else f"it is {value}"
            except NotFound as reason:
                value, note = math.nan, str(reason)
            metrics[measure.name] = math.nan if note else value
            if note:
                notes[measure.name] = note

    def _waveforms(self, plots: Mapping[str, NgspicePlot], name: str, wanted: tuple[str, ...]) -> Mapping[str, Any]:
        try:
            return plots[name].waveforms(wanted)
        except KeyError as error:
            raise InputError(f"there is no waveform {error.args[0]!r} in the analysis {name!r}") from None


def _lines(commands: Sequence[str]) -> list[str]:
    """Commands with places for values, as many to a line as ngspice reads: a line costs more than a command."""
    lines: list[str] = []
    length = 0
    for command in commands:
        width = len(_VALUE.sub("x" * _VALUE_BYTES, command)) + 1
        if lines and length + width <= LINE_BYTES:
            lines[-1] += f";{command}"
            length += width
        else:
            lines.append(command)
            length = width
    return lines
