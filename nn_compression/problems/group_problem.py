"""What problems share in which channels are kept by group, alone or with other things."""

from __future__ import annotations

from functools import cached_property

from nn_compression.channels import ChannelGroup
from nn_compression.cost import ChannelCost
from nn_compression.problems.channel_costs import GroupCounts
from nn_compression.problems.network_problem import NetworkProblem
from nn_compression.problems.pruner import Pruner

__all__ = ["GroupProblem"]


class GroupProblem(NetworkProblem):
    """A problem in which channels are kept by group: with a variable for each group that has a choice, by its name.

    Attributes:
        keep: layers that make all their channels.
        round_to: channels that are kept are multiples of this.
        least_share: of its channels, what each group keeps at least.
    """

    keep: tuple[str, ...]
    round_to: int
    least_share: float

    @cached_property
    def groups(self) -> tuple[ChannelGroup, ...]:
        """All groups of the network, those too that leave no choice."""
        return self.network.groups(self.keep, self.round_to)

    def _reckoned(self) -> tuple[ChannelCost, GroupCounts]:
        """What channels cost, and the channels of a design on the grid."""
        return ChannelCost(self.network.graph, self.groups), GroupCounts(self.grid, self.groups)

    def _base_cost(self) -> float:
        return float(self.network.graph.macs if self.limit.metric == "macs" else self.network.state_bytes)

    @cached_property
    def _pruner(self) -> Pruner:
        return Pruner(self.network.model, self.groups)
