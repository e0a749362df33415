"""One stage of a run: a search, its baselines, and the network that comes of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from torch import nn

from automl_core.budget import Budget
from automl_core.errors import InputError
from automl_core.one_thread import one_thread
from automl_core.problem import Metrics
from automl_core.report.terminal import json_text
from automl_core.runs import write_whole
from automl_core.space import Point
from automl_core.study import Study
from nn_compression.coding.codec import encode
from nn_compression.export import export_onnx
from nn_compression.files.model_files import load_saved, save_model
from nn_compression.problems.budget import METRICS, CostLimit
from nn_compression.problems.candidate import DIVERGENCE, metric_spec
from nn_compression.problems.network_problem import NetworkProblem
from nn_compression.problems.smallest import SmallestProblem
from nn_compression.run.baselines import best_random, smallest_uniform
from nn_compression.run.deliverables import ONNX, as_it_runs
from nn_compression.run.descent import next_cost
from nn_compression.run.designs import Designs, Made
from nn_compression.run.finishing import Finishing
from nn_compression.run.measuring import onnx_in_turn
from nn_compression.run.narration import Narrator
from nn_compression.run.outcome import Figures, SearchFigures, drop_between
from nn_compression.run.plan import Stage
from nn_compression.run.searching import Found, Search
from nn_compression.training.devices import best_device
from nn_compression.training.evaluation import evaluate

__all__ = ["POINT", "StageRun", "read_search"]

POINT = "design.json"
"""The design that was made, in the folder of a stage."""
_BOUND = "bound.json"
"""What a search may spend of its cost: written down before it, so that it is gone on with under the same."""
_SEARCH = "search.json"
"""What the search and its baselines came to."""

_FULL = 0.98
"""A file that takes up this share of its budget uses it up."""
_FITS = 5
"""How often a search's own budget is set anew until files use the real one up."""
_ATTEMPTS = 20
"""How often a design is made smaller until it is within the real budget."""
_MARGIN = 0.998
"""It is made smaller by a little more than what it was too large by."""
_FEW = 5
"""Designs that are trained to see whether the metric then holds."""
_REGAINED = 4.0
"""A search may drop by so many times what may be dropped in the end: training wins back the most of it."""
_STEADY = 0.97
"""A measured latency has to be within this share of its budget, so that it is found within it again."""
_TURNS = 5
"""Measurements of a design, and as many in turn with them of the network before the run."""


@dataclass(frozen=True)
class _Tried:
    """A design that was finished, what it costs as the search counts it, and how much worse its metric is."""

    made: Made
    cost: float
    worse: float


@dataclass(frozen=True)
class StageRun:
    """A stage on its way.

    Args:
        stage: what is done, under which limit.
        designs: of its method, from the network before it.
        folder: where the network after it is put.
        records: path of the records of its searches, by "study" and "random".
        before: figures of the network before the run, which budgets are shares of.
        base: the folder of that network, which a drop is counted from.
        budget: of a search.
        optimizer: a name of the registry.
        finishing: how designs are trained again.
        policy: the folder of what an agent learnt before.
    """

    stage: Stage
    designs: Designs[Any]
    folder: Path
    records: Callable[[str], Path]
    before: Figures
    base: Path
    budget: Budget
    optimizer: str
    finishing: Finishing
    policy: Path | None = None

    def run(self, jobs: int, narrator: Narrator) -> None:
        """Search, compare, make and train; the network after it is written last of all.

        Raises:
            InputError: the limit cannot be reached, or the training fails.
        """
        problem = self.problem(self._kept_bound(narrator))
        found, figures = self._search(problem, jobs, narrator)
        write_whole(self.folder / _SEARCH, json_text(asdict(figures)))
        with narrator.training(f"fine-tuning ({self.stage.method})", self.finishing.schedule.epochs) as heard:
            made = self._best(found.study, self.finishing.heard_by(heard, narrator.say))
        write_whole(self.folder / POINT, json_text(dict(made.point)))
        save_model(self.folder, made.model, made.spec)

    # The budget.

    @cached_property
    def bound(self) -> float:
        """What the network after the stage may cost, in the unit of its metric; infinite: as little as it can."""
        if self.stage.modelled:
            cost = self._whole_problem.base_cost
        elif self._measured:
            cost = _seconds(self.before)
        else:
            cost = float({"macs": self.before.macs, "bytes": self.before.file_bytes}[self.stage.metric])
        return self._bound_of(cost)

    def _bound_of(self, cost: float) -> float:
        """The bound, where the network before the run costs so much."""
        limit = self.stage.bound(cost)
        return math.inf if limit is None else limit.bound(cost)

    @property
    def _measured(self) -> bool:
        """Whether the cost is read from a clock."""
        return self.stage.metric == "latency" and not self.stage.modelled

    @cached_property
    def _whole_problem(self) -> NetworkProblem:
        """The problem under a budget that every design is within."""
        whole: NetworkProblem = self.designs.problem(CostLimit(self.stage.metric, 1.0))
        return whole

    def problem(self, bound: float) -> NetworkProblem:
        """What is searched under an amount of the stage's cost."""
        if bound >= self._whole_problem.base_cost:
            return self._whole_problem
        smaller: NetworkProblem = self.designs.problem(CostLimit(self.stage.metric, bound, relative=False))
        return smaller

    def _kept_bound(self, narrator: Narrator) -> float:
        """The budget as the search counts it, found once; infinity is kept as null."""
        path = self.folder / _BOUND
        if not path.is_file():
            write_whole(path, json_text({"bound": self._inner_bound(narrator)}))
        kept = orjson.loads(path.read_bytes())["bound"]
        return math.inf if kept is None else float(kept)

    def _inner_bound(self, narrator: Narrator) -> float:
        """The budget as the search counts it: of bytes, what makes the file of a uniform design fill the real one.

        A search counts what it can know of a design at once; the file knows what entropy coding makes of it.
        """
        inner = self.bound
        if self._measured and not math.isinf(inner):  # the table's sum and the whole's time differ by a factor
            return inner / _seconds(self.before) * self._whole_problem.base_cost
        if self.stage.metric != "bytes" or math.isinf(inner):
            return inner
        with narrator.doing(f"what files of {self.bound:,.0f} bytes hold"):
            for _ in range(_FITS):
                problem = self.problem(inner)
                start = problem.space.start or {}
                size = self._real(self.designs.make(problem, start))
                if _FULL * self.bound <= size <= self.bound or (problem is self._whole_problem and size < self.bound):
                    break
                inner *= self.bound / size
        return inner

    def _real(self, made: Made) -> float:
        """What a network costs in truth: the bytes of its file; or what is exact as it is counted."""
        if self.stage.metric == "bytes":
            return float(len(encode(made.model)))
        return self._whole_problem.cost_of(made.point)

    # The search and its baselines.

    def _search(self, problem: NetworkProblem, jobs: int, narrator: Narrator) -> tuple[Found, SearchFigures]:
        seed, limits, searched = self.finishing.seed, self.stage, self._searched(problem, narrator)
        goal = searched.specs.goals[0]
        shown = metric_spec(self.finishing.data.task) if goal.metric == DIVERGENCE else goal
        first = Search(self.records("study"), searched, searched.specs, self.optimizer, self.budget, seed, self.policy)
        with narrator.searching(f"{limits.method}: {self.optimizer}", shown) as progress:
            found = first.run(jobs, progress, keep=self.folder / "policy")
        if self.optimizer == "auto":
            narrator.say(f"{limits.method}: searched by {found.reason}")
        if found.ended == "exhausted":
            spent = f"after {found.study.spent} evaluations"
            narrator.say(f"{limits.method}: no design is new {spent}; the search ends early")
        as_many = Budget(found.study.spent + 1)  # the first is the start of the space, which is not drawn
        second = Search(self.records("random"), searched, searched.specs, "random", as_many, seed)
        with narrator.searching(f"{limits.method}: random designs, as many", shown) as progress:
            drawn = second.run(jobs, progress)

        def reached(metrics: Metrics | None) -> float:
            met = metrics is not None and searched.specs.score(metrics).feasible
            return metrics[shown.metric] if met and metrics is not None else math.nan

        best, random = found.study.best, best_random(drawn.study)
        if isinstance(searched, SmallestProblem):
            uniform: Metrics = smallest_uniform(searched, seed)
        else:
            uniform = found.study.trials[0].metrics
        figures = SearchFigures(
            limits.method,
            found.optimizer,
            found.study.spent,
            shown.metric,
            shown.unit,
            reached(None if best is None else best.metrics),
            reached(uniform),
            reached(None if random is None else random.metrics),
            found.seconds,
            goal.metric,
        )
        return found, figures

    def _searched(self, problem: NetworkProblem, narrator: Narrator) -> NetworkProblem | SmallestProblem:
        """The problem that is searched: under a budget, or for the smallest network within a drop."""
        drop = self.stage.drop
        if drop is None:
            return problem
        if self.finishing.schedule.epochs and drop:
            words = f"designs may drop by {_REGAINED * drop:g} before they are trained, and by {drop:g} after it"
            narrator.say(f"{self.stage.method}: {words}")
            drop *= _REGAINED
        return SmallestProblem(problem, drop, self._whole(problem))

    def _whole(self, problem: NetworkProblem) -> float:
        """The metric of the network before the run, on the examples and in the way that designs are judged."""
        with one_thread():
            return problem.examiner.judge(load_saved(self.base))[metric_spec(self.finishing.data.task).metric]

    # The network.

    def _best(self, study: Study, finishing: Finishing) -> Made:
        """The best design that the search found, finished.

        Raises:
            InputError: no design gave any figures.
        """
        if study.best is None:
            raise InputError(
                f"no design gave any figures: {study.trials[0].error}",
                place=str(self.folder),
                remedy="see that the network runs with fewer channels, weights or bits",
            )
        if self.stage.drop is None:
            return self._finish(study.best.point, finishing, "finish-0")
        return self._smallest(study.best.point, self.stage.drop, finishing)

    def _smallest(self, searched: Point, drop: float, finishing: Finishing) -> Made:
        """The smallest network that is within the drop once it is trained, of a few; or the one nearest to it.

        They are the design that the search found, made smaller while that is within, and larger while it is not.
        """
        whole, point, tried = self._whole_problem, searched, list[_Tried]()
        while len(tried) < _FEW:
            made = self._finish(point, finishing, f"finish-{len(tried)}")
            tried.append(_Tried(made, whole.cost_of(made.point), self._worse(made.model)))
            if finishing.say is not None:
                share = f"{tried[-1].cost / whole.base_cost:.1%} of the {METRICS[self.stage.metric]}"
                finishing.say(f"{self.stage.method}: with {share} it drops by {tried[-1].worse:.3g}")
            cost = next_cost({each.cost: each.worse <= drop for each in tried}, self._least, whole.legal.full)
            if cost is None or (tried[-1].worse <= drop and not finishing.schedule.epochs):
                break
            point = self.problem(cost).repair(searched)
            if whole.cost_of(point) in {each.cost for each in tried}:
                break
        within = [each for each in tried if each.worse <= drop]
        nearest = min(tried, key=lambda each: each.worse)
        return min(within, key=lambda each: each.cost, default=nearest).made

    def _worse(self, model: nn.Module) -> float:
        """How much worse the metric is on the validation split than it was before the run."""
        data = self.finishing.data
        after = evaluate(as_it_runs(model), data.validation, data.task, device=best_device())
        return drop_between(self.before.validation, after, higher_is_better=data.task.higher_is_better)

    def _finish(self, point: Point, finishing: Finishing, name: str) -> Made:
        """A design made and trained, and made smaller until it is within the real budget.

        What is trained is written down first: an interruption goes on with it, whatever a clock would say by then.
        """
        over = math.nan
        for attempt in range(_ATTEMPTS):
            path = self.folder / f"{name}-{attempt}.json"
            if not path.is_file():
                point = self._moved(point, over) if attempt else self._fitted(point)
                write_whole(path, json_text(dict(point)))
            point = orjson.loads(path.read_bytes())
            made = self.designs.tune(self._whole_problem, point, finishing, f"{name}-{attempt}")
            if self._measured:  # weights decide no latency
                return made
            over = self._real(made) / self.bound
            if over <= 1.0:
                return made
        raise self._not_reached(over)

    def _fitted(self, point: Point) -> Point:
        """A design brought to the real budget before it is trained: smaller, or larger where its file leaves some."""
        if self._measured:
            return self._fast(point)
        fitting: Point | None = None
        for number in range(_ATTEMPTS):
            over = self._real(self.designs.make(self._whole_problem, point)) / self.bound
            if over <= 1.0:
                fitting = point
                if over >= _FULL or self.stage.metric != "bytes" or number >= _FITS or math.isinf(self.bound):
                    return fitting
            elif fitting is not None and number >= _FITS:
                return fitting
            point = self._moved(point, over)
        if fitting is None:
            raise self._not_reached(over)
        return fitting

    def _fast(self, point: Point) -> Point:
        """A design made smaller until its latency is within the budget, with room for what measurements differ by."""
        for _ in range(_ATTEMPTS):
            over = self._latency_of(self.designs.make(self._whole_problem, point).model)
            if over <= (1.0 if self._is_least(point) else _STEADY):
                return point
            point = self._moved(point, over, _STEADY)
        raise self._not_reached(over)

    def _latency_of(self, model: nn.Module) -> float:
        """A measured latency as a share of the budget; the network before the run is measured in turn with it."""
        example = self.designs.before.example_input
        with TemporaryDirectory(prefix="sizewise-") as aside:
            file = export_onnx(model, example, Path(aside) / ONNX).path
            whole, own = onnx_in_turn([self.base / ONNX, file], example, _TURNS)
        return own.seconds / self._bound_of(whole.seconds)

    def _moved(self, point: Point, over: float, room: float = 1.0) -> Point:
        """The nearest design that costs as much less as this one is over the real budget; or more, where it is under.

        Args:
            point: the design.
            over: its real cost as a share of the budget.
            room: the share of the budget that is to be used.

        Raises:
            InputError: no design costs less.
        """
        if over > room and self._is_least(point):
            raise self._out_of_reach(over)
        cost = self._whole_problem.cost_of(point) * (1.0 if over <= room else _MARGIN) * room / over
        return self.problem(max(cost, self._least)).repair(point)

    @cached_property
    def _least(self) -> float:
        """The least bound that a design is within, as the search counts it."""
        least = self._whole_problem.legal.reachable
        return least if METRICS[self.stage.metric] in ("s", "J") else float(math.ceil(least))

    def _is_least(self, point: Point) -> bool:
        return self._whole_problem.cost_of(point) <= self._least

    def _out_of_reach(self, over: float) -> InputError:
        problem = f"{self.stage.metric} stays at {over:.3f} of the budget, however small the design is made"
        return InputError(problem, place="--budget", remedy="give a larger budget")

    def _not_reached(self, over: float) -> InputError:
        problem = f"{self.stage.metric} is still {over:.3f} of the budget after {_ATTEMPTS} smaller designs"
        return InputError(problem, place="--budget", remedy="give a larger budget")


def _seconds(figures: Figures) -> float:
    if figures.onnx is None:
        remedy = "give a budget of MACs or bytes"
        raise InputError("a network without an ONNX file has no latency to keep", place="--budget", remedy=remedy)
    return figures.onnx.seconds


def read_search(folder: Path) -> SearchFigures:
    """What the search of a finished stage came to."""
    content: dict[str, Any] = orjson.loads((folder / _SEARCH).read_bytes())
    return SearchFigures.from_json(content)
