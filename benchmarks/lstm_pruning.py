"""A character LSTM, 2 x 512, on tinyshakespeare: dense against 80, 85, 90 and 95 % of its weights removed.

Every arm is trained for as many epochs. The dense one has the better of two dropouts; every arm ends with its best
epoch on the validation text, and is judged on the test text. While weights are removed, and after it, a pruned arm
also learns from the outputs of the dense one, its teacher; --alone says which arms are made once more without it.
Products are in bfloat16 while training (--no-bfloat16: in float32), and in float32 while judging. Trainings are kept in
--runs and never done twice.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
from torch import nn

from automl_core.one_thread import one_thread
from figures import ROOT, Args, Figures, chosen, done, parse, run
from nn_compression.coding.codec import encode
from nn_compression.data import SettledData
from nn_compression.files.references import load_data
from nn_compression.sparsity.iterative_pruning import Pruning, prune_iteratively
from nn_compression.sparsity.masks import prunable
from nn_compression.training.devices import best_device
from nn_compression.training.loop import Epoch, Schedule, evaluate, train
from nn_compression.zoo.lstm import lstm_language_model

HELD = 90
"""Percent of the weights removed that is held to a bar."""


@dataclass(frozen=True)
class LstmArgs(Args):
    """The options of this benchmark."""

    runs: Annotated[Path, "what is done already"] = ROOT / "runs" / "lstm_pruning"
    seeds: Annotated[int, "seeds, counted on from --seed"] = 1
    removed: Annotated[str, "percents of the weights removed, with commas between"] = "80,85,90,95"
    alone: Annotated[str, "those of them that are removed once more, without a teacher, as 90"] = ""
    bfloat16: Annotated[bool, "products of 16 bits while training: faster with AMX or a card, slower elsewhere"] = True
    jobs: Annotated[int, "trainings at once; 0: one a core"] = 0


@dataclass(frozen=True)
class Plan:
    """How long and how.

    Attributes:
        units: of each of the two layers.
        dense: epochs of a pruned arm before its first round.
        rounds: of one epoch each, at a constant rate; the last is ``settle`` epochs long and ends at rate zero.
        settle: epochs.
        dropouts: that the dense arm may have, first that of the pruned arms.
        schedule: of all.
        part: one window in so many is learnt from.
    """

    units: int
    dense: int
    rounds: int
    settle: int
    dropouts: tuple[float, ...]
    schedule: Schedule
    part: int = 1

    @property
    def epochs(self) -> int:
        """Of every arm."""
        return self.dense + self.rounds - 1 + self.settle

    def pruning(self, keep: Mapping[str, float]) -> Pruning:
        """The rounds of a pruned arm."""
        retrain = replace(self.schedule, epochs=1, decay="constant")
        return Pruning(keep, self.rounds, retrain, replace(self.schedule, epochs=self.settle, keep_best=True))


FULL = Plan(
    units=512,
    dense=4,
    rounds=4,
    settle=11,
    dropouts=(0.3, 0.5),
    schedule=Schedule(
        0, learning_rate=2e-3, batch=32, optimizer="adam", weight_decay=0.0, clip_norm=1.0, temperature=2.0
    ),
)
QUICK = replace(FULL, units=96, dense=1, rounds=2, settle=1, dropouts=(0.1,), part=30)


@dataclass(frozen=True)
class Task:
    """One training, or what begins all pruned arms of a seed.

    Attributes:
        plan: how.
        seed: of the initial weights and of the order of the text.
        runs: where it is kept.
        dropout: of a dense arm.
        removed: percent, of a pruned arm.
        teacher: dropout of the dense arm that a pruned one learns from; ``None``: it learns alone.
    """

    plan: Plan
    seed: int
    runs: Path
    dropout: float | None = None
    removed: int | None = None
    teacher: float | None = None

    def __str__(self) -> str:
        if self.removed is not None:
            name = f"{self.removed} % removed{' alone' if self.teacher is None else ''}"
        else:
            name = "the beginning of the pruned arms" if self.dropout is None else f"dense, dropout {self.dropout}"
        return f"{name}, seed {self.seed}"


@dataclass(frozen=True, order=True)
class Arm:
    """A trained network; the less it is, the better it does on the validation text.

    Attributes:
        validation: bits a character.
        test: likewise.
        removed: percent of its weights that are zero.
        size: bytes of its file.
    """

    validation: float
    test: float
    removed: float
    size: int


def text(plan: Plan) -> SettledData:
    """What is learnt; the same text for every seed."""
    data = load_data("tinyshakespeare", 0)
    if plan.part == 1:
        return data
    part = data.train.select(torch.arange(0, len(data.train), plan.part))
    return replace(data, train=part, validation=data.validation.first(20), test=data.test.first(20))


def trained(task: Task) -> Arm:
    """Do one training, or take up what is kept of it."""
    data = text(task.plan)
    with one_thread():
        if task.dropout is not None:
            model = dense(task, data, task.dropout)
        else:
            model = begun(task, data) if task.removed is None else pruned(task, data, task.removed)
        judged = (data.validation, data.test)
        validation, test = (evaluate(model, split, data.task, device=best_device()) for split in judged)
    return Arm(validation, test, removed_share(model), len(encode(model)))


def network(plan: Plan, data: SettledData, dropout: float, seed: int) -> nn.Module:
    """A language model with the initial weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return lstm_language_model(data.classes or 0, units=plan.units, dropout=dropout)


def dense(task: Task, data: SettledData, dropout: float) -> nn.Module:
    """A network that keeps all of its weights."""
    model = network(task.plan, data, dropout, task.seed)
    schedule = replace(task.plan.schedule, epochs=task.plan.epochs, keep_best=True)
    kept = task.runs / f"dense-{dropout}-{task.seed}.safetensors"
    train(model, data, schedule, seed=task.seed, checkpoint=kept, progress=told)
    return model


def begun(task: Task, data: SettledData) -> nn.Module:
    """The network that all pruned arms of a seed go on from."""
    model = network(task.plan, data, task.plan.dropouts[0], task.seed)
    schedule = replace(task.plan.schedule, epochs=task.plan.dense, decay="constant")
    kept = task.runs / f"begun-{task.seed}.safetensors"
    train(model, data, schedule, seed=task.seed, checkpoint=kept, progress=told)
    return model


def pruned(task: Task, data: SettledData, removed: int) -> nn.Module:
    """A network that loses so many percent of all its weights on the way."""
    model = begun(task, data)
    teacher = None if task.teacher is None else dense(task, data, task.teacher)
    folder = task.runs / f"{'alone' if teacher is None else 'removed'}-{removed}-{task.seed}"
    pruning = task.plan.pruning(shares(model, removed))
    prune_iteratively(model, data, pruning, seed=task.seed, teacher=teacher, folder=folder, heard=told)
    return model


def shares(model: nn.Module, removed: int) -> dict[str, float]:
    """The share that each layer keeps, so that of all weights together so many are left.

    The embedding, which is small, keeps all; the last layer, small and sensitive, half of what would go (Han et al.,
    NIPS 2015, prune the last layers least, too); all others keep the same share.
    """
    sizes = {name: sum(model.get_parameter(key).numel() for key in keys) for name, keys in prunable(model).items()}
    left = (1 - removed / 100) * sum(sizes.values())
    spared = {"embedding": 1.0, "linear": 1 - removed / 200}
    left -= sum(share * sizes.pop(name) for name, share in spared.items())
    return {"linear": spared["linear"], **dict.fromkeys(sizes, left / sum(sizes.values()))}


def told(epoch: Epoch) -> None:
    """Prints an epoch."""
    shown = "" if epoch.metric is None else f", validation {epoch.metric:.3f}"
    print(f"  epoch {epoch.number}: loss {epoch.loss:.3f}{shown}, {epoch.seconds:.0f} s", flush=True)


def removed_share(model: nn.Module) -> float:
    """Percent of the weights that are zero."""
    weights = [model.get_parameter(key) for keys in prunable(model).values() for key in keys]
    return 100 * sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)


def arms_of(tasks: Sequence[Task], jobs: int) -> dict[Task, Arm]:
    """All trainings, several at once."""
    found = {}
    for task, arm in done(trained, tasks, jobs):
        found[task] = arm
        print(f"{task}: {arm.validation:.3f} validation, {arm.test:.3f} test, {arm.removed:.2f} % zeros", flush=True)
    return found


def percents(text: str, known: Iterable[int], option: str) -> list[int]:
    """What an option lists; nothing where it is empty."""
    return [int(each) for each in chosen(text, map(str, known), option)] if text else []


def judge(table: Figures, level: int, own: Sequence[Arm], dense_arms: Sequence[Arm], *, alone: bool, bar: bool) -> None:
    """Figures of one share of weights removed; one arm a seed."""
    name = f"{level} % removed{', no teacher' if alone else ''}"
    above = [arm.test - whole.test for arm, whole in zip(own, dense_arms, strict=True)]
    table.add(f"{name}: bits a character above the dense", statistics.mean(above), "<= 0.02" if bar else None)
    if len(above) > 1:
        table.add(f"{name}: standard deviation of that over seeds", statistics.stdev(above))
    ratio = statistics.mean(whole.size / arm.size for arm, whole in zip(own, dense_arms, strict=True))
    table.add(f"{name}: the dense network's file over this one's", ratio)


def show(table: Figures, arms: Mapping[Task, Arm]) -> None:
    """Every arm of every seed."""
    columns = ("arm", "validation, bits", "test, bits", "zeros, %", "bytes of its file")
    rows = [
        [str(task), f"{arm.validation:.3f}", f"{arm.test:.3f}", f"{arm.removed:.2f}", f"{arm.size:,}"]
        for task, arm in arms.items()
    ]
    table.show("LSTM, arm by arm", columns, rows)


def main() -> int:
    """Run what is missing, and say whether every bar was met."""
    args, plan = parse(LstmArgs, __doc__), FULL
    table = Figures(args)
    if args.quick:
        runs = args.runs.with_name(f"{args.runs.name}_quick")
        args, plan = replace(args, runs=runs, seeds=1, removed="90", alone="90", bfloat16=False), QUICK
    if args.bfloat16:
        plan = replace(plan, schedule=replace(plan.schedule, precision="bfloat16"))
    levels = percents(args.removed, range(1, 98), "--removed")
    alone = percents(args.alone, levels, "--alone")
    table.keep_in(args.runs, args, plan=plan)
    seeds = range(args.seed, args.seed + args.seeds)
    first = [Task(plan, seed, args.runs, dropout) for dropout in (*plan.dropouts, None) for seed in seeds]
    arms = arms_of(first, args.jobs)
    tuned = {
        seed: min((arms[task], task.dropout) for task in first if task.seed == seed and task.dropout is not None)
        for seed in seeds
    }
    pruned_arms = {
        (level, is_alone): [
            Task(plan, seed, args.runs, removed=level, teacher=None if is_alone else tuned[seed][1]) for seed in seeds
        ]
        for is_alone, wanted in ((False, levels), (True, alone))
        for level in wanted
    }
    arms |= arms_of([task for tasks in pruned_arms.values() for task in tasks], args.jobs)
    dense_arms = [tuned[seed][0] for seed in seeds]
    table.add("dense: bits a character of the test text", statistics.mean(arm.test for arm in dense_arms))
    for (level, is_alone), tasks in pruned_arms.items():
        bar = level == HELD and not is_alone and not args.quick
        judge(table, level, [arms[task] for task in tasks], dense_arms, alone=is_alone, bar=bar)
    show(table, arms)
    return table.finish()


if __name__ == "__main__":
    run(main)
