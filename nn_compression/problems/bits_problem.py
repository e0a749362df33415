"""How many bits the weights and activations of each layer have: HAQ's problem (Wang et al., "HAQ", CVPR 2019)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from torch import nn

from automl_core.space import Array, DesignSpace, Point, Variable
from nn_compression.design_space import network_space
from nn_compression.graph.layer import Layer, within
from nn_compression.hardware import load_hardware
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.candidate import Judging
from nn_compression.problems.coded_bytes import quantized_bytes, rest_bytes
from nn_compression.problems.costs import Cost, Table, TableCost
from nn_compression.problems.network import NetworkReference
from nn_compression.problems.network_problem import NetworkProblem, refuse_unknown
from nn_compression.quantization.bits import FLOAT_BITS, MOST_BITS, Bits
from nn_compression.quantization.linear import Calibration, quantizable
from nn_compression.quantization.quantized_layers import rounds_inputs, weights_of

__all__ = ["LEAST_BITS", "BitsProblem"]

LEAST_BITS = 2
"""Bits of a weight or an activation, at least; HAQ's."""
_FEW = 3
"""Layers of a network whose ends are most of it."""


class BitsProblem(NetworkProblem):
    """Bits by layer, 2 to 8, under a budget of bytes, or of latency or energy modelled for some hardware.

    The first and the last layer have 8 bits, as in HAQ; in a network of up to three layers, of which they are most, all
    bits are chosen. Under a budget of bytes activations have 8, for they are in no file. Of latency and energy a share
    is one of the network at 8 bits throughout.

    Args:
        reference: the network and its data.
        limit: of "bytes", "latency" or "energy".
        judging: how candidates are judged.
        keep: layers that have 8 bits.
        hardware: whose latency or energy is modelled: a name, or a YAML file, as
            :func:`nn_compression.hardware.load_hardware` takes it.
        least_bits: of weights and activations.
    """

    def __init__(
        self,
        reference: NetworkReference,
        limit: CostLimit,
        judging: Judging | None = None,
        *,
        keep: tuple[str, ...] = (),
        hardware: str = "edge",
        least_bits: int = LEAST_BITS,
    ) -> None:
        self.keep, self.hardware, self.least_bits = keep, hardware, least_bits
        super().__init__(reference, limit, judging or Judging())

    def _given(self) -> dict[str, Any]:
        return {"keep": self.keep, "hardware": self.hardware, "least_bits": self.least_bits}

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that can be quantized, in data-flow order."""
        known = set(quantizable(self.network.model))
        layers = tuple(layer for layer in self.network.graph.layers if layer.name in known)
        refuse_unknown(self.keep, [layer.name for layer in layers])
        return layers

    @cached_property
    def _free(self) -> tuple[Layer, ...]:
        """The layers whose bits are chosen."""
        inner = self.layers[1:-1] if len(self.layers) > _FEW else self.layers
        return tuple(layer for layer in inner if not any(within(layer.name, name) for name in self.keep))

    def _takes_bits(self, layer: Layer) -> bool:
        return rounds_inputs(self.network.model.get_submodule(layer.name))

    def _space(self) -> DesignSpace:
        variables, slots = [], {}
        for layer in self._free:
            properties = ["weight_bits"]
            if self.limit.metric != "bytes" and self._takes_bits(layer):
                properties.append("activation_bits")
            slots[layer.name] = {each: f"{layer.name}.{each}" for each in properties}
            variables += [
                Variable(name, self.least_bits, MOST_BITS, integer=True) for name in slots[layer.name].values()
            ]
        return network_space(self.network.graph, variables, slots)

    def bits(self, point: Point) -> dict[str, Bits]:
        """The widths of every layer that can be quantized."""
        return {
            layer.name: Bits(
                int(point.get(f"{layer.name}.weight_bits", MOST_BITS)),
                int(point.get(f"{layer.name}.activation_bits", MOST_BITS)) if self._takes_bits(layer) else FLOAT_BITS,
            )
            for layer in self.layers
        }

    # What they cost.

    def _cost(self) -> Cost:
        return TableCost(self._coded() if self.limit.metric == "bytes" else self._modelled(), self.grid.space.dim)

    def _base_cost(self) -> float:
        if self.limit.metric == "bytes":
            return float(self.network.state_bytes)
        return float(self.cost.total(self.grid.top[np.newaxis])[0])

    def _coded(self) -> list[Table]:
        """Entropies of the integers of each layer, scales, and all that stays in floats."""
        at = {variable.name: column for column, variable in enumerate(self.grid.space.variables)}
        tables, weighed = [], set()
        for layer in self.layers:
            keys = [key for key, _ in weights_of(self.network.model.get_submodule(layer.name))]
            weighed |= {f"{layer.name}.{key}" for key in keys}
            column = at.get(f"{layer.name}.weight_bits")
            widths = [MOST_BITS] if column is None else [int(width) for width in self.grid.values[column]]
            costs = [quantized_bytes(self._calibration.rounded(layer.name, width).values()) for width in widths]
            tables.append(Table((), np.array(costs[0])) if column is None else Table((column,), np.array(costs)))
        return [*tables, Table((), np.array(rest_bytes(self.network.model, weighed)))]

    def _modelled(self) -> list[Table]:
        """What the hardware takes for each layer at each of its widths; other layers compute in floats."""
        machine = load_hardware(self.hardware)
        of: Callable[[Layer, Bits], float] = machine.latency if self.limit.metric == "latency" else machine.energy
        at = {variable.name: column for column, variable in enumerate(self.grid.space.variables)}
        known = {layer.name for layer in self.layers}
        others = sum(of(layer, Bits()) for layer in self.network.graph.layers if layer.name not in known)
        return [Table((), np.array(others)), *(self._modelled_layer(layer, of, at) for layer in self.layers)]

    def _modelled_layer(self, layer: Layer, of: Callable[[Layer, Bits], float], at: dict[str, int]) -> Table:
        columns = [at.get(f"{layer.name}.{each}") for each in ("weight_bits", "activation_bits")]
        still = MOST_BITS if self._takes_bits(layer) else FLOAT_BITS
        weights, activations = (
            [fixed] if column is None else [int(width) for width in self.grid.values[column]]
            for column, fixed in zip(columns, (MOST_BITS, still), strict=True)
        )
        costs: Array = np.array([[of(layer, Bits(w, a)) for a in activations] for w in weights])
        chosen = tuple(column for column in columns if column is not None)
        return Table(chosen, costs.reshape([len(self.grid.values[column]) for column in chosen]))

    # Candidates.

    @cached_property
    def _calibration(self) -> Calibration:
        names = [layer.name for layer in self.layers if self._takes_bits(layer)]
        forward = self.network.data.task.forward
        return Calibration(self.network.model, self.examiner.calibration_inputs.cpu(), layers=names, forward=forward)

    def build(self, point: Point) -> nn.Module:
        """The network with rounded weights and activations."""
        return self._calibration.candidate(self.bits(point))
