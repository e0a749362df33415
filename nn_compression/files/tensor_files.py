"""Named tensors in a safetensors file, with facts about them and a checksum: no pickles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.nn.parameter import is_lazy

from automl_core.errors import InputError
from automl_core.runs import write_whole

__all__ = ["digest", "held", "read_tensors", "write_tensors"]

_FACTS, _CHECKSUM = "facts", "checksum"


def held(name: str, value: object) -> Tensor:
    """A value of a state dict, if it is a tensor with its values in memory: modules may keep anything as extra state.

    Raises:
        InputError: it is none.
    """
    place = f"state dict, {name}"
    if not isinstance(value, Tensor):
        remedy = "keep it as a tensor (register_buffer), or outside the state dict"
        raise InputError(f"a {type(value).__name__} cannot be coded", place=place, remedy=remedy)
    if is_lazy(value):
        remedy = "run the network on an input once before it is returned"
        raise InputError("a tensor that has no shape yet cannot be coded", place=place, remedy=remedy)
    if value.is_meta:
        remedy = "build the network on the CPU, not on the device meta"
        raise InputError("a tensor without values cannot be coded", place=place, remedy=remedy)
    if value.layout != torch.strided:
        problem = f"a tensor laid out as {value.layout} cannot be coded"
        raise InputError(problem, place=place, remedy="keep it dense: tensor.to_dense()")
    return value


def digest(tensors: Mapping[str, Tensor], facts: Any = None) -> str:
    """A checksum of names, types, shapes and contents, in hexadecimal; the order of the names does not matter.

    Args:
        tensors: by name.
        facts: anything that JSON can hold.

    Raises:
        InputError: one is no tensor with its values in memory.
    """
    sha = hashlib.sha256(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS))
    for name in sorted(tensors):
        tensor = held(name, tensors[name]).detach().cpu().contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Any = None) -> None:
    """Write tensors, and facts that JSON can hold, whole or not at all.

    Raises:
        InputError: it cannot be written, or one is no tensor with its values in memory.
    """
    apart = {
        name: held(name, tensor).detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    text = orjson.dumps(facts).decode()
    content = save(apart, {_FACTS: text, _CHECKSUM: digest(apart, facts)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "check the rights there"
        raise InputError(f"cannot be made: {error.strerror}", place=str(path.parent), remedy=remedy) from error
    write_whole(path, content)


def read_tensors(path: Path, remedy: str) -> tuple[dict[str, Tensor], Any]:
    """The tensors and facts of a file; its checksum is compared where it has one.

    Args:
        path: any safetensors file.
        remedy: what to do where it cannot be read.

    Raises:
        InputError: it is not there, no safetensors file, or damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"it cannot be read: {error.strerror}", place=str(path), remedy=remedy) from error
    try:
        tensors = load(content)
        about = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
        facts = orjson.loads(about.get(_FACTS, "null"))
    except (SafetensorError, ValueError) as error:
        raise InputError(f"it is damaged, or no safetensors file: {error}", place=str(path), remedy=remedy) from error
    if _CHECKSUM in about and about[_CHECKSUM] != digest(tensors, facts):
        raise InputError("it is damaged: its checksum does not match", place=str(path), remedy=remedy)
    return tensors, facts
