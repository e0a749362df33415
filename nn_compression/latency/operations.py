"""The operations of a network in order, with the exact shapes of their arguments, as torch is asked for them.

Operations are recorded at torch's own functions (``conv2d``, ``batch_norm``, ``add``), which a model reaches however
its forward is written; the model needs no tracing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from automl_core.errors import InputError
from nn_compression.graph.execution import evaluation_copy, example_inputs, without_fused_attention

__all__ = ["Argument", "Operation", "Shaped", "arguments_text", "record", "shaped_parts"]


@dataclass(frozen=True)
class Shaped:
    """A tensor among the arguments of an operation.

    Args:
        shape: of the tensor.
        dtype: of the tensor, without "torch.".
        source: the operation that made it, by position; -1 for the network's input, ``None`` for a weight or constant.
    """

    shape: tuple[int, ...]
    dtype: str
    source: int | None


Argument: TypeAlias = Any
"""A ``Shaped``, a number, text, a dtype, ``None``, or a tuple or dictionary of these."""


@dataclass(frozen=True)
class Operation:
    """One call of a torch function.

    Args:
        function: what was called.
        arguments: positional ones.
        named: keyword arguments.
        outputs: the tensors that it returned.
    """

    function: Callable[..., Any]
    arguments: tuple[Argument, ...]
    named: tuple[tuple[str, Argument], ...]
    outputs: tuple[Shaped, ...]

    @property
    def name(self) -> str:
        """The last part of the function's name: "conv2d"."""
        return str(getattr(self.function, "__name__", self.function))

    @property
    def text(self) -> str:
        """The operation with the shapes of its arguments: equal texts take equal time."""
        return self._text(wired=False)

    @property
    def wired_text(self) -> str:
        """The same, with where each tensor comes from within a block."""
        return self._text(wired=True)

    def _text(self, *, wired: bool) -> str:
        given = [arguments_text(value, wired=wired) for value in self.arguments]
        named = [f"{name}={arguments_text(value, wired=wired)}" for name, value in self.named]
        return f"{self.name}({', '.join([*given, *named])})"

    def tensors(self) -> list[Shaped]:
        """The tensors among the arguments, in order."""
        return list(shaped_parts((self.arguments, tuple(value for _, value in self.named))))


def shaped_parts(argument: Argument) -> Iterator[Shaped]:
    """The tensors within an argument."""
    if isinstance(argument, Shaped):
        yield argument
    elif isinstance(argument, tuple):
        for part in argument:
            yield from shaped_parts(part)


def arguments_text(argument: Argument, *, wired: bool = False) -> str:
    """An argument as text: tensors by type and shape, and by where they come from if ``wired``."""
    if isinstance(argument, Shaped):
        kind = "" if argument.dtype == "float32" else f"{argument.dtype} "
        source = f"#{argument.source} " if wired and argument.source is not None else ""
        return f"{source}{kind}[{'x'.join(map(str, argument.shape))}]"
    if isinstance(argument, tuple):
        return f"({', '.join(arguments_text(part, wired=wired) for part in argument)})"
    if isinstance(argument, float):
        return f"{argument:g}"
    return str(argument)


def record(model: nn.Module, example_input: Tensor | Sequence[Tensor]) -> tuple[Operation, ...]:
    """Run a model once in evaluation mode, on the CPU, and note the operations that make tensors.

    Args:
        model: unchanged.
        example_input: what its forward takes, with a batch axis.

    Raises:
        InputError: the model fails on the example input.
    """
    inputs = tuple(tensor.detach().cpu() for tensor in example_inputs(example_input))
    recorder = _Recorder(inputs)
    copied = evaluation_copy(model).cpu()
    try:
        with torch.no_grad(), without_fused_attention(), recorder:
            copied(*inputs)
    except Exception as fault:  # a user's forward raises what it likes
        raise InputError(
            f"the model cannot be run on its example input: {type(fault).__name__}: {fault}",
            remedy="give an example input, with a batch dimension, as the model's forward takes it",
        ) from fault
    return tuple(recorder.operations)


class _Recorder(TorchFunctionMode):
    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self._sources = {id(tensor): -1 for tensor in inputs}
        self._held: list[Any] = list(inputs)  # an id is that of one tensor for as long as it lives

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        arguments = tuple(map(self._shaped, args))
        kept = tuple((name, self._shaped(value)) for name, value in named.items())
        result = func(*args, **named)
        tensors = [part for part in _flat(result) if isinstance(part, Tensor)]
        if tensors and not _is_property(func):
            number = len(self.operations)
            self._held.append(result)
            self._sources |= {id(tensor): number for tensor in tensors}
            outputs = tuple(self._shaped(tensor) for tensor in tensors)
            self.operations.append(Operation(func, arguments, kept, outputs))
        return result

    def _shaped(self, value: Any) -> Argument:
        if isinstance(value, Tensor):
            self._held.append(value)
            return Shaped(tuple(value.shape), str(value.dtype).removeprefix("torch."), self._sources.get(id(value)))
        if isinstance(value, list | tuple):
            return tuple(map(self._shaped, value))
        if isinstance(value, dict):
            return tuple((key, self._shaped(part)) for key, part in value.items())
        return value


def _flat(result: Any) -> Iterator[Any]:
    if isinstance(result, list | tuple):
        for part in result:
            yield from _flat(part)
    else:
        yield result


def _is_property(function: Callable[..., Any]) -> bool:
    return getattr(function, "__name__", "") in ("__get__", "__set__")
