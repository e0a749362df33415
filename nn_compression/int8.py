"""An ONNX file in 8-bit integers, kept only where it is measured to be faster here and as good.

Small networks can be slower in int8 than in floats: every tensor is rounded on the way, and the float kernels are good.
So both files are measured in turn on this machine, and one sentence says what came of it.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

from automl_core.errors import InputError
from automl_core.runs import write_whole
from nn_compression.latency.onnx_session import session_of
from nn_compression.latency.whole import measure_file

__all__ = ["Int8", "Run", "quantize_onnx", "runner"]

Run: TypeAlias = Callable[[Tensor], Tensor]
"""Inputs, shape (examples, ...) -> the network's first output."""

_BATCH = 32
_FASTER = 0.97
"""The share of the float file's time that int8 must stay below: less is lost in the measurement."""


@dataclass(frozen=True)
class Int8:
    """What came of it.

    Args:
        kept: whether the file was written.
        sentence: what to tell, with the figures.
        seconds: (float, int8) latency of one example, measured in turn; ``None``: the network could not be quantized.
        metric: (float, int8) by ``score``.
    """

    kept: bool
    sentence: str
    seconds: tuple[float, float] | None = None
    metric: tuple[float, float] | None = None


def quantize_onnx(
    source: Path,
    output: Path,
    calibration: Tensor,
    score: Callable[[Run], float],
    *,
    largest_drop: float = 0.5,
    higher_is_better: bool = True,
    unit: str = "%",
) -> Int8:
    """Try a file in 8-bit integers: static, QDQ, weights by channel (onnxruntime.quantization).

    Args:
        source: the ONNX file in floats, with one input.
        output: the file to write, if it pays.
        calibration: inputs to find the ranges of activations by, shape (examples, ...).
        score: judges a network by how it runs, on validation data.
        largest_drop: how much worse the metric may become.
        higher_is_better: whether a larger metric is the better one.
        unit: of the metric, for the sentence.

    Raises:
        InputError: the source cannot be read, or the output not written.
    """
    if not source.exists():
        raise InputError("there is no such file", place=str(source), remedy="export the network first")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        try:
            _quantize(source, path, calibration)
        except Exception as fault:  # the quantizer raises what it likes
            reason = next(iter(str(fault).strip().splitlines()), type(fault).__name__)
            return Int8(False, f"int8: not possible for this network ({reason}); the float file stands")
        found = _judged(source, path, calibration, score)
        sentence, kept = _verdict(found, output, largest_drop, 1.0 if higher_is_better else -1.0, unit)
        if kept:
            write_whole(output, path.read_bytes())
        return Int8(kept, sentence, *found)


def runner(path: Path) -> Run:
    """A network in ONNX Runtime, as a function of its inputs."""
    session = session_of(path)
    name = session.get_inputs()[0].name
    return lambda inputs: torch.from_numpy(session.run(None, {name: inputs.numpy()})[0])


class _Examples(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, inputs: Tensor) -> None:
        self._name, self._parts = name, iter(torch.split(inputs, _BATCH))

    def get_next(self) -> dict[str, Any] | None:
        part = next(self._parts, None)
        return None if part is None else {self._name: part.numpy()}


def _quantize(source: Path, output: Path, calibration: Tensor) -> None:
    prepared = output.with_name("prepared.onnx")
    name = session_of(source).get_inputs()[0].name
    with _silence():
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(output),
            _Examples(name, calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


_Pair: TypeAlias = tuple[float, float]


def _judged(source: Path, path: Path, calibration: Tensor, score: Callable[[Run], float]) -> tuple[_Pair, _Pair]:
    """Seconds and metric of both files; their rounds of timing alternate."""
    rounds = [
        tuple(measure_file(file, calibration[:1], budget=0.05, rounds=1).seconds for file in (source, path))
        for _ in range(3)
    ]
    floats, integers = (min(times) for times in zip(*rounds, strict=True))
    return (floats, integers), (score(runner(source)), score(runner(path)))


def _verdict(found: tuple[_Pair, _Pair], output: Path, largest_drop: float, sign: float, unit: str) -> tuple[str, bool]:
    (floats, integers), (before, after) = found
    factor = f"{floats / integers:.2f} times as fast"
    times = f"{integers * 1e3:.3g} ms against {floats * 1e3:.3g} ms in floats"
    metrics = f"{after:.4g} {unit} against {before:.4g} {unit}"
    if integers >= _FASTER * floats:
        return f"int8: no faster here ({times}), so not kept", False
    if not sign * (before - after) <= largest_drop:
        return f"int8: {factor} ({times}), but too inaccurate ({metrics}), so not kept", False
    return f"int8: {factor} ({times}), {metrics}: kept as {output.name}", True
