"""What an agent learnt on one network is worth on another: channels of ResNet-20, then of MobileNetV1 at half width.

A policy is searched for on the first network; what carries over is the networks of the agent by their names (kinds of
layers, features, what `allowed` reports), no trial. The second network is then searched with that policy and from
scratch, the same seeds and evaluations. The reward to reach is what the median search from scratch ends with, and how
soon it is reached is told of the median search: at each evaluation, the median over the seeds of the best so far. The
test (Mann-Whitney, one-sided) is on the evaluations of each search; one that never reaches it counts as one more than
it had.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
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


def best_so_far(trials: list[Trial], metric: str, evaluations: int) -> NDArray[np.float64]:
    """The best after each evaluation, shape (evaluations,); a search that ended early keeps what it had."""
    each = [trial.metrics.get(metric, -np.inf) for trial in trials]
    return np.maximum.accumulate([*each, *each[-1:] * (evaluations - len(each))])


def until(curve: NDArray[np.float64], reward: float) -> int:
    """Evaluations until a curve reaches the reward; one more than there are where it does not."""
    reached = np.flatnonzero(curve >= reward)
    return int(reached[0]) + 1 if len(reached) else len(curve) + 1


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
        data, small = "digits", replace(args, runs=args.runs.with_name("network_transfer_quick"), optimizers="gcn")
        small = replace(small, first="digits_net", second="digits_net", images=200)
        args = replace(small, teaching=24, evaluations=16, seeds=2)
    table = Figures(args)
    table.keep_in(args.runs, args, network_seed=args.seed)
    first, second = channels(args.first, data, args), channels(args.second, data, args)
    metric = second.specs.specs[0].metric
    half, significant = (None, None) if args.quick else ("<= 0.5", "< 0.05")
    for agent in args.optimizers.split(","):
        policy = args.runs / f"{agent}-policy"
        teaching = Search(policy / "study.sqlite", first, first.specs, agent, Budget(args.teaching), args.seed)
        policy.mkdir(exist_ok=True)
        teaching.run(1, lambda _: None, keep=policy)
        best: dict[str, list[NDArray[np.float64]]] = {"policy": [], "scratch": []}
        for seed in range(args.seed, args.seed + args.seeds):
            for name, start in (("policy", policy), ("scratch", None)):
                trials = searched(second, agent, f"{agent}-{name}", seed, args, start)
                curve = best_so_far(trials, metric, args.evaluations)
                print(f"{agent}, {name}, seed {seed}: {metric} {curve[-1]:.2f} after {len(trials)}", flush=True)
                best[name].append(curve)
        median = {name: np.median(curves, axis=0) for name, curves in best.items()}
        reward = float(median["scratch"][-1])
        took = {name: [until(curve, reward) for curve in curves] for name, curves in best.items()}
        table.add(f"{agent}: {metric} that the median search from scratch ends with", reward)
        for name, each in took.items():
            table.add(f"{agent}, {name}: evaluations of the median search to it", until(median[name], reward))
            table.add(f"{agent}, {name}: searches that reach it", sum(count <= args.evaluations for count in each))
        ratio = until(median["policy"], reward) / until(median["scratch"], reward)
        table.add(f"{agent}: evaluations with the policy over those from scratch", ratio, half)
        fewer = mannwhitneyu(took["policy"], took["scratch"], alternative="less").pvalue
        table.add(f"{agent}: p of needing fewer by chance (Mann-Whitney)", float(fewer), significant)
    return table.finish()


if __name__ == "__main__":
    run(main)
