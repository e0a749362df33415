"""The cost of smaller networks: equal to that of the networks themselves, built and traced."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from automl_core.errors import InputError
from nn_compression.channels import ChannelGroup, Member, best_channels, channel_groups, prune
from nn_compression.cost import ChannelCost, raw_bytes
from nn_compression.graph.tracing import NetworkGraph, trace
from nn_compression.zoo.mobilenet_v1 import mobilenet_v1
from nn_compression.zoo.mobilenet_v2 import mobilenet_v2
from nn_compression.zoo.resnet import resnet20, resnet29_bottleneck
from tests.nn_compression.channel_nets import NETS, net_of

ZOO_NETS = [resnet20, resnet29_bottleneck, mobilenet_v1, mobilenet_v2]


def cost_of(model: nn.Module, example: Tensor) -> ChannelCost:
    return ChannelCost(trace(model, example), channel_groups(model, example))


def smaller(
    model: nn.Module, groups: tuple[ChannelGroup, ...], counts: Mapping[str, int], example: Tensor
) -> NetworkGraph:
    """The graph of the network that keeps the first channels."""
    kept = {}
    for group in groups:
        scores = -torch.arange(float(group.channels)).expand(group.copies, -1).squeeze(0)
        kept[group.name] = best_channels(scores, group, counts[group.name])
    return trace(prune(model, groups, kept), example)


def drawn(groups: tuple[ChannelGroup, ...], seed: int) -> dict[str, int]:
    generator = np.random.default_rng(seed)
    return {group.name: int(generator.choice(group.counts())) for group in groups}


def least(groups: tuple[ChannelGroup, ...]) -> dict[str, int]:
    return {group.name: group.counts()[0] for group in groups}


def agrees(cost: ChannelCost, counts: Mapping[str, int], graph: NetworkGraph) -> None:
    assert cost.layers(counts) == graph.layers
    assert cost.macs(counts) == graph.macs
    assert cost.weights(counts) == graph.weights
    assert cost.parameters(counts) == graph.parameters
    assert int(cost.bytes_of(cost.counts(counts))) == 4 * (graph.parameters + graph.buffers)


@pytest.mark.parametrize("name", NETS)
def test_costs_are_those_of_the_smaller_network(name: str) -> None:
    model, inputs = net_of(name)
    example = inputs[:1]
    cost = cost_of(model, example)
    assert cost.groups
    agrees(cost, {}, cost.graph)
    for counts in [least(cost.groups), *(drawn(cost.groups, seed) for seed in range(4))]:
        agrees(cost, counts, smaller(model, cost.groups, counts, example))


@pytest.mark.parametrize("make", ZOO_NETS)
def test_costs_of_the_zoo_are_those_of_the_smaller_network(make: Callable[[], nn.Module]) -> None:
    model, example = make().eval(), torch.zeros(1, 3, 32, 32)
    cost = cost_of(model, example)
    counts = drawn(cost.groups, 0)
    agrees(cost, counts, smaller(model, cost.groups, counts, example))


def test_every_design_of_a_small_network_at_once() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 4), nn.Linear(4, 2)).eval()
    cost = cost_of(model, torch.zeros(1, 2, 4, 4))
    assert [group.channels for group in cost.groups] == [3, 4]
    designs = np.array(list(itertools.product(range(1, 4), range(1, 5))))
    a, b = designs.T
    assert cost.macs_of(designs).tolist() == (2 * 9 * 4 * a + 4 * a * b + 2 * b).tolist()
    assert cost.weights_of(designs).tolist() == (2 * 9 * a + 4 * a * b + 2 * b).tolist()
    assert cost.parameters_of(designs).tolist() == (18 * a + 4 * a * b + 2 * b + a + b + 2 + 2 * a).tolist()
    assert cost.bytes_of(designs).tolist() == (4 * cost.parameters_of(designs) + 4 * 2 * a).tolist()
    assert cost.macs_of(designs.reshape(3, 4, 2)).shape == (3, 4)


@pytest.mark.parametrize("name", ["residual", "dense", "grouped", "conv_lstm", "encoder"])
def test_costs_grow_with_every_count(name: str) -> None:
    model, inputs = net_of(name)
    cost = cost_of(model, inputs[:1])
    counts = drawn(cost.groups, 1)
    for group in cost.groups:
        rows = np.array([cost.counts({**counts, group.name: count}) for count in group.counts()])
        assert (np.diff(cost.macs_of(rows)) > 0).all() and (np.diff(cost.weights_of(rows)) > 0).all()


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
def test_an_lstm_with_projections_is_fixed_but_reads_fewer_features() -> None:
    class Projected(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.lstm = nn.Linear(4, 6), nn.LSTM(6, 7, 2, batch_first=True, proj_size=3)
            self.out = nn.Linear(3, 2)

        def forward(self, features: Tensor) -> Tensor:
            return self.out(self.lstm(self.first(features))[0])

    model, example = Projected().eval(), torch.zeros(1, 5, 4)
    groups = (ChannelGroup("first", 6, (Member("first", "out"), Member("lstm", "in"))),)
    agrees(ChannelCost(trace(model, example), groups), {"first": 2}, smaller(model, groups, {"first": 2}, example))


class Gram(nn.Module):
    """Multiplies what a layer made with itself."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, features: Tensor) -> Tensor:
        made = self.a(features)
        return self.c(self.b(features) + made @ (made.transpose(1, 2) @ made))


def test_channels_that_a_model_multiplies_by_itself_are_refused() -> None:
    graph = trace(Gram(), torch.zeros(1, 3, 4))
    group = ChannelGroup("a", 6, (Member("a", "out"), Member("b", "out"), Member("c", "in")))
    with pytest.raises(InputError, match=r"channel group 'a'.*'a' are multiplied.*the model.*\n.*--keep a"):
        ChannelCost(graph, [group])
    assert ChannelCost(graph, [ChannelGroup("b", 6, (Member("b", "out"),))]).macs({"b": 3}) == graph.macs - 3 * 3 * 4


class Filtered(nn.Module):
    """Fixed filters, held as a buffer, somewhere in a network."""

    def __init__(self, *, first: bool) -> None:
        super().__init__()
        self.first = first
        self.filters, self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 3, padding=1)
        weight = self.filters.weight.detach()
        del self.filters.weight
        self.filters.register_buffer("weight", weight)
        self.inner, self.out = nn.Conv2d(4, 8, 3), nn.Conv2d(8, 2, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv(self.filters(images)) if self.first else self.filters(self.conv(images))
        return self.out(self.inner(maps.relu()).relu())


def test_fixed_filters_cost_what_they_multiply() -> None:
    model, image = Filtered(first=True).eval(), torch.zeros(1, 4, 8, 8)
    groups = channel_groups(model, image, keep=["filters"])
    cost = ChannelCost(trace(model, image), groups)
    assert cost.graph.by_name["filters"].macs == 8 * 8 * 4 * 4 * 9
    counts = {"conv": 3, "inner": 5}
    agrees(cost, counts, smaller(model, groups, counts, image))


def test_channels_of_fixed_filters_are_refused_until_they_are_kept() -> None:
    model, image = Filtered(first=False).eval(), torch.zeros(1, 4, 8, 8)
    keep: list[str] = []
    for _ in range(2):
        with pytest.raises(InputError, match="'filters' has weights that are no parameters") as refused:
            ChannelCost(trace(model, image), channel_groups(model, image, keep=keep))
        keep.append(str(refused.value.remedy).rpartition("--keep ")[2])
    assert sorted(keep) == ["conv", "filters"]
    groups = channel_groups(model, image, keep=keep)
    assert ChannelCost(trace(model, image), groups).names == ("inner",)


def test_names_and_counts_that_do_not_exist_are_refused() -> None:
    model, image = net_of("residual")
    cost = cost_of(model, image[:1])
    with pytest.raises(InputError, match=r"no channel group 'stm'\n.*did you mean 'stem'"):
        cost.macs({"stm": 1})
    for count in (0, 7):
        with pytest.raises(InputError, match=rf"'stem': {count} channels.*of 6\n.*1 to 6"):
            cost.macs({"stem": count})


def test_bytes_of_dense_models() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    assert raw_bytes(model) == 4 * (54 + 3 + 6 + 6) + 8, "with the counter of batches"


def test_tied_weights_are_stored_once() -> None:
    model, _ = net_of("tied")
    assert raw_bytes(model) == 4 * sum(parameter.numel() for parameter in model.parameters())
