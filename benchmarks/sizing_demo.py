"""The demo: the two-stage op-amp, sized from the command line by the default optimizer, seed by seed."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from figures import ROOT, Args, Figures, parse, run


@dataclass(frozen=True)
class DemoArgs(Args):
    """The options of this benchmark."""

    seeds: Annotated[int, "how many seeds, counted on from --seed"] = 10
    netlist: Annotated[str, "the circuit: a folder of netlists/"] = "two_stage_op_amp"


def size(netlist: str, seed: int, folder: Path) -> tuple[dict[str, Any], float]:
    """One run of `sizewise size`: its result, and its wall time in seconds."""
    spec = ROOT / "netlists" / netlist / "spec.yaml"
    command = [sys.executable, "-m", "sizewise", "size", str(spec), "-o", str(folder), "--seed", str(seed), "--json"]
    began = time.perf_counter()
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if run.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)} ended with {run.returncode}:\n{run.stderr}")
    return json.loads(run.stdout), seconds


def main() -> int:
    """Run every seed, print, and say whether every bar was met."""
    args = parse(DemoArgs, __doc__)
    table = Figures(args)
    seeds = range(args.seed, args.seed + (2 if args.quick else args.seeds))
    results, walls = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            result, seconds = size(args.netlist, seed, Path(folder) / str(seed))
            results.append(result)
            walls.append(seconds)
            print(f"seed {seed}: met {result['met']}, {result['evaluations']} evaluations, {seconds:.1f} s", flush=True)
    met = sum(result["met"] for result in results)
    signed = [result["sign_off"] for result in results]
    unconfirmed = sum(len(entry.get("unconfirmed", ["all"])) for entry in signed)
    worst = max(entry.get("worst_relative_difference", float("nan")) for entry in signed)
    table.add("seeds whose specs are all met", met, f"== {len(seeds)}")
    table.add("median simulations", statistics.median(result["evaluations"] for result in results), "<= 1500")
    table.add("most simulations", max(result["evaluations"] for result in results))
    table.add("median wall seconds, command line and all", statistics.median(walls), "<= 30")
    table.add("sign-off: worst relative difference of a metric, %", worst * 100, "<= 0.1")
    table.add("metrics that the sign-off could not confirm", unconfirmed, "== 0")
    return table.finish()


if __name__ == "__main__":
    run(main)
