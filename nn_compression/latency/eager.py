"""A network in eager torch as a sum of its operators, each measured alone at its exact shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automl_core.one_thread import one_thread
from nn_compression.graph.execution import evaluation_copy, example_inputs, execution_order, without_fused_attention
from nn_compression.latency.design_shapes import Counts, DesignShapes
from nn_compression.latency.operations import Operation
from nn_compression.latency.replay import call_of
from nn_compression.latency.table import LatencyTable, Time
from nn_compression.latency.timing import least_seconds

__all__ = ["EagerParts"]

_CALL = "nn.Module.__call__"


@dataclass(frozen=True)
class _Operator:
    name: str
    position: int
    shapes: DesignShapes
    table: LatencyTable

    @property
    def positions(self) -> Sequence[int]:
        return (self.position,)

    def seconds(self, counts: Counts) -> float:
        operation = self.shapes.at(counts, self.positions)[self.position]
        return self.table.time("eager", operation.text, lambda: _measured(operation)).seconds


class EagerParts:
    """The operators of a network, in order.

    Args:
        shapes: of its operations.
        table: where times are kept.
    """

    def __init__(self, shapes: DesignShapes, table: LatencyTable) -> None:
        self._table = table
        self.parts = tuple(
            _Operator(f"{operation.name} {position}", position, shapes, table)
            for position, operation in enumerate(shapes.operations)
        )

    def fixed(self, model: nn.Module, example_input: Tensor | Sequence[Tensor]) -> float:
        """Seconds that do not depend on the channels: calling the modules."""
        with without_fused_attention():
            inputs = tuple(tensor.detach().cpu() for tensor in example_inputs(example_input))
            calls = len(execution_order(evaluation_copy(model).cpu(), inputs))
        return calls * self._table.time("eager", _CALL, _module_call).seconds


def _measured(operation: Operation) -> Time:
    with one_thread(), torch.no_grad():
        seconds, _ = least_seconds(call_of(operation))
    return Time(seconds)


def _module_call() -> Time:
    module, value = nn.Identity().eval(), torch.zeros(1)
    with one_thread(), torch.no_grad():
        seconds, _ = least_seconds(lambda: module(value))
    return Time(seconds)
