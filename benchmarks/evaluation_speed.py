"""What the simulator handling, the study and the command line cost beside the simulations themselves.

Both sides of every ratio run in turn, in one run of this script, on the two-stage op-amp that ships.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from automl_core.pool import Pool
from automl_core.problem import Evaluation, Request
from automl_core.record import Record
from automl_core.space import DesignSpace, Point, Variable
from automl_core.specs import Spec, Specs
from automl_core.study import Study
from circuits.bench import Bench
from circuits.loaded_deck import LoadedDeck
from circuits.ngspice import Library
from circuits.problem import CircuitProblem
from circuits.signoff import control_block
from circuits.simulator import Simulator
from circuits.specfile import read_spec
from figures import ROOT, Args, Figures, parse, run

SPEC = ROOT / "netlists" / "two_stage_op_amp" / "spec.yaml"
TWO_MEASURES = ("gain", "unity_gain_frequency")


def two_stage_op_amp() -> CircuitProblem:
    """The op-amp with its benches in the mode that `check` finds to be safe."""
    return CircuitProblem(read_spec(SPEC), limit_seconds=60.0, modes={"open_loop": "alter", "unity_gain": "alter"})


def op_and_ac(problem: CircuitProblem) -> Bench:
    """The open-loop bench with op, ac and two measures."""
    bench = problem.benches["open_loop"]
    analyses = tuple(analysis for analysis in bench.analyses if analysis.name in ("op", "ac"))
    return replace(bench, analyses=analyses, measures=tuple(m for m in bench.measures if m.name in TWO_MEASURES))


def designs(problem: CircuitProblem, count: int, seed: int) -> list[Point]:
    """Designs near the start, so that every one of them converges."""
    generator = np.random.default_rng(seed)
    start = problem.space.encode(problem.space.start or {})
    units = np.clip(start + generator.normal(0.0, 0.05, (count, problem.space.dim)), 0.0, 1.0)
    return [problem.space.decode(unit) for unit in units]


def over_analyses_alone(bench: Bench, points: Sequence[Mapping[str, float]]) -> float:
    """Time of whole evaluations over that of their analyses alone, in turn, in this process."""
    library = Library(("set num_threads=1", "set ng_nomodcheck"))
    deck = LoadedDeck(library, bench)
    commands = [analysis.command.encode() for analysis in bench.analyses]
    deck.evaluate(points[0])
    whole = alone = 0.0
    for point in points:
        began = time.perf_counter()
        deck.evaluate(point)
        between = time.perf_counter()
        for command in commands:
            library.command(command)
        alone += time.perf_counter() - between
        whole += between - began
        library.forget()
    return whole / alone


def over_subprocess(bench: Bench, problem: CircuitProblem, points: Sequence[Point], threads: str) -> float:
    """Time of `ngspice -n -b` on the same deck, over that of an evaluation in a child, in turn."""
    program = shutil.which("ngspice") or "ngspice"
    subprocesses = ours = 0.0
    with tempfile.TemporaryDirectory() as folder, Simulator(bench, limit_seconds=60.0) as simulator:
        simulator.evaluate(problem.values("open_loop", points[0]))
        for point in points:
            values = problem.values("open_loop", point)
            block = [".control", threads, *control_block(bench.analyses, bench.measures, ()), "quit 0", ".endc", ".end"]
            lines = [*problem.decks["open_loop"].flatten(values)[:-1], *block]
            Path(folder, "deck.cir").write_text("\n".join(lines) + "\n", encoding="utf-8")
            began = time.perf_counter()
            subprocess.run([program, "-n", "-b", "deck.cir"], cwd=folder, capture_output=True, check=False)
            between = time.perf_counter()
            simulator.evaluate(values)
            ours += time.perf_counter() - between
            subprocesses += between - began
    return subprocesses / ours


def over_bare_children(problem: CircuitProblem, points: Sequence[Point], rounds: int) -> float:
    """Evaluations per second of a pool of two workers over those of two bare children, in turn; the median round."""
    bare = [{name: Simulator(bench, limit_seconds=60.0) for name, bench in problem.benches.items()} for _ in range(2)]
    halves = [[{name: problem.values(name, p) for name in problem.benches} for p in points[k::2]] for k in range(2)]

    def drive(worker: int) -> None:
        for name, simulator in bare[worker].items():
            simulator.evaluate_chunk([values[name] for values in halves[worker]])

    def both() -> None:
        threads = [threading.Thread(target=drive, args=(worker,)) for worker in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    requests = [Request(point, "", 0) for point in points]
    with problem, Pool(problem, 2) as pool:
        pool.evaluate(requests[:16])
        both()
        ratios = [timed(both) / timed(lambda: pool.evaluate(requests)) for _ in range(rounds)]
    for simulators in bare:
        for simulator in simulators.values():
            simulator.close()
    return statistics.median(ratios)


def timed(work: Callable[[], object]) -> float:
    """Wall time in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def memory_growth(bench: Bench, points: Sequence[Mapping[str, float]], early: int, late: int) -> float:
    """Resident memory of a child after ``late`` evaluations over that after ``early``."""
    sizes = {}
    with Simulator(bench, limit_seconds=60.0, recycle_after=late + 1) as simulator:
        for done in range(0, late, len(points)):
            simulator.evaluate_chunk(points)
            if done + len(points) in (early, late):
                pages = int(Path(f"/proc/{simulator.pid}/statm").read_text(encoding="ascii").split()[1])
                sizes[done + len(points)] = pages * os.sysconf("SC_PAGE_SIZE")
    return sizes[late] / sizes[early]


class Free:
    """A problem whose evaluation costs nothing: as many variables and metrics, and chunks, as the op-amp has."""

    scenarios = ("",)
    chunk = CircuitProblem.chunk
    space = DesignSpace([Variable(f"x{i}", 1e-6, 1e-3, scale="log") for i in range(12)])

    def __init__(self) -> None:
        self.evaluation = Evaluation({f"metric{i}": float(i) for i in range(10)})

    def repair(self, point: Point) -> Point:
        """Every design is legal."""
        return point

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """Nothing to do."""
        return self.evaluation

    def evaluate_chunk(self, requests: Sequence[Request]) -> list[Evaluation]:
        """Nothing to do."""
        return [self.evaluation for _ in requests]


def study_overhead(batches: int, seed: int) -> float:
    """Milliseconds an evaluation that a study adds: the median batch of 16, with the record on this disk."""
    specs = Specs([Spec(f"metric{i}", minimum=1e9) for i in range(10)])
    asked = np.random.default_rng(seed).random((batches, 16, 12))
    problem = Free()
    with tempfile.TemporaryDirectory(dir=ROOT) as folder, Record.create(Path(folder) / "study.sqlite") as record:
        with Pool(problem, 2) as pool:
            study = Study(problem, specs, pool, record)
            seconds = [timed(partial(study.evaluate, batch)) for batch in asked]
    return statistics.median(seconds) / 16 * 1e3


def help_seconds(runs: int) -> float:
    """Median wall time of `sizewise --help`."""
    command = [sys.executable, "-m", "sizewise", "--help"]
    return statistics.median(
        timed(lambda: subprocess.run(command, capture_output=True, check=True)) for _ in range(runs)
    )


@dataclass(frozen=True)
class SpeedArgs(Args):
    """The options of this benchmark."""


def main() -> int:
    """Measure, print, and say whether every bar was met."""
    args = parse(SpeedArgs, __doc__)
    table = Figures(args)
    problem = two_stage_op_amp()
    bench = op_and_ac(problem)
    points = designs(problem, 64 if args.quick else 512, args.seed)
    values = [problem.values("open_loop", point) for point in points]
    table.add("evaluation (op, ac, two measures) over its analyses alone", over_analyses_alone(bench, values), "<= 1.5")
    few = points[: 4 if args.quick else 20]
    table.add("`ngspice -n -b` as it comes, over ours", over_subprocess(bench, problem, few, "* as it comes"), ">= 50")
    table.add(
        "`ngspice -n -b`, num_threads=1, over ours", over_subprocess(bench, problem, few, "set num_threads=1"), ">= 5"
    )
    rounds = 3 if args.quick else 9
    table.add("two workers over two bare children", over_bare_children(problem, points[:256], rounds), ">= 0.95")
    early, late = (100, 1_000) if args.quick else (1_000, 20_000)
    table.add(
        f"memory of a child after {late} over after {early}", memory_growth(bench, values[:50], early, late), "<= 1.2"
    )
    table.add(
        "the study's own ms an evaluation, batches of 16",
        study_overhead(20 if args.quick else 200, args.seed),
        "<= 0.15",
    )
    table.add("`sizewise --help`, median seconds", help_seconds(5 if args.quick else 21), "<= 0.3")
    return table.finish()


if __name__ == "__main__":
    run(main)
