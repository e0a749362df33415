"""A network on disk: how to build it (JSON) and its weights (safetensors); no pickles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import torch
from torch import Tensor, nn

from automl_core.errors import InputError
from automl_core.runs import write_whole
from nn_compression.channels import prune
from nn_compression.channels.groups import ChannelGroup, Kept, group_from_json, group_to_json
from nn_compression.files.references import load_model
from nn_compression.files.tensor_files import digest, read_tensors, write_tensors
from nn_compression.quantization.bits import Bits
from nn_compression.quantization.linear import quantize

__all__ = ["ModelSpec", "check_checksum", "check_state", "load_saved", "load_weights", "read_spec", "save_model"]

_FORMAT, _OLDER = 2, 1
"""Of the spec; the checksum of the older one is of the weights alone."""
_SPEC, _WEIGHTS = "model.json", "model.safetensors"
_PICKLES = (b"PK\x03\x04", b"\x80\x02")
"""How files of ``torch.save`` begin."""
_COUNT = "num_batches_tracked"
"""Of a batch normalisation, which files of older torch do not hold."""


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """How a network is built: the base by its reference, then what was done to it, in this order.

    Args:
        reference: of the base model, as ``load_model`` takes it.
        input_shape: of one example input, with the batch axis of 1.
        input_type: its type, as torch names it: "float32", "int64".
        classes: outputs that a network of the zoo was built with.
        groups: of channels that were pruned.
        kept: channels that stayed, by group.
        bits: of linear-quantized layers, by layer.
        facts: what a reader may want to know (metrics, budget, seed); anything that JSON can hold.
    """

    reference: str
    input_shape: tuple[int, ...]
    input_type: str = "float32"
    classes: int | None = None
    groups: tuple[ChannelGroup, ...] = ()
    kept: Kept = field(default_factory=dict)
    bits: Mapping[str, Bits] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """The network, with weights that mean nothing yet.

        Raises:
            InputError: the base model cannot be loaded, or is not the one that it was.
        """
        example = torch.zeros(self.input_shape, dtype=_type(self.input_type))
        model = load_model(self.reference, example_input=example, classes=self.classes)
        if self.kept:
            model = prune(model, self.groups, self.kept)
        return quantize(model, self.bits, None) if self.bits else model


def save_model(folder: Path, model: nn.Module, spec: ModelSpec) -> None:
    """Write ``model.json`` and ``model.safetensors``, each whole or not at all; a checksum ties the two.

    Args:
        folder: made where it is not there.
        model: what ``spec.build()`` gives, with the weights that count.
        spec: how it is built.

    Raises:
        InputError: they cannot be written.
    """
    state = model.state_dict()
    write_tensors(folder / _WEIGHTS, state)
    content = {
        "format": _FORMAT,
        "reference": spec.reference,
        "input_shape": spec.input_shape,
        "input_type": spec.input_type,
        "classes": spec.classes,
        "groups": [group_to_json(group) for group in spec.groups if group.name in spec.kept],
        "kept": {name: channels.tolist() for name, channels in spec.kept.items()},
        "bits": {name: asdict(bits) for name, bits in spec.bits.items()},
        "facts": spec.facts,
        "versions": {package: version(package) for package in ("sizewise", "torch")},
    }
    content = orjson.loads(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY))  # as it is read again
    content["checksum"] = digest(state, content)
    write_whole(folder / _SPEC, orjson.dumps(content, option=orjson.OPT_INDENT_2))


def read_spec(folder: Path) -> ModelSpec:
    """How the network in a folder is built.

    Raises:
        InputError: there is none, or its file is damaged.
    """
    content, path = _content(folder), folder / _SPEC
    try:
        return ModelSpec(
            content["reference"],
            tuple(content["input_shape"]),
            content["input_type"],
            content["classes"],
            tuple(group_from_json(group) for group in content["groups"]),
            {name: torch.tensor(channels, dtype=torch.int64) for name, channels in content["kept"].items()},
            {name: Bits(**bits) for name, bits in content["bits"].items()},
            content["facts"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"it is damaged: {error!r}", place=str(path), remedy="write the model again") from error


def load_saved(folder: Path | str) -> nn.Module:
    """The network that ``save_model`` wrote, in evaluation mode.

    Raises:
        InputError: there is none, a file is damaged, or the base model is not the one that it was.
    """
    folder = Path(folder)
    spec, path = read_spec(folder), folder / _WEIGHTS
    tensors, _ = read_tensors(path, "write the model again")
    check_checksum(folder, tensors, path)
    model = spec.build()
    remedy = f"{spec.reference} has changed since this was written: bring back what it was"
    check_state(model, tensors, str(path), remedy)
    model.load_state_dict(tensors)
    return model.eval()


def load_weights(model: nn.Module, path: Path) -> None:
    """Put the weights of a safetensors file into a network; where one does not fit, none is put in.

    Raises:
        InputError: the file is not there, no safetensors file, damaged, or of another network.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        remedy = "name a safetensors file with --weights"
        raise InputError(f"it cannot be read: {error.strerror}", place=str(path), remedy=remedy) from error
    if start.startswith(_PICKLES) and start[8:] != b"{":  # the length before a safetensors header may begin so, too
        remedy = "write it anew: safetensors.torch.save_model(model, 'weights.safetensors')"
        raise InputError("it is a pickle, which can run any code when it is read", place=str(path), remedy=remedy)
    tensors, _ = read_tensors(path, "write it anew: safetensors.torch.save_model(model, 'weights.safetensors')")
    check_state(model, tensors, str(path), "name the weights of this network, or the network of these weights")
    model.load_state_dict(tensors, strict=False)  # what is missing shares its memory with what is there


def check_checksum(folder: Path, tensors: Mapping[str, Tensor], path: Path) -> None:
    """That tensors are those which the spec in a folder was written with, and that nobody has changed it since.

    Args:
        folder: that ``save_model`` wrote.
        tensors: by their names in the state dict.
        path: where they come from, for the error.

    Raises:
        InputError: they are not, or it was changed.
    """
    content = _content(folder)
    checksum = content.pop("checksum", None)
    if digest(tensors, None if content["format"] == _OLDER else content) != checksum:
        problem = f"it does not belong to the {_SPEC} beside it, or one of the two was changed: the checksum is another"
        raise InputError(problem, place=str(path), remedy="write the model again")


def check_state(model: nn.Module, tensors: Mapping[str, Tensor], place: str, remedy: str) -> None:
    """That tensors are a network's, all of them, and numbers.

    Counts of batches may be missing, as torch takes it, and infinity stands where the network itself has it (a mask of
    attention).

    Args:
        model: the network, with its initial weights.
        tensors: by their names in its state dict.
        place: where they come from, for the error.
        remedy: what to do.

    Raises:
        InputError: one is missing, too many, of another shape or holds what is no number; the first one is named.
    """
    state = model.state_dict()
    for name, tensor in state.items():
        if name in tensors and tensors[name].shape != tensor.shape:
            shapes = f"{_shape(tensors[name])} in the file, {_shape(tensor)} in the network"
            raise InputError(f"these are weights of another network: {name!r} is {shapes}", place=place, remedy=remedy)
    present = {tensor.data_ptr() for name, tensor in state.items() if name in tensors and tensor.numel()}
    needed = {name: tensor for name, tensor in state.items() if name.rpartition(".")[2] != _COUNT}
    missing = [name for name, tensor in needed.items() if name not in tensors and tensor.data_ptr() not in present]
    if missing:
        problem = (
            f"these are weights of another network: {missing[0]!r}, {_shape(state[missing[0]])}, is not in the file"
        )
        raise InputError(problem, place=place, remedy=remedy)
    foreign = [name for name in tensors if name not in state]
    if foreign:
        name = foreign[0]
        problem = f"these are weights of another network: it has no {name!r}, {_shape(tensors[name])} in the file"
        raise InputError(problem, place=place, remedy=remedy)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool((tensor.isfinite() | (tensor == state[name])).all()):
            problem = f"{name!r} holds values that are no numbers"
            raise InputError(problem, place=place, remedy="train the network again, with a lower learning rate")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"


def _type(name: str) -> torch.dtype:
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise InputError(f"there is no type {name!r}", place=_SPEC, remedy="write the model again")
    return found


def _content(folder: Path) -> dict[str, Any]:
    path = folder / _SPEC
    try:
        content = orjson.loads(path.read_bytes())
    except OSError as error:
        remedy = "name a folder that `sizewise compress` wrote"
        raise InputError("there is no saved model in this folder", place=str(folder), remedy=remedy) from error
    except orjson.JSONDecodeError as error:
        raise InputError(f"it is damaged: {error}", place=str(path), remedy="write the model again") from error
    if not isinstance(content, dict) or content.get("format") not in (_OLDER, _FORMAT):
        raise InputError("it is no model of this version", place=str(path), remedy="write the model again")
    return content
