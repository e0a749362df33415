"""The design space of a network: its layers as nodes, the tensors between them as edges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from automl_core.space import DesignSpace, Node, Variable
from nn_compression.graph.tracing import NetworkGraph

__all__ = ["network_space"]


def network_space(
    graph: NetworkGraph, variables: Iterable[Variable], slots: Mapping[str, Mapping[str, str]]
) -> DesignSpace:
    """A space over all layers of a network; those with no slot are there to be heard of by their neighbours.

    Variables are decided in the order of the layers that use them first: a variable that several layers share (coupled
    channels) at the first of them.

    Args:
        graph: the network.
        variables: what is decided, in any order.
        slots: by layer, what the variables are to it: ``{"conv1": {"channels": "conv1"}}``. Slot names are shared by
            all layers, for the agent knows a coordinate as kind and slot (``conv.channels``). What is no layer of the
            graph (a norm whose channels are coupled to those of a layer) is left out.

    Raises:
        InputError: a slot names a variable that is not among those given, or a variable is no layer's.
    """
    features = graph.features()
    nodes = [
        Node(layer.name, layer.kind, features[layer.name], dict(slots.get(layer.name, {}))) for layer in graph.layers
    ]
    by_name = {variable.name: variable for variable in variables}
    order = dict.fromkeys(name for node in nodes for name in node.slots.values())
    for name in order:
        if name not in by_name:
            raise InputError(
                f"a slot names the unknown variable {name!r}", remedy=did_you_mean(name, by_name, "the variables")
            )
    if idle := [name for name in by_name if name not in order]:
        raise InputError(f"no layer uses the variable {idle[0]!r}", remedy="give it a slot")
    return DesignSpace([by_name[name] for name in order], nodes, graph.edges)
