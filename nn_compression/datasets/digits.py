"""The handwritten digits that come with scikit-learn: 1,797 grey images of 8x8 pixels, no file needed."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

from nn_compression.data import Data, Split

__all__ = ["digits_data"]

_TEST, _HELD_OUT = 360, 300
_ORDER_SEED = 0
"""Of the fixed shuffle that the test split is taken from; the writers of the images come one after the other."""


def digits_data() -> Data:
    """Digits: normalised images, a fifth of them to judge by; 300 of the rest are to be held out for validation."""
    pixels, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels.astype(np.float32)).view(-1, 1, 8, 8)
    images = (images - images.mean()) / images.std()
    targets = torch.from_numpy(labels.astype(np.int64))
    order = torch.from_numpy(np.random.default_rng(_ORDER_SEED).permutation(len(images)))
    train, test = order[_TEST:], order[:_TEST]
    return Data(
        Split(images[train], targets[train]),
        None,
        Split(images[test], targets[test]),
        images[train[:1]],
        "classification",
        classes=10,
        label="digits",
        held_out=_HELD_OUT,
    )
