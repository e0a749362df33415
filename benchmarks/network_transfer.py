"""What an agent learnt on one network is worth on another: channels of ResNet-20, then of MobileNetV1 at half width.

A policy is searched for on the first network; what carries over is the networks of the agent by their names (kinds of
layers, features, what `allowed` reports), no trial. The second network is then searched with that policy and from
scratch, the same seeds and evaluations. The reward to reach is the median of what the searches from scratch end with.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from scipy.stats import mannwhitneyu

from automl_core.budget import Budget
from automl_core.problem import Trial
from figures import ROOT, Args, Figures, parse, run
from networks import trained_network
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.candidate import Judging
from nn_compression.problems.channel_problem import ChannelProblem
from nn_compression.run.searching import Search

BUDGET = CostLimit.parse("macs=0.5")


@dataclass(frozen=True)
class TransferArgs(Args):
    """The options of this benchmark."""

    runs: Annotated[Path, "where searches are kept; what is there is not done again"] = ROOT / "runs/network_transfer"
    optimizers: Annotated[str, "the agents, with commas between"] = "seq2seq,gcn"
    first: Annotated[str, "the network that the policy is searched for on"] = "resnet20"
    second: Annotated[str, "the network that it is carried to"] = "mobilenet_v1_x0.5"
    teaching: Annotated[int, "evaluations on the first"] = 300
    evaluations: Annotated[int, "evaluations of each search on the second"] = 100
    seeds: Annotated[int, "searches with the policy, and from scratch"] = 10
    images: Annotated[int, "validation images"] = 2000


def channels(model: str, data: str, args: TransferArgs) -> ChannelProblem:
    """Half the MACs of a trained network."""
    return ChannelProblem(trained_network(model, data, args.seed), BUDGET, Judging(validation=args.images))


def until(trials: list[Trial], metric: str, reward: float) -> int:
    """Evaluations until a trial reaches the reward; one more than there are where none does."""
    reached = (number for number, trial in enumerate(trials, 1) if trial.metrics.get(metric, -np.inf) >= reward)
    return next(reached, len(trials) + 1)


def searched(
    problem: ChannelProblem, agent: str, name: str, seed: int, args: TransferArgs, policy: Path | None = None
) -> list[Trial]:
    """A search on the second network."""
    path = args.runs / f"{name}-{seed}.sqlite"
    search = Search(path, problem, problem.specs, agent, Budget(args.evaluations), seed, policy)
    return search.run(1, lambda _: None).study.trials


def main() -> int:
    """Teach, search with and without, and say whether every bar was met."""
    args = parse(TransferArgs, __doc__)
    data = "cifar10"
    if args.quick:
        args, data = (
            TransferArgs(
                **{**vars(args), "runs": args.runs.with_name("network_transfer_quick"), "optimizers": "gcn"}
                | {
                    "first": "digits_net",
                    "second": "digits_net",
                    "teaching": 24,
                    "evaluations": 16,
                    "seeds": 2,
                    "images": 200,
                }
            ),
            "digits",
        )
    args.runs.mkdir(parents=True, exist_ok=True)
    table = Figures(args)
    first, second = channels(args.first, data, args), channels(args.second, data, args)
    metric = second.specs.specs[0].metric
    for agent in args.optimizers.split(","):
        policy = args.runs / f"{agent}-policy"
        teaching = Search(policy / "study.sqlite", first, first.specs, agent, Budget(args.teaching), args.seed)
        policy.mkdir(exist_ok=True)
        teaching.run(1, lambda _: None, keep=policy)
        found: dict[str, list[list[Trial]]] = {"policy": [], "scratch": []}
        for seed in range(args.seed, args.seed + args.seeds):
            for name, start in (("policy", policy), ("scratch", None)):
                trials = searched(second, agent, f"{agent}-{name}", seed, args, start)
                found[name].append(trials)
                best = max(trial.metrics.get(metric, -np.inf) for trial in trials)
                print(f"{agent}, {name}, seed {seed}: {metric} {best:.2f} after {len(trials)}", flush=True)
        ends = [max(trial.metrics.get(metric, -np.inf) for trial in trials) for trials in found["scratch"]]
        reward = statistics.median(ends)
        took = {name: [until(trials, metric, reward) for trials in each] for name, each in found.items()}
        table.add(f"{agent}: {metric} that half the searches from scratch reach", reward)
        for name, each in took.items():
            table.add(f"{agent}, {name}: median evaluations to it", statistics.median(each))
            table.add(f"{agent}, {name}: searches that reach it", sum(count <= args.evaluations for count in each))
        ratio = statistics.median(took["policy"]) / statistics.median(took["scratch"])
        table.add(f"{agent}: evaluations with the policy over those from scratch", ratio, "<= 0.5")
        fewer = mannwhitneyu(took["policy"], took["scratch"], alternative="less").pvalue
        table.add(f"{agent}: p of needing fewer by chance (Mann-Whitney)", float(fewer), "< 0.05")
    return table.finish()


if __name__ == "__main__":
    run(main)
