"""An ONNX file in 8-bit integers, kept only where it is measured to be faster here and as good.

Small networks can be slower in int8 than in floats: every tensor is rounded on the way, and the float kernels are good.
So both files are measured in turn on this machine, and one sentence says what came of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from automl_core.errors import InputError
from automl_core.runs import write_whole
from nn_compression.export import silence
from nn_compression.latency.onnx_session import session_of
from nn_compression.latency.whole import measure_file
from nn_compression.tasks import Forward, call

__all__ = ["InFile", "Int8", "quantize_onnx"]

_BATCH = 32
_FASTER = 0.97
"""The share of the float file's time that int8 must stay below: less is lost in the measurement."""


class InFile(nn.Module):
    """A network in an ONNX file, called as the one in torch is.

    Args:
        path: the file.
        outputs: of the network in torch for any input: the tensors of the file come in their structure.

    Attributes:
        batch: examples that it takes at a time; ``None``: any number.
    """

    def __init__(self, path: Path, outputs: Any) -> None:
        super().__init__()
        self._session = session_of(path)
        self._leaves, self._structure = tree_flatten(outputs)
        examples = self._session.get_inputs()[0].shape[0]
        self.batch: int | None = examples if isinstance(examples, int) else None

    def forward(self, *inputs: Tensor, **named: Tensor) -> Any:
        """What the network in torch returns."""
        found = iter(self._session.run(None, self.fed(*inputs, **named)))
        leaves = [torch.from_numpy(next(found)) if isinstance(leaf, Tensor) else leaf for leaf in self._leaves]
        return tree_unflatten(leaves, self._structure)

    def fed(self, *inputs: Tensor, **named: Tensor) -> dict[str, Any]:
        """The arrays that the file is given for the inputs of a call, by the file's names."""
        names = [given.name for given in self._session.get_inputs()]
        given = {**named, **dict(zip((name for name in names if name not in named), inputs, strict=True))}
        return {name: given[name].numpy() for name in names}


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
    outputs: Any,
    score: Callable[[InFile], float],
    *,
    forward: Forward = call,
    largest_drop: float = 0.5,
    higher_is_better: bool = True,
    unit: str = "%",
) -> Int8:
    """Try a file in 8-bit integers: static, QDQ, weights by channel (onnxruntime.quantization).

    Args:
        source: the ONNX file in floats.
        output: the file to write, if it pays.
        calibration: inputs to find the ranges of activations by, shape (examples, ...).
        outputs: of the network in torch for any input, which ``score`` expects the structure of.
        score: judges a network by how it runs, on validation data.
        forward: (model, inputs) -> outputs; for models that want more than ``model(inputs)``.
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
            floats = InFile(source, outputs)
            inputs = _fed(floats, calibration, forward)
            _quantize(source, path, inputs)
            found = _judged((source, floats), (path, InFile(path, outputs)), inputs[0], score)
        except Exception as fault:  # the quantizer, the user's forward and metric raise what they like
            reason = next(iter(str(fault).strip().splitlines()), type(fault).__name__)
            return Int8(False, f"int8: not possible for this network ({reason}); the float file stands")
        sentence, kept = _verdict(found, output, largest_drop, 1.0 if higher_is_better else -1.0, unit)
        if kept:
            write_whole(output, path.read_bytes())
        return Int8(kept, sentence, *found)


_Feeds: TypeAlias = dict[str, Any]


def _fed(network: InFile, inputs: Tensor, forward: Forward) -> list[_Feeds]:
    """What reaches a network, batch by batch, when the task runs it."""
    seen: list[_Feeds] = []
    with network.register_forward_pre_hook(
        lambda _, given, named: seen.append(network.fed(*given, **named)), with_kwargs=True
    ):
        for part in torch.split(inputs.cpu(), network.batch or _BATCH):
            forward(network, part)
    return seen


class _Examples(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Sequence[_Feeds]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> _Feeds | None:
        return next(self._feeds, None)


def _quantize(source: Path, output: Path, feeds: Sequence[_Feeds]) -> None:
    prepared = output.with_name("prepared.onnx")
    with silence():
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(output),
            _Examples(feeds),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


_Pair: TypeAlias = tuple[float, float]


def _judged(
    floats: tuple[Path, InFile], integers: tuple[Path, InFile], feeds: _Feeds, score: Callable[[InFile], float]
) -> tuple[_Pair, _Pair]:
    """Seconds and metric of both files; their rounds of timing alternate."""
    example = [torch.from_numpy(array[: floats[1].batch or 1]) for array in feeds.values()]
    rounds = [
        tuple(measure_file(path, example, budget=0.05, rounds=1).seconds for path, _ in (floats, integers))
        for _ in range(3)
    ]
    least = [min(times) for times in zip(*rounds, strict=True)]
    return (least[0], least[1]), (score(floats[1]), score(integers[1]))


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
