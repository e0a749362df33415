"""Optimizers on toy problems whose optima are known: a valley, ripples, mixed integers, choices, and tight limits.

The specs ask for a design close to the optimum. Studies are kept in --runs and never run twice, as those of
compare_circuits.py.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from automl_core import toys
from automl_core.anytime import quartiles
from automl_core.comparison import Comparison
from automl_core.contest import Entry
from automl_core.optimizers import names
from automl_core.problem import Problem
from automl_core.specs import Spec, Specs
from compare_circuits import (
    BEATEN,
    CAPTION,
    ROSTER,
    STUDY_COLUMNS,
    TIME_COLUMNS,
    beaten,
    by_optimizer,
    contestants,
    ended_studies,
    run_missing,
    show,
    study_cells,
    time_cells,
)
from figures import ROOT, Args, Figures, parse, run


@dataclass(frozen=True)
class ToyArgs(Args):
    """The options of this benchmark."""

    runs: Annotated[Path, "the folder of the studies"] = ROOT / "runs" / "compare_toys"
    optimizers: Annotated[str, "what to run now: names with commas between; all of the roster by default"] = ""
    budget: Annotated[int, "evaluations of a study; a quarter of it for trust-region"] = 600
    seeds: Annotated[int, "studies of each optimizer on each toy, counted on from --seed"] = 10
    jobs: Annotated[int, "studies at once; 0: one a core"] = 0


@dataclass(frozen=True)
class Toy:
    """A toy, the metric that is to be small, its least value, and the value that counts as close."""

    problem: Problem
    metric: str
    optimum: float
    close: float

    def entry(self, name: str) -> Entry:
        """The toy as the comparison sees it: its own limits, and the metric to be close."""
        limits = [spec for spec in self.problem.specs.specs if spec.metric != self.metric]  # type: ignore[attr-defined]
        return Entry(name, self.problem, Specs([Spec(self.metric, maximum=self.close, goal="minimize"), *limits]))


TOYS: Mapping[str, Toy] = {
    "rosenbrock": Toy(toys.Rosenbrock(2), "value", 0.0, 1e-2),
    "ackley": Toy(toys.Ackley(3), "value", 0.0, 0.5),
    "mixed_integer_vessel": Toy(toys.PressureVessel(), "cost", 6059.7143, 1.05 * 6059.7143),
    "categorical_kinds": Toy(toys.Kinds(), "value", 0.0, 0.01),
    "constrained_spring": Toy(toys.Spring(), "weight", 0.0126652, 1.05 * 0.0126652),
}


def main() -> int:
    """Run what is missing, print, and say whether every bar was met."""
    asked = parse(ToyArgs, __doc__)
    table, args = Figures(asked), replace(asked, jobs=asked.jobs or len(os.sched_getaffinity(0)))
    if args.quick:
        args = replace(args, seeds=2, budget=80, runs=args.runs.with_name(f"{args.runs.name}_quick"))
    entries = [toy.entry(name) for name, toy in TOYS.items()]
    seeds = range(args.seed, args.seed + args.seeds)
    wanted = [name for name in args.optimizers.split(",") if name] or [name for name in ROSTER if name in names()]
    run_missing(Comparison(args.runs, entries, contestants(wanted, args.budget), seeds), args.jobs)

    ended = ended_studies(args.runs, entries, contestants(dict.fromkeys([*ROSTER, *wanted]), args.budget), seeds)
    table.add("studies that failed", sum(outcome.status == "failed" for outcome in ended), "== 0")
    of_roster = [outcome for outcome in ended if outcome.optimizer in ROSTER]
    table.add("studies that are missing", len(ROSTER) * len(entries) * len(seeds) - len(of_roster), "== 0")
    for name, at_all in show(args.runs, ended).items():
        found, toy = by_optimizer(ended, name), TOYS[name]
        rows = [[key, *study_cells(of), *time_cells(of), *beaten(key, at_all)] for key, of in found.items()]
        table.show(f"{name}: {CAPTION}", ["optimizer", *STUDY_COLUMNS, *TIME_COLUMNS, *BEATEN], rows)
        steps = [step for of in found.values() for outcome in of for step in outcome.curve.steps if step.score.feasible]
        above = [step.metrics[toy.metric] - toy.optimum for step in steps]
        beyond = sum(distance < -1e-5 * toy.optimum for distance in above)  # optima are known to five digits or more
        table.add(f"{name}: designs better than the known optimum", beyond, "== 0")
        table.add(f"{name}: the best found, above it", min(above, default=math.nan))
        medians = {key: quartiles([outcome.curve.to_specs() for outcome in of]).median for key, of in found.items()}
        best = min(medians, key=lambda key: medians[key])
        bar = None if args.quick else f"<= {args.budget}"
        table.add(f"{name}: evaluations to specs of the best, {best}", medians[best], bar)
        table.add(f"{name}: those of auto over these", medians.get("auto", math.nan) / medians[best])
    return table.finish()


if __name__ == "__main__":
    run(main)
