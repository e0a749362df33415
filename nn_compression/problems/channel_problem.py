"""How many channels each group keeps: AMC's problem (He et al., "AMC: AutoML for Model Compression", ECCV 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import nn

from automl_core.errors import InputError
from automl_core.problem import Observations
from automl_core.space import DesignSpace, Point, Variable
from nn_compression.channels import ChannelGroup
from nn_compression.channels.groups import LEAST_SHARE, Kept, searched_counts
from nn_compression.channels.reconstruction import Reconstruction
from nn_compression.design_space import network_space
from nn_compression.latency.network_latency import MOST_COUNTS, NetworkLatency
from nn_compression.latency.table import LatencyTable
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.candidate import Judging
from nn_compression.problems.channel_costs import counted, timed
from nn_compression.problems.costs import Cost
from nn_compression.problems.group_problem import GroupProblem
from nn_compression.problems.network import NetworkReference
from nn_compression.training.trained_weights import cache_folder

__all__ = ["LEAST_SHARE", "ChannelProblem", "channel_slots", "channel_variable"]


def channel_variable(group: ChannelGroup, least_share: float, most_values: int | None = None) -> Variable | None:
    """The number of channels that a group keeps; ``None`` where there is no choice.

    Args:
        group: it takes multiples of what its layers, or the user, demand.
        least_share: of its channels, what it keeps at least.
        most_values: larger multiples are taken where there would be more of them than these.
    """
    counts = searched_counts(group, least_share, most_values)
    if len(counts) == 1:
        return None
    steps = {after - before for before, after in pairwise(counts)}
    if len(steps) == 1:
        return Variable(group.name, counts[0], counts[-1], integer=True, step=steps.pop())
    return Variable(group.name, values=tuple(counts))


def channel_slots(groups: Sequence[ChannelGroup]) -> dict[str, dict[str, str]]:
    """By layer: the variables that decide how many channels it makes, ``channels``, ``channels_2`` and so on."""
    slots: dict[str, dict[str, str]] = {}
    for group in groups:
        for layer in dict.fromkeys(member.layer for member in group.members if member.axis == "out"):
            own = slots.setdefault(layer, {})
            own[f"channels_{len(own) + 1}" if own else "channels"] = group.name
    return slots


class ChannelProblem(GroupProblem):
    """Channels kept by group, under a budget of MACs, bytes or latency.

    A candidate keeps the channels of greatest L1 norm, and is recalibrated; the layers that read fewer channels
    are refitted first.

    Args:
        reference: the network and its data.
        limit: of "macs", "bytes" or "latency".
        judging: how candidates are judged.
        keep: layers that keep all their channels.
        round_to: channels that are kept are multiples of this.
        least_share: of its channels, what each group keeps at least.
        table: a file of measured latencies, for that budget; ``None``: the one in the user's cache. What it lacks is
            measured now: every pair of counts, so that a group then has few: some eight multiples of a power of two,
            and all its channels.

    Attributes:
        latencies: the times that the budget goes by, of that budget alone.
    """

    latencies: LatencyTable

    def __init__(
        self,
        reference: NetworkReference,
        limit: CostLimit,
        judging: Judging | None = None,
        *,
        keep: tuple[str, ...] = (),
        round_to: int = 1,
        least_share: float = LEAST_SHARE,
        table: Path | None = None,
    ) -> None:
        self.keep, self.round_to, self.least_share, self.table = keep, round_to, least_share, table
        super().__init__(reference, limit, judging or Judging())

    def _given(self) -> dict[str, Any]:
        return {"keep": self.keep, "round_to": self.round_to, "least_share": self.least_share, "table": self.table}

    def _space(self) -> DesignSpace:
        most = MOST_COUNTS if self.limit.metric == "latency" else None
        variables = [channel_variable(group, self.least_share, most) for group in self.groups]
        chosen = [variable for variable in variables if variable is not None]
        names = {variable.name for variable in chosen}
        slots = channel_slots([group for group in self.groups if group.name in names])
        return network_space(self.network.graph, chosen, slots)

    def _cost(self) -> Cost:
        if self.limit.metric == "latency":
            return self._timed()
        cost, counts = self._reckoned()
        of = {"macs": cost.macs_of, "bytes": cost.bytes_of}
        if self.limit.metric not in of:
            remedy = "give a budget in macs, bytes or latency"
            raise InputError(f"channels are not held to {self.limit.metric}", place="--budget", remedy=remedy)
        return counted(of[self.limit.metric], counts)

    def _timed(self) -> Cost:
        self.latencies = LatencyTable(self.table or cache_folder().parent / "latency.json")
        with self.latencies.saved():
            latency = NetworkLatency(self.network.model, self.network.example_input, self.groups, self.latencies)
            self._whole_seconds = latency.seconds() * (1 + 1e-9)  # the tables are rounded up by less
            return timed(latency, self.grid)

    def _base_cost(self) -> float:
        return self._whole_seconds if self.limit.metric == "latency" else super()._base_cost()

    # Candidates.

    def counts(self, point: Point) -> dict[str, int]:
        """Channels kept, of every group."""
        return self._pruner.counts(point)

    def kept(self, point: Point) -> Kept:
        """Which channels are kept, of the groups that lose some."""
        return self._pruner.kept(point)

    def build(self, point: Point) -> nn.Module:
        """The pruned network."""
        kept = self.kept(point)
        pruned = self._pruner.pruned(kept)
        if self.judging.reconstruction and kept:
            self._reconstruction.apply(pruned, kept)
        return pruned

    @cached_property
    def _reconstruction(self) -> Reconstruction:
        inputs = self.examiner.training_examples(self.judging.reconstruction)
        forward = self.network.data.task.forward
        return Reconstruction(self.network.model, self.groups, inputs, forward=forward, seed=self.reference.seed)

    def observed(self, point: Point) -> Observations:
        """Of each layer the share of its channels' importance that is kept."""
        shares, slots = self._pruner.shares(self.kept(point)), channel_slots(self.groups)
        return {
            layer.name: {"importance kept": fmean(shares[name] for name in slots[layer.name].values())}
            for layer in self.network.graph.layers
            if layer.name in slots
        }
