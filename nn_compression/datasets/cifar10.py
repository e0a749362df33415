"""CIFAR-10 in its binary version: records of a label byte and 3,072 bytes (cs.toronto.edu/~kriz/cifar.html)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl_core.errors import InputError
from nn_compression.data import Data, Split
from nn_compression.datasets.folder import data_folder, read_whole
from nn_compression.training.augmentation import pad_crop_flip

__all__ = ["cifar10_data", "label_of"]

_SOURCE = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz (unpacked: cifar-10-batches-bin)"
_RECORD = 1 + 3 * 32 * 32
_MEAN, _DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Of the pixels of the 50,000 training images, between 0 and 1, by channel."""
_FULL, _SUBSET = 50_000, 20_000


def cifar10_data() -> Data:
    """CIFAR-10: 32x32 colour images of ten classes, normalised; a tenth of the training images is to be held out.

    However many of the training batches are there are read. The label says how many images that made.

    Raises:
        InputError: a file is missing or damaged.
    """
    folder = data_folder() / "cifar-10-batches-bin"
    numbered = [folder / f"data_batch_{number}.bin" for number in range(1, 6)]
    train = _split([numbered[0], *(path for path in numbered[1:] if path.is_file())])
    test = _split([folder / "test_batch.bin"])
    example = train.inputs[:1].clone()
    return Data(train, None, test, example, "classification", pad_crop_flip, 10, label_of(len(train)))


def label_of(images: int) -> str:
    """What to call results on so many training images.

    20,000 is the size of the balanced subset that was recompressed as JPEG once.
    """
    if images == _FULL:
        return "CIFAR-10"
    return "CIFAR-10 (20k, JPEG)" if images == _SUBSET else f"CIFAR-10 ({images:,} of {_FULL:,} images)"


def _split(paths: Sequence[Path]) -> Split:
    records = np.concatenate([_records(path) for path in paths])
    return Split(_normalised(records[:, 1:]), torch.from_numpy(records[:, 0].astype(np.int64)))


def _records(path: Path) -> NDArray[np.uint8]:
    content = read_whole(path, _SOURCE)
    remedy = f"get it again from {_SOURCE}"
    if not content or len(content) % _RECORD:
        problem = f"the file is damaged: {len(content):,} bytes are no whole number of records of {_RECORD:,}"
        raise InputError(problem, place=str(path), remedy=remedy)
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    if records[:, 0].max() > 9:
        problem = f"the file is damaged: it has a label {records[:, 0].max()}, above 9"
        raise InputError(problem, place=str(path), remedy=remedy)
    return records


def _normalised(pixels: NDArray[np.uint8]) -> Tensor:
    """Shape (examples, 3, 32, 32), mean 0 and deviation 1 by channel over CIFAR-10."""
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) * 255 for values in (_MEAN, _DEVIATION))
    images = torch.from_numpy(pixels.astype(np.float32)).view(-1, 3, 32, 32)
    return images.sub_(mean).div_(deviation)
