"""A network in numbers: its metric, its cost, and its latency on this machine in both engines."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from automl_core.one_thread import one_thread
from nn_compression.data import SettledData
from nn_compression.deliverables import as_it_runs
from nn_compression.devices import best_device
from nn_compression.evaluation import evaluate
from nn_compression.export import export_onnx
from nn_compression.graph import trace
from nn_compression.kept import nonzero_weights
from nn_compression.onnx_session import session_of
from nn_compression.outcome import Figures, Timing
from nn_compression.quantization import plain, quantized_weights
from nn_compression.timing import measured

__all__ = ["eager_latency", "figures_of", "in_floats", "latency_in_onnx", "onnx_latency"]


def in_floats(model: nn.Module) -> nn.Module:
    """The network in torch's own layers, whose operations can be counted; a quantized one without its rounding."""
    return plain(model) if quantized_weights(model) else model


def figures_of(model: nn.Module, data: SettledData, file_bytes: int, onnx: Path | None) -> Figures:
    """Judge and measure a network.

    Args:
        model: as it runs.
        data: what it is judged on.
        file_bytes: of its file.
        onnx: its ONNX file, where there is one.
    """
    runs, floats = as_it_runs(model), in_floats(model)
    return Figures(
        validation=evaluate(runs, data.validation, data.task, device=best_device()),
        test=evaluate(runs, data.test, data.task, device=best_device()),
        macs=trace(floats, data.example_input).macs,
        weights=nonzero_weights(floats),
        file_bytes=file_bytes,
        eager=eager_latency(floats, data.example_input),
        onnx=None if onnx is None else onnx_latency(onnx, data.example_input),
    )


def eager_latency(model: nn.Module, example_input: Tensor) -> Timing:
    """Latency of one example in torch, operator by operator, on one thread of the CPU."""
    placed = model.cpu().eval()
    with one_thread(), torch.inference_mode():
        found = measured(lambda: placed(example_input), "eager")
    return Timing(found.seconds, found.spread)


def onnx_latency(path: Path, example_input: Tensor) -> Timing:
    """Latency of one example in ONNX Runtime, on one thread."""
    session = session_of(path)
    feed = {session.get_inputs()[0].name: example_input.numpy()}
    found = measured(lambda: session.run(None, feed), "onnxruntime")
    return Timing(found.seconds, found.spread)


def latency_in_onnx(model: nn.Module, example_input: Tensor) -> Timing:
    """The same of a network that is in no file yet.

    Raises:
        InputError: it cannot be exported.
    """
    with tempfile.TemporaryDirectory(prefix="sizewise-") as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(in_floats(model), example_input, path)
        return onnx_latency(path, example_input)
