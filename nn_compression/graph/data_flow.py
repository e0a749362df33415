"""Where tensors come from: every operation is seen as it runs, and its result remembers which layers it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nn_compression.graph.products import is_product, product_macs, terms

__all__ = ["DataFlow", "Origin", "Product", "tensors_in"]

_ADDED = frozenset({"add", "add_", "sub", "sub_", "rsub"})
_JOINED = frozenset({"cat", "stack", "concat"})
_SCALED = frozenset({"mul", "mul_", "div", "div_"})


@dataclass
class Origin:
    """What a tensor is made of.

    Args:
        layers: layer -> role of the way from it.
        constants: parameters and buffers.
        given: whether the model's inputs are in it.
    """

    layers: dict[str, str] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)
    given: bool = False

    @property
    def constant(self) -> bool:
        """Whether parameters and buffers are all that it is made of."""
        return bool(self.constants) and not self.layers and not self.given


@dataclass(frozen=True)
class Product:
    """A product of matrices outside the known layers.

    Args:
        macs: multiply-accumulates.
        constants: parameters and buffers that one factor is made of; biases, which are added, are not among them.
        layers: layers that the others are made of, with roles.
        factor: the first factor that is no constant.
        output: what came out.
    """

    macs: int
    constants: frozenset[str]
    layers: Mapping[str, str]
    factor: Tensor
    output: Tensor


class DataFlow(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's __init_subclass__
    """Within this, origins are followed.

    They belong to the memory of a tensor, not to the tensor: views share them, and what is written in place adds to
    them. Memory stays alive until the end, so that no two tensors are taken for one.

    Args:
        found: is told every product, and names the layer that it is part of.
    """

    def __init__(self, found: Callable[[Product], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.paused = 0
        self._found = found
        self._origins: dict[int, Origin] = {}
        self._alive: list[object] = []
        self._depth: dict[str, int] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and to keep torch's compiler off it would be imported: seconds."""
        return False

    # Origins.

    def origin(self, tensor: Tensor) -> Origin:
        """Of one tensor."""
        return self._origins.get(self._memory(tensor), _NOTHING)

    def originate(self, tensor: Tensor, origin: Origin) -> None:
        """A tensor begins here: whatever it was made of no longer counts."""
        self._origins[self._memory(tensor, keep=True)] = origin

    def follows(self, layer: str, sources: Iterable[str]) -> None:
        """Notes that a layer reads what others made."""
        depth = 1 + max((self._depth.get(source, 0) for source in sources if source != layer), default=0)
        self._depth[layer] = max(depth, self._depth.get(layer, 0))

    def _memory(self, tensor: Tensor, keep: bool = False) -> int:
        try:
            memory: Any = tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):  # sparse, nested and other tensors without one memory
            memory, number = tensor, id(tensor)
        else:
            number = int(memory._cdata)
        if keep and number not in self._origins:
            self._alive.append(memory)
        return number

    # Operations.

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, and follow it unless a known layer is running."""
        del types
        named = kwargs or {}
        if self.paused:
            return func(*args, **named)
        if not (is_product(func) or func is torch.ops.prim.device.default):
            with self:
                inner = func.decompose(*args, **named)
            if inner is not NotImplemented:  # it consists of operations, which were followed
                return inner
        output = func(*args, **named)
        operands = tensors_in((args, named))
        macs = product_macs(func, args, named, output)
        made = self._product(macs, operands, terms(func, args), output) if macs else self._joined(_name(func), operands)
        for tensor in tensors_in(output):
            self._add(tensor, made)
        return output

    def _add(self, tensor: Tensor, origin: Origin) -> None:
        if not (origin.layers or origin.constants or origin.given):
            return
        known = self.origin(tensor)
        layers = {**origin.layers, **{name: role for name, role in known.layers.items() if name not in origin.layers}}
        constants, given = known.constants | origin.constants, known.given or origin.given
        self._origins[self._memory(tensor, keep=True)] = Origin(layers, constants, given)

    def _product(self, macs: int, operands: Sequence[Tensor], added: Sequence[Tensor], output: Any) -> Origin:
        origins = [self.origin(operand) for operand in operands]
        layers = merged(origin.layers for origin in origins)
        if all(origin.constant for origin in origins):  # what comes out is as good as a parameter
            return Origin({}, {name for origin in origins for name in origin.constants})
        factors = [operand for operand in operands if all(operand is not term for term in added)]
        constants = {name for one in factors if (own := self.origin(one)).constant for name in own.constants}
        varying = next((one for one in factors if not self.origin(one).constant), factors[0])
        name = self._found(Product(macs, frozenset(constants), layers, varying, tensors_in(output)[0]))
        self.follows(name, layers)
        return Origin({name: "forward"})

    def _joined(self, operation: str, operands: Sequence[Tensor]) -> Origin:
        origins = [self.origin(operand) for operand in operands]
        constants = {name for origin in origins for name in origin.constants}
        given = any(origin.given for origin in origins)
        return Origin(self._layers_of(operation, operands, origins), constants, given)

    def _layers_of(self, operation: str, operands: Sequence[Tensor], origins: Sequence[Origin]) -> dict[str, str]:
        """The layers of several operands, with the roles that the operation gives them."""
        several = [at for at, origin in enumerate(origins) if origin.layers]
        if len(several) < 2 or operation not in _ADDED | _JOINED | _SCALED:
            return merged(origin.layers for origin in origins)
        if operation in _JOINED:
            return merged(dict.fromkeys(origin.layers, "concatenated") for origin in origins)
        role = "residual" if operation in _ADDED else "scale"
        depth = {at: max(self._depth.get(name, 0) for name in origins[at].layers) for at in several}
        if operation in _ADDED:  # the residual is what went past layers
            main = max(several, key=lambda at: depth[at])
        else:  # the smaller one scales the larger one; of equal ones what went through more layers
            main = max(several, key=lambda at: (operands[at].numel(), -depth[at]))
        rest = [dict.fromkeys(origins[at].layers, role) for at in several if at != main]
        return merged([origins[main].layers, *rest])


_NOTHING = Origin()


def merged(all_layers: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """One role a layer: the first that is given, but ``forward`` before any other."""
    roles: dict[str, str] = {}
    for layers in all_layers:
        for name, role in layers.items():
            roles[name] = role if role == "forward" else roles.get(name, role)
    return roles


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in nested arguments or results."""
    leaves = [leaf.data if isinstance(leaf, PackedSequence) else leaf for leaf in tree_leaves(value)]
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def _name(operation: Any) -> str:
    return str(operation.overloadpacket.__name__)
