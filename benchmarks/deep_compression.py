"""Deep Compression of the two LeNets on MNIST: how small a file, at what error, of a model that was decoded from it.

Two arms of equally many updates: the base trains densely throughout; the other trains densely, prunes and retrains,
shares weights and trains the centroids. Settings were chosen on the 5,000 training images that are held out; errors are
those on the test images. What is done is kept in --runs and never done twice.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from torch import nn

from automl_core.one_thread import one_thread
from automl_core.runs import write_whole
from figures import ROOT, Args, Figures, chosen, done, parse, run
from nn_compression.coding.codec import load_coded
from nn_compression.data import SettledData
from nn_compression.files.references import load_data, load_model
from nn_compression.sparsity.deep_compression import Settings, compress
from nn_compression.sparsity.iterative_pruning import Pruning
from nn_compression.training.loop import Schedule, evaluate, train


@dataclass(frozen=True)
class DeepArgs(Args):
    """The options of this benchmark."""

    runs: Annotated[Path, "what is done already"] = ROOT / "runs" / "deep_compression"
    networks: Annotated[str, "which of lenet_300_100 and lenet5, with a comma between"] = "lenet_300_100,lenet5"
    levels: Annotated[str, "how far: which levels, with commas between; the first is held to the bars"] = "1,2,3"
    seeds: Annotated[int, "seeds, counted on from --seed"] = 3
    jobs: Annotated[int, "networks and seeds at once; 0: one a core"] = 0


@dataclass(frozen=True)
class Plan:
    """How a network is compressed, and what it must reach.

    Attributes:
        error: the largest error of the base, in percent.
        ratio: the least ratio.
        dense: the training before pruning.
        rounds: of pruning.
        retrain: epochs of a round but the last, at a constant rate.
        settle: epochs of the last, in which the rate falls to zero.
        centroids: epochs after weights are shared.
        keep: shares of the weights that remain, for each level.
        clusters: centroids.
    """

    error: float
    ratio: float
    dense: Schedule
    rounds: int
    retrain: int
    settle: int
    centroids: int
    keep: Mapping[str, Mapping[str, float]]
    clusters: Mapping[str, int]

    def settings(self, level: str) -> Settings:
        """Of the pipeline, at a level."""
        learnt = replace(self.dense, warmup=0.0)
        retrain = replace(learnt, epochs=self.retrain, decay="constant")
        settle = replace(learnt, epochs=self.settle)
        centroids = replace(learnt, epochs=self.centroids, optimizer="adam", learning_rate=1e-4, weight_decay=0.0)
        return Settings(Pruning(self.keep[level], self.rounds, retrain, settle), self.clusters, centroids)

    def whole(self, level: str) -> Schedule:
        """The training of the base: as many updates."""
        return replace(self.dense, epochs=self.dense.epochs + self.settings(level).epochs)


PLANS: Mapping[str, Plan] = {
    "lenet_300_100": Plan(
        error=1.7,
        ratio=40,
        dense=Schedule(6, learning_rate=0.1),
        rounds=15,
        retrain=1,
        settle=40,
        centroids=2,
        keep={
            "1": {"fc1": 0.098, "fc2": 0.2, "fc3": 0.5},
            "2": {"fc1": 0.03, "fc2": 0.07, "fc3": 0.4},
            "3": {"fc1": 0.02, "fc2": 0.05, "fc3": 0.35},
        },
        clusters={"fc1": 16, "fc2": 16, "fc3": 16, "fc1.bias": 8, "fc2.bias": 8},
    ),
    "lenet5": Plan(
        error=0.85,
        ratio=39,
        dense=Schedule(5, learning_rate=0.05, warmup=0.5),
        rounds=6,
        retrain=1,
        settle=10,
        centroids=2,
        keep={
            "1": {"conv1": 0.6, "conv2": 0.22, "fc1": 0.087, "fc2": 0.35},
            "2": {"conv1": 0.6, "conv2": 0.12, "fc1": 0.035, "fc2": 0.2},
            "3": {"conv1": 0.5, "conv2": 0.08, "fc1": 0.016, "fc2": 0.12},
        },
        clusters={
            **{"conv1": 32, "conv2": 16, "fc1": 16, "fc2": 16},
            **{"conv1.bias": 8, "conv2.bias": 8, "fc1.bias": 8},
        },
    ),
}
"""Settings; they were chosen by the error on the held-out training images."""

QUICK = Plan(
    error=10,
    ratio=10,
    dense=Schedule(10, learning_rate=0.1, batch=32),
    rounds=3,
    retrain=2,
    settle=4,
    centroids=2,
    keep={"1": {"fc1": 0.1, "fc2": 0.1, "fc3": 0.5}},
    clusters={"fc1": 16, "fc2": 16, "fc3": 16, "fc1.bias": 8, "fc2.bias": 8},
)
"""LeNet-300-100 on scikit-learn's digits: whether it works, and roughly what comes out."""


@dataclass(frozen=True)
class Task:
    """One network and seed, at all levels.

    Attributes:
        name: of the network.
        plan: how.
        levels: how far.
        seed: of the initial weights and of the order of the images.
        source: of the images.
        runs: where it is kept.
    """

    name: str
    plan: Plan
    levels: tuple[str, ...]
    seed: int
    source: str
    runs: Path

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}"


@dataclass(frozen=True)
class Outcome:
    """One network, seed and level.

    Attributes:
        base: error of the base on the test images, in percent.
        error: of the model that the file decodes into.
        held_out: both errors on the held-out images.
        size: bytes of the file.
        weights: of the network, biases included.
    """

    base: float
    error: float
    held_out: tuple[float, float]
    size: int
    weights: int

    @property
    def ratio(self) -> float:
        """Four bytes a weight over the file."""
        return 4 * self.weights / self.size


def network(name: str, data: SettledData, seed: int) -> nn.Module:
    """A network with the initial weights of a seed."""
    return load_model(name, example_input=data.example_input, classes=data.classes, seed=seed)


def errors(model: nn.Module, data: SettledData) -> tuple[float, float]:
    """On the test images and on the held-out ones, in percent."""
    return 100 - evaluate(model, data.test, data.task), 100 - evaluate(model, data.validation, data.task)


def coded(name: str, plan: Plan, level: str, seed: int, data: SettledData, runs: Path) -> Path:
    """The file of a compressed network; made where it is not there."""
    path, folder = runs / f"{name}-{level}-{seed}.swnn", runs / f"{name}-{level}-{seed}"
    if not path.exists():
        model = network(name, data, seed)
        train(model, data, plan.dense, seed=seed, checkpoint=runs / f"{name}-{seed}.safetensors")
        result = compress(
            model,
            data,
            plan.settings(level),
            seed=seed,
            folder=folder,
            progress=lambda done: print(f"  round {done.number}: loss {done.loss:.4f}", flush=True),
        )
        write_whole(path, result.data)
    return path


def outcome(name: str, plan: Plan, level: str, seed: int, data: SettledData, runs: Path) -> Outcome:
    """Both arms."""
    path = coded(name, plan, level, seed, data, runs)
    model = network(name, data, seed)
    model.load_state_dict(load_coded(path))
    base = network(name, data, seed)
    whole = plan.whole(level)
    train(base, data, whole, seed=seed, checkpoint=runs / f"{name}-base-{whole.epochs}-{seed}.safetensors")
    (base_error, base_held_out), (error, held_out) = errors(base, data), errors(model, data)
    weights = sum(parameter.numel() for parameter in model.parameters())
    return Outcome(base_error, error, (base_held_out, held_out), path.stat().st_size, weights)


def outcomes(task: Task) -> dict[str, Outcome]:
    """By level."""
    data = load_data(task.source, 0)  # the same images are held out for every seed
    with one_thread():
        return {level: outcome(task.name, task.plan, level, task.seed, data, task.runs) for level in task.levels}


def add(table: Figures, name: str, plan: Plan, found: Mapping[str, list[Outcome]], bars: bool) -> None:
    """The figures of a network: the first level is held to the bars; then the curve."""
    first = next(iter(found))
    base = statistics.mean(run.base for run in found[first])
    table.add(f"{name}: error of the base, %", base, f"<= {plan.error}" if bars else None)
    for level, own in found.items():
        held = bars and level == first
        ratio = statistics.mean(run.ratio for run in own)
        above = statistics.mean(run.error - run.base for run in own)
        table.add(f"{name}, level {level}: 4 bytes a weight over the file", ratio, f">= {plan.ratio}" if held else None)
        table.add(f"{name}, level {level}: error above the base, points", above, "<= 0.05" if held else None)
    columns = ["level, seed", "bytes", "ratio", "error, %", "error of the base, %", "held out: error, %", "base, %"]
    rows = [
        [
            f"{level}, {seed}",
            f"{run.size:,}",
            f"{run.ratio:.1f}",
            *(f"{value:.2f}" for value in (run.error, run.base, run.held_out[1], run.held_out[0])),
        ]
        for level, own in found.items()
        for seed, run in enumerate(own, table.args.seed)
    ]
    table.show(f"{name}, every run", columns, rows)
    for row in [columns, *rows]:
        print("  ".join(f"{cell:>{len(column)}}" for cell, column in zip(row, columns, strict=True)))


def main() -> int:
    """Run what is missing, and say whether every bar was met."""
    args = parse(DeepArgs, __doc__)
    table = Figures(args)
    plans, source, levels, seeds = PLANS, "mnist", args.levels.split(","), args.seeds
    if args.quick:
        plans, source, levels, seeds = {"lenet_300_100": QUICK}, "digits", ["1"], 1
        args = replace(args, runs=args.runs.with_name(f"{args.runs.name}_quick"), networks="lenet_300_100")
    wanted, numbers = chosen(args.networks, plans, "--networks"), range(args.seed, args.seed + seeds)
    for name in wanted:
        chosen(",".join(levels), plans[name].keep, "--levels")
    table.keep_in(args.runs, args, plans=plans)
    tasks = [Task(name, plans[name], tuple(levels), seed, source, args.runs) for name in wanted for seed in numbers]
    found = {}
    for task, answer in done(outcomes, tasks, args.jobs):
        found[task.name, task.seed] = answer
        for level, reached in answer.items():
            print(f"{task.name}, level {level}, seed {task.seed}: {reached}", flush=True)
    for name in wanted:
        by_level = {level: [found[name, seed][level] for seed in numbers] for level in levels}
        add(table, name, plans[name], by_level, bars=not args.quick)
    return table.finish()


if __name__ == "__main__":
    run(main)
