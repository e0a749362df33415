"""What a cut is worth in milliseconds: ResNet-20 in ONNX Runtime, one thread, at half its MACs and at 0.67 of its time.

Both are runs of the command, `sizewise compress`, which ends with the network measured as a whole in ONNX Runtime. Half
of the MACs need not be half of the time: eleven channels can take longer than sixteen. A budget in milliseconds is held
by a table of what was measured. Runs are kept in --runs; one that is there is gone on with, and never done twice.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import orjson

from figures import ROOT, Args, Figures, parse, run
from nn_compression.training.trained_weights import trained_weights


@dataclass(frozen=True)
class LatencyArgs(Args):
    """The options of this benchmark."""

    runs: Annotated[Path, "where the runs are kept"] = ROOT / "runs/measured_latency"
    model: Annotated[str, "of the zoo"] = "resnet20"
    data: Annotated[str, "what it is for"] = "cifar10"
    optimizer: Annotated[str, "who searches"] = "seq2seq"
    evaluations: Annotated[int, "candidates of each search"] = 200
    finetune: Annotated[int, "epochs after it"] = 10


def compressed(name: str, options: list[str], args: LatencyArgs) -> Mapping[str, Any]:
    """What a run of the command came to; it is begun, gone on with, or read."""
    folder = args.runs / f"{args.model}-{name}-{args.seed}"
    result = folder / "result.json"
    if not result.exists():
        weights = trained_weights(args.model, args.data, seed=args.seed)
        command = [sys.executable, "-m", "sizewise"]
        if (folder / "study.sqlite").exists():
            command += ["resume", str(folder)]
        else:
            command += ["compress", args.model, "--data", args.data, "--weights", str(weights), "-o", str(folder)]
            command += ["--optimizer", args.optimizer, "--evaluations", str(args.evaluations)]
            command += ["--finetune-epochs", str(args.finetune), "--seed", str(args.seed), "--jobs", "1", *options]
        if subprocess.run(command, cwd=ROOT, check=False).returncode not in (0, 1):
            sys.exit(f"{folder}: the command failed")
    content: Mapping[str, Any] = orjson.loads(result.read_bytes())
    return content


def main() -> int:
    """Compress twice, and say whether the bar was met."""
    args = parse(LatencyArgs, __doc__)
    args = replace(args, runs=args.runs.resolve())  # the command runs in the project's folder
    if args.quick:
        small = replace(args, runs=args.runs.with_name("measured_latency_quick"), model="digits_net", data="digits")
        args = replace(small, optimizer="random", evaluations=8, finetune=1)
    table = Figures(args)
    table.keep_in(args.runs, args)
    share = 0.9 if args.quick else 0.67
    arms = {
        "half the MACs": ["--budget", "macs=0.5"],
        f"{share:g} of the time": ["--budget", f"latency={share:g}", "--round-to", "4"],
    }
    for (what, options), bar in zip(arms.items(), (None, None if args.quick else ">= 1.5"), strict=True):
        found = compressed(options[1].replace("=", "-"), options, args)
        before, after = found["before"], found["after"]
        faster = before["onnx"]["seconds"] / after["onnx"]["seconds"]
        table.add(f"{args.model}, {what}: times faster in ONNX Runtime, one thread, measured", faster, bar)
        table.add(
            f"{args.model}, {what}: times faster in eager torch, measured",
            before["eager"]["seconds"] / after["eager"]["seconds"],
        )
        table.add(f"{args.model}, {what}: share of the MACs", after["macs"] / before["macs"])
        table.add(f"{args.model}, {what}: test accuracy before, %", before["test"])
        table.add(f"{args.model}, {what}: test accuracy after, %", after["test"])
    return table.finish()


if __name__ == "__main__":
    run(main)
