"""What share of its weights each layer keeps: unstructured pruning by magnitude (Han et al., NIPS 2015) as a search."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from automl_core.errors import InputError
from automl_core.problem import Observations
from automl_core.space import DesignSpace, Point, Variable
from nn_compression.design_space import network_space
from nn_compression.graph.layer import within
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.candidate import Judging
from nn_compression.problems.coded_bytes import rest_bytes, sparse_bytes
from nn_compression.problems.costs import Cost, Table, TableCost
from nn_compression.problems.network import NetworkReference
from nn_compression.problems.network_problem import NetworkProblem, refuse_unknown
from nn_compression.sparsity.masks import Masks, prunable

__all__ = ["LEAST_KEPT", "SHARE_STEP", "SparsityProblem", "share_variable"]

LEAST_KEPT = 0.01
"""Of its weights, what each layer keeps at least."""
SHARE_STEP = 0.0025


def share_variable(layer: str, least_kept: float) -> Variable:
    """The share of a layer's weights that stay, on a log scale."""
    steps = int((1.0 - least_kept) / SHARE_STEP + 1e-9)
    return Variable(f"{layer}.kept", round(1.0 - steps * SHARE_STEP, 12), 1.0, scale="log", step=SHARE_STEP)


class SparsityProblem(NetworkProblem):
    """Weights kept by layer, the largest ones, under a budget of bytes in a file of their values and positions.

    Args:
        reference: the network and its data.
        limit: of "bytes".
        judging: how candidates are judged.
        keep: layers that keep all their weights.
        least_kept: of its weights, what each layer keeps at least.
    """

    def __init__(
        self,
        reference: NetworkReference,
        limit: CostLimit,
        judging: Judging | None = None,
        *,
        keep: tuple[str, ...] = (),
        least_kept: float = LEAST_KEPT,
    ) -> None:
        if limit.metric != "bytes":
            remedy = "give a budget in bytes"
            raise InputError(f"sparsity is not held to {limit.metric}", place="--budget", remedy=remedy)
        self.keep, self.least_kept = keep, least_kept
        super().__init__(reference, limit, judging or Judging())

    def _given(self) -> dict[str, Any]:
        return {"keep": self.keep, "least_kept": self.least_kept}

    @cached_property
    def layers(self) -> dict[str, tuple[str, ...]]:
        """The layers whose weights are removed, in data-flow order, and the keys of these weights.

        Of layers with tied weights this is the first; none of them, where one is kept.
        """
        known = prunable(self.network.model)
        refuse_unknown(self.keep, known)
        order = [layer.name for layer in self.network.graph.layers if layer.name in known]
        taken = {key for n in order for key in known[n] if any(within(n, name) for name in self.keep)}
        found = {}
        for name in order:
            if not taken.intersection(known[name]):
                found[name] = known[name]
                taken.update(known[name])
        return found

    def _space(self) -> DesignSpace:
        variables = [share_variable(layer, self.least_kept) for layer in self.layers]
        slots = {layer: {"kept": f"{layer}.kept"} for layer in self.layers}
        return network_space(self.network.graph, variables, slots)

    def kept(self, point: Point) -> dict[str, float]:
        """The share of the weights that stay, by layer; layers that are kept whole are left out."""
        return {layer: float(point[f"{layer}.kept"]) for layer in self.layers}

    def _tensors(self, layer: str) -> list[Tensor]:
        return [self.network.model.get_parameter(key) for key in self.layers[layer]]

    def _cost(self) -> Cost:
        tables = []
        for column, layer in enumerate(self.layers):
            shares = np.array([float(value) for value in self.grid.values[column]])
            tables.append(Table((column,), sparse_bytes(self._tensors(layer), shares)))
        rest = rest_bytes(self.network.model, {key for keys in self.layers.values() for key in keys})
        return TableCost([*tables, Table((), np.array(rest))], len(self.layers))

    def _base_cost(self) -> float:
        return float(self.network.state_bytes)

    # Candidates.

    @cached_property
    def _scratch(self) -> nn.Module:
        return copy.deepcopy(self.network.model)

    def build(self, point: Point) -> nn.Module:
        """The network without its smallest weights."""
        whole = self.network.model.state_dict()
        with torch.no_grad():
            for name, tensor in self._scratch.state_dict().items():
                tensor.copy_(whole[name])
        shares = self.kept(point)
        left = {
            key: self._ranks[key] < max(1, round(shares[layer] * self._ranks[key].numel()))
            for layer, keys in self.layers.items()
            for key in keys
        }
        Masks(self._scratch, left).apply()
        return self._scratch

    @cached_property
    def _ranks(self) -> dict[str, Tensor]:
        """Of each weight: the places of its values by falling magnitude, as ``Masks.magnitude`` counts them."""
        ranks = {}
        for key in (key for keys in self.layers.values() for key in keys):
            weight = self.network.model.get_parameter(key)
            order = weight.abs().flatten().sort(descending=True, stable=True).indices
            places = torch.empty(len(order), dtype=torch.int32)
            places[order] = torch.arange(len(order), dtype=torch.int32)
            ranks[key] = places.view_as(weight)
        return ranks

    def observed(self, point: Point) -> Observations:
        """Of each layer the share of its weights' magnitude that is kept."""
        seen = {}
        for layer, share in self.kept(point).items():
            parts = [self._magnitudes[key] for key in self.layers[layer]]
            left = sum(float(part[max(round(share * len(part)), 1) - 1]) for part in parts)
            whole = sum(float(part[-1]) for part in parts)
            seen[layer] = {"importance kept": left / whole if whole else 1.0}
        return seen

    @cached_property
    def _magnitudes(self) -> dict[str, Tensor]:
        """Of each weight: the sums of its 1, 2, ... largest magnitudes."""
        return {
            key: self.network.model.get_parameter(key).abs().double().flatten().sort(descending=True).values.cumsum(0)
            for keys in self.layers.values()
            for key in keys
        }
