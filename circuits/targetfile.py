"""The ranges of targets that a policy is trained over: one YAML file beside the spec.

A bound is a number, or a list of the least and the greatest one::

    gain:                 {min: [46, 52]}
    unity_gain_frequency: {min: [1Meg, 25Meg], scale: log}
    phase_margin:         {min: 60}

Metrics are those of the spec; one that is not named here keeps the spec's bounds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from automl_core.errors import InputError
from automl_core.located_yaml import LocatedYaml, read_yaml
from automl_core.nearest import did_you_mean
from automl_core.specs import Specs
from automl_core.targets import Range, Targets
from circuits.numbers import number_warning
from circuits.spec_entries import Number

__all__ = ["range_warnings", "read_targets"]


def _ends(value: Any) -> Any:
    """The least and the greatest value of a bound."""
    ends = value if isinstance(value, list) else [value, value]
    if len(ends) != 2:
        raise ValueError(f"expected a number, or a list of the least and the greatest one, but got {value}")
    return ends


Ends = Annotated[tuple[Number, Number], BeforeValidator(_ends)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    min: Ends | None = None
    max: Ends | None = None
    scale: Literal["linear", "log"] = "linear"


_ENTRIES = TypeAdapter(dict[str, _Entry])


def read_targets(path: Path, specs: Specs) -> Targets:
    """Read ranges of targets.

    Args:
        path: the file.
        specs: of the circuit.

    Raises:
        InputError: with file, line and value: whatever is wrong with it.
    """
    source = read_yaml(path)
    try:
        entries = _ENTRIES.validate_python(source.tree)
    except ValidationError as error:
        raise _explained(source, error) from None
    for metric in entries:
        if metric not in specs.by_metric:
            remedy = did_you_mean(metric, specs.by_metric, "the specs")
            raise InputError(f"no spec names the metric {metric!r}", place=source.place((metric,)), remedy=remedy)
    ranges: dict[str, dict[str, Range]] = {"min": {}, "max": {}}
    for metric, entry in entries.items():
        for key, ends in (("min", entry.min), ("max", entry.max)):
            if ends is not None:
                try:
                    ranges[key][metric] = Range(*ends, entry.scale)
                except InputError as error:
                    place = source.place((metric, key))
                    raise InputError(error.problem, place=place, remedy=error.remedy) from None
    try:
        targets = Targets(specs, ranges["min"], ranges["max"])
        _ = targets.middle
    except InputError as error:
        problem = f"in the middle of the ranges, {error.problem}"
        raise InputError(problem, place=str(path), remedy="a bound that is not given here is the spec's own") from None
    return targets


def range_warnings(path: Path, specs: Specs) -> list[str]:
    """A sentence for each bound of a file, which :func:`read_targets` reads, that people read otherwise than SPICE."""
    source = read_yaml(path)
    tree: Any = source.tree
    found = []
    for metric, entry in tree.items():
        for key in ("min", "max"):
            ends = entry.get(key)
            for text in ends if isinstance(ends, list) else [ends]:
                warning = number_warning(text, specs.by_metric[metric].unit) if isinstance(text, str) else None
                if warning:
                    found.append(f"{source.place((metric, key))}: {warning}")
    return found


def _explained(source: LocatedYaml, error: ValidationError) -> InputError:
    first = error.errors()[0]
    place, name = source.place(first["loc"]), str(first["loc"][-1]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        return InputError(f"unknown key {name!r}", place=place, remedy="known are min, max and scale")
    if first["type"] in ("model_type", "dict_type"):
        return InputError(
            f"expected bounds, but got {first.get('input')!r}",
            place=place,
            remedy="write `metric: {min: [LEAST, GREATEST], scale: log}`",
        )
    problem, _, remedy = first["msg"].removeprefix("Value error, ").partition("; ")
    return InputError(problem, place=place, remedy=remedy or "write `metric: {min: [LEAST, GREATEST], scale: log}`")
