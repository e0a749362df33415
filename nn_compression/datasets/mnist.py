"""MNIST in its own layout, IDX files, gzipped or not (yann.lecun.com/exdb/mnist, "FILE FORMATS")."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl_core.errors import InputError
from nn_compression.data import Data, Split
from nn_compression.datasets.folder import data_folder, read_whole

__all__ = ["mnist_data", "read_idx"]

_SOURCE = "https://ossci-datasets.s3.amazonaws.com/mnist/ (four files, into MNIST/raw)"
_MEAN, _DEVIATION = 0.1307, 0.3081
"""Of the pixels of the training images, between 0 and 1."""
_HELD_OUT = 5000
_UNSIGNED_BYTE = 8


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An array of bytes from an IDX file.

    Args:
        path: the file, without its ``.gz``; the gzipped one is taken where the plain one is not there.

    Raises:
        InputError: neither is there, or it is damaged or no IDX file of bytes.
    """
    source = path if path.is_file() else path.with_name(path.name + ".gz")
    content = read_whole(source, _SOURCE)
    remedy = f"get it again from {_SOURCE}"
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"the file is damaged: {error}", place=str(source), remedy=remedy) from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE:
        raise InputError("this is no IDX file of bytes", place=str(source), remedy=remedy)
    start = 4 + 4 * content[3]
    shape = struct.unpack(f">{content[3]}I", content[4:start]) if len(content) >= start else (0,)
    if math.prod(shape) != len(content) - start:
        problem = f"the file is damaged: {len(content) - start:,} bytes where shape {shape} has {math.prod(shape):,}"
        raise InputError(problem, place=str(source), remedy=remedy)
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def mnist_data() -> Data:
    """MNIST: 28x28 grey images of digits, normalised; 5,000 training images are to be held out for validation.

    Raises:
        InputError: a file is missing or damaged.
    """
    folder = data_folder() / "MNIST" / "raw"
    train, test = _split(folder, "train"), _split(folder, "t10k")
    return Data(
        train, None, test, train.inputs[:1].clone(), "classification", classes=10, label="MNIST", held_out=_HELD_OUT
    )


def _split(folder: Path, part: str) -> Split:
    path = folder / f"{part}-images-idx3-ubyte"
    images, labels = read_idx(path), read_idx(folder / f"{part}-labels-idx1-ubyte")
    if images.ndim != 3 or labels.shape != images.shape[:1] or not len(images) or labels.max() > 9:
        problem = f"images of shape {images.shape} and labels of shape {labels.shape} are no MNIST"
        raise InputError(problem, place=str(path), remedy=f"get both files again from {_SOURCE}")
    return Split(normalised(images), torch.from_numpy(labels.astype(np.int64)))


def normalised(images: NDArray[np.uint8]) -> Tensor:
    """Shape (examples, 1, height, width), mean 0 and deviation 1 over MNIST."""
    pixels = torch.from_numpy(images.astype(np.float32)).unsqueeze(1)
    return pixels.sub_(255 * _MEAN).div_(255 * _DEVIATION)
