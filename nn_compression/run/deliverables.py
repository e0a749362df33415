"""What a run leaves for use: the network's spec and weights, its coded file, its ONNX files; and how they are read."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from automl_core.errors import InputError
from nn_compression.coding.codec import load_coded, save_coded
from nn_compression.data import SettledData
from nn_compression.export import export_onnx
from nn_compression.files.model_files import ModelSpec, check_checksum, check_state, read_spec, save_model
from nn_compression.graph.execution import evaluation_copy
from nn_compression.int8 import InFile, quantize_onnx
from nn_compression.quantization.linear import frozen, is_quantized, plain
from nn_compression.training.evaluation import evaluate

__all__ = [
    "CODED",
    "INT8",
    "ONNX",
    "Deliverables",
    "as_it_runs",
    "export",
    "in_floats",
    "load_compressed",
    "try_int8",
    "write_deliverables",
]

CODED, ONNX, INT8 = "model.swnn", "model.onnx", "model.int8.onnx"
_EXAMPLES = 256
"""Training examples that the ranges of an int8 file are taken from."""


@dataclass(frozen=True)
class Deliverables:
    """What was written.

    Args:
        file_bytes: of the coded file.
        onnx: the ONNX file; ``None`` where the network cannot be exported.
        notes: what a person should know of them.
    """

    file_bytes: int
    onnx: Path | None
    notes: tuple[str, ...] = ()


def as_it_runs(model: nn.Module) -> nn.Module:
    """A quantized network with its rounded weights in place; any other as it is. In evaluation mode."""
    return (frozen(model) if is_quantized(model) else model).eval()


def in_floats(model: nn.Module) -> nn.Module:
    """The network in torch's own layers; a quantized one with rounded weights, its activations not rounded."""
    return plain(model) if is_quantized(model) else model


def write_deliverables(folder: Path, model: nn.Module, spec: ModelSpec, example_input: Tensor) -> Deliverables:
    """Write ``model.json``, ``model.safetensors``, ``model.swnn`` and ``model.onnx``, each whole or not at all.

    The coded file is read back, and must give the very network that was written.

    Raises:
        InputError: one cannot be written.
    """
    model = as_it_runs(model)
    save_model(folder, model, spec)
    size = save_coded(folder / CODED, model)
    _compare(model, load_compressed(folder), folder / CODED)
    onnx, notes = export(model, example_input, folder / ONNX)
    return Deliverables(size, onnx, notes)


def export(model: nn.Module, example_input: Tensor, path: Path) -> tuple[Path | None, tuple[str, ...]]:
    """Write a network's ONNX file, or say in a line why there is none: it is worth its other files then, too.

    A file that takes one number of examples alone is told, too.
    """
    try:
        exported = export_onnx(model, example_input, path)
    except InputError as error:
        return None, (f"no {path.name}: {error.place}: {error.problem}",)
    if exported.any_batch:
        return path, ()
    return path, (f"{path.name} for {len(example_input)} example at a time: torch exports it for no other number",)


def try_int8(folder: Path, model: nn.Module, data: SettledData, largest_drop: float) -> str:
    """Write ``model.int8.onnx`` where 8-bit integers are measured to pay; what came of it, in a sentence.

    Args:
        folder: of the run.
        model: the network.
        data: ranges are taken from its training split, the metric from its validation split.
        largest_drop: how much worse the metric may become, in its unit.
    """

    def score(network: InFile) -> float:
        return evaluate(network, data.validation, data.task, batch=network.batch or _EXAMPLES)

    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))
    calibration = data.train.inputs[order[:_EXAMPLES].sort().values]
    with tempfile.TemporaryDirectory(prefix="sizewise-") as aside, torch.no_grad():
        source = folder / ONNX
        try:
            if is_quantized(model):
                source = export_onnx(in_floats(model), data.example_input, Path(aside) / ONNX).path
            return quantize_onnx(
                source,
                folder / INT8,
                calibration,
                evaluation_copy(model).cpu()(data.example_input.cpu()),
                score,
                forward=data.task.forward,
                largest_drop=largest_drop,
                higher_is_better=data.task.higher_is_better,
                unit=data.task.unit,
            ).sentence
        except InputError as error:
            return f"int8: not possible for this network ({error.problem})"


def load_compressed(folder: Path | str) -> nn.Module:
    """The network in the coded file of a run, built by the spec beside it, in evaluation mode.

    Raises:
        InputError: a file is missing, damaged, or of another network.
    """
    folder = Path(folder)
    model = read_spec(folder).build()
    tensors = load_coded(folder / CODED, most=sum(tensor.numel() for tensor in model.state_dict().values()))
    check_checksum(folder, tensors, folder / CODED)
    check_state(model, tensors, str(folder / CODED), "name the folder of the run that wrote it")
    model.load_state_dict(tensors, strict=False)  # what is missing shares its memory with what is there
    return model.eval()


def _compare(written: nn.Module, read: nn.Module, path: Path) -> None:
    """To the bit; a model that was written is what is judged, so what is read must be the same."""
    there = read.state_dict()
    for name, tensor in written.state_dict().items():
        if not torch.equal(there[name].cpu(), tensor.cpu()):
            raise InputError(f"{name!r} comes back otherwise than it was written", place=str(path))
