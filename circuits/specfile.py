"""The spec of a circuit: one YAML file, checked whole before anything runs.

Every message names the file, the line and the value. Scalars are read as text and numbers by SPICE's rules, so that
``10u`` is 1e-5 and ``1M`` is 1e-3; where an ``M`` meets a unit of which mega was probably meant, there is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from automl_core.errors import InputError
from automl_core.located_yaml import LocatedYaml, read_yaml
from automl_core.nearest import did_you_mean
from automl_core.specs import Spec, Specs
from automl_core.validation import explained
from circuits.bench import Analysis, Measure
from circuits.gate import checked
from circuits.measures import KINDS
from circuits.numbers import number_warning
from circuits.spec_entries import NAME, Document, MeasureEntry, SimulatorEntry, SpecEntry, VariableEntry, keys_beside
from circuits.units import check_unit

__all__ = ["SpecFile", "circuit_name", "read_spec"]

_Made = TypeVar("_Made")
_KINDS_OF_MEAS = ("ac", "dc", "tran")


@dataclass(frozen=True)
class SpecFile:
    """A spec, checked: names fit together, units and numbers are read. No deck was looked at yet.

    Args:
        path: the file.
        decks: test bench -> deck; the one deck of a ``netlist`` is the bench "".
        include_paths: folders outside the decks' own that they may read.
        simulator: compatibility and options.
        variables: by parameter of the deck, lower case.
        analyses: (bench, analysis), in the order of the file.
        measures: (bench, measure), in the order of the file.
        computed: metric -> the expression of other metrics that it is computed by; no name in it was looked up yet.
        specs: what the metrics must reach.
        warnings: what is probably not meant.
    """

    path: Path
    decks: Mapping[str, Path]
    include_paths: tuple[Path, ...]
    simulator: SimulatorEntry
    variables: Mapping[str, VariableEntry]
    analyses: tuple[tuple[str, Analysis], ...]
    measures: tuple[tuple[str, Measure], ...]
    computed: Mapping[str, str]
    specs: Specs
    warnings: tuple[str, ...]
    _yaml: LocatedYaml = field(repr=False)

    def place(self, *location: str | int) -> str:
        """``file:line`` of a key of the file."""
        return self._yaml.place(location)

    @property
    def units(self) -> dict[str, str]:
        """Metric -> unit."""
        return {spec.metric: spec.unit for spec in self.specs.specs}


def circuit_name(spec_path: Path) -> str:
    """What a circuit, and a run of it, is called: its spec file, or the folder of a file that is called ``spec``."""
    return spec_path.resolve().parent.name if spec_path.stem == "spec" else spec_path.stem


def read_spec(path: Path) -> SpecFile:
    """Read and check a spec.

    Raises:
        InputError: with file, line and value: whatever is wrong with it.
    """
    source = read_yaml(path)
    document = _document(source)
    checker = _Checker(source, document)
    spec = SpecFile(
        path=path,
        decks=checker.decks(),
        include_paths=tuple(path.parent / folder for folder in document.include_paths),
        simulator=document.simulator,
        variables=checker.variables(),
        analyses=checker.analyses(),
        measures=checker.measures(),
        computed=checker.computed(),
        specs=checker.specs(),
        warnings=(),
        _yaml=source,
    )
    return replace(spec, warnings=tuple(_warnings(source, document, spec.specs)))


def _document(source: LocatedYaml) -> Document:
    _refuse_misspelt(source)
    try:
        return Document.model_validate(source.tree)
    except ValidationError as error:
        raise explained(source, error, keys_beside, "the keys here") from None


def _refuse_misspelt(source: LocatedYaml) -> None:
    """An unknown section comes before a missing one, which it most likely is.

    Raises:
        InputError: a key at the top is unknown.
    """
    known = keys_beside(())
    for key in source.tree:
        if key not in known:
            remedy = did_you_mean(key, known, "the keys here")
            raise InputError(f"unknown key {key!r}", place=source.place((key,)), remedy=remedy)


class _Checker:
    """The checks that need more than one key."""

    def __init__(self, source: LocatedYaml, document: Document) -> None:
        self._source, self._document = source, document

    def _refuse(self, problem: str, *location: str | int, remedy: str) -> InputError:
        return InputError(problem, place=self._source.place(location), remedy=remedy)

    def decks(self) -> dict[str, Path]:
        netlist, benches = self._document.netlist, self._document.testbenches
        folder = self._source.path.parent
        if (netlist is None) == (not benches):
            both = "both `netlist` and `testbenches`" if benches else "neither `netlist` nor `testbenches`"
            raise self._refuse(f"the spec has {both}", "netlist", remedy="give one of them: `netlist: amp.cir`")
        if netlist is not None:
            return {"": folder / netlist}
        for bench in benches:
            if not re.fullmatch(r"\w+", bench):
                raise self._refuse(f"{bench!r} is no name for a test bench", "testbenches", bench, remedy="use letters")
        return {bench: folder / deck for bench, deck in benches.items()}

    def variables(self) -> dict[str, VariableEntry]:
        found: dict[str, VariableEntry] = {}
        for name, entry in self._document.variables.items():
            if name.lower() in found:
                raise self._refuse(
                    f"the variable {name!r} is given twice: SPICE knows no case",
                    *("variables", name),
                    remedy="keep one of them",
                )
            found[name.lower()] = entry
        return found

    def bench_of(self, analysis: str) -> str:
        entry, benches = self._document.analyses[analysis], self._document.testbenches
        if not benches and entry.bench is not None:
            raise self._refuse(
                f"analysis {analysis!r} names the bench {entry.bench!r}, but there is one netlist",
                *("analyses", analysis),
                remedy="leave `bench` out, or list `testbenches`",
            )
        if benches and entry.bench not in benches:
            named = f"the unknown bench {entry.bench!r}" if entry.bench else "no bench"
            raise self._refuse(
                f"analysis {analysis!r} names {named}",
                *("analyses", analysis),
                remedy=f"write {{bench: {next(iter(benches))}, run: ...}}; known are {', '.join(benches)}",
            )
        return entry.bench or ""

    def analyses(self) -> tuple[tuple[str, Analysis], ...]:
        if not self._document.analyses:
            raise self._refuse("there are no analyses", "analyses", remedy="add one, as in `ac: ac dec 20 1 1G`")
        return tuple((self.bench_of(name), self._analysis(name)) for name in self._document.analyses)

    def _analysis(self, name: str) -> Analysis:
        entry = self._document.analyses[name]
        run = self._located(lambda: checked(entry.run, f"the analysis {name!r}"), "analyses", name)
        return Analysis(name, run, tuple(entry.stimulus.items()))

    def measures(self) -> tuple[tuple[str, Measure], ...]:
        entries = self._document.measures.items()
        return tuple(self._measure(name, entry) for name, entry in entries if entry.expr is None)

    def computed(self) -> dict[str, str]:
        entries = self._document.measures.items()
        return {self._metric(name): entry.expr for name, entry in entries if entry.expr is not None}

    def _metric(self, name: str) -> str:
        if not NAME.fullmatch(name):
            raise self._refuse(
                f"{name!r} is no name for a metric", "measures", name, remedy="use letters, digits and _"
            )
        return name

    def _measure(self, name: str, entry: MeasureEntry) -> tuple[str, Measure]:
        self._metric(name)
        self._known_analysis(entry.analysis, name)
        bench = self.bench_of(entry.analysis)
        arguments = self._arguments(name, entry)
        if entry.take is not None:
            self._check_take(name, entry.analysis, entry.take)
        if entry.kind is not None:
            for other in KINDS[entry.kind].other_analyses(arguments):
                self._known_analysis(other, name)
                if self.bench_of(other) != bench:
                    raise self._refuse(
                        f"measure {name!r} reads {entry.analysis!r} and {other!r}, which run on different benches",
                        *("measures", name),
                        remedy="run both on one bench",
                    )
        return bench, Measure(name, entry.analysis, entry.take, entry.kind, arguments)

    def _check_take(self, name: str, analysis: str, take: str) -> None:
        kind = self._document.analyses[analysis].run.split()[0]
        if kind not in _KINDS_OF_MEAS:
            raise self._refuse(
                f"measure {name!r}: `meas` reads no {kind} analysis, and {analysis!r} is one",
                *("measures", name),
                remedy="use a built-in `kind:` there",
            )
        self._located(lambda: checked(take, f"the measure {name!r}"), "measures", name)

    def _known_analysis(self, analysis: str, measure: str) -> None:
        if analysis not in self._document.analyses:
            raise self._refuse(
                f"measure {measure!r} is taken in the unknown analysis {analysis!r}",
                *("measures", measure),
                remedy=did_you_mean(analysis, self._document.analyses, "the analyses"),
            )

    def _arguments(self, name: str, entry: MeasureEntry) -> dict[str, Any]:
        if entry.kind is None:
            return {}
        kind, run = KINDS[entry.kind], self._document.analyses[entry.analysis].run
        try:
            kind.complete(entry.arguments, analysis=run.split()[0].lower())
            return entry.arguments
        except (InputError, ValueError) as error:
            problem, remedy = (error.problem, error.remedy) if isinstance(error, InputError) else (str(error), None)
            raise InputError(
                f"measure {name!r}: {problem}", place=self._source.place(("measures", name)), remedy=remedy
            ) from None

    def specs(self) -> Specs:
        if not self._document.specs:
            raise self._refuse("there are no specs", "specs", remedy="say what a metric must reach")
        return self._located(lambda: Specs([self._spec(*item) for item in self._document.specs.items()]), "specs")

    def _spec(self, metric: str, entry: SpecEntry) -> Spec:
        if metric not in self._document.measures:
            raise self._refuse(
                f"the spec {metric!r} has no measure",
                *("specs", metric),
                remedy=did_you_mean(metric, self._document.measures, "the measures"),
            )
        measure = self._document.measures[metric]
        expected = None
        if measure.kind:
            run = self._document.analyses[measure.analysis].run
            expected = KINDS[measure.kind].unit_of(self._arguments(metric, measure), run)
        unit = expected or ""
        if entry.unit:
            unit = check_unit(entry.unit, expected=expected, place=self._source.place(("specs", metric, "unit")))
        return self._located(
            lambda: Spec(metric, entry.min, entry.max, entry.goal, entry.weight, unit, entry.scale), "specs", metric
        )

    def _located(self, make: Callable[[], _Made], *location: str | int) -> _Made:
        try:
            return make()
        except InputError as error:
            place = error.place or self._source.place(location)
            raise InputError(error.problem, place=place, remedy=error.remedy) from None


def _warnings(source: LocatedYaml, document: Document, specs: Specs) -> Iterator[str]:
    """Numbers that SPICE reads otherwise than people do."""
    units = {("specs", spec.metric, key): spec.unit for spec in specs.specs for key in ("min", "max", "scale")}
    units |= {("variables", name, key): "" for name in document.variables for key in ("min", "max", "step", "start")}
    units |= {
        ("measures", name, argument.name): argument.unit
        for name, measure in document.measures.items()
        for argument in (KINDS[measure.kind].arguments if measure.kind else ())
        if argument.type == "number"
    }
    tree: Any = source.tree
    for (section, name, key), unit in units.items():
        text = tree[section][name].get(key)
        warning = number_warning(text, unit) if isinstance(text, str) else None
        if warning:
            yield f"{source.place((section, name, key))}: {warning}"
