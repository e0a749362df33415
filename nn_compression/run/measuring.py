"""A network in numbers: its metric, its cost, and its latency on this machine in both engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from nn_compression.data import SettledData
from nn_compression.graph.tracing import trace
from nn_compression.latency.whole import measure, measure_file
from nn_compression.run.deliverables import as_it_runs, in_floats
from nn_compression.run.kept import nonzero_weights
from nn_compression.run.outcome import Figures, Timing
from nn_compression.training.devices import best_device
from nn_compression.training.evaluation import evaluate

__all__ = ["figures_of", "onnx_in_turn", "timed_in_turn"]

_ROUNDS = 3


def figures_of(model: nn.Module, data: SettledData, file_bytes: int) -> Figures:
    """Judge a network and count it; latencies are not measured yet.

    Args:
        model: as it runs.
        data: what it is judged on.
        file_bytes: of its file.
    """
    runs, floats = as_it_runs(model), in_floats(model)
    return Figures(
        validation=evaluate(runs, data.validation, data.task, device=best_device()),
        test=evaluate(runs, data.test, data.task, device=best_device()),
        macs=trace(floats, data.example_input).macs,
        weights=nonzero_weights(floats),
        file_bytes=file_bytes,
    )


def timed_in_turn(
    networks: Sequence[tuple[Figures, nn.Module, Path | None]], example_input: Tensor
) -> tuple[Figures, ...]:
    """The same figures with latencies that can be compared: the rounds of all networks take turns.

    What the machine does beside, and how fast its clock runs at the moment, then meets all of them alike.

    Args:
        networks: figures, the network, its ONNX file, if there is one.
        example_input: what they take.
    """
    eager = _in_turn([_eager(in_floats(model), example_input) for _, model, _ in networks])
    onnx = iter(onnx_in_turn([path for _, _, path in networks if path is not None], example_input))
    return tuple(
        replace(figures, eager=slow, onnx=None if path is None else next(onnx))
        for (figures, _, path), slow in zip(networks, eager, strict=True)
    )


def onnx_in_turn(files: Sequence[Path], example_input: Tensor, rounds: int = _ROUNDS) -> list[Timing]:
    """Latencies of ONNX files that can be compared, as :func:`timed_in_turn`.

    Args:
        files: of the networks.
        example_input: what they take.
        rounds: measurements of each.
    """
    return _in_turn([_onnx(path, example_input) for path in files], rounds)


def _eager(model: nn.Module, example_input: Tensor) -> Callable[[], float]:
    return lambda: measure(model, example_input, "eager", rounds=1).seconds


def _onnx(path: Path, example_input: Tensor) -> Callable[[], float]:
    return lambda: measure_file(path, example_input, rounds=1).seconds


def _in_turn(measures: Sequence[Callable[[], float]], rounds: int = _ROUNDS) -> list[Timing]:
    found = [[once() for once in measures] for _ in range(rounds)]
    return [Timing(min(own), max(own) / min(own) - 1.0) for own in zip(*found, strict=True)]
