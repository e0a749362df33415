"""What an agent learnt on one network is worth on another: channels of ResNet-20, then of MobileNetV1 at half width.

A policy is searched for on the first network; what carries over is the networks of the agent by their names (kinds of
layers, features, what `allowed` reports), no trial. The second network is then searched with that policy and from
scratch, the same seeds and evaluations. The reward to reach is what the median search from scratch ends with, and how
soon it is reached is told of the median search: at each evaluation, the median over the seeds of the best so far. The
test (Mann-Whitney, one-sided) is on the evaluations of each search; one that never reaches it counts as one more than
it had.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, repeat
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from automl_core.budget import Budget
from figures import ROOT, Args, Figures, done, parse, run
from networks import train_networks, trained_network
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.candidate import Judging
from nn_compression.problems.channel_problem import ChannelProblem
from nn_compression.run.searching import Search

BUDGET = CostLimit.parse("macs=0.5")
ARMS = ("policy", "scratch")


@dataclass(frozen=True)
class TransferArgs(Args):
    """The options of this benchmark."""

    runs: Annotated[Path, "where searches are kept; what is there is not done again"] = ROOT / "runs/network_transfer"
    optimizers: Annotated[str, "the agents, with commas between"] = "seq2seq,gcn"
    first: Annotated[str, "the network that the policy is searched for on"] = "resnet20"
    second: Annotated[str, "the network that it is carried to"] = "mobilenet_v1_x0.5"
    data: Annotated[str, "what they are for"] = "cifar10"
    teaching: Annotated[int, "evaluations on the first"] = 300
    evaluations: Annotated[int, "evaluations of each search on the second"] = 100
    seeds: Annotated[int, "searches with the policy, and from scratch"] = 10
    images: Annotated[int, "validation images"] = 2000
    jobs: Annotated[int, "searches at once; 0: one a core"] = 0


@dataclass(frozen=True)
class Teaching:
    """The search of an agent on the first network."""

    agent: str
    args: TransferArgs

    def __str__(self) -> str:
        return f"{self.agent}, on the first network"

    @property
    def policy(self) -> Path:
        """The folder of what the agent learns."""
        return self.args.runs / f"{self.agent}-policy"


@dataclass(frozen=True)
class Task:
    """A search on the second network, with the policy or from scratch."""

    teaching: Teaching
    arm: str
    seed: int

    def __str__(self) -> str:
        return f"{self.teaching.agent}, {self.arm}, seed {self.seed}"


def channels(model: str, args: TransferArgs) -> ChannelProblem:
    """Half the MACs of a trained network."""
    return ChannelProblem(trained_network(model, args.data, args.seed), BUDGET, Judging(validation=args.images))


def teach(teaching: Teaching) -> None:
    """Search on the first network, and keep what the agent learnt."""
    args, problem = teaching.args, channels(teaching.args.first, teaching.args)
    teaching.policy.mkdir(exist_ok=True)
    path = teaching.policy / "study.sqlite"
    search = Search(path, problem, problem.specs, teaching.agent, Budget(args.teaching), args.seed)
    search.run(1, lambda _: None, keep=teaching.policy)


def searched(task: Task) -> list[float]:
    """The best after each evaluation of a search on the second network."""
    args, policy = task.teaching.args, task.teaching.policy if task.arm == "policy" else None
    problem = channels(args.second, args)
    path = args.runs / f"{task.teaching.agent}-{task.arm}-{task.seed}.sqlite"
    search = Search(path, problem, problem.specs, task.teaching.agent, Budget(args.evaluations), task.seed, policy)
    trials, goal = search.run(1, lambda _: None).study.trials, problem.specs.goals[0].metric
    return best_so_far([-trial.metrics.get(goal, math.inf) for trial in trials], args.evaluations)


def best_so_far(rewards: Sequence[float], evaluations: int) -> list[float]:
    """The best after each evaluation; a search that ended early keeps what it had."""
    return list(accumulate(chain(rewards, repeat(rewards[-1], evaluations - len(rewards))), max))


def until(curve: Sequence[float] | NDArray[np.float64], reward: float) -> int:
    """Evaluations until a curve reaches the reward; one more than there are where it does not."""
    reached = np.flatnonzero(np.asarray(curve) >= reward)
    return int(reached[0]) + 1 if len(reached) else len(curve) + 1


def judge(table: Figures, agent: str, curves: Mapping[str, Sequence[Sequence[float]]], *, bars: bool) -> None:
    """Figures of one agent: of each arm the curves of its searches."""
    median = {arm: np.median(own, axis=0) for arm, own in curves.items()}
    reward = float(median["scratch"][-1])
    took = {arm: [until(curve, reward) for curve in own] for arm, own in curves.items()}
    table.add(f"{agent}: reward (divergence, negative) that the median search from scratch ends with", reward)
    for arm, each in took.items():
        table.add(f"{agent}, {arm}: evaluations of the median search to it", until(median[arm], reward))
        table.add(f"{agent}, {arm}: searches that reach it", sum(count <= len(median[arm]) for count in each))
    ratio = until(median["policy"], reward) / until(median["scratch"], reward)
    table.add(f"{agent}: evaluations with the policy over those from scratch", ratio, "<= 0.5" if bars else None)
    fewer = float(mannwhitneyu(took["policy"], took["scratch"], alternative="less").pvalue)
    table.add(
        f"{agent}: p of needing fewer by chance, with this policy (Mann-Whitney)", fewer, "< 0.05" if bars else None
    )


def quick(args: TransferArgs) -> TransferArgs:
    """A small run on scikit-learn's digits."""
    small = replace(args, runs=args.runs.with_name("network_transfer_quick"), optimizers="gcn", data="digits")
    small = replace(small, first="digits_net", second="digits_net", images=200)
    return replace(small, teaching=24, evaluations=16, seeds=2)


def main() -> int:
    """Teach, search with and without, and say whether every bar was met."""
    args = parse(TransferArgs, __doc__)
    args = quick(args) if args.quick else args
    table = Figures(args)
    table.keep_in(args.runs, args, network_seed=args.seed)
    train_networks([(model, args.data, args.seed) for model in (args.first, args.second)], args.jobs)
    lessons = [Teaching(agent, args) for agent in args.optimizers.split(",")]
    for lesson, _ in done(teach, lessons, args.jobs):
        print(f"{lesson}: done", flush=True)
    seeds = range(args.seed, args.seed + args.seeds)
    found = {}
    for task, curve in done(
        searched, [Task(lesson, arm, seed) for lesson in lessons for seed in seeds for arm in ARMS], args.jobs
    ):
        found[task] = curve
        print(f"{task}: {curve[-1]:.4f}", flush=True)
    for lesson in lessons:
        curves = {arm: [found[Task(lesson, arm, seed)] for seed in seeds] for arm in ARMS}
        judge(table, lesson.agent, curves, bars=not args.quick)
    return table.finish()


if __name__ == "__main__":
    run(main)
