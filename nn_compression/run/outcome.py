"""What a compression came to: figures before and after, what the search found beside its baselines, what was kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nn_compression.run.kept import KeptLayer

__all__ = ["Figures", "Outcome", "Reached", "SearchFigures", "Timing", "drop_between"]


def drop_between(before: float, after: float, *, higher_is_better: bool) -> float:
    """How much worse a metric became, in its unit.

    Rounded to nine decimals: of two shares of 300 examples that differ by nine, the floats differ by a little more than
    three percent.
    """
    return round(before - after if higher_is_better else after - before, 9)


@dataclass(frozen=True)
class Timing:
    """The latency of one example on this machine, measured.

    Args:
        seconds: the minimum over the measurements.
        spread: the greatest of the measurements over that, less 1.
    """

    seconds: float
    spread: float


@dataclass(frozen=True)
class Figures:
    """A network in numbers.

    Args:
        validation: the task's metric on the validation split, by which choices were made.
        test: on the test split, which nothing was chosen by.
        macs: of one example.
        weights: multiplying weights that are not zero.
        file_bytes: of its file: before, four a value, as in any file of weights; after, the coded file.
        eager: latency in torch; ``None``: not measured.
        onnx: latency in ONNX Runtime; ``None``: not measured, for want of an ONNX file.
    """

    validation: float
    test: float
    macs: int
    weights: int
    file_bytes: int
    eager: Timing | None = None
    onnx: Timing | None = None

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Figures:
        """The inverse of ``dataclasses.asdict``."""
        timings = {name: None if content[name] is None else Timing(**content[name]) for name in ("eager", "onnx")}
        return Figures(**{**content, **timings})


@dataclass(frozen=True)
class Reached:
    """A budget and what came of it.

    Args:
        metric: what is limited; "drop": how much worse the task's metric is on the validation split.
        bound: the greatest value that meets it, in its unit.
        value: what was reached; NaN where it could not be measured.
        unit: of both.
        modelled: whether the figure is a model's.
        spread: of a measured value, as in :class:`Timing`.
    """

    metric: str
    bound: float
    value: float
    unit: str
    modelled: bool = False
    spread: float | None = None

    @property
    def met(self) -> bool:
        """Whether the budget is met: to the last MAC and byte, and by the minimum of the measurements."""
        return self.value <= self.bound

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Reached:
        """The inverse of ``dataclasses.asdict``, null for what is not a number."""
        values = {name: math.nan if content[name] is None else content[name] for name in ("bound", "value")}
        return Reached(**{**content, **values})


@dataclass(frozen=True)
class SearchFigures:
    """A search and its baselines, all at one budget, before any training.

    Args:
        method: what was searched.
        optimizer: by what.
        evaluations: of the search, and draws of random search.
        metric: the task's metric or the cost, whichever was driven as far as it goes.
        unit: of it.
        found: what the search reached; NaN where nothing met the budget.
        uniform: every layer treated alike.
        random: the best of random search.
        seconds: of the search alone.
        ordered_by: what designs were ordered by, where it is not the metric shown.
    """

    method: str
    optimizer: str
    evaluations: int
    metric: str
    unit: str
    found: float
    uniform: float
    random: float
    seconds: float
    ordered_by: str = ""

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> SearchFigures:
        """The inverse of ``dataclasses.asdict``, null for what is not a number."""
        known: dict[str, Any] = {name: math.nan if value is None else value for name, value in content.items()}
        return SearchFigures(**known)


@dataclass(frozen=True)
class Outcome:
    """All of it.

    Args:
        before: the network as it came.
        after: as it is now.
        reached: the budget.
        searches: one a stage.
        layers: what was kept.
        unit: of the task's metric.
        higher_is_better: whether more of it is better.
        seconds: wall time of the run, interruptions left out.
        notes: what was decided on the way, and what a person should know of the files.
        metric: what the task's figure is called.
    """

    before: Figures
    after: Figures
    reached: Reached
    searches: Sequence[SearchFigures]
    layers: Sequence[KeptLayer]
    unit: str
    higher_is_better: bool
    seconds: float
    notes: Sequence[str] = ()
    metric: str = "metric"

    @property
    def met(self) -> bool:
        """Whether the budget is met."""
        return self.reached.met

    def as_json(self) -> dict[str, Any]:
        """As JSON holds it; what is not a number is null."""
        return {
            "met": self.met,
            "budget": {**asdict(self.reached), "met": self.met},
            "before": asdict(self.before),
            "after": asdict(self.after),
            "unit": self.unit,
            "higher_is_better": self.higher_is_better,
            "searches": [_finite(asdict(search)) for search in self.searches],
            "layers": [layer.as_json() for layer in self.layers],
            "seconds": self.seconds,
            "notes": list(self.notes),
            "metric": self.metric,
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Outcome:
        """The inverse of ``as_json``."""
        return Outcome(
            Figures.from_json(content["before"]),
            Figures.from_json(content["after"]),
            Reached.from_json({name: value for name, value in content["budget"].items() if name != "met"}),
            [SearchFigures.from_json(each) for each in content["searches"]],
            [KeptLayer(**layer) for layer in content["layers"]],
            content["unit"],
            content["higher_is_better"],
            content["seconds"],
            content["notes"],
            content.get("metric", "metric"),
        )


def _finite(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in content.items()
    }
