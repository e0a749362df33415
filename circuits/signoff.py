"""The sign-off: an independent run of ``ngspice -n -b`` on the sized deck, compared with the reported metrics.

The deck carries a ``.control`` block of our own, which :func:`control_block` writes and whose output
:func:`read_printed` reads. Every measure leaves its figure in a vector of its own, and one line prints it:
``echo "gain = $&m_gain"``, six significant digits. A figure that does not exist prints ``gain =`` and nothing. The
vector is called ``m_`` and the metric's name, so that it cannot hide a net of that name; that of a ``take`` by the
metric's name alone where no net has it, because later ones may refer to it: ``when vdb(out)=level``.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from automl_core.errors import EvaluationError, MissingError
from automl_core.specs import Spec, Specs
from circuits.bench import Analysis, Measure
from circuits.measures import KINDS, signals
from circuits.measures.scripts import FOURIER_CALLS, number, plot_variable

__all__ = ["SignOff", "control_block", "printed_vectors", "read_printed", "result_vector", "sign_off", "take_commands"]

_PRINTED = re.compile(r"^(\S+) = ([-+]?\d\S*)\s*$", re.MULTILINE)
_SCALES = ("frequency", "time")
_LONGEST = 600.0
_AGREES = 1e-3
"""Difference up to which a printed figure confirms a metric, as :attr:`SignOff.differences` counts it."""
_PRINTED_TO = 5e-6
"""Half a unit in the last of the six digits that are printed, relative to the figure at most."""
_NEAR_ZERO = 1e-3
"""Share of a spec's bound below which a figure is as good as zero."""


def control_block(
    analyses: Sequence[Analysis], measures: Sequence[Measure], sources: Sequence[str], nets: Collection[str] = ()
) -> list[str]:
    """The body of a ``.control`` block that runs the analyses and prints ``metric = value``.

    Analyses that set their own stimulus come last, because they change the sources' AC magnitudes; a measure is taken
    while its analysis is the latest one, as operating points of devices demand, or as soon as every analysis that it
    reads was run.

    Args:
        analyses: to run.
        measures: to print. Those that ngspice cannot compute get a comment instead.
        sources: the independent sources of the deck ("vdd", "v.x1.v1"), for the stimuli.
        nets: of the deck, in lower case.
    """
    vectors = _result_vectors(measures, nets)
    ordered = sorted(analyses, key=lambda analysis: bool(analysis.stimulus))
    waiting, ran = list(measures), set[str]()
    lines = [f"if $?{FOURIER_CALLS}", "else", f"  set {FOURIER_CALLS}=0", "end"]
    for analysis in ordered:
        lines += ["", *_run(analysis, sources, _internals(analysis, measures))]
        ran.add(analysis.name)
        ready = [measure for measure in waiting if _needs(measure) <= ran]
        waiting = [measure for measure in waiting if measure not in ready]
        for measure in sorted(ready, key=lambda measure: measure.analysis != analysis.name):
            own = next(each for each in analyses if each.name == measure.analysis)
            lines += _measure_lines(measure, own, vectors, current=analysis.name)
    return lines


def read_printed(text: str) -> dict[str, float]:
    """The figures that the block printed, by metric; one that does not exist is absent.

    Args:
        text: the standard output of ngspice.
    """
    return {name: float(figure) for name, figure in _PRINTED.findall(text) if _is_number(figure)}


def take_commands(result: str, analysis: str, take: str) -> list[str]:
    """Commands after which the vector ``result`` of the current plot holds what ``take`` says.

    Args:
        result: the vector.
        analysis: the kind of the current plot's analysis: ac, dc, tran or sp, which ``meas`` can read.
        take: the phrase in ngspice's own language: "max vdb(out)".
    """
    return [f"meas {analysis} {result} {take.strip()}"]


def result_vector(metric: str) -> str:
    """The vector that holds a metric's figure."""
    return "m_" + re.sub(r"\W", "_", metric.lower(), flags=re.ASCII)


def printed_vectors(measures: Iterable[Measure], nets: Collection[str]) -> dict[str, str]:
    """Metric -> how the vector of its figure is called from any plot, once :func:`control_block` ran."""
    measures = list(measures)
    vectors = _result_vectors(measures, nets)
    return {each.name: f"{{${plot_variable(each.analysis)}}}.{vectors[each.name]}" for each in measures}


def _result_vectors(measures: Iterable[Measure], nets: Collection[str]) -> dict[str, str]:
    """A vector for each metric, all different."""
    vectors: dict[str, str] = {}
    for measure in measures:
        name = measure.name.lower()
        free = re.fullmatch(r"[a-z_]\w*", name) and name not in nets and name not in _SCALES
        vector = name if measure.take and free else result_vector(name)
        while vector in vectors.values():
            vector += "_"
        vectors[measure.name] = vector
    return vectors


def _needs(measure: Measure) -> set[str]:
    """The analyses that a measure reads."""
    others = KINDS[measure.kind].other_analyses(measure.arguments) if measure.kind else ()
    return {measure.analysis, *others}


def _internals(analysis: Analysis, measures: Iterable[Measure]) -> list[str]:
    """Quantities of devices that measures of the analysis read: ngspice keeps them at every point only where told."""
    names: dict[str, None] = {}
    for measure in measures:
        if analysis.name in _needs(measure):
            read = KINDS[measure.kind].vectors(measure.arguments) if measure.kind else ()
            taken = signals.quantities(measure.take) if measure.take else ()
            names |= dict.fromkeys(name for name in (*read, *taken) if name.startswith("@"))
    return list(names)


def _run(analysis: Analysis, sources: Sequence[str], internals: Sequence[str]) -> list[str]:
    """Set the stimulus, run the analysis, and note its plot."""
    lines = [f"* {analysis.name}"]
    if analysis.stimulus:
        magnitudes = {source.lower(): magnitude for source, magnitude in analysis.stimulus}
        for source in sources:
            magnitude = magnitudes.get(source.lower(), 0.0)
            lines.append(f"alter {source} acmag = {number(magnitude)}")
            if magnitude:
                lines.append(f"alter {source} acphase = 0")
    saves = [f"save {name}" for name in internals]
    lines += ["save all", *saves, analysis.command, "delete all"] if saves else [analysis.command]
    if analysis.kind == "noise":
        lines.append("setplot previous")
    return [*lines, f"set {plot_variable(analysis.name)}=$curplot"]


def _measure_lines(measure: Measure, own: Analysis, vectors: Mapping[str, str], *, current: str) -> list[str]:
    vector = vectors[measure.name]
    if measure.kind:
        commands = KINDS[measure.kind].commands(vector, own, measure.arguments)
    else:
        commands = take_commands(vector, own.kind, measure.take or "")
    if commands is None:
        return [f"* {measure.name}: ngspice has no command for it"]
    lines = [*commands, f'echo "{measure.name} = $&{vector}"']
    if own.name == current:
        return lines
    return [f"setplot ${plot_variable(own.name)}", *lines, f"setplot ${plot_variable(current)}"]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class SignOff:
    """What an independent run says of the reported metrics.

    Args:
        printed: what ``ngspice -n -b`` printed, by metric.
        differences: of each metric that both have, relative to the larger figure, or to a thousandth of the bound (or
            the ``scale``) of its spec where that is larger still: an overshoot of 1e-9 % confirms one of 0.
        unconfirmed: metrics that were reported and not printed.
        objections: a sentence for each spec that the run does not confirm: its metric is not printed or differs, or
            its bound is missed by the printed figure though not by the reported one.
        seconds: wall time of the run.
    """

    printed: Mapping[str, float]
    differences: Mapping[str, float]
    unconfirmed: tuple[str, ...]
    objections: tuple[str, ...]
    seconds: float

    @property
    def confirmed(self) -> tuple[str, ...]:
        """The metrics that the printed figures confirm."""
        return tuple(name for name, difference in self.differences.items() if difference <= _AGREES)

    @property
    def worst(self) -> float:
        """The greatest difference; 0 where nothing could be compared."""
        return max(self.differences.values(), default=0.0)


def sign_off(
    folder: Path, main: str, reported: Mapping[str, float], specs: Specs, *, compat: str | None = None
) -> SignOff:
    """Run the sized deck in a fresh ``ngspice -n -b``, in a private copy of its folder, and compare.

    Args:
        folder: holds ``main`` and the files that it sources (``*.cir``).
        main: the deck.
        reported: the metrics as the study has them; NaN is not compared.
        specs: what the metrics must reach.
        compat: ``ngbehavior``.

    Raises:
        MissingError: there is no ngspice.
        EvaluationError: it did not end within ten minutes.
    """
    program = shutil.which("ngspice")
    if program is None:
        raise MissingError("there is no ngspice to sign off with", remedy="install ngspice; `sizewise doctor` says how")
    began = time.monotonic()
    printed = read_printed(_run_alone(program, folder, main, compat))
    numbers = {name: value for name, value in reported.items() if not math.isnan(value)}
    differences = {
        name: _relative(value, printed[name], specs.by_metric.get(name))
        for name, value in numbers.items()
        if name in printed
    }
    objections = (
        _objection(spec, numbers[spec.metric], printed.get(spec.metric), differences.get(spec.metric, 0.0))
        for spec in specs.specs
        if spec.metric in numbers
    )
    return SignOff(
        printed=printed,
        differences=differences,
        unconfirmed=tuple(name for name in numbers if name not in printed),
        objections=tuple(objection for objection in objections if objection is not None),
        seconds=time.monotonic() - began,
    )


def _objection(spec: Spec, reported: float, printed: float | None, difference: float) -> str | None:
    """Why a spec is not confirmed; None where it is, or where the reported figure itself misses it."""
    name = spec.metric
    if printed is None:
        return f"{name}: ngspice prints no figure where the search has {reported:.6g}"
    if difference > _AGREES:
        return f"{name}: ngspice prints {printed:.6g} where the search has {reported:.6g}"
    if spec.met(reported) and spec.margin(printed) < -_PRINTED_TO * abs(printed):
        bounds = " and ".join(
            f"{word} {bound:.6g}" for word, bound in (("min", spec.minimum), ("max", spec.maximum)) if bound is not None
        )
        return f"{name}: ngspice prints {printed:.6g}, which misses {bounds}; the search has {reported:.9g}"
    return None


def _run_alone(program: str, folder: Path, main: str, compat: str | None) -> str:
    define = ["-D", f"ngbehavior={compat}"] if compat else []
    with tempfile.TemporaryDirectory(prefix="sizewise-signoff-") as private:
        for deck in folder.glob("*.cir"):
            shutil.copy(deck, private)
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LD_LIBRARY_PATH")}
        try:
            run = subprocess.run(
                [program, "-n", *define, "-b", main],
                cwd=private,
                env={**kept, "HOME": private},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_LONGEST,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EvaluationError(f"ngspice did not end within {_LONGEST:g} s", place=str(folder / main)) from None
    return run.stdout.decode("utf-8", "replace")


def _relative(one: float, two: float, spec: Spec | None) -> float:
    """The difference of two figures, as :attr:`SignOff.differences` has it."""
    bounds = () if spec is None else (spec.scale or 0.0, *map(abs, spec.bounds))
    largest = max(abs(one), abs(two), *(_NEAR_ZERO * bound for bound in bounds))
    return abs(one - two) / largest if largest else 0.0
