"""What the benchmarks on networks share: a trained network of the zoo, and the design that a search ends with."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from automl_core.budget import Budget
from automl_core.one_thread import one_thread
from automl_core.space import Point
from figures import done
from nn_compression.files.references import zoo_model
from nn_compression.problems.network import NetworkReference
from nn_compression.problems.network_problem import NetworkProblem
from nn_compression.run.baselines import best_random
from nn_compression.run.searching import Search
from nn_compression.training.schedule import Schedule
from nn_compression.training.trained_weights import trained_weights

__all__ = ["best_point", "train_networks", "trained_network", "usual_schedule"]


def usual_schedule(model: str, *, bfloat16: bool) -> Schedule:
    """How a network of the zoo is trained, but for the width of the products."""
    return replace(zoo_model(model)[0].schedule, precision="bfloat16" if bfloat16 else "float32")


def trained_network(model: str, data: str, seed: int, schedule: Schedule | None = None) -> NetworkReference:
    """A network of the zoo, trained as usual, or by another schedule; but once, for its weights are kept."""
    return NetworkReference(data, model, trained_weights(model, data, schedule, seed=seed), seed=seed)


def train_networks(wanted: Iterable[tuple[str, str, int]], jobs: int, *, bfloat16: bool = False) -> None:
    """Train networks of the zoo as usual, (model, data, seed), several at once, before they are asked for."""
    for _ in done(partial(_train, bfloat16), dict.fromkeys(wanted), jobs):
        pass


def _train(bfloat16: bool, wanted: tuple[str, str, int]) -> None:
    with one_thread():
        trained_network(*wanted, usual_schedule(wanted[0], bfloat16=bfloat16))


def best_point(path: Path, problem: NetworkProblem, optimizer: str, evaluations: int, seed: int) -> Point:
    """The design that a search ends with; what its record holds is not searched again.

    Random search draws as many, and does without the start of the space, which every study begins with.
    """
    random = optimizer == "random"
    search = Search(path, problem, problem.specs, optimizer, Budget(evaluations + random), seed)
    study = search.run(1, lambda _: None).study
    best = best_random(study) if random else study.best
    if best is None:
        sys.exit(f"{path}: no candidate gave an accuracy")
    return best.point
