"""Optimizers on the circuits of netlists/, at equal simulations: agents, populations, Bayesian ones, random search.

Every bound of a circuit's spec.yaml is a hard spec, and two of its metrics are to be pushed beyond theirs; how far is
counted by the figure of merit of GCN-RL (automl_core/figure_of_merit.py), normalised by random designs that are
simulated once and counted apart. One study a circuit, optimizer and seed, to the end of its budget, gives both the
simulations until all specs were met and the figure of merit at any number of simulations.

Studies are kept in --runs and never run twice: parts can be run one after another (--circuits, --optimizers), and every
call shows all that is there.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from rich.console import Console

from automl_core.anytime import quartiles
from automl_core.comparison import Comparison, Contestant
from automl_core.contest import Entry, Outcome
from automl_core.figure_of_merit import FigureOfMerit, Goal, with_goals
from automl_core.optimizers import names
from automl_core.random_designs import random_designs
from automl_core.report.comparison_files import write_comparison
from automl_core.report.comparison_progress import ComparisonView
from automl_core.report.comparison_tables import LEGEND, tables
from automl_core.significance import holm, mann_whitney, ranks, superiority
from automl_core.standings import Standings, standings
from circuits.contest_entry import circuit_entry
from figures import ROOT, Args, Figures, parse, run

GOALS: Mapping[str, Mapping[str, Goal]] = {
    "five_transistor_ota": {"unity_gain_frequency": "maximize", "power": "minimize"},
    "two_stage_op_amp": {"unity_gain_frequency": "maximize", "current": "minimize"},
    "two_stage_tia": {"bandwidth": "maximize", "power": "minimize"},
}
AGENTS = ("seq2seq", "gcn")
RIVALS = ("cmaes", "de", "tpe")
COSTLY = "trust-region"
"""Takes seconds an iteration, so it gets a quarter of the simulations, and is compared there."""
ROSTER = ("random", *RIVALS, COSTLY, "nsga2", "auto", *AGENTS, *(f"{agent}-no-model" for agent in AGENTS))
EASY = 30
"""Where random search needs no more simulations than this, a model has nothing to save."""


@dataclass(frozen=True)
class CircuitArgs(Args):
    """The options of this benchmark."""

    runs: Annotated[Path, "the folder of the studies"] = ROOT / "runs" / "compare_circuits"
    circuits: Annotated[str, "folders of netlists/, with commas between"] = ",".join(GOALS)
    optimizers: Annotated[str, "what to run now: names with commas between; all of the roster by default"] = ""
    budget: Annotated[int, "simulations of a study; a quarter of it for trust-region"] = 2000
    seeds: Annotated[int, "studies of each optimizer on each circuit, counted on from --seed"] = 10
    samples: Annotated[int, "random designs that the figure of merit is normalised by"] = 5000
    jobs: Annotated[int, "studies at once; 0: one a core"] = 0


def settled(args: CircuitArgs) -> CircuitArgs:
    """The arguments as they are meant: a small run in a folder of its own, and all cores."""
    jobs = args.jobs or len(os.sched_getaffinity(0))
    if not args.quick:
        return replace(args, jobs=jobs)
    small = replace(args, circuits="five_transistor_ota", budget=160, seeds=2, samples=256, jobs=jobs)
    return replace(small, runs=args.runs.with_name(f"{args.runs.name}_quick"))


def contestants(wanted: Iterable[str], budget: int) -> list[Contestant]:
    """Optimizers with their budgets."""
    return [Contestant(name, budget // 4 if name == COSTLY else budget) for name in wanted]


def entry_of(circuit: str, args: CircuitArgs) -> tuple[Entry, FigureOfMerit]:
    """A circuit with its two goals, and the figure of merit that they add up to; simulates the random designs."""
    spec = ROOT / "netlists" / circuit / "spec.yaml"
    entry = circuit_entry(spec, args.runs)
    entry.keep(args.runs)
    bounds = entry.specs
    samples = random_designs(
        entry.problem, bounds, args.samples, args.runs / circuit / "random_designs.sqlite", jobs=args.jobs
    )
    entry.problem.close()  # type: ignore[attr-defined]
    ranges = FigureOfMerit.normalised_by(samples, bounds).ranges
    met = sum(bounds.judge(trial).feasible for trial in samples)
    print(f"{circuit}: {met} of {len(samples)} random designs meet every spec", flush=True)
    specs = with_goals(bounds, GOALS[circuit], ranges)
    return replace(entry, specs=specs), FigureOfMerit(specs, ranges)


# What a circuit's studies say.


@dataclass(frozen=True)
class Findings:
    """The studies of one circuit.

    Args:
        circuit: its name.
        by_optimizer: outcomes that have ended, by optimizer.
        merit: the figure of merit.
        budget: of all but the costly one.
    """

    circuit: str
    by_optimizer: Mapping[str, Sequence[Outcome]]
    merit: FigureOfMerit
    budget: int

    def simulations(self, optimizer: str) -> list[float]:
        """Until all specs were met, a study each; infinite where they never were."""
        return [outcome.curve.to_specs() for outcome in self.by_optimizer.get(optimizer, ())]

    def median_simulations(self, optimizer: str) -> float:
        """The median over seeds; NaN where there is no study."""
        return quartiles(self.simulations(optimizer)).median

    def figures(self, optimizer: str, at: float, of: Callable[[Mapping[str, float]], float]) -> list[float]:
        """A figure of merit of the best design after ``at`` simulations, a study each."""
        best = [outcome.curve.best(at) for outcome in self.by_optimizer.get(optimizer, ())]
        return [-self.merit.specs.worst_violation if step is None else of(step.metrics) for step in best]

    def median_figure(self, optimizer: str, at: float, *, goals: bool = False) -> float:
        """The median over seeds; NaN where there is no study."""
        found = self.figures(optimizer, at, self.merit.of_goals if goals else self.merit)
        return statistics.median(found) if found else math.nan


def tests_against_random(findings: Sequence[Findings]) -> dict[tuple[str, str], float]:
    """For each agent and circuit: the p-value that it is better than random search, by its clearer measure.

    Measures are the simulations until all specs were met and the best design at the end, the tests two-sided, and
    Holm's correction is for all of them: agents, circuits and measures. NaN where the agent is better by neither.
    """
    measured: list[tuple[str, str, float, bool]] = []
    for found in findings:
        for agent in AGENTS:
            both = {name: found.by_optimizer.get(name, ()) for name in (agent, "random")}
            orders = ranks({name: [outcome.curve.score() for outcome in both[name]] for name in both})
            for samples in ({name: found.simulations(name) for name in both}, orders):
                mine, theirs = samples[agent], samples["random"]
                better = superiority(mine, theirs) > 0.5
                measured.append((found.circuit, agent, mann_whitney(mine, theirs), better))
    adjusted = holm([p for _, _, p, _ in measured])
    values: dict[tuple[str, str], list[float]] = {}
    for (circuit, agent, _, better), p in zip(measured, adjusted, strict=True):
        values.setdefault((circuit, agent), []).extend([p] if better else [])
    return {key: min(found, default=math.nan) for key, found in values.items()}


def against_the_best(found: Findings, *, goals: bool = False) -> tuple[str, float, str]:
    """The better agent over the best of the others, at the number of simulations that both have.

    Returns:
        The agent; the lesser of its ratios (at the budget to the best of the population methods and TPE, at a quarter
        of it to the trust region); whom that is to.
    """
    agent = max(AGENTS, key=lambda name: ordered(found.median_figure(name, found.budget, goals=goals)))
    ratios = []
    for rivals, at in ((RIVALS, found.budget), ((COSTLY,), found.budget // 4)):
        medians = {name: found.median_figure(name, at, goals=goals) for name in rivals}
        best = max(medians, key=lambda name: ordered(medians[name]))
        ratios.append((ratio(found.median_figure(agent, at, goals=goals), medians[best]), f"{best} at {at}"))
    least = next((pair for pair in ratios if math.isnan(pair[0])), min(ratios, key=lambda pair: pair[0]))
    return agent, *least


def ordered(value: float) -> float:
    """A value to compare by: what is not known comes last."""
    return -math.inf if math.isnan(value) else value


def ratio(mine: float, theirs: float) -> float:
    """Mine over theirs; where theirs is not positive (no spec met), infinite if mine is better and 0 if it is not."""
    if math.isnan(mine) or math.isnan(theirs):
        return math.nan
    if theirs > 0:
        return mine / theirs
    return 1.0 if mine == theirs else math.inf if mine > theirs else 0.0


def add_bars(table: Figures, findings: Sequence[Findings], *, bars: bool) -> None:
    """Every figure of the claim; without bars in a quick run, which is too small for them."""

    def add(name: str, value: float, bar: str) -> None:
        table.add(name, value, bar if bars else None)

    for (circuit, agent), p in tests_against_random(findings).items():
        add(f"{circuit}: {agent} is better than random search, p (Mann-Whitney, Holm)", p, "< 0.05")
    above = []
    for found in findings:
        agent, least, rival = against_the_best(found)
        above.append(least > 1)
        add(f"{found.circuit}: figure of merit of {agent} over that of {rival}", least, ">= 0.99")
        _, of_goals, rival = against_the_best(found, goals=True)
        table.add(f"{found.circuit}: the same of the two goals alone, over {rival}", of_goals)
    add("circuits on which the better agent is above all of them", sum(above), ">= 1")
    for found in findings:
        singles = {name: found.median_simulations(name) for name in found.by_optimizer if name != "auto"}
        best = min(singles, key=lambda name: -ordered(-singles[name]), default="-")
        value = quotient(found.median_simulations("auto"), singles.get(best, math.nan), found.budget)
        add(f"{found.circuit}: simulations to specs of auto over those of {best}", value, "<= 1.3")
    for found in findings:
        if found.median_simulations("random") <= EASY:
            continue
        for agent in AGENTS:
            without = found.median_simulations(f"{agent}-no-model")
            value = quotient(found.median_simulations(agent), without, found.budget)
            add(f"{found.circuit}: simulations to specs of {agent} over those without its model", value, "<= 0.5")


def quotient(mine: float, theirs: float, budget: int) -> float:
    """One number of simulations over another; a median that was never reached counts as the budget below the line.

    NaN where neither was reached: there is nothing to compare.
    """
    if math.isinf(theirs):
        return math.nan if math.isinf(mine) else mine / budget
    return mine / theirs


# Tables.


def add_table(table: Figures, found: Findings, at_all: Sequence[Standings]) -> None:
    """One circuit for the page of results: an optimizer a row, whom it beats and who beats it."""
    numbers = (found.budget // 4, found.budget)
    rows = []
    for name, outcomes in found.by_optimizer.items():
        merits = [f"{found.median_figure(name, at):.4f}" if at <= outcomes[0].budget else "-" for at in numbers]
        rows.append([name, *study_cells(outcomes), *merits, *time_cells(outcomes), *beaten(name, at_all)])
    merit_columns = [f"FoM at {at}" for at in numbers]
    table.show(
        f"{found.circuit}: {CAPTION}", ["optimizer", *STUDY_COLUMNS, *merit_columns, *TIME_COLUMNS, *BEATEN], rows
    )


STUDY_COLUMNS = ("specs met", "evaluations to specs", "quartiles")
TIME_COLUMNS = ("wall s", "optimizer's own s")
BEATEN = ("better than", "worse than")
CAPTION = "medians over seeds; better and worse by evaluations to specs, p < 0.05 (Mann-Whitney, Holm)"


def study_cells(outcomes: Sequence[Outcome]) -> list[str]:
    """How many studies met the specs, and after how many evaluations."""
    counts, budget = [outcome.curve.to_specs() for outcome in outcomes], outcomes[0].budget
    low, median, high = (f"> {budget}" if math.isinf(count) else f"{count:.0f}" for count in quartiles(counts))
    return [f"{sum(map(math.isfinite, counts))} of {len(counts)}", median, f"{low} .. {high}"]


def time_cells(outcomes: Sequence[Outcome]) -> list[str]:
    """Median wall time of a study, and how much of it was the optimizer's; of those that are finished."""
    walls = [outcome.wall_seconds for outcome in outcomes if outcome.wall_seconds is not None]
    own = [outcome.optimizer_seconds for outcome in outcomes if outcome.optimizer_seconds is not None]
    return [f"{quartiles(seconds).median:.1f}" for seconds in (walls, own)]


def beaten(name: str, at_all: Sequence[Standings]) -> list[str]:
    """Whom an optimizer beats by evaluations to specs, and who beats it, at the most evaluations that both had."""
    better: dict[str, bool] = {}
    for found in at_all:  # in the order of budgets, so that the largest common one stands
        for pair in found.to_specs:
            if name in (pair.first, pair.second):
                other = pair.second if pair.first == name else pair.first
                better.pop(other, None)
                if pair.better() is not None:
                    better[other] = pair.better() == name
    order = [row.optimizer for row in at_all[0].rows]  # all of them: the least budget is everybody's
    return [", ".join(other for other in order if better.get(other) is side) or "-" for side in (True, False)]


# Running.


def run_missing(comparison: Comparison, jobs: int) -> None:
    """Run what is not finished, a line a study."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # in the studies' processes: no history may follow the cores
    with ComparisonView(Console(width=160), len(comparison.contests), comparison.finished) as view:
        comparison.run(jobs, view)


def ended_studies(folder: Path, entries: Iterable[Entry], wanted: Iterable[Contestant], seeds: range) -> list[Outcome]:
    """All that the folder holds of these, but for what has not ended."""
    known = [contestant for contestant in wanted if contestant.optimizer in names()]
    return [o for o in Comparison(folder, entries, known, seeds).outcomes() if o.status != "unfinished"]


def show(folder: Path, outcomes: Sequence[Outcome]) -> dict[str, list[Standings]]:
    """Print what studies say, and write it beside them; the standings by problem."""
    console, found = Console(width=160), standings(outcomes)
    for standing in found:
        for part in tables(standing):
            console.print(part)
    console.print(LEGEND, highlight=False, markup=False, soft_wrap=True)
    for path in write_comparison(folder, outcomes, found):
        print(path)
    return {name: [s for s in found if s.problem == name] for name in dict.fromkeys(s.problem for s in found)}


def by_optimizer(outcomes: Iterable[Outcome], problem: str) -> dict[str, list[Outcome]]:
    """The studies of one problem."""
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.problem == problem:
            found.setdefault(outcome.optimizer, []).append(outcome)
    return found


def main() -> int:
    """Run what is missing, print, and say whether every bar was met."""
    asked = parse(CircuitArgs, __doc__)
    table, args = Figures(asked), settled(asked)
    args.runs.mkdir(parents=True, exist_ok=True)
    entries, merits = {}, {}
    for circuit in args.circuits.split(","):
        entries[circuit], merits[circuit] = entry_of(circuit, args)
    seeds = range(args.seed, args.seed + args.seeds)
    wanted = [name for name in args.optimizers.split(",") if name] or [name for name in ROSTER if name in names()]
    run_missing(Comparison(args.runs, entries.values(), contestants(wanted, args.budget), seeds), args.jobs)

    everything = contestants(dict.fromkeys([*ROSTER, *wanted]), args.budget)
    ended = ended_studies(args.runs, entries.values(), everything, seeds)
    findings = []
    for circuit, at_all in show(args.runs, ended).items():
        findings.append(Findings(circuit, by_optimizer(ended, circuit), merits[circuit], args.budget))
        add_table(table, findings[-1], at_all)
    of_roster = [outcome for outcome in ended if outcome.optimizer in ROSTER]
    table.add("studies that failed", sum(outcome.status == "failed" for outcome in ended), "== 0")
    table.add("studies that are missing", len(ROSTER) * len(entries) * len(seeds) - len(of_roster), "== 0")
    add_bars(table, findings, bars=not args.quick)
    return table.finish()


if __name__ == "__main__":
    run(main)
