"""What is refused of a compression before a folder is made for it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from torch import nn

from automl_core.errors import InputError
from nn_compression.data import SettledData
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.network import NetworkReference
from nn_compression.run.base import Source, load_base, refuse_untrained
from nn_compression.run.designs import designs_of
from nn_compression.run.settings import Settings
from nn_compression.training.evaluation import evaluate_loss
from nn_compression.training.finite import broken_examples, broken_weights, named_break

__all__ = ["refuse_hopeless"]

_FEW = 100
"""Examples by which the loss is seen to be a number."""


def refuse_hopeless(settings: Settings, data: SettledData) -> None:
    """Refuse, before anything is made, what cannot be traced or judged, what is untrained, and a budget out of reach.

    A latency is out of reach only once it was measured: that is left to the run.

    Raises:
        InputError: what cannot be done, and what to do.
    """
    source, stage = settings.source, settings.plan.stages[0]
    if settings.distill and data.task.soft_loss is None:
        remedy = "give the Task a soft_loss, or leave --distill out"
        raise InputError(f"the task {data.task.name!r} has no soft loss to learn by", place="--distill", remedy=remedy)
    model = load_base(replace(source, train_epochs=0))
    _refuse_not_finite(model, data, source)
    if not source.train_epochs:
        refuse_untrained(model, data, source)
    weights = None if source.weights is None else Path(source.weights)
    reference = NetworkReference(source.data, source.model, weights, seed=source.seed)
    designs = designs_of(stage.method, reference, settings)
    if not settings.measures_latency:
        whole = designs.problem(CostLimit(stage.metric, 1.0))
        limit = stage.bound(whole.base_cost)
        if limit is not None:
            designs.problem(limit)


def _refuse_not_finite(model: nn.Module, data: SettledData, source: Source) -> None:
    """NaN or infinity among the examples or the weights, unless the network's loss is a number all the same.

    Args:
        model: left as it is.
        data: all three splits are looked at.
        source: for the message.

    Raises:
        InputError: what is no finite number.
    """
    weights = broken_weights(model)
    for name, split in (("training", data.train), ("validation", data.validation), ("test", data.test)):
        broken = broken_examples(split)[:_FEW]
        if not len(broken) and weights is None:
            continue
        some = split.select(broken) if len(broken) else split.first(_FEW)
        loss = evaluate_loss(model, some, data.task)
        if not math.isfinite(loss):
            found = f"{named_break(split, weights)}, and the loss on the {name} split is {loss} for it"
            place = source.data if len(broken) else source.weights or source.model
            raise InputError(found, place=place, remedy="correct that: torch.isfinite finds what is no number")
