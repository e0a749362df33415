"""Units of recurrent layers: LSTM, GRU and plain RNN, stacked, in two directions, and their cells.

All layers and directions of one module have the same number of units, because torch has one ``hidden_size`` for them,
but each may keep units of its own: they are the *copies* of a channel group. Copy ``layer * directions + direction``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from automl_core.errors import InputError
from nn_compression.channels.axes import Indices, Narrowed

__all__ = [
    "Recurrent",
    "copies",
    "directions",
    "narrowed_recurrent",
    "refuse_projection",
    "tensor_names",
]

Recurrent: TypeAlias = nn.RNNBase | nn.RNNCellBase
RECURRENT = (nn.RNNBase, nn.RNNCellBase)
"""For ``isinstance``: modules whose units feed themselves."""


def directions(module: Recurrent) -> int:
    """1 or 2."""
    return 2 if isinstance(module, nn.RNNBase) and module.bidirectional else 1


def copies(module: Recurrent) -> int:
    """Layers times directions."""
    return module.num_layers * directions(module) if isinstance(module, nn.RNNBase) else 1


def refuse_projection(module: nn.Module, name: str) -> None:
    """Raises for an LSTM with projections, whose outputs are not its units.

    Raises:
        InputError: ``proj_size`` is not 0.
    """
    if getattr(module, "proj_size", 0):
        raise InputError(
            f"the LSTM {name!r} projects its {module.hidden_size} units to {module.proj_size} outputs, "
            "and units behind a projection are not pruned",
            place=name,
            remedy="keep this layer, or train the model with proj_size=0",
        )


def tensor_names(module: Recurrent, copy: int) -> dict[str, str]:
    """The module's parameters of one copy: ``weight_ih``, ``weight_hh`` and, with biases, ``bias_ih``, ``bias_hh``."""
    suffix = ""
    if isinstance(module, nn.RNNBase):
        layer, backward = divmod(copy, directions(module))
        suffix = f"_l{layer}{'_reverse' if backward else ''}"
    kinds = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if module.bias else [])]
    return {kind: f"{kind}{suffix}" for kind in kinds}


def narrowed_recurrent(module: Recurrent, units: Sequence[Tensor] | None, inputs: Indices) -> Narrowed:
    """The module's tensors and attributes when only these units and input features stay.

    Args:
        module: the recurrent module.
        units: the units that stay, for each copy; ``None`` for all.
        inputs: the input features that stay; ``None`` for all.

    Raises:
        InputError: the copies do not keep equally many units.
    """
    if units is not None and len({len(own) for own in units}) > 1:
        raise InputError(
            f"layers of one recurrent module keep {[len(own) for own in units]} units",
            remedy="keep equally many in each layer and direction",
        )
    new = Narrowed()
    for copy in range(copies(module)):
        _narrow_copy(
            module, copy, None if units is None else units[copy], _read(module, copy, units, inputs), new.tensors
        )
    new.attributes["hidden_size"] = module.hidden_size if units is None else len(units[0])
    new.attributes["input_size"] = module.input_size if inputs is None else len(inputs)
    return new


def _read(module: Recurrent, copy: int, units: Sequence[Tensor] | None, inputs: Indices) -> Indices:
    """What stays of the features that a copy reads: the module's inputs, or the layer below it, both directions."""
    layer, hidden = copy // directions(module), int(module.hidden_size)
    if layer == 0 or units is None:
        return inputs if layer == 0 else None
    below = units[(layer - 1) * directions(module) : layer * directions(module)]
    return torch.cat([own + direction * hidden for direction, own in enumerate(below)])


def _narrow_copy(module: Recurrent, copy: int, own: Indices, read: Indices, tensors: dict[str, Tensor]) -> None:
    hidden = int(module.hidden_size)
    for kind, name in tensor_names(module, copy).items():
        tensor: Tensor = getattr(module, name).detach()
        if own is not None:
            gates = torch.arange(tensor.shape[0] // hidden).unsqueeze(1) * hidden
            tensor = tensor.index_select(0, (gates + own).reshape(-1).to(tensor.device))
        columns = {"weight_ih": read, "weight_hh": own}.get(kind)
        if columns is not None:
            tensor = tensor.index_select(1, columns.to(tensor.device))
        if own is not None or columns is not None:
            tensors[name] = tensor
