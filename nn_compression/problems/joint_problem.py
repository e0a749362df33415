"""Channels, shares of weights and bits of weights, decided together for each layer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from torch import nn

from automl_core.errors import InputError
from automl_core.space import Array, DesignSpace, Point, Variable
from nn_compression.channels.groups import Kept
from nn_compression.channels.recalibration import recalibrate
from nn_compression.cost import ChannelCost
from nn_compression.design_space import network_space
from nn_compression.graph.layer import within
from nn_compression.problems.bits_problem import LEAST_BITS
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.candidate import Judging
from nn_compression.problems.channel_costs import GroupCounts, counted
from nn_compression.problems.channel_problem import LEAST_SHARE, channel_slots, channel_variable
from nn_compression.problems.coded_bytes import SHARED_BITS, position_bits
from nn_compression.problems.costs import Cost, GrowingCost
from nn_compression.problems.grid import Grid, Levels
from nn_compression.problems.group_problem import GroupProblem
from nn_compression.problems.network import NetworkReference
from nn_compression.problems.sparsity_problem import share_variable
from nn_compression.quantization.bits import MOST_BITS, Bits
from nn_compression.quantization.linear import quantizable, quantize
from nn_compression.quantization.quantized_layers import rounds_inputs
from nn_compression.sparsity.masks import Masks, prunable

__all__ = ["JointProblem"]

_CALIBRATION = 128
"""Training examples that the ranges of activations are taken from."""
_LEAST_KEPT = 0.05


class JointProblem(GroupProblem):
    """Of each layer: channels, the share of the weights that stay, and their bits; under a budget of MACs or bytes.

    Activations have 8 bits, and so have the weights of the first and the last layer. Bytes are those of weights of the
    width that is chosen and of their positions, and of all else in floats; what the codec gains by how often each value
    occurs, and its header, are left out.

    Args:
        reference: the network and its data.
        limit: of "macs" or "bytes".
        judging: how candidates are judged; layers are never refitted.
        keep: layers that keep all their channels and weights.
        round_to: channels that are kept are multiples of this.
        least_share: of its channels, what each group keeps at least.
        least_kept: of its weights, what each layer keeps at least.
    """

    def __init__(
        self,
        reference: NetworkReference,
        limit: CostLimit,
        judging: Judging | None = None,
        *,
        keep: tuple[str, ...] = (),
        round_to: int = 1,
        least_share: float = LEAST_SHARE,
        least_kept: float = _LEAST_KEPT,
    ) -> None:
        if limit.metric not in ("macs", "bytes"):
            remedy = "give a budget in macs or bytes"
            raise InputError(f"the joint problem is not held to {limit.metric}", place="--budget", remedy=remedy)
        self.keep, self.round_to, self.least_share, self.least_kept = keep, round_to, least_share, least_kept
        super().__init__(reference, limit, judging or Judging())

    def _given(self) -> dict[str, Any]:
        return {
            "keep": self.keep,
            "round_to": self.round_to,
            "least_share": self.least_share,
            "least_kept": self.least_kept,
        }

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """The layers whose weights can be removed and rounded, in data-flow order."""
        known = set(prunable(self.network.model)) & set(quantizable(self.network.model))
        return tuple(layer.name for layer in self.network.graph.layers if layer.name in known)

    def _space(self) -> DesignSpace:
        by_group = {group.name: channel_variable(group, self.least_share) for group in self.groups}
        chosen = {name: variable for name, variable in by_group.items() if variable is not None}
        slots = channel_slots([group for group in self.groups if group.name in chosen])
        ordered: dict[str, Variable] = {}
        for layer in self.network.graph.layers:
            own = slots.setdefault(layer.name, {})
            for name in own.values():
                ordered.setdefault(name, chosen[name])
            for slot, variable in self._own_variables(layer.name).items():
                own[slot], ordered[variable.name] = variable.name, variable
        ordered |= {name: variable for name, variable in chosen.items() if name not in ordered}
        return network_space(self.network.graph, list(ordered.values()), slots)

    def _own_variables(self, layer: str) -> dict[str, Variable]:
        """Of one layer, by slot: the share of its weights, and their bits."""
        if layer not in self._names or any(within(layer, name) for name in self.keep):
            return {}
        share = {"kept": share_variable(layer, self.least_kept)}
        if layer in (self._names[0], self._names[-1]):
            return share
        return {**share, "weight_bits": Variable(f"{layer}.weight_bits", LEAST_BITS, MOST_BITS, integer=True)}

    # What they cost.

    def _cost(self) -> Cost:
        cost, counts = self._reckoned()
        if self.limit.metric == "macs":
            return counted(cost.macs_of, counts)
        return self._coded(cost, counts)

    def _coded(self, cost: ChannelCost, counts: GroupCounts) -> GrowingCost:
        bits_a_weight = _BitsAWeight(self.grid, [layer.name for layer in self.network.graph.layers], self._names)

        def total(levels: Levels) -> Array:
            kept = counts(levels)
            weights = cost.layer_weights_of(kept)
            others = cost.bytes_of(kept) * 8 // SHARED_BITS - weights.sum(axis=1)
            bits = (weights * bits_a_weight(levels)).sum(axis=1) + others * SHARED_BITS
            return np.asarray(np.ceil(bits / 8))

        return GrowingCost(total)

    # Candidates.

    def channels(self, point: Point) -> Kept:
        """Which channels are kept, of the groups that lose some."""
        return self._pruner.kept(point)

    def kept(self, point: Point) -> dict[str, float]:
        """The share of the weights that stay, by layer."""
        return {name: float(point[f"{name}.kept"]) for name in self._names if f"{name}.kept" in point}

    def bits(self, point: Point) -> dict[str, Bits]:
        """The widths of every layer that can be quantized."""
        modules = dict(self.network.model.named_modules())
        return {
            name: Bits(
                int(point.get(f"{name}.weight_bits", MOST_BITS)), MOST_BITS if rounds_inputs(modules[name]) else 32
            )
            for name in self._names
        }

    def build(self, point: Point) -> nn.Module:
        """The network with fewer channels, fewer weights and rounded ones."""
        model = self._pruner.pruned(self.channels(point))
        Masks.magnitude(model, self.kept(point)).apply()
        inputs, forward = self.examiner.calibration_inputs, self.network.data.task.forward
        model.to(inputs.device)
        if self.judging.recalibration:
            recalibrate(model, inputs, forward=forward)
        return quantize(model, self.bits(point), inputs[:_CALIBRATION], forward=forward)


class _BitsAWeight:
    """Bits of a weight that may be kept or not, by layer; they rise with the share that is kept and with the width.

    Args:
        grid: with the variables of shares and widths.
        layers: all of the network's.
        rounded: those whose weights are removed and rounded; of the others each takes 32 bits.
    """

    def __init__(self, grid: Grid, layers: Sequence[str], rounded: Sequence[str]) -> None:
        at = {variable.name: column for column, variable in enumerate(grid.space.variables)}
        self._shares = np.array([at.get(f"{layer}.kept", grid.space.dim) for layer in layers])
        self._widths = np.array([at.get(f"{layer}.weight_bits", grid.space.dim) for layer in layers])
        values = [*(np.array(own, dtype=float) for own in grid.values), np.array([1.0])]
        tables = []
        for layer, share, width in zip(layers, self._shares, self._widths, strict=True):
            still = [float(MOST_BITS if layer in rounded else SHARED_BITS)]
            tables.append(_table(values[share], values[width] if width < grid.space.dim else np.array(still)))
        sizes = np.max([table.shape for table in tables], axis=0)
        self._bits = np.stack(
            [np.pad(table, [(0, n - m) for n, m in zip(sizes, table.shape, strict=True)]) for table in tables]
        )

    def __call__(self, levels: Levels) -> Array:
        """Shape (rows, variables) to (rows, layers)."""
        padded = np.pad(levels, ((0, 0), (0, 1)))
        bits: Array = self._bits[np.arange(len(self._bits)), padded[:, self._shares], padded[:, self._widths]]
        return bits


def _table(shares: Array, widths: Array) -> Array:
    """Bits of a weight, shape (shares, widths): where it is, and what it is."""
    bits = position_bits(shares)[:, np.newaxis] + shares[:, np.newaxis] * widths
    return np.maximum.accumulate(bits, axis=0)
