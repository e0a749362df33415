"""One run of a model on an example: its layers, the edges between them, and what else it holds."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from automl_core.errors import InputError
from automl_core.space import Edge
from nn_compression.graph.data_flow import DataFlow, Origin, Product, merged, tensors_in
from nn_compression.graph.execution import example_inputs, failed_run, without_fused_attention
from nn_compression.graph.inventory import Inventory
from nn_compression.graph.layer import Layer, OtherParameters
from nn_compression.graph.layer_kinds import KnownLayer, bare_shape, known_layer

__all__ = ["record"]


def record(
    model: nn.Module, example_input: Tensor | tuple[Tensor, ...]
) -> tuple[tuple[Layer, ...], tuple[Edge, ...], tuple[OtherParameters, ...]]:
    """Layers in data-flow order, edges, and all other numbers of a model: see ``tracing.trace``.

    Raises:
        InputError: the model cannot be run or followed, or there are several examples.
    """
    inputs = tuple(tensor.detach() for tensor in example_inputs(example_input))
    _check_followable(model)
    _check_single(model, inputs)
    duplicate = _duplicate(model)
    recording = _Recording(duplicate)
    devices = sorted({tensor.device.index for tensor in model.parameters() if tensor.device.type == "cuda"})
    with torch.random.fork_rng(devices), without_fused_attention(), torch.no_grad():
        recording.run(inputs)
    if not recording.layers:
        raise InputError(
            f"{type(model).__name__} has no layer that multiplies weights",
            remedy="give a model with convolutions, linear or recurrent layers",
        )
    inventory = Inventory(duplicate)
    return tuple(recording.finished(inventory)), tuple(recording.edges()), tuple(inventory.rest())


def _check_followable(model: nn.Module) -> None:
    for name, module in model.named_modules():
        place = f"module {name or type(model).__name__!r} ({type(module).__name__})"
        if isinstance(module, torch.jit.ScriptModule):
            remedy = "give the module that it was scripted or traced from"
            raise InputError("a scripted module cannot be followed layer by layer", place=place, remedy=remedy)
        if type(module).__name__ == "OptimizedModule" or module._compiled_call_impl is not None:
            remedy = "give the module as it was before torch.compile"
            raise InputError("a compiled module cannot be followed layer by layer", place=place, remedy=remedy)
        if any(is_lazy(tensor) for tensor in [*module._parameters.values(), *module._buffers.values()]):
            remedy = "run the model once on an example, so that it takes its shape"
            raise InputError("a lazy module has no shape yet", place=place, remedy=remedy)


def _check_single(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Refuses several examples: their MACs would be taken for those of one."""
    if not inputs or inputs[0].dim() == 0:
        return
    shape = inputs[0].shape
    sequence_first = any(getattr(module, "batch_first", True) is False for module in model.modules())
    if shape[0] == 1 or (sequence_first and inputs[0].dim() > 1 and shape[1] == 1):
        return
    raise InputError(
        f"the example input has {shape[0]} examples, shape {tuple(shape)}",
        remedy="give one example with a batch axis of 1: example[:1], or example.unsqueeze(0) where there is no batch",
    )


def _duplicate(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode that shares the parameters, and has buffers and Python state of its own."""
    shared: dict[int, object] = {id(parameter): parameter for parameter in model.parameters()}
    for module in model.modules():
        computed = (value for value in vars(module).values() if isinstance(value, Tensor) and not value.is_leaf)
        shared.update((id(tensor), tensor) for tensor in computed)  # torch refuses to copy what has a gradient function
    try:
        duplicate = copy.deepcopy(model, shared).eval()
    except Exception as fault:  # a user's attributes raise what they like
        raise InputError(
            f"{type(model).__name__} cannot be copied: {type(fault).__name__}: {fault}",
            remedy="take what cannot be copied (locks, open files, generators) out of its attributes",
        ) from fault
    for module in duplicate.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return duplicate


class _Call:
    """A known layer, as it ran."""

    def __init__(self, name: str, kind: KnownLayer, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
        self.name, self.kind, self.shapes = name, kind, shapes
        self.macs = self.calls = 0


class _OwnProducts:
    """Products of one module outside its layers, as they ran."""

    def __init__(self, name: str, first: Product) -> None:
        self.name, self.first = name, first
        self.macs = 0
        self.constants: set[str] = set()


class _Recording:
    """What happens while a model runs."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.layers: dict[str, _Call | _OwnProducts] = {}
        self._running: list[str] = []
        self._edges: dict[tuple[str, str], str] = {}
        self._flow = DataFlow(self._found)

    # Running.

    def run(self, inputs: tuple[Tensor, ...]) -> None:
        """Run the model once.

        Raises:
            InputError: it fails; the innermost module that was running is named.
        """
        inputs = tuple(tensor.clone() for tensor in inputs)
        for name, tensor in (*self.model.named_parameters(), *self.model.named_buffers()):
            self._flow.originate(tensor, Origin(constants={name}))
        for tensor in inputs:
            self._flow.originate(tensor, Origin(given=True))
        try:
            with self._hooks(), self._flow:
                self.model(*inputs)
        except Exception as fault:  # a user's forward raises what it likes
            raise failed_run(self.model, self._running, inputs, fault) from fault

    @contextmanager
    def _hooks(self) -> Iterator[None]:
        hooks = []
        for name, module in self.model.named_modules():
            known = known_layer(module)
            before, after = self._watched(name, module, known)
            hooks.append(module.register_forward_pre_hook(before, with_kwargs=True))
            hooks.append(module.register_forward_hook(after, with_kwargs=True))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _watched(self, name: str, module: nn.Module, known: KnownLayer | None) -> tuple[Any, Any]:
        signature = inspect.signature(module.forward) if known is not None else None

        def before(_: nn.Module, args: Any, kwargs: Any) -> None:
            self._running.append(name)
            if known is not None:
                self._flow.paused += 1

        def after(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if known is not None and signature is not None:
                self._flow.paused -= 1
                if not self._flow.paused:
                    self._called(name, known, signature.bind(*args, **kwargs).arguments, output)
            self._running.pop()

        return before, after

    def _called(self, name: str, known: KnownLayer, given: Mapping[str, Any], output: Any) -> None:
        """A known layer ran: what it read leads to it, and what it made comes from it alone."""
        made = tensors_in(output)
        call = self.layers.get(name)
        if not isinstance(call, _Call):
            read = tensors_in(list(given.values()))[0]
            call = _Call(name, known, (known.bare_shape(read), known.bare_shape(made[0])))
            self.layers[name] = call
        call.macs += known.macs(given, made[0])
        call.calls += 1
        for position, value in enumerate(given.values()):
            role = _ROLES.get(known.kind) if position else None
            for tensor in tensors_in(value):
                sources = self._flow.origin(tensor).layers
                self._flow.follows(name, sources)
                self._lead(sources, name, role)
        for tensor in made:
            self._flow.originate(tensor, Origin({name: "forward"}))

    def _found(self, product: Product) -> str:
        """A product outside the known layers: part of the innermost module that is running."""
        name = self._running[-1] if self._running else ""
        part = self.layers.pop(name, None) or _OwnProducts(name, product)
        self.layers[name] = part  # last, for what it multiplies comes from layers that ran meanwhile
        part.macs += product.macs
        if isinstance(part, _OwnProducts):
            part.constants |= product.constants
        self._lead({layer: role for layer, role in product.layers.items() if layer != name}, name, None)
        return name

    def _lead(self, layers: Mapping[str, str], target: str, role: str | None) -> None:
        order = list(self.layers)
        for source, own in layers.items():
            again = order.index(source) >= order.index(target)
            said = "recurrent" if again else role if role is not None and own == "forward" else own
            known = self._edges.get((source, target), said)
            self._edges[source, target] = merged([{source: known}, {source: said}])[source]

    # What was seen.

    def edges(self) -> Iterator[Edge]:
        """One edge for each pair of layers, however many tensors lead from one to the other."""
        for (source, target), role in self._edges.items():
            yield Edge(source, target, role)

    def finished(self, inventory: Inventory) -> Iterator[Layer]:
        """The layers, with what they hold."""
        for part in self.layers.values():
            yield _known(part, inventory) if isinstance(part, _Call) else _other(part, inventory)


_ROLES = {"lstm": "state", "gru": "state", "rnn": "state", "attention": "memory"}
"""The role of what a layer is given beside its first argument."""


def _known(call: _Call, inventory: Inventory) -> Layer:
    kind, (weights, biases, shared) = call.kind, inventory.of_layer(call.name)
    sizes = (kind.inputs, kind.outputs, kind.kernel, kind.stride, kind.groups)
    read, made = call.shapes
    return Layer(call.name, kind.kind, *sizes, weights, biases, call.macs, read, made, call.calls, shared, kind.square)


def _other(part: _OwnProducts, inventory: Inventory) -> Layer:
    read, made = part.first.factor, part.first.output
    inputs, outputs = (int(tensor.shape[-1]) if tensor.dim() else 1 for tensor in (read, made))
    weights = inventory.of_factors(part.constants).weights
    shapes = (bare_shape(read), bare_shape(made))
    return Layer(part.name, "other", inputs, outputs, (), (), 1, weights, 0, part.macs, *shapes)
