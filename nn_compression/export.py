"""A network as an ONNX file that gives the same outputs in ONNX Runtime."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl_core.errors import InputError
from automl_core.runs import write_whole
from nn_compression.files.user_code import users_line
from nn_compression.graph.execution import evaluation_copy, example_inputs, without_fused_attention
from nn_compression.latency.onnx_session import session_of
from nn_compression.quantization.quantized_layers import QuantizedLayer

__all__ = ["TOLERANCE", "Exported", "export_onnx", "onnx_program", "silence"]

TOLERANCE = 1e-4
"""How far an output may lie from torch's, for outputs up to 1; larger ones in proportion."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_BATCHES = (1, 3)
"""Examples at a time that the file is tried with."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        path: the file.
        size: in bytes.
        difference: the greatest distance of an output from torch's, over the greatest output where that is above 1.
        any_batch: whether it takes any number of examples; otherwise as many as the example input had.
    """

    path: Path
    size: int
    difference: float
    any_batch: bool


def export_onnx(
    model: nn.Module, example_input: Tensor | Sequence[Tensor], path: Path, *, tolerance: float = TOLERANCE
) -> Exported:
    """Write a model to an ONNX file, once its outputs in ONNX Runtime are those of torch.

    They are compared for the example input, repeated and disturbed. Of a network that rounds its activations the median
    has to agree: a value on the edge between two levels may be rounded the other way, and takes a whole step.

    Args:
        model: unchanged; exported in evaluation mode.
        example_input: what its forward takes, with a batch axis first, which may have any length in the file.
        path: the file.
        tolerance: greatest difference.

    Raises:
        InputError: the model cannot be exported, its file cannot be run or written, or gives other outputs. Nothing is
            left then.
    """
    inputs = tuple(tensor.detach().cpu() for tensor in example_inputs(example_input))
    if not all(tensor.ndim for tensor in inputs):
        remedy = "give each input a batch axis: torch.tensor([2.0])"
        raise InputError("an example input is a single number", place=str(path), remedy=remedy)
    copied = evaluation_copy(model).cpu()
    program, any_batch = _program(copied, inputs)
    content = program.SerializeToString()
    batches = _BATCHES if any_batch else (len(inputs[0]),)
    rounds = any(isinstance(layer, QuantizedLayer) for layer in model.modules())
    try:
        session = session_of(content)
        difference = max(_difference(copied, session, _examples(inputs, size), rounds=rounds) for size in batches)
    except Exception as fault:  # ONNX Runtime raises what it likes
        remedy = "use the model in torch, or give it and its inputs a type that ONNX Runtime computes in: model.float()"
        raise InputError(f"the file cannot be run: {_reason(fault)}", place="onnxruntime", remedy=remedy) from fault
    if not difference <= tolerance:
        raise InputError(
            f"the outputs in ONNX Runtime differ from torch's by {difference:.2g}, more than {tolerance:g}",
            place=str(path),
            remedy="use the model in torch: an operation of it is exported wrongly",
        )
    write_whole(path, content)
    return Exported(path, len(content), difference, any_batch)


def _program(model: nn.Module, inputs: Sequence[Tensor]) -> tuple[onnx.ModelProto, bool]:
    """The model for any number of examples; for as many as there are in the inputs, where it cannot be so."""
    with contextlib.suppress(Exception):  # the model and the exporter raise what they like
        with torch.no_grad():
            model(*_examples(inputs, _BATCHES[-1]))
        program = onnx_program(model, _examples(inputs, 2), any_batch=True)
        if all(given.type.tensor_type.shape.dim[0].dim_param for given in program.graph.input):
            return program, True
    try:
        return onnx_program(model, inputs), False
    except Exception as fault:  # as above
        remedy = "use the model in torch, or write what it does in operations that torch.onnx exports"
        cause = _first_cause(fault)
        place = users_line(cause) or "torch.onnx"
        raise InputError(f"the model cannot be exported: {_reason(cause)}", place=place, remedy=remedy) from fault


def _first_cause(fault: BaseException) -> BaseException:
    """What the exporter's own errors, which say what may be done about torch, come from."""
    while fault.__cause__ is not None:
        fault = fault.__cause__
    return fault


def _reason(fault: BaseException) -> str:
    """In a line."""
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode  # only here: it costs sympy

    if isinstance(fault, GuardOnDataDependentSymNode):
        return "which operations it does depends on the values of tensors, and a file holds one fixed course"
    lines = _COLOURS.sub("", str(fault)).strip().splitlines()
    return lines[0] if lines else type(fault).__name__


def onnx_program(model: nn.Module, inputs: Sequence[Tensor], *, any_batch: bool = False) -> onnx.ModelProto:
    """A model as torch's exporter writes it; nothing is printed and no warning given.

    Args:
        model: in the mode in which it is exported.
        inputs: examples of what its forward takes.
        any_batch: whether the first axis of each input may have any length.

    Raises:
        Exception: whatever the exporter makes of a model that it cannot export.
    """
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} for _ in inputs) if any_batch else None
    with silence(), torch.no_grad(), without_fused_attention():
        program = torch.onnx.export(
            model, tuple(inputs), dynamo=True, external_data=False, dynamic_shapes=shapes, verbose=False
        )
    if program is None:
        raise InputError("the model cannot be exported", place="torch.onnx")
    return program.model_proto


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Within this nothing is printed, warned of or logged.

    The exporter prints its progress, warns of what its own libraries deprecate, and logs what is not installed.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    heard = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _examples(inputs: Sequence[Tensor], size: int) -> tuple[Tensor, ...]:
    """So many examples, the first as it is: floats disturbed by a tenth of their spread, integers shifted about."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for given in inputs:
        repeated = given[torch.arange(size) % len(given)].clone()
        if given.is_floating_point():
            scale = 0.1 * float(given.std()) if given.numel() > 1 else 0.1
            repeated[1:] += scale * torch.randn(repeated[1:].shape, generator=generator, dtype=given.dtype)
        else:
            for row in range(1, size):
                repeated[row] = repeated[row].roll(row)
        made.append(repeated)
    return tuple(made)


def _difference(model: nn.Module, session: Any, inputs: Sequence[Tensor], *, rounds: bool) -> float:
    with torch.no_grad(), without_fused_attention():
        expected = [value.numpy() for value in _tensors(model(*inputs))]
    names = [given.name for given in session.get_inputs()]
    feeds = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    found = session.run(None, feeds)
    if len(found) != len(expected):
        return float("inf")
    return max(_distance(ours, theirs, rounds=rounds) for ours, theirs in zip(found, expected, strict=True))


def _distance(ours: NDArray[Any], theirs: NDArray[Any], *, rounds: bool) -> float:
    """Infinite where shapes differ, or what is no finite number."""
    if ours.shape != theirs.shape:
        return float("inf")
    ours, theirs, finite = ours.astype(float), theirs.astype(float), np.isfinite(theirs)
    if not np.array_equal(ours[~finite], theirs[~finite], equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    apart = np.abs(ours[finite] - theirs[finite])
    return float((np.median(apart) if rounds else apart.max()) / max(1.0, np.abs(theirs[finite]).max()))


def _tensors(outputs: Any) -> Iterator[Tensor]:
    """The tensors of a model's outputs, in order."""
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, Mapping):
        for part in outputs.values():
            yield from _tensors(part)
    elif isinstance(outputs, list | tuple):
        for part in outputs:
            yield from _tensors(part)
