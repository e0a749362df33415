"""A character LSTM, 2 x 512, on tinyshakespeare: dense against 80, 85, 90 and 95 % of its weights removed.

Every arm is trained for as many epochs. The dense one has the better of two dropouts; every arm ends with its best
epoch on the validation text, and is judged on the test text. Trainings are kept in --runs and never done twice.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
from torch import nn

from automl_core.one_thread import one_thread
from figures import ROOT, Args, Figures, parse, run
from nn_compression.coding.codec import encode
from nn_compression.data import SettledData
from nn_compression.files.references import load_data
from nn_compression.sparsity.iterative_pruning import Pruning, prune_iteratively
from nn_compression.sparsity.masks import prunable
from nn_compression.training.loop import Epoch, Schedule, evaluate, train
from nn_compression.zoo.lstm import lstm_language_model


@dataclass(frozen=True)
class LstmArgs(Args):
    """The options of this benchmark."""

    runs: Annotated[Path, "what is done already"] = ROOT / "runs" / "lstm_pruning"
    seeds: Annotated[int, "seeds, counted on from --seed"] = 1
    removed: Annotated[str, "percents of the weights removed, with commas between"] = "80,85,90,95"


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
    """

    units: int
    dense: int
    rounds: int
    settle: int
    dropouts: tuple[float, ...]
    schedule: Schedule

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
    dense=5,
    rounds=6,
    settle=8,
    dropouts=(0.3, 0.5),
    schedule=Schedule(0, learning_rate=2e-3, batch=32, optimizer="adam", weight_decay=0.0, clip_norm=1.0),
)
QUICK = replace(FULL, units=96, dense=1, rounds=2, settle=1, dropouts=(0.1,))
PART = 30
"""The quick run learns from one window in so many."""


def network(plan: Plan, data: SettledData, dropout: float, seed: int) -> nn.Module:
    """A language model with the initial weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return lstm_language_model(data.classes or 0, units=plan.units, dropout=dropout)


def dense_arm(plan: Plan, data: SettledData, seed: int, runs: Path) -> nn.Module:
    """The dense network with the dropout that is best on the validation text."""
    schedule, found = replace(plan.schedule, epochs=plan.epochs, keep_best=True), {}
    for dropout in plan.dropouts:
        model = network(plan, data, dropout, seed)
        train(model, data, schedule, seed=seed, checkpoint=runs / f"dense-{dropout}-{seed}.safetensors", progress=told)
        found[dropout] = model
        print(f"dense, dropout {dropout}, seed {seed}: {validated(model, data):.3f}", flush=True)
    return found[min(found, key=lambda dropout: validated(found[dropout], data))]


def pruned_arm(plan: Plan, data: SettledData, removed: int, seed: int, runs: Path) -> nn.Module:
    """A network that loses so many percent of all its weights on the way."""
    model = network(plan, data, plan.dropouts[0], seed)
    begun = replace(plan.schedule, epochs=plan.dense, decay="constant")
    train(model, data, begun, seed=seed, checkpoint=runs / f"begun-{seed}.safetensors", progress=told)
    folder = runs / f"removed-{removed}-{seed}"
    prune_iteratively(model, data, plan.pruning(shares(model, removed)), seed=seed, folder=folder)
    print(f"{removed} % removed, seed {seed}: {validated(model, data):.3f}", flush=True)
    return model


def shares(model: nn.Module, removed: int) -> dict[str, float]:
    """The share that each layer but the small embedding keeps, so that of all weights together so many are left."""
    sizes = {name: sum(model.get_parameter(key).numel() for key in keys) for name, keys in prunable(model).items()}
    spared = sizes.pop("embedding")
    share = ((1 - removed / 100) * (spared + sum(sizes.values())) - spared) / sum(sizes.values())
    return dict.fromkeys(sizes, share)


def told(epoch: Epoch) -> None:
    """Prints an epoch."""
    shown = "" if epoch.metric is None else f", validation {epoch.metric:.3f}"
    print(f"  epoch {epoch.number}: loss {epoch.loss:.3f}{shown}, {epoch.seconds:.0f} s", flush=True)


def validated(model: nn.Module, data: SettledData) -> float:
    """Bits a character of the validation text."""
    return evaluate(model, data.validation, data.task)


def removed_share(model: nn.Module) -> float:
    """Percent of the weights that are zero."""
    weights = [model.get_parameter(key) for keys in prunable(model).values() for key in keys]
    return 100 * sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)


def main() -> int:
    """Run what is missing, and say whether every bar was met."""
    args = parse(LstmArgs, __doc__)
    table = Figures(args)
    plan, data, levels = FULL, load_data("tinyshakespeare", args.seed), [int(each) for each in args.removed.split(",")]
    if args.quick:
        plan, levels, part = QUICK, [90], data.train.select(torch.arange(0, len(data.train), PART))
        data = replace(data, train=part, validation=data.validation.first(20), test=data.test.first(20))
        args = replace(args, runs=args.runs.with_name(f"{args.runs.name}_quick"))
    args.runs.mkdir(parents=True, exist_ok=True)
    judged: dict[str, list[float]] = {}
    sizes: dict[str, int] = {}
    with one_thread():
        for seed in range(args.seed, args.seed + (1 if args.quick else args.seeds)):
            arms = {"dense": dense_arm(plan, data, seed, args.runs)}
            arms |= {f"{level} % removed": pruned_arm(plan, data, level, seed, args.runs) for level in levels}
            for name, model in arms.items():
                judged.setdefault(name, []).append(evaluate(model, data.test, data.task))
                sizes[name] = len(encode(model))
                print(f"{name}, seed {seed}: {judged[name][-1]:.3f}, {removed_share(model):.2f} %", flush=True)
    dense = judged["dense"]
    table.add("dense: bits a character of the test text", statistics.mean(dense))
    for level in levels:
        name = f"{level} % removed"
        above = [pruned - whole for pruned, whole in zip(judged[name], dense, strict=True)]
        bar = "<= 0.02" if level == 90 and not args.quick else None
        table.add(f"{name}: bits a character above the dense", statistics.mean(above), bar)
        if len(above) > 1:
            table.add(f"{name}: standard deviation of that over seeds", statistics.stdev(above))
        table.add(f"{name}: the dense network's file over this one's", sizes["dense"] / sizes[name])
    return table.finish()


if __name__ == "__main__":
    run(main)
