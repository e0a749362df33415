"""What a policy learnt on one technology is worth on another: the two-stage op-amp, from 180 nm to 45 nm.

The op-amp is moved to the 180 nm card (1.8 V, channel lengths four times as long), where a policy is trained over a
range of targets. The 45 nm op-amp that ships is then sized with it and from scratch, the same seeds and 200 simulations
each; what differs is the policy alone, for no trial of another circuit is scored.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from scipy.stats import mannwhitneyu

from automl_core.budget import Budget
from automl_core.optimizers import Transferable, make
from automl_core.pool import Pool
from automl_core.record import Record
from automl_core.study import Study
from circuits.calibration import calibrate
from circuits.problem import CircuitProblem
from circuits.specfile import read_spec
from figures import ROOT, Args, Figures, parse, run

OP_AMP = ROOT / "netlists" / "two_stage_op_amp"
MOVED = (
    (r"bsim4_45nm", "bsim4_180nm"),
    (r"([np]mos)_45\b", r"\1_180"),
    (r"\b45n\b", "0.18u"),
    (r"\b500n\b", "2u"),
    (r"(?m)^(\.param.*)=0\.18u l3=0\.18u", r"\1=0.36u l3=0.36u"),
    (r"dc 1\.1\b", "dc 1.8"),
    (r"dc 0\.7\b", "dc 1.1"),
    (r"0\.65 0\.95", "0.95 1.25"),
    (r"final: 0\.95", "final: 1.25"),
    (r"=0\.7\b", "=1.1"),
    (r"\.\./models", str(ROOT / "netlists" / "models")),
)
"""What the technology changes in the deck and its spec."""
RANGES = """gain: {min: [50, 70]}
unity_gain_frequency: {min: [10Meg, 60Meg], scale: log}
current: {max: [100u, 400u], scale: log}
slew_rate: {min: [10Meg, 40Meg], scale: log}
settling_time: {max: [30n, 100n], scale: log}
"""


@dataclass(frozen=True)
class TransferArgs(Args):
    """The options of this benchmark."""

    runs: Annotated[Path, "where the policies are kept; one that is there is not trained again"] = (
        ROOT / "runs" / "transfer"
    )
    optimizers: Annotated[str, "the agents, with commas between"] = "seq2seq,gcn"
    budget: Annotated[int, "training simulations on the 180 nm card"] = 2000
    seeds: Annotated[int, "studies with the policy, and from scratch"] = 10
    simulations: Annotated[int, "of each study on the 45 nm card"] = 200


def moved_op_amp(folder: Path) -> Path:
    """The op-amp on the 180 nm card, with its ranges: the path of its spec."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("amplifier.inc", "open_loop.cir", "unity_gain.cir", "spec.yaml"):
        text = (OP_AMP / file).read_text(encoding="utf-8")
        for pattern, replacement in MOVED:
            text = re.sub(pattern, replacement, text)
        (folder / file).write_text(text, encoding="utf-8")
    (folder / "ranges.yaml").write_text(RANGES, encoding="utf-8")
    return folder / "spec.yaml"


def trained(agent: str, args: TransferArgs, budget: int) -> Path:
    """A policy of the 180 nm op-amp."""
    folder = args.runs / f"{agent}-{budget}-{args.seed}"
    if not (folder / "policy.json").exists():
        spec = moved_op_amp(args.runs / "op_amp_180nm")
        command = [sys.executable, "-m", "sizewise"]
        if (folder / "study.sqlite").exists():
            command += ["resume", str(folder)]
        else:
            command += ["train", str(spec), "--targets", str(spec.parent / "ranges.yaml"), "-o", str(folder)]
            command += ["--optimizer", agent, "--budget", str(budget), "--seed", str(args.seed)]
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            sys.exit("the training failed")
    return folder


def sized(problem: CircuitProblem, agent: str, policy: Path | None, seed: int, simulations: int) -> tuple[int, float]:
    """One study: simulations until all specs were met (one more than there were where not), and the last violation."""
    specs, budget = problem.spec.specs, Budget(simulations)
    optimizer = make(agent, problem.space, specs, seed, budget)
    if policy is not None and isinstance(optimizer, Transferable):
        optimizer.load(policy)
    with Pool(problem, 1) as pool, Record.create(":memory:") as record:
        study = Study(problem, specs, pool, record, seed=seed, budget=budget)
        study.run(optimizer, stop="met")
    if study.best_score is None:
        return simulations + 1, float("inf")
    return study.spent if study.best_score.feasible else simulations + 1, study.best_score.violation


def main() -> int:
    """Train, size with and without, and say whether every bar was met."""
    args = parse(TransferArgs, __doc__)
    table = Figures(args)
    budget, seeds, simulations = (120, 3, 60) if args.quick else (args.budget, args.seeds, args.simulations)
    problem = CircuitProblem(read_spec(OP_AMP / "spec.yaml"), observe=True)
    measured = calibrate(problem)
    problem = problem.with_settings(limit_seconds=measured.limit_seconds, modes=measured.modes)
    for agent in args.optimizers.split(","):
        policy = trained(agent, args, budget)
        found: dict[str, list[tuple[int, float]]] = {"policy": [], "scratch": []}
        for seed in range(args.seed, args.seed + seeds):
            for name, start in (("policy", policy), ("scratch", None)):
                found[name].append(sized(problem, agent, start, seed, simulations))
            print(
                f"{agent}, seed {seed}: with the policy {found['policy'][-1]}, scratch {found['scratch'][-1]}",
                flush=True,
            )
        for name, each in found.items():
            table.add(f"{agent}, {name}: studies that met all specs", sum(took <= simulations for took, _ in each))
            table.add(f"{agent}, {name}: median simulations to them", statistics.median(took for took, _ in each))
            table.add(f"{agent}, {name}: median violation at the end", statistics.median(last for _, last in each))
        took = {name: [simulations for simulations, _ in each] for name, each in found.items()}
        better = mannwhitneyu(took["policy"], took["scratch"], alternative="less").pvalue
        table.add(f"{agent}: p of needing fewer by chance (Mann-Whitney)", float(better), "< 0.05")
    problem.close()
    return table.finish()


if __name__ == "__main__":
    run(main)
