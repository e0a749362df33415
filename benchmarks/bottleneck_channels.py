"""Which layers of a bottleneck network a channel search spares: AMC's finding on 3x3 against 1x1 layers.

AMC reports that on ResNet-50 its agent prunes 3x3 layers more than the 1x1 layers around them. Here the channels of the
bottleneck ResNet-29 are searched at half the MACs on CIFAR-10 (20k, JPEG); the share of channels that each layer keeps
is told and drawn, by the size of its kernel. A search is kept in --runs, and never done twice.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from matplotlib.figure import Figure

from automl_core.space import Point
from figures import ROOT, Args, Figures, done, parse, run
from networks import best_point, train_networks, trained_network
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.candidate import Judging
from nn_compression.problems.channel_problem import ChannelProblem, channel_slots

BUDGET = CostLimit.parse("macs=0.5")
COLOURS = {"1x1": "tab:blue", "3x3": "tab:orange"}


@dataclass(frozen=True)
class BottleneckArgs(Args):
    """The options of this benchmark."""

    runs: Annotated[Path, "where searches and the picture are kept"] = ROOT / "runs/bottleneck_channels"
    model: Annotated[str, "of the zoo, with layers of both kernels"] = "resnet29_bottleneck"
    data: Annotated[str, "what it is for"] = "cifar10"
    optimizer: Annotated[str, "who searches"] = "seq2seq"
    evaluations: Annotated[int, "candidates of each search"] = 300
    images: Annotated[int, "validation images of a candidate"] = 2000
    seeds: Annotated[int, "searches, counted on from --seed; the network is that of --seed"] = 3
    jobs: Annotated[int, "searches at once; 0: one a core"] = 0


@dataclass(frozen=True)
class Task:
    """One search."""

    seed: int
    args: BottleneckArgs

    def __str__(self) -> str:
        return f"search {self.seed}"


def shares(problem: ChannelProblem, point: Point) -> dict[str, tuple[str, float]]:
    """By convolution whose channels are free: its kernel, and the share of its channels that is kept."""
    slots, counts = channel_slots(problem.groups), problem.counts(point)
    whole = {group.name: group.channels for group in problem.groups}
    return {
        layer.name: (
            "x".join(map(str, layer.kernel)),
            counts[slots[layer.name]["channels"]] / whole[slots[layer.name]["channels"]],
        )
        for layer in problem.network.graph.layers
        if layer.name in slots and len(layer.kernel) == 2
    }


def searched(task: Task) -> dict[str, tuple[str, float]]:
    """What a search keeps of each layer."""
    args = task.args
    network = trained_network(args.model, args.data, args.seed)
    problem = ChannelProblem(network, BUDGET, Judging(validation=args.images))
    path = args.runs / f"{args.model}-{args.optimizer}-{task.seed}.sqlite"
    return shares(problem, best_point(path, problem, args.optimizer, args.evaluations, task.seed))


def draw(by_seed: list[dict[str, tuple[str, float]]], path: Path) -> None:
    """The mean share of each layer over the searches, and each search as a point."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    axes = figure.subplots()
    for place, (name, (kernel, _)) in enumerate(by_seed[0].items()):
        each = [found[name][1] * 100 for found in by_seed]
        axes.bar(place, statistics.mean(each), color=COLOURS.get(kernel, "tab:gray"))
        axes.plot([place] * len(each), each, "k.", markersize=3)
    axes.set_xticks(range(len(by_seed[0])), list(by_seed[0]), rotation=90, fontsize=6)
    axes.set_ylabel("channels kept (%)")
    axes.set_title("1x1 layers in blue, 3x3 layers in orange", fontsize=9)
    figure.savefig(path)


def main() -> int:
    """Search, and tell what was kept of which layers."""
    args = parse(BottleneckArgs, __doc__)
    if args.quick:
        small = replace(args, runs=args.runs.with_name("bottleneck_channels_quick"), model="digits_net", data="digits")
        args = replace(small, optimizer="random", evaluations=12, images=200, seeds=1)
    table = Figures(args)
    table.keep_in(args.runs, args, network_seed=args.seed)
    train_networks([(args.model, args.data, args.seed)], args.jobs)
    tasks = [Task(seed, args) for seed in range(args.seed, args.seed + args.seeds)]
    found = dict(done(searched, tasks, args.jobs))
    by_seed = [found[task] for task in tasks]
    rows = [[name, kernel, *(f"{each[name][1]:.0%}" for each in by_seed)] for name, (kernel, _) in by_seed[0].items()]
    table.show(
        "Channels kept, layer by layer", ("layer", "kernel", *(f"search {n}" for n in range(len(by_seed)))), rows
    )
    for row in rows:
        print("  ".join(row))
    for kernel in sorted({kernel for kernel, _ in by_seed[0].values()}):
        means = [statistics.mean(share for own, share in each.values() if own == kernel) for each in by_seed]
        table.add(
            f"{args.model}: channels kept of {kernel} layers, %, mean of {len(means)}", statistics.mean(means) * 100
        )
        table.add(f"{args.model}: the least and", min(means) * 100)
        table.add(f"{args.model}: the most of them", max(means) * 100)
    draw(by_seed, args.runs / "kept.svg")
    print(f"drawn: {args.runs / 'kept.svg'}")
    return table.finish()


if __name__ == "__main__":
    run(main)
