"""Bits by layer against 4 bits throughout, at equal modelled cost: MobileNetV2's blocks on CIFAR-10.

HAQ's claim, on two machines that are not here but modelled: a bit-serial accelerator for the edge and a spatial one
for the cloud. The search, random search with as many evaluations, and 4 bits throughout have clipping calibrated on
the same images, 8 bits in the first and the last layer, and the same epochs of quantization-aware training, in which
ranges stay as they were calibrated; bits are searched on validation images before any of it (HAQ trains every
candidate for an epoch), and judged on the test images after it. The network in floats, untouched, shows how much
there is to win. The picture shows which bits each machine leaves to depthwise and to pointwise layers.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import orjson
from matplotlib.figure import Figure

from automl_core.errors import InputError
from automl_core.one_thread import one_thread
from automl_core.runs import write_whole
from automl_core.space import Point
from figures import ROOT, Args, Figures, chosen, done, parse, run
from networks import best_point, train_networks, trained_network
from nn_compression.hardware import HARDWARE
from nn_compression.problems.bits_problem import BitsProblem
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.candidate import Judging
from nn_compression.quantization.bits import Bits
from nn_compression.quantization.linear import quantize
from nn_compression.training.devices import best_device
from nn_compression.training.loop import evaluate, train
from nn_compression.training.schedule import Schedule

UNIFORM = 4
ARMS = ("float", "uniform", "random", "searched")


@dataclass(frozen=True)
class HaqArgs(Args):
    """The options of this benchmark."""

    runs: Annotated[Path, "where searches and trained arms are kept"] = ROOT / "runs/haq"
    model: Annotated[str, "of the zoo, with depthwise layers"] = "mobilenet_v2"
    data: Annotated[str, "what it is for"] = "cifar10"
    machines: Annotated[str, "modelled ones, with commas between; the first is held to the bar"] = "edge,cloud"
    optimizer: Annotated[str, "who searches"] = "seq2seq"
    evaluations: Annotated[int, "candidates of each search"] = 300
    images: Annotated[int, "validation images of a candidate"] = 2000
    epochs: Annotated[int, "of quantization-aware training, of both arms"] = 5
    seeds: Annotated[int, "seeds, counted on from --seed"] = 3
    jobs: Annotated[int, "seeds at once; 0: one a core"] = 0


@dataclass(frozen=True)
class Task:
    """One seed, on every machine."""

    machines: tuple[str, ...]
    seed: int
    args: HaqArgs

    def __str__(self) -> str:
        return f"seed {self.seed}"


@dataclass(frozen=True)
class Found:
    """All arms on a machine.

    Attributes:
        accuracy: on the test images, after training, by arm.
        cost: modelled latency, by arm that has bits.
        layers: of the searched arm: kind and bits of each layer.
        free: the places of those whose bits were searched.
    """

    accuracy: Mapping[str, float]
    cost: Mapping[str, float]
    layers: Sequence[tuple[str, Bits]]
    free: Sequence[int]


def uniform(problem: BitsProblem) -> Point:
    """4 bits wherever bits are chosen."""
    return {variable.name: UNIFORM for variable in problem.space.variables}


def problem_of(machine: str, seed: int, args: HaqArgs) -> BitsProblem:
    """A trained network at no more than what 4 bits throughout cost on a machine."""
    reference = trained_network(args.model, args.data, seed)
    judging = Judging(validation=args.images)
    free = BitsProblem(reference, CostLimit("latency", 1.0), judging, hardware=machine)
    limit = CostLimit("latency", free.cost_of(uniform(free)), relative=False)
    return BitsProblem(reference, limit, judging, hardware=machine)


def schedule(args: HaqArgs) -> Schedule:
    """Of quantization-aware training."""
    return Schedule(args.epochs, learning_rate=0.01, weight_decay=1e-4)


def tuned(problem: BitsProblem, name: str, point: Point, seed: int, args: HaqArgs) -> float:
    """Accuracy on the test images after quantization-aware training; kept.

    Raises:
        InputError: what is kept is of other bits.
    """
    kept = args.runs / f"{name}.json"
    if kept.exists():
        found = orjson.loads(kept.read_bytes())
        if found["bits"] != dict(point):
            raise InputError("holds the accuracy of other bits", place=str(kept), remedy="remove it, and train anew")
        return float(found["accuracy"])
    network = problem.network
    model = quantize(network.model, problem.bits(point), problem.examiner.training_inputs.cpu())
    model.requires_grad_(True)
    with one_thread():
        train(model, network.data, schedule(args), seed=seed, checkpoint=args.runs / f"{name}.training")
        accuracy = evaluate(model, network.data.test, network.data.task, device=best_device())
    write_whole(kept, orjson.dumps({"accuracy": accuracy, "bits": dict(point)}))
    return accuracy


def found_for(machine: str, seed: int, args: HaqArgs) -> Found:
    """Search, and train what was found, random bits and 4 bits throughout alike.

    4 bits throughout are the same network whatever the machine, and are trained once.
    """
    problem = problem_of(machine, seed, args)
    arms = {"uniform": uniform(problem)}
    for arm, optimizer in {"random": "random", "searched": args.optimizer}.items():
        path = args.runs / f"{machine}-{arm}-{seed}.sqlite"
        arms[arm] = best_point(path, problem, optimizer, args.evaluations, seed)
    names = {arm: f"uniform-{seed}" if arm == "uniform" else f"{machine}-{arm}-{seed}" for arm in arms}
    bits, free = problem.bits(arms["searched"]), {name.rpartition(".")[0] for name in problem.grid.space.by_name}
    network = problem.network
    with one_thread():
        whole = evaluate(network.model, network.data.test, network.data.task, device=best_device())
    return Found(
        {"float": whole, **{arm: tuned(problem, names[arm], each, seed, args) for arm, each in arms.items()}},
        {arm: problem.cost_of(each) for arm, each in arms.items()},
        [(layer.kind, bits[layer.name]) for layer in problem.layers],
        [place for place, layer in enumerate(problem.layers) if layer.name in free],
    )


def arms_of(task: Task) -> dict[str, Found]:
    """All arms of a seed, by machine."""
    return {machine: found_for(machine, task.seed, task.args) for machine in task.machines}


def judge(table: Figures, machine: str, found: Sequence[Found], bar: str | None) -> None:
    """Figures of one machine; one finding a seed."""
    for arm in ARMS:
        accuracy = statistics.mean(each.accuracy[arm] for each in found)
        table.add(f"{machine} (modelled): test accuracy, {arm}, %", accuracy)
    for rival, held in {"uniform": bar, "random": None}.items():
        gains = [each.accuracy["searched"] - each.accuracy[rival] for each in found]
        what = f"{machine} (modelled): points over {f'uniform {UNIFORM} bit' if rival == 'uniform' else rival}"
        table.add(f"{what}, mean of {len(found)} seeds", statistics.mean(gains), held)
        table.add(f"{what}, the least of them", min(gains))
    for name, kind in {"depthwise": "depthwise", "pointwise": "conv"}.items():
        own = [each.layers[place][1] for each in found for place in each.free if each.layers[place][0] == kind]
        if own and "depthwise" in {kind for kind, _ in found[0].layers}:
            table.add(f"{machine} (modelled): mean bits of {name} weights", statistics.mean(b.weights for b in own))
            mean = statistics.mean(b.activations for b in own)
            table.add(f"{machine} (modelled): mean bits of {name} activations", mean)


def show(table: Figures, found: Mapping[str, Mapping[int, Found]]) -> None:
    """Every arm of every seed on every machine."""
    rows = [
        [
            machine,
            str(seed),
            arm,
            f"{each.accuracy[arm]:.2f}",
            f"{each.cost[arm] * 1e6:.2f}" if arm in each.cost else "-",
        ]
        for machine, by_seed in found.items()
        for seed, each in by_seed.items()
        for arm in ARMS
    ]
    table.show("HAQ, arm by arm", ("machine", "seed", "arm", "test accuracy, %", "modelled latency, us"), rows)


def draw(bits_by_machine: Mapping[str, Sequence[tuple[str, Bits]]], path: Path) -> None:
    """Bits of weights and activations, layer by layer, for each machine; depthwise layers are marked."""
    figure = Figure(figsize=(9, 2.6 * len(bits_by_machine)), layout="constrained")
    places_of = figure.subplots(len(bits_by_machine), squeeze=False)[:, 0]
    for axes, (machine, layers) in zip(places_of, bits_by_machine.items(), strict=True):
        places = range(len(layers))
        colours = ["tab:orange" if kind == "depthwise" else "tab:blue" for kind, _ in layers]
        axes.bar([place - 0.2 for place in places], [bits.weights for _, bits in layers], 0.4, color=colours)
        activations = [bits.activations for _, bits in layers]
        axes.bar([place + 0.2 for place in places], activations, 0.4, color=colours, alpha=0.45)
        axes.set_title(f"{machine} (modelled): weights, and paler activations; depthwise layers in orange", fontsize=9)
        axes.set_ylabel("bits")
    axes.set_xlabel("layer")
    figure.savefig(path)


def quick(args: HaqArgs) -> HaqArgs:
    """A small run on scikit-learn's digits."""
    small = replace(args, runs=args.runs.with_name("haq_quick"), model="digits_net", data="digits", machines="edge")
    return replace(small, optimizer="random", evaluations=12, images=200, epochs=1, seeds=1)


def main() -> int:
    """Search and train all arms, and say whether the bar was met."""
    args = parse(HaqArgs, __doc__)
    args = quick(args) if args.quick else args
    table = Figures(args)
    seeds, machines = range(args.seed, args.seed + args.seeds), chosen(args.machines, HARDWARE, "--machines")
    table.keep_in(args.runs, args, schedule=schedule(args), uniform=UNIFORM)
    train_networks([(args.model, args.data, seed) for seed in seeds], args.jobs)
    by_seed: dict[int, dict[str, Found]] = {}
    for task, answer in done(arms_of, [Task(tuple(machines), seed, args) for seed in seeds], args.jobs):
        by_seed[task.seed] = answer
        for name, each in answer.items():
            print(f"{name}, {task}: {each.accuracy}, modelled latency {each.cost}", flush=True)
    found = {name: {seed: by_seed[seed][name] for seed in seeds} for name in machines}
    for name, own in found.items():
        judge(table, name, list(own.values()), ">= 1" if name == machines[0] and not args.quick else None)
    show(table, found)
    draw({name: own[args.seed].layers for name, own in found.items()}, args.runs / "bits.svg")
    print(f"drawn: {args.runs / 'bits.svg'}")
    return table.finish()


if __name__ == "__main__":
    run(main)
