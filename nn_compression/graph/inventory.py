"""The numbers that a model holds: every parameter is counted at one place, and only once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from nn_compression.channels.axes import channel_dimension, norm_channels
from nn_compression.graph.layer import OtherParameters
from nn_compression.graph.layer_kinds import known_layer

__all__ = ["Holding", "Inventory"]


class Holding(NamedTuple):
    """What a layer holds, as in :class:`nn_compression.graph.layer.Layer`."""

    weights: int
    biases: int
    shared: int


class Inventory:
    """Who holds which parameter; layers are asked about in data-flow order, and the first that has one holds it.

    Args:
        model: that they belong to.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.tensors = dict([*model.named_parameters(), *model.named_buffers()])
        self._held: set[int] = set()

    def of_layer(self, path: str) -> Holding:
        """All parameters of a module and what is inside it."""
        weights = biases = shared = 0
        for name, tensor in self.model.get_submodule(path).named_parameters():
            before = self._hold(tensor)
            if "bias" in name:
                biases += 0 if before else tensor.numel()
            else:
                weights += tensor.numel()
                shared += tensor.numel() if before else 0
        return Holding(weights, biases, shared)

    def of_factors(self, names: Iterable[str]) -> Holding:
        """Parameters that a module multiplies by itself; buffers do not count."""
        parameters = [tensor for name in sorted(names) if isinstance(tensor := self.tensors[name], nn.Parameter)]
        return Holding(sum(tensor.numel() for tensor in parameters if not self._hold(tensor)), 0, 0)

    def _hold(self, tensor: Tensor) -> bool:
        """Whether it was held before."""
        before = id(tensor) in self._held
        self._held.add(id(tensor))
        return before

    def rest(self) -> Iterator[OtherParameters]:
        """What no layer that was asked about holds."""
        saved = self.model.state_dict(keep_vars=True)
        for path, module in self.model.named_modules():
            own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
            named = {f"{path}.{name}" if path else name: tensor for name, tensor in own}
            yield from _others(
                path, module, {name: one for name, one in named.items() if name in saved and not self._hold(one)}
            )


def _others(path: str, module: nn.Module, left: Mapping[str, Tensor]) -> Iterator[OtherParameters]:
    """Of one module: a norm as a whole, everything else tensor by tensor."""
    trained = {name: tensor for name, tensor in left.items() if isinstance(tensor, nn.Parameter)}
    buffers = {name: one for name, one in left.items() if name not in trained and one.is_floating_point()}
    channels = norm_channels(module)
    if channels is not None:
        if trained or buffers:
            parameters, others = (sum(tensor.numel() for tensor in each.values()) for each in (trained, buffers))
            yield OtherParameters(path, "norm", parameters, others, channels)
        return
    for name, tensor in trained.items():
        unused = known_layer(module) is not None
        yield OtherParameters(name, "unused" if unused else "parameter", tensor.numel(), 0, _channels(tensor))
    for name, buffer in buffers.items():
        yield OtherParameters(name, "buffer", 0, buffer.numel(), _channels(buffer))


def _channels(tensor: Tensor) -> int:
    return int(tensor.shape[channel_dimension(tensor)]) if tensor.dim() else 1
