"""A model as one file, as small as its weights allow, that gives every tensor back bit for bit.

The file:

==========  ==========================================================================================================
4 bytes     the magic, ``SWNN``
1 byte      the version of the form, 1
4 bytes     CRC-32 of all that follows, little endian
number      length of the deflated header
...         the header, deflated: of each tensor its name, type, shape, and how it is coded, with tables and codebooks
...         the symbols of all tensors in one stream of an asymmetric numeral system, to the end
==========  ==========================================================================================================

A tensor that repeats an earlier one (tied weights) is a reference to it. What is coded is what runs: a pruned model
with its zeros, a shared one with its centroids, a quantized one with its rounded weights.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from automl_core.errors import InputError
from automl_core.runs import write_whole
from nn_compression.coding.byte_fields import ByteReader, damaged, deflated, inflated, number
from nn_compression.coding.entropy import Piece, StreamReader, coded_stream
from nn_compression.coding.tensor_code import Grid, check_size, check_type, read_tensor, tensor_piece
from nn_compression.files.tensor_files import held
from nn_compression.quantization.linear import frozen, quantized_weights
from nn_compression.quantization.quantized_layers import QuantizedWeight

__all__ = ["decode", "encode", "load_coded", "save_coded"]

_MAGIC, _VERSION = b"SWNN", 1
_FRAME = 9
"""Bytes before the header's length."""
_ALWAYS, _PER_BYTE = 1 << 22, 1000
"""Elements that any file may hold, and how many more for each of its bytes: a short file cannot fill the memory."""


def encode(model: nn.Module | Mapping[str, Tensor]) -> bytes:
    """A model as the bytes of a file.

    Args:
        model: a module, pruned, shared, quantized or none of these; or a state dict.

    Returns:
        what ``decode`` gives the state dict back from; of a quantized model, with the rounded weights.

    Raises:
        InputError: something in it is no tensor, or of a type that is not coded.
    """
    state, quantized = _what_runs(model) if isinstance(model, nn.Module) else (dict(model), {})
    names = sorted(state, key=lambda name: not name.endswith("_scale"))  # scales come before what they scale
    header, steps = Piece(number(len(names))), Piece()
    seen: dict[tuple[object, ...], int] = {}
    for place, name in enumerate(names):
        grid = _grid(name, names, state, quantized)
        piece = _earlier_or_new(_coded(name, state[name]), seen, place, grid)
        text = name.encode()
        header += Piece(number(len(text)) + text + piece.header)
        steps += Piece(b"", piece.steps)
    packed = deflated(header.header)
    body = number(len(packed)) + packed + coded_stream(steps.steps)
    return _MAGIC + bytes([_VERSION]) + zlib.crc32(body).to_bytes(4, "little") + body


def decode(data: bytes, most: int | None = None) -> dict[str, Tensor]:
    """The state dict of a coded model, bit for bit; each tensor with memory of its own.

    Args:
        data: as ``encode`` returned it.
        most: elements that all tensors may have together; by default four million, and a thousand more a byte.

    Raises:
        InputError: it is another file, damaged, of a later version, or larger than that.
    """
    fields = _opened(data)
    header = ByteReader(inflated(fields.raw(fields.number())))
    stream = StreamReader(fields.rest())
    left = _ALWAYS + _PER_BYTE * len(data) if most is None else most
    state: dict[str, Tensor] = {}
    for _ in range(header.number()):
        name, earlier, before = header.text(), header.number(), list(state.values())
        if name in state or earlier > len(before):
            raise damaged("a tensor comes twice, or repeats none")
        state[name] = _again(before[earlier - 1], left) if earlier else read_tensor(header, stream, left, before)
        left -= state[name].numel()
    if not header.ended or not stream.ended:
        raise damaged("there is more in it than its tensors")
    return state


def save_coded(path: Path, model: nn.Module | Mapping[str, Tensor]) -> int:
    """Write a model to a file, whole or not at all.

    Returns:
        its bytes.

    Raises:
        InputError: it cannot be written, or coded.
    """
    data = encode(model)
    write_whole(path, data)
    return len(data)


def load_coded(path: Path, most: int | None = None) -> dict[str, Tensor]:
    """The state dict in a file.

    Args:
        path: that ``save_coded`` wrote.
        most: as of ``decode``.

    Raises:
        InputError: it is not there, or ``decode`` refuses it.
    """
    try:
        return decode(path.read_bytes(), most)
    except OSError as error:
        remedy = "name the compressed file of a run"
        raise InputError(f"it cannot be read: {error.strerror}", place=str(path), remedy=remedy) from error
    except InputError as error:
        raise InputError(error.problem, place=str(path), remedy=error.remedy) from error


def _what_runs(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, QuantizedWeight]]:
    quantized = quantized_weights(model)
    return dict((frozen(model) if quantized else model).state_dict()), quantized


def _grid(
    name: str, names: list[str], state: Mapping[str, Tensor], quantized: Mapping[str, QuantizedWeight]
) -> Grid | None:
    if name not in quantized or f"{name}_scale" not in state:
        return None
    return Grid(quantized[name].integers, state[f"{name}_scale"], names.index(f"{name}_scale"))


def _coded(name: str, value: object) -> Tensor:
    """The tensor, if it can be coded."""
    tensor = held(name, value)
    check_type(tensor, f"state dict, {name}")
    return tensor


def _earlier_or_new(tensor: Tensor, seen: dict[tuple[object, ...], int], place: int, grid: Grid | None) -> Piece:
    """The number of an equal tensor before, counted from 1; or 0 and the tensor."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    key = tensor.dtype, tuple(tensor.shape), hashlib.sha256(flat.view(torch.uint8).numpy().data).digest()
    earlier = seen.setdefault(key, place)
    return Piece(number(earlier + 1)) if earlier < place else Piece(number(0)) + tensor_piece(tensor, grid)


def _again(tensor: Tensor, most: int) -> Tensor:
    """A copy: whoever loads the tensors themselves must not find equal ones tied."""
    check_size(tensor.numel(), most)
    return tensor.clone()


def _opened(data: bytes) -> ByteReader:
    """The fields after the frame."""
    if data[: len(_MAGIC)] != _MAGIC:
        remedy = "name a file that `sizewise compress` wrote"
        raise InputError("it is no coded model: it begins with other bytes", remedy=remedy)
    if len(data) < _FRAME:
        raise damaged("it ends too early")
    if data[4] != _VERSION:
        remedy = "it was written by another version of sizewise: read it with that one"
        raise InputError(f"its form has the version {data[4]}, this sizewise reads {_VERSION}", remedy=remedy)
    if zlib.crc32(data[_FRAME:]) != int.from_bytes(data[5:_FRAME], "little"):
        raise damaged("its checksum does not match")
    return ByteReader(data[_FRAME:])
