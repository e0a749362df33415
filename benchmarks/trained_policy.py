"""A policy trained over AutoCkt's ranges of targets, then asked for targets it has never seen.

The circuit is the two-stage op-amp with the 45 nm card: gain 200-400 V/V, unity-gain frequency 1-25 MHz, phase margin
60 degrees, supply current 0.1-10 mA, drawn log-uniformly. A target counts if a search of its own (cmaes, up to 5,000
simulations, begun from all that such searches saw before) meets it. A target is met strictly or not at all, within 30
simulations, the deck's own sizing counted; one that is not met counts 30. Random search, and the training trials alone
without a policy or a model, stand beside it.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from automl_core.budget import Budget
from automl_core.optimizers import Optimizer, Transferable, make
from automl_core.pool import Pool
from automl_core.problem import Trial
from automl_core.record import Record
from automl_core.specs import Spec, Specs
from automl_core.study import Study
from automl_core.targets import Targets
from circuits.calibration import calibrate
from circuits.earlier import earlier_trials
from circuits.problem import CircuitProblem
from circuits.specfile import read_spec
from circuits.targetfile import read_targets
from figures import ROOT, Args, Figures, parse, run

FOLDER = ROOT / "netlists" / "two_stage_op_amp"
SPEC, RANGES = FOLDER / "small_signal.yaml", FOLDER / "targets.yaml"
MOST = 30


@dataclass(frozen=True)
class PolicyArgs(Args):
    """The options of this benchmark."""

    runs: Annotated[Path, "where the policy and what was measured are kept; what is there is not done again"] = (
        ROOT / "runs" / "trained_policy"
    )
    optimizer: Annotated[str, "the agent"] = "seq2seq"
    budget: Annotated[int, "training simulations"] = 8000
    targets: Annotated[int, "unseen targets that can be met"] = 200
    search: Annotated[int, "simulations of the search that says whether a target can be met"] = 5000


class Bench:
    """The circuit, one study at a time."""

    def __init__(self) -> None:
        self.problem = CircuitProblem(read_spec(SPEC), observe=True)
        measured = calibrate(self.problem)
        self.problem = self.problem.with_settings(limit_seconds=measured.limit_seconds, modes=measured.modes)
        self.problem.observe = True

    def study(
        self,
        specs: Specs,
        optimizer: Callable[[Budget], Optimizer],
        evaluations: int,
        earlier: Sequence[Trial] = (),
    ) -> Study:
        """One target: at most so many simulations."""
        budget = Budget(evaluations)
        with Pool(self.problem, 1) as pool, Record.create(":memory:") as record:
            study = Study(self.problem, specs, pool, record, budget=budget, earlier=earlier)
            study.run(optimizer(budget), stop="met")
        return study

    def close(self) -> None:
        """End the simulators."""
        self.problem.close()


def trained(args: PolicyArgs, budget: int, folder: Path) -> None:
    """Train the policy by the command line, or go on with a training that was stopped."""
    if (folder / "policy.json").exists():
        return
    command = [sys.executable, "-m", "sizewise"]
    if (folder / "study.sqlite").exists():
        command += ["resume", str(folder)]
    else:
        command += ["train", str(SPEC), "--targets", str(RANGES), "-o", str(folder), "--budget", str(budget)]
        command += ["--optimizer", args.optimizer, "--seed", str(args.seed)]
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        sys.exit("the training failed")


def bounds(specs: Specs) -> dict[str, list[float | None]]:
    """A target as JSON."""
    return {spec.metric: [spec.minimum, spec.maximum] for spec in specs.specs}


def specs_of(target: dict[str, list[float | None]]) -> Specs:
    """A target from JSON."""
    return Specs(Spec(metric, minimum=low, maximum=high) for metric, (low, high) in target.items())


def feasible_targets(bench: Bench, targets: Targets, count: int, args: PolicyArgs, file: Path) -> dict[str, Any]:
    """Targets drawn until ``count`` of them were met by a search; kept in a file as it grows."""
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"met": [], "unmet": 0, "drawn": 0}
    generator = np.random.default_rng([args.seed, 2026])
    drawn = [specs for _ in range(4 * count) for specs in targets.draw(1, generator)]
    seen: dict[bytes, Trial] = {}
    while len(kept["met"]) < count:
        specs = drawn[kept["drawn"]]
        search = partial(make, "cmaes", bench.problem.space, specs, kept["drawn"])
        study = bench.study(specs, search, args.search, list(seen.values()))
        seen |= {trial.unit.tobytes(): trial for trial in study.trials}
        kept["drawn"] += 1
        if met(study):
            kept["met"].append(bounds(specs))
        else:
            kept["unmet"] += 1
        print(
            f"target {kept['drawn']}: {'met' if met(study) else 'not met'} after {study.spent} simulations", flush=True
        )
        file.write_text(json.dumps(kept))
    return kept


def met(study: Study) -> bool:
    """Whether a design meets every spec of the target strictly."""
    return study.best_score is not None and study.best_score.feasible


@dataclass
class Tally:
    """How one way of sizing did: simulations and success, a target at a time."""

    took: list[int] = field(default_factory=list)
    solved: list[bool] = field(default_factory=list)

    def add(self, study: Study) -> None:
        """Count a target; one that is not met costs the most there may be."""
        self.solved.append(met(study))
        self.took.append(study.spent if met(study) else MOST)


def main() -> int:
    """Train, draw targets, size them, and say whether every bar was met."""
    args = parse(PolicyArgs, __doc__)
    table = Figures(args)
    count, budget = (5, 300) if args.quick else (args.targets, args.budget)
    runs = args.runs / f"{args.optimizer}-{budget}-{args.seed}"
    runs.mkdir(parents=True, exist_ok=True)
    policy = runs / "policy"
    trained(args, budget, policy)
    bench = Bench()
    targets = read_targets(RANGES, bench.problem.spec.specs)
    earlier = earlier_trials(policy, bench.problem)
    kept = feasible_targets(bench, targets, count, args, args.runs / f"targets-{args.seed}-{count}.json")
    space = bench.problem.space

    def pretrained(specs: Specs, budget: Budget) -> Optimizer:
        agent = make(args.optimizer, space, specs, args.seed, budget)
        if isinstance(agent, Transferable):
            agent.load(policy)
        return agent

    ways: dict[str, tuple[Callable[[Specs, Budget], Optimizer], Sequence[Trial]]] = {
        "policy": (pretrained, earlier),
        "its trials, without it": (lambda specs, budget: make("cmaes", space, specs, args.seed, budget), earlier),
        "random": (lambda specs, budget: make("random", space, specs, args.seed, budget), ()),
    }
    tallies = {name: Tally() for name in ways}
    for number, target in enumerate(kept["met"]):
        specs = specs_of(target)
        for name, (begin, known) in ways.items():
            tallies[name].add(bench.study(specs, partial(begin, specs), MOST, known))
        print(f"target {number + 1}: " + ", ".join(f"{name} {t.took[-1]}" for name, t in tallies.items()), flush=True)
    bench.close()
    table.add("training simulations", len(earlier), "<= 10000")
    table.add("targets that could be met, of those drawn", len(kept["met"]) / kept["drawn"])
    for name, tally in tallies.items():
        bars = (">= 99", "<= 10") if name == "policy" else (None, None)
        table.add(f"{name}: targets met strictly, %", 100 * statistics.fmean(tally.solved), bars[0])
        table.add(f"{name}: mean simulations a target", statistics.fmean(tally.took), bars[1])
    table.add("policy: median simulations", statistics.median(tallies["policy"].took))
    table.add(
        "targets that the deck's own sizing meets, %", 100 * statistics.fmean(t == 1 for t in tallies["policy"].took)
    )
    for name, tally in tallies.items():
        others = [took for took, first in zip(tally.took, tallies["policy"].took, strict=True) if first > 1]
        table.add(f"{name}: mean simulations of the other targets", statistics.fmean(others) if others else math.nan)
    return table.finish()


if __name__ == "__main__":
    run(main)
