"""Which layers of a bottleneck network a channel search spares: AMC's finding on 3x3 against 1x1 layers.

AMC reports that on ResNet-50 its agent prunes 3x3 layers more than the 1x1 layers around them. Here the channels of
the bottleneck ResNet-29 are searched at half the MACs on CIFAR-10 (20k, JPEG). What each layer keeps is told and
drawn, by the size of its kernel: the share of the channels that it reads, which is what AMC's agent decides, and of
its weights. The channels that a 1x1 layer makes are those that the 3x3 layer behind it reads, so that channels made
would tell the opposite. The network is trained with products in bfloat16 (--no-bfloat16: in float32), and judged with
all digits. A search is kept in --runs, and never done twice.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from matplotlib.figure import Figure

from automl_core.space import Point
from figures import ROOT, Args, Figures, done, parse, run
from networks import best_point, train_networks, trained_network, usual_schedule
from nn_compression.graph.tracing import trace
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.candidate import Judging
from nn_compression.problems.channel_problem import ChannelProblem
from nn_compression.run.kept import kept_layers

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
    bfloat16: Annotated[bool, "products of 16 bits while training: faster with AMX or a card, slower elsewhere"] = True


@dataclass(frozen=True)
class Task:
    """One search."""

    seed: int
    args: BottleneckArgs

    def __str__(self) -> str:
        return f"search {self.seed}"


@dataclass(frozen=True)
class Kept:
    """What a convolution keeps.

    Attributes:
        kernel: as "3x3".
        read: share of the channels that it reads.
        weights: share of its weights.
    """

    kernel: str
    read: float
    weights: float


def kept(problem: ChannelProblem, point: Point) -> dict[str, Kept]:
    """What a design keeps of each convolution, but for the one that reads the image."""
    network, model = problem.network, problem.build(point)
    small = trace(model, network.example_input)
    kernels = {layer.name: "x".join(map(str, layer.kernel)) for layer in network.graph.layers if len(layer.kernel) == 2}
    layers = kept_layers((network.graph, network.model), (small, model), {})[1:]
    return {
        each.name: Kept(kernels[each.name], each.inputs / each.inputs_before, each.weights / each.weights_before)
        for each in layers
        if each.name in kernels
    }


def searched(task: Task) -> dict[str, Kept]:
    """What a search keeps of each layer."""
    args = task.args
    schedule = usual_schedule(args.model, bfloat16=args.bfloat16)
    network = trained_network(args.model, args.data, args.seed, schedule)
    problem = ChannelProblem(network, BUDGET, Judging(validation=args.images))
    path = args.runs / f"{args.model}-{args.optimizer}-{task.seed}.sqlite"
    return kept(problem, best_point(path, problem, args.optimizer, args.evaluations, task.seed))


def draw(by_seed: list[dict[str, Kept]], path: Path) -> None:
    """The mean share of each layer's weights over the searches, and each search as a point."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    axes = figure.subplots()
    for place, (name, first) in enumerate(by_seed[0].items()):
        each = [found[name].weights * 100 for found in by_seed]
        axes.bar(place, statistics.mean(each), color=COLOURS.get(first.kernel, "tab:gray"))
        axes.plot([place] * len(each), each, "k.", markersize=3)
    axes.set_xticks(range(len(by_seed[0])), list(by_seed[0]), rotation=90, fontsize=6)
    axes.set_ylabel("weights kept (%)")
    axes.set_title("1x1 layers in blue, 3x3 layers in orange", fontsize=9)
    figure.savefig(path)


def add(table: Figures, model: str, by_seed: list[dict[str, Kept]]) -> None:
    """The figures by the size of the kernel."""
    for kernel in sorted({each.kernel for each in by_seed[0].values()}):
        for what, share in {"channels that they read": "read", "weights": "weights"}.items():
            means = [
                100 * statistics.mean(getattr(each, share) for each in found.values() if each.kernel == kernel)
                for found in by_seed
            ]
            named = f"{model}: {kernel} layers keep of the {what}, %"
            table.add(f"{named}, mean of {len(means)}", statistics.mean(means))
            table.add(f"{named}, least", min(means))
            table.add(f"{named}, most", max(means))


def main() -> int:
    """Search, and tell what was kept of which layers."""
    args = parse(BottleneckArgs, __doc__)
    if args.quick:
        small = replace(args, runs=args.runs.with_name("bottleneck_channels_quick"), model="digits_net", data="digits")
        args = replace(small, optimizer="random", evaluations=12, images=200, seeds=1, bfloat16=False)
    table = Figures(args)
    table.keep_in(args.runs, args, network_seed=args.seed)
    train_networks([(args.model, args.data, args.seed)], args.jobs, bfloat16=args.bfloat16)
    tasks = [Task(seed, args) for seed in range(args.seed, args.seed + args.seeds)]
    found = dict(done(searched, tasks, args.jobs))
    by_seed = [found[task] for task in tasks]
    rows = [
        [name, first.kernel, *(f"{found[name].read:.0%}, {found[name].weights:.0%}" for found in by_seed)]
        for name, first in by_seed[0].items()
    ]
    columns = ("layer", "kernel", *(f"search {number}: channels read, weights" for number in range(len(by_seed))))
    table.show("Kept, layer by layer", columns, rows)
    for row in rows:
        print("  ".join(row))
    add(table, args.model, by_seed)
    draw(by_seed, args.runs / "kept.svg")
    print(f"drawn: {args.runs / 'kept.svg'}")
    return table.finish()


if __name__ == "__main__":
    run(main)
