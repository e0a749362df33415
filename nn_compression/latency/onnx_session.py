"""ONNX Runtime on one thread, silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime

__all__ = ["session_of"]

_ERRORS_ONLY = 3


def session_of(model: bytes | Path, *, optimized: bool = True, save: Path | None = None) -> Any:
    """A session that computes on the thread that calls it.

    Args:
        model: the file, or its content.
        optimized: whether the graph is fused and laid out as ONNX Runtime finds best; otherwise it runs as it is.
        save: where to write the graph as it is run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    if save is not None:
        options.optimized_model_filepath = str(save)
    given = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
