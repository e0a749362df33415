"""The entries of a spec file, key by key (pydantic): what each may hold, before they are fitted together."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from circuits.measures import KINDS
from circuits.netlist import COMPUTED
from circuits.numbers import parse_number

__all__ = ["AnalysisEntry", "Document", "MeasureEntry", "SimulatorEntry", "SpecEntry", "VariableEntry", "keys_beside"]

NAME = re.compile(r"[A-Za-z_][\w.]*")
"""Names of metrics and options."""
_ANALYSES = ("op", "ac", "tran", "dc", "noise")


def _number(text: Any) -> float:
    if not isinstance(text, str):
        raise ValueError(f"expected a number, but got {text}")
    try:
        return parse_number(text)
    except InputError as error:
        raise ValueError(f"{error.problem}; {error.remedy}") from error


def _whole(text: Any) -> bool:
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if not isinstance(text, str) or text.lower() not in words:
        raise ValueError(f"expected true or false, but got {text!r}")
    return words[text.lower()]


Number = Annotated[float, BeforeValidator(_number)]
Flag = Annotated[bool, BeforeValidator(_whole)]
Phrase = Annotated[str, AfterValidator(str.lower)]
"""ngspice lowers the case of a deck's cards, but not of commands, where it knows neither ``DEC`` nor ``v(OUT)``."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, regex_engine="python-re")


class VariableEntry(_Entry):
    """What a parameter of the deck may be."""

    min: Number | None = None
    max: Number | None = None
    scale: Literal["linear", "log"] = "linear"
    step: Number | None = None
    integer: Flag = False
    start: Number | None = None
    expr: str | None = None

    @model_validator(mode="after")
    def _range_or_expression(self) -> VariableEntry:
        ranged = self.min is not None and self.max is not None
        if self.expr is not None and self.model_fields_set - {"expr"}:
            raise ValueError("a variable has either `expr` or a range, not both")
        if self.expr is None and not ranged:
            missing = "min" if self.min is None else "max"
            raise ValueError(f"a variable needs `{missing}` (or `expr`)")
        return self


class AnalysisEntry(_Entry):
    """An analysis: ``"ac dec 20 1 10G"``, or that with its test bench and its stimulus."""

    run: str
    bench: str | None = None
    stimulus: dict[str, Number] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"run": value} if isinstance(value, str) else value

    @field_validator("run")
    @classmethod
    def _is_an_analysis(cls, run: str) -> str:
        words = run.split()
        kind = words[0].lower() if words else ""
        if kind not in _ANALYSES or re.search(r"[;\n`$]", run):
            raise ValueError(f"{run!r} is not an analysis; known are {', '.join(_ANALYSES)}, as in 'ac dec 20 1 10G'")
        _check_sweep(run, kind, words)
        return run.lower()


def _check_sweep(run: str, kind: str, words: list[str]) -> None:
    """Refuse a sweep or a time that ngspice would run without a result.

    Raises:
        ValueError: with what is wrong and what to write.
    """
    first = {"ac": 1, "noise": 3}.get(kind)
    if first is not None:
        sweep = words[first:]
        if len(sweep) < 4 or sweep[0].lower() not in ("dec", "oct", "lin"):
            form = "ac dec POINTS FROM TO" if kind == "ac" else "noise v(out) SOURCE dec POINTS FROM TO"
            raise ValueError(f"{run!r} lacks a part or has an unknown one; write {form!r}; dec may be oct or lin")
        low, high = _plain_number(sweep[2]), _plain_number(sweep[3])
        if low is not None and high is not None and not 0 < low <= high:
            raise ValueError(f"{run!r} sweeps from {sweep[2]} to {sweep[3]} Hz; the lower frequency goes first")
    elif kind == "tran":
        times = [_plain_number(word) for word in words[1:3]]
        if len(times) < 2 or any(time is not None and time <= 0 for time in times):
            raise ValueError(
                f"{run!r} needs a step and a stop time above 0; write 'tran STEP STOP', as in 'tran 1n 1u'"
            )


def _plain_number(text: str) -> float | None:
    try:
        return parse_number(text)
    except InputError:
        return None


class MeasureEntry(_Entry):
    """A figure: a phrase of ngspice's measure language, a built-in with its arguments, or computed of other figures."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    analysis: str = Field("", alias="in")
    take: Phrase | None = None
    kind: str | None = None
    expr: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> MeasureEntry:
        if sum(way is not None for way in (self.take, self.kind, self.expr)) != 1:
            raise ValueError(
                "a measure has one of `take` (ngspice's measure language), `kind` (a built-in) and `expr` (computed of "
                "other metrics)"
            )
        beside = [*(self.model_extra or {}), *(["in"] if self.expr is not None and self.analysis else [])]
        if self.kind is None and beside:
            named = ", ".join(f"`{key}`" for key in beside)
            raise ValueError(f"`{'take' if self.expr is None else 'expr'}` stands alone, without {named}")
        if self.expr is None and not self.analysis:
            raise ValueError("a measure needs `in`: the analysis that it reads")
        if self.take is not None and COMPUTED.search(self.take):
            raise ValueError(
                f"{self.take!r} is computed, and `meas` as a command knows no param= and no par(); take what it is "
                'computed from, each as a measure, and write this one as `expr: "a - b"`'
            )
        if self.kind is not None and self.kind not in KINDS:
            hint = did_you_mean(self.kind, KINDS, "the built-in measures")
            raise ValueError(f"there is no built-in measure {self.kind!r}; {hint}")
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """What the built-in is given, with numbers read."""
        types = {argument.name: argument.type for argument in KINDS[self.kind].arguments} if self.kind else {}
        return {
            name: _number(value) if types.get(name) == "number" else value
            for name, value in (self.model_extra or {}).items()
        }


class SpecEntry(_Entry):
    """What a metric must reach."""

    min: Number | None = None
    max: Number | None = None
    goal: Literal["minimize", "maximize"] | None = None
    weight: Number = 1.0
    unit: str = ""
    scale: Number | None = None


class SimulatorEntry(_Entry):
    """What a designer keeps in .spiceinit, which is never run."""

    compat: Literal["hsa", "hs", "ps", "psa", "lt", "lta", "ltpsa", "ki", "kiltpsa", "spe", "all", "eg"] | None = None
    options: dict[str, str] = Field(default_factory=dict)

    @field_validator("options")
    @classmethod
    def _plain(cls, options: dict[str, str]) -> dict[str, str]:
        for name, value in options.items():
            if not NAME.fullmatch(name) or not re.fullmatch(r"[\w.+-]*", value):
                raise ValueError(f"{name!r}: {value!r} is not an option of the simulator")
        return options


class Document(_Entry):
    """The whole file."""

    netlist: str | None = None
    testbenches: dict[str, str] = Field(default_factory=dict)
    include_paths: list[str] = Field(default_factory=list)
    simulator: SimulatorEntry = SimulatorEntry()
    variables: dict[str, VariableEntry]
    analyses: dict[str, AnalysisEntry]
    measures: dict[str, MeasureEntry]
    specs: dict[str, SpecEntry]


def keys_beside(location: tuple[str | int, ...]) -> list[str]:
    """The keys that are known where an unknown one stands."""
    entries: dict[str, type[BaseModel]] = {
        "variables": VariableEntry,
        "analyses": AnalysisEntry,
        "specs": SpecEntry,
        "simulator": SimulatorEntry,
    }
    model = entries.get(str(location[0]), Document) if len(location) > 1 else Document
    return [info.alias or name for name, info in model.model_fields.items()]
