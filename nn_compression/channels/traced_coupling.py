"""Coupled channels of convolutional networks, by the dependency graph of torch-pruning (Fang et al., DepGraph, 2023).

torch-pruning follows the graph that autograd records. It knows residual sums, concatenations, flattened maps and
depthwise and grouped convolutions, and is fast; it fails on recurrent layers and on ``nn.TransformerEncoderLayer``, for
which ``probed_coupling`` is.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
import torch_pruning
from torch import Tensor, nn

from nn_compression.channels.axes import axis_size
from nn_compression.channels.coupling import Coupling, Side, makes_channels
from nn_compression.channels.recurrent import RECURRENT

__all__ = ["traceable", "traced_coupling"]


def traceable(model: nn.Module) -> bool:
    """Whether a model has only layers that torch-pruning knows."""
    return not any(isinstance(module, (*RECURRENT, nn.MultiheadAttention)) for module in model.modules())


def traced_coupling(
    model: nn.Module, inputs: tuple[Tensor, ...], order: Sequence[str], keep: frozenset[str]
) -> Coupling:
    """The links between a model's layers.

    Args:
        model: a copy that may be changed; in evaluation mode.
        inputs: what its forward takes.
        order: paths of its modules in the order of execution.
        keep: paths of the layers that must make all their channels.

    Raises:
        LookupError: a layer ran, but is not in torch-pruning's graph (autograd did not record it).
        Exception: whatever torch-pruning raises where it cannot follow a model.
    """
    model.requires_grad_(True)
    graph = torch_pruning.DependencyGraph()
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph.build_dependency(model, inputs, verbose=False)
    names = {id(module): name for name, module in model.named_modules()}
    names |= {id(parameter): graph._param_to_name[parameter] for parameter, _ in graph.unwrapped_parameters}
    parameters = {graph._param_to_name[parameter]: parameter for parameter, _ in graph.unwrapped_parameters}
    coupling = Coupling({**dict(model.named_modules()), **parameters}, order, keep)
    for name, module in model.named_modules():
        if makes_channels(module) and name in coupling.order:
            if module not in graph.module2node:
                raise LookupError(f"{name!r} is not in the graph")
            _follow(graph, module, names, coupling)
    return coupling


def _follow(graph: torch_pruning.DependencyGraph, module: nn.Module, names: dict[int, str], coupling: Coupling) -> None:
    """Links the channels that a layer makes to all that torch-pruning would remove with them."""
    root = Side(names[id(module)], "out")
    pruner = graph.get_pruner_of_module(module).prune_out_channels
    for item in graph.get_pruning_group(module, pruner, list(range(axis_size(module, "out")))).items:
        made = graph.is_out_channel_pruning_fn(item.dep.handler)
        if made and not item.dep.target.outputs:
            coupling.fix(root, np.unique(np.asarray(item.root_idxs, np.int64)))  # it reaches the network's output
        path = names.get(id(item.dep.target.module))
        side = Side(path, "out" if made else "in") if path is not None else None
        if side is not None and coupling.has(side):
            coupling.link(root, np.asarray(item.root_idxs, np.int64), side, np.asarray(item.idxs, np.int64))
