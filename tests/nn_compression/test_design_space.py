"""A network as a design space: nodes, slots, edges, and the order of decisions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from automl_core.agent.graph import DesignGraph
from automl_core.errors import InputError
from automl_core.space import Variable
from nn_compression.channels import channel_groups
from nn_compression.design_space import network_space
from nn_compression.graph.tracing import trace
from nn_compression.problems.channel_problem import channel_slots
from tests.nn_compression.channel_nets import IMAGE, Split, net_of


def test_coupled_layers_share_a_variable_that_is_decided_at_the_first() -> None:
    model, image = net_of("residual")
    graph = trace(model, image[:1])
    groups = channel_groups(model, image[:1])
    variables = [Variable(group.name, 1, group.channels, integer=True) for group in reversed(groups)]
    slots = {
        member.layer: {"outputs": group.name} for group in groups for member in group.members if member.axis == "out"
    }
    space = network_space(graph, variables, slots)
    assert [variable.name for variable in space.variables] == ["stem", "conv1", "conv2"]
    assert space.owners["conv2"].name == "conv2"
    shared = [node.name for node in space.nodes if node.slots.get("outputs") == "conv2"]
    assert shared == ["conv2", "shortcut", "depthwise"]
    assert space.edges == graph.edges
    steps = DesignGraph(space).steps
    assert [space.nodes[step.node].name for step in steps] == ["stem", "conv1", "conv2"]


def test_a_layer_that_makes_the_channels_of_several_groups_has_a_slot_for_each() -> None:
    model, image = Split().eval(), IMAGE[:1]
    groups = channel_groups(model, image)
    variables = [Variable(group.name, 1, group.channels, integer=True) for group in groups]
    space = network_space(trace(model, image), variables, channel_slots(groups))
    assert [variable.name for variable in space.variables] == ["a[0:8]", "a[8:16]", "middle", "b"]
    assert [dict(node.slots) for node in space.nodes] == [
        {"channels": "a[0:8]", "channels_2": "a[8:16]"},
        {"channels": "middle"},
        {"channels": "b"},
        {},
    ]
    assert [step.node for step in DesignGraph(space).steps] == [0, 1, 2]


def test_all_layers_are_nodes_with_their_kinds_and_features() -> None:
    model, tokens = net_of("encoder")
    graph = trace(model, tokens[:1])
    slots = {layer.name: {"weights": f"{layer.name}.w", "inputs": f"{layer.name}.a"} for layer in graph.layers[1:]}
    variables = [Variable(name, 1, 8, integer=True) for own in slots.values() for name in own.values()]
    space = network_space(graph, variables, slots)
    assert [(node.name, node.kind) for node in space.nodes] == [(layer.name, layer.kind) for layer in graph.layers]
    assert all(node.features == graph.features()[node.name] for node in space.nodes)
    assert space.dim == 2 * (len(graph.layers) - 1)
    assert space.nodes[0].slots == {}


@pytest.mark.parametrize(
    ("slots", "said"),
    [
        ({"1": {"outputs": "v"}}, r"no layer uses the variable 'v'"),
        ({"0": {"outputs": "u"}}, r"unknown variable 'u'"),
        ({"0": {}}, r"no layer uses the variable 'v'"),
    ],
)
def test_what_does_not_fit_is_refused(slots: dict[str, dict[str, str]], said: str) -> None:
    graph = trace(nn.Sequential(nn.Linear(3, 2)), torch.zeros(1, 3))
    with pytest.raises(InputError, match=said):
        network_space(graph, [Variable("v", 1, 3, integer=True)], slots)
