"""How many candidates a channel search evaluates in a minute: ResNet-20 at half its MACs, on two cores.

A candidate is pruned, its batch norms are recalibrated on 512 training images, and 2,000 validation images judge it;
with reconstruction, the layers that lost inputs are refitted to the whole network's outputs as well. Designs are random
ones, repaired. Each worker process has loaded the network and the data before the clock starts, as in a search.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from automl_core.errors import EvaluationError
from automl_core.pool import Pool
from automl_core.problem import Request
from figures import Args, Figures, parse, run
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.candidate import Judging
from nn_compression.problems.channel_problem import ChannelProblem
from nn_compression.problems.network import NetworkReference


@dataclass(frozen=True)
class SpeedArgs(Args):
    """The options of this benchmark."""

    model: Annotated[str, "of the zoo; how fast it is judged does not depend on its weights, which are random"] = (
        "resnet20"
    )
    data: Annotated[str, "what it is for"] = "cifar10"
    candidates: Annotated[int, "evaluated by the clock"] = 120
    images: Annotated[int, "validation images"] = 2000
    recalibration: Annotated[int, "training images that batch norms are recalibrated on"] = 512
    reconstruction: Annotated[int, "training images that layers are refitted on"] = 2048
    jobs: Annotated[int, "worker processes, each on one thread"] = 2


def requests(problem: ChannelProblem, count: int, seed: int) -> list[Request]:
    """Random designs, repaired."""
    generator = np.random.default_rng(seed)
    units = generator.random((count, problem.space.dim))
    return [Request(problem.repair(problem.space.decode(unit)), "", seed) for unit in units]


def candidates_a_minute(args: SpeedArgs, reconstruction: int) -> float:
    """By the wall clock, all workers together."""
    judging = Judging(validation=args.images, recalibration=args.recalibration, reconstruction=reconstruction)
    problem = ChannelProblem(NetworkReference(args.data, args.model), CostLimit("macs", 0.5), judging)
    with Pool(problem, args.jobs, "processes") as pool:
        pool.evaluate(requests(problem, 4 * args.jobs, args.seed + 1))  # loads, samples and compiles
        asked = requests(problem, args.candidates, args.seed)
        began = time.perf_counter()
        answers = pool.evaluate(asked)
        seconds = time.perf_counter() - began
    for answer in answers:
        if isinstance(answer, EvaluationError):
            raise answer
    return len(answers) / seconds * 60


def main() -> int:
    """Measure, print, and say whether the bar was met."""
    args = parse(SpeedArgs, __doc__)
    if args.quick:
        args = SpeedArgs(True, args.seed, args.json, "digits_net", "digits", 30, 300, 128, 128, args.jobs)
    table = Figures(args)
    table.add(f"candidates a minute, {args.model}", candidates_a_minute(args, 0), ">= 60")
    table.add(f"candidates a minute, {args.model}, with reconstruction", candidates_a_minute(args, args.reconstruction))
    return table.finish()


if __name__ == "__main__":
    run(main)
