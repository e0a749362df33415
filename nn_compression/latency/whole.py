"""The latency of a network as it is, measured whole: in eager torch, or in ONNX Runtime, on one thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from automl_core.one_thread import one_thread
from nn_compression.export import onnx_program
from nn_compression.graph.execution import evaluation_copy, example_inputs
from nn_compression.latency.onnx_session import session_of
from nn_compression.latency.table import Engine
from nn_compression.latency.timing import Measurement, measured

__all__ = ["measure", "measure_file"]


def measure(
    model: nn.Module,
    example_input: Tensor | Sequence[Tensor],
    engine: Engine = "onnxruntime",
    *,
    budget: float = 0.1,
    rounds: int = 3,
) -> Measurement:
    """Measure a network.

    Args:
        model: unchanged; measured in evaluation mode, on the CPU.
        example_input: what its forward takes; the latency is that of this batch.
        engine: "onnxruntime", which it is exported to, or "eager".
        budget: seconds of each round.
        rounds: minima to take; their spread is shown.

    Raises:
        InputError: it cannot be exported.
    """
    inputs = tuple(tensor.detach().cpu() for tensor in example_inputs(example_input))
    copied = evaluation_copy(model).cpu()
    if engine == "eager":
        with one_thread(), torch.no_grad():
            return measured(lambda: copied(*inputs), engine, budget=budget, rounds=rounds)
    return _in_session(onnx_program(copied, inputs).SerializeToString(), inputs, budget, rounds)


def measure_file(
    path: Path, example_input: Tensor | Sequence[Tensor], *, budget: float = 0.1, rounds: int = 3
) -> Measurement:
    """Measure an ONNX file in ONNX Runtime.

    Args:
        path: the file.
        example_input: what it takes.
        budget: seconds of each round.
        rounds: minima to take.
    """
    return _in_session(path, example_inputs(example_input), budget, rounds)


def _in_session(model: bytes | Path, inputs: Sequence[Tensor], budget: float, rounds: int) -> Measurement:
    session = session_of(model)
    names = [given.name for given in session.get_inputs()]
    feeds = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=False)}
    return measured(lambda: session.run(None, feeds), "onnxruntime", budget=budget, rounds=rounds)
