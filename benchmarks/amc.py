"""Channels searched at half the MACs, against a uniform cut and against random search: CIFAR-10 (20k, JPEG).

AMC's claim on ResNet-20 and on MobileNetV1 at half width. A network is trained; every candidate, and every result, has
at most half of its MACs after rounding. The search and random search evaluate as many candidates (2,000 validation
images, no training in between); the uniform cut keeps the same share of every layer, and what rounding leaves over goes
to single channels. Each of the three is then trained alike, and judged on the test images. Differences are in points of
test accuracy, paired over the test images: of each image the mean over seeds, so that the interval is that of a mean
over images. ResNet-20 is trained with products in bfloat16 (--bfloat16), before and after, all arms alike; depthwise
layers would be slower so. What is done is kept in --runs, and never done twice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from automl_core.errors import InputError
from automl_core.one_thread import one_thread
from automl_core.space import Point
from figures import ROOT, Args, Figures, done, parse, run
from networks import best_point, trained_network, usual_schedule
from nn_compression.channels.recalibration import recalibrate
from nn_compression.files.references import zoo_model
from nn_compression.graph.tracing import trace
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.candidate import Judging
from nn_compression.problems.channel_problem import ChannelProblem
from nn_compression.training.devices import best_device
from nn_compression.training.evaluation import look_at
from nn_compression.training.loop import train
from nn_compression.training.schedule import Schedule

BUDGET = CostLimit("macs", 0.5)
NORMAL_95 = 1.96
RATE = 0.2
"""Of the training's learning rate, what fine-tuning begins at."""


@dataclass(frozen=True)
class AmcArgs(Args):
    """The options of this benchmark."""

    runs: Annotated[Path, "where searches and trainings are kept"] = ROOT / "runs/amc"
    networks: Annotated[str, "of the zoo, with commas between"] = "resnet20,mobilenet_v1_x0.5"
    data: Annotated[str, "what they are for"] = "cifar10"
    optimizer: Annotated[str, "who searches"] = "seq2seq"
    epochs: Annotated[int, "of training before"] = 30
    finetune: Annotated[int, "epochs after"] = 10
    evaluations: Annotated[int, "candidates of each search"] = 300
    images: Annotated[int, "validation images of a candidate"] = 2000
    seeds: Annotated[int, "seeds, counted on from --seed"] = 3
    jobs: Annotated[int, "networks and seeds at once; 0: one a core"] = 0
    bfloat16: Annotated[str, "networks trained with products of 16 bits: fast with AMX or a card"] = "resnet20"


@dataclass(frozen=True)
class Task:
    """One network, one seed."""

    network: str
    seed: int
    args: AmcArgs

    def __str__(self) -> str:
        return f"{self.network}, seed {self.seed}"


@dataclass(frozen=True)
class Arm:
    """A network that came of a design.

    Attributes:
        macs: share of the whole network's, of the network as it is.
        searched: accuracy on the validation images before it was trained again.
        correct: of each test image, whether the trained network tells its class.
    """

    macs: float
    searched: float
    correct: NDArray[np.bool_]


def usual(task: Task) -> Schedule:
    """How a network is trained: as the zoo has it, for so many epochs."""
    schedule = usual_schedule(task.network, bfloat16=task.network in task.args.bfloat16.split(","))
    return replace(schedule, epochs=task.args.epochs)


def problem_of(task: Task) -> ChannelProblem:
    """The trained network at half its MACs."""
    reference = trained_network(task.network, task.args.data, task.seed, usual(task))
    return ChannelProblem(reference, BUDGET, Judging(validation=task.args.images))


def designs(task: Task, problem: ChannelProblem) -> dict[str, Point]:
    """The uniform cut, and what each search ends with."""
    found: dict[str, Point] = {"uniform": problem.space.start or {}}
    for optimizer in ("random", task.args.optimizer):
        path = task.args.runs / f"{task.network}-{optimizer}-{task.seed}.sqlite"
        point = best_point(path, problem, optimizer, task.args.evaluations, task.seed)
        found["random" if optimizer == "random" else "searched"] = point
    return found


def correct(model: nn.Module, problem: ChannelProblem) -> NDArray[np.bool_]:
    """Of each test image, whether its class is told."""
    data, told = problem.network.data, list[NDArray[np.bool_]]()

    def see(outputs: torch.Tensor, targets: torch.Tensor) -> None:
        told.append((outputs.argmax(-1) == targets).cpu().numpy())

    look_at(model, data.test, data.task, see, batch=250, device=best_device())
    return np.concatenate(told)


def trained(task: Task, problem: ChannelProblem, name: str, point: Point) -> Arm:
    """The network of a design, trained again; kept."""
    path = task.args.runs / f"{task.network}-{name}-{task.seed}.npz"
    design = json.dumps(dict(point), sort_keys=True)
    if not path.exists():
        network = problem.network
        model = problem.build(point).requires_grad_(True)
        recalibrate(model, problem.examiner.training_inputs.cpu())
        before = usual(task)
        schedule = replace(before, epochs=task.args.finetune, learning_rate=RATE * before.learning_rate, warmup=0.0)
        train(model, network.data, schedule, seed=task.seed, checkpoint=path.with_suffix(".training"))
        model.eval()
        macs = trace(model, network.example_input).macs / network.graph.macs
        searched = problem.evaluate(point, "", 0).metrics["accuracy"]
        draft = path.with_suffix(".draft.npz")
        np.savez(draft, correct=correct(model, problem), macs=macs, searched=searched, design=design)
        draft.replace(path)
    with np.load(path) as kept:
        if str(kept["design"]) != design:
            raise InputError("holds another design", place=str(path), remedy="remove it, and it is trained anew")
        return Arm(float(kept["macs"]), float(kept["searched"]), kept["correct"])


def arms_of(task: Task) -> dict[str, Arm]:
    """All arms of a network under one seed; the whole network is one of them."""
    with one_thread():
        problem = problem_of(task)
        whole = Arm(1.0, problem.examiner.judge(problem.build({}))["accuracy"], correct(problem.network.model, problem))
        arms = {name: trained(task, problem, name, point) for name, point in designs(task, problem).items()}
    return {"whole": whole, **arms}


def advantage(one: Sequence[Arm], other: Sequence[Arm]) -> tuple[float, float]:
    """Points of test accuracy that one arm is ahead, and half the width of the 95 % interval; one arm a seed."""
    ahead = np.mean([a.correct.astype(float) - b.correct for a, b in zip(one, other, strict=True)], axis=0) * 100
    return float(ahead.mean()), NORMAL_95 * float(ahead.std(ddof=1)) / math.sqrt(len(ahead))


def judge(table: Figures, network: str, by_seed: Mapping[int, Mapping[str, Arm]], *, bars: bool) -> None:
    """Figures of one network."""
    arms = {name: [found[name] for found in by_seed.values()] for name in ("whole", "uniform", "random", "searched")}
    for name, own in arms.items():
        table.add(f"{network}: test accuracy, {name}, %", float(np.mean([arm.correct.mean() for arm in own])) * 100)
    greatest = max(arm.macs for name, own in arms.items() if name != "whole" for arm in own)
    table.add(f"{network}: greatest share of the MACs", greatest, "<= 0.5")
    for rival in ("uniform", "random"):
        mean, half = advantage(arms["searched"], arms[rival])
        table.add(f"{network}: points over {rival}, mean of {len(by_seed)} seeds", mean, ">= 0.5" if bars else None)
        named = f"{network}: the 95 % interval of that mean over test images begins at ({rival})"
        table.add(named, mean - half, "> 0" if bars else None)
        each = [
            100 * float(a.correct.mean() - b.correct.mean()) for a, b in zip(arms["searched"], arms[rival], strict=True)
        ]
        table.add(f"{network}: points over {rival}, the least seed", min(each))
        table.add(f"{network}: points over {rival}, the greatest seed", max(each))


def show(table: Figures, found: Mapping[tuple[str, int], Mapping[str, Arm]]) -> None:
    """Every arm of every seed."""
    rows = [
        [network, str(seed), name, f"{arm.macs:.4f}", f"{arm.searched:.2f}", f"{arm.correct.mean() * 100:.2f}"]
        for (network, seed), arms in found.items()
        for name, arm in arms.items()
    ]
    table.show("AMC, arm by arm", ("network", "seed", "arm", "MACs", "validation before training", "test"), rows)
    for row in rows:
        print("  ".join(row))


def quick(args: AmcArgs) -> AmcArgs:
    """A small run on scikit-learn's digits."""
    small = replace(args, runs=args.runs.with_name("amc_quick"), networks="digits_net", data="digits", epochs=2)
    return replace(small, optimizer="cmaes", finetune=1, evaluations=16, seeds=1)


def main() -> int:
    """Train, search, train again, and say whether every bar was met."""
    args = parse(AmcArgs, __doc__)
    args = quick(args) if args.quick else args
    seeds = range(args.seed, args.seed + args.seeds)
    networks = args.networks.split(",")
    for name in filter(None, [*networks, *args.bfloat16.split(",")]):
        zoo_model(name)  # refuses a name that is unknown, before anything is trained
    tasks = [Task(network, seed, args) for network in networks for seed in seeds]
    table, found = Figures(args), {}
    table.keep_in(args.runs, args, budget=BUDGET, rate=RATE)
    for task, answer in done(arms_of, tasks, args.jobs):
        found[task.network, task.seed] = answer
        told = ", ".join(f"{name} {arm.correct.mean():.2%}" for name, arm in answer.items())
        print(f"{task}: {told}", flush=True)
    for network in networks:
        judge(table, network, {seed: found[network, seed] for seed in seeds}, bars=not args.quick)
    show(table, {(task.network, task.seed): found[task.network, task.seed] for task in tasks})
    return table.finish()


if __name__ == "__main__":
    run(main)
