"""Plain text for language models of characters: windows, and what of them is judged.

The state of a recurrent network starts at zero in every window: windows are then examples like images, which can be
shuffled, exported and shared out, and a network needs no input but its tokens. What this would cost the metric is
taken out of it: outside training the windows overlap, and of each only the characters past the overlap are judged, so
that every character of the split is judged once, with at least that many before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from automl_core.errors import InputError
from nn_compression.data import Data, Split
from nn_compression.datasets.folder import data_folder, read_whole
from nn_compression.tasks import IGNORED

__all__ = ["TextSplit", "text_data", "tinyshakespeare_data"]

_SOURCE = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt "
    "(as text/tinyshakespeare.txt)"
)
_SHARES = (0.9, 0.05)
"""Of the text, from its start, for training and validation; the rest is the test."""
_WINDOW, _CONTEXT = 192, 64
"""Characters in a window, and how many of its first are only context where windows are judged."""


@dataclass(frozen=True, eq=False)
class TextSplit(Split):
    """A text cut into windows; anew for every shuffled pass.

    Args:
        tokens: the whole text, shape (characters,). A shuffled pass cuts it from a random offset, so that the places
            where the state starts at zero differ from pass to pass.
    """

    tokens: Tensor

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """As ``Split.batches``; with a generator the windows start at a random offset."""
        if generator is None:
            yield from super().batches(size)
            return
        window = self.inputs.shape[1]
        offset = int(torch.randint(window, (), generator=generator))
        yield from Split(*_cut(self.tokens[offset:], window)).batches(size, generator)


def text_data(path: Path, source: str | None = None) -> Data:
    """The characters of a text file: 90 % to train on, 5 % to choose by, 5 % to judge by, in the order of the text.

    Windows are 192 characters long; those to judge by overlap by 64.

    Args:
        path: UTF-8 text.
        source: where to get it, for the error that a data set is missing; ``None``: it is the user's own.

    Raises:
        InputError: the file is missing, no UTF-8, or too short.
    """
    content = read_whole(path, source)
    try:
        codes = np.frombuffer(content.decode("utf-8").encode("utf-32-le"), np.uint32)
    except UnicodeDecodeError as error:
        problem = f"it is no UTF-8 text: byte {error.start} is {content[error.start]:#x}"
        raise InputError(problem, place=str(path), remedy="convert it: iconv -t UTF-8") from error
    vocabulary, indices = np.unique(codes, return_inverse=True)
    tokens = torch.from_numpy(indices.astype(np.int64))
    ends = [int(len(tokens) * share) for share in np.cumsum(_SHARES)]
    if min(ends[1] - ends[0], len(tokens) - ends[1]) <= _WINDOW:
        needed = int((_WINDOW + 2) / (1 - sum(_SHARES)))
        problem = f"{len(tokens):,} characters are too few for windows of {_WINDOW} in each part"
        raise InputError(problem, place=str(path), remedy=f"give a text of at least {needed:,} characters")
    train = tokens[: ends[0]]
    return Data(
        TextSplit(*_cut(train, _WINDOW), train),
        _judged(tokens[ends[0] : ends[1]]),
        _judged(tokens[ends[1] :]),
        train[None, :_WINDOW].clone(),
        "language",
        classes=len(vocabulary),
        label=path.stem,
    )


def tinyshakespeare_data() -> Data:
    """Tinyshakespeare, 1.1 MB of plays, 65 characters.

    Raises:
        InputError: the file is missing.
    """
    return text_data(data_folder() / "text" / "tinyshakespeare.txt", _SOURCE)


def _cut(tokens: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Windows one after the other, shape (windows, window), and for each token the next."""
    count = (len(tokens) - 1) // window
    return tokens[: count * window].view(count, window), tokens[1 : count * window + 1].view(count, window)


def _judged(tokens: Tensor) -> Split:
    """Overlapping windows; targets that the window before has judged are ``IGNORED``."""
    last = len(tokens) - 1 - _WINDOW
    starts = torch.tensor([*range(0, last, _WINDOW - _CONTEXT), last])
    positions = starts[:, None] + torch.arange(_WINDOW)
    inputs, targets = tokens[positions], tokens[positions + 1]
    targets[1:][positions[1:] < starts[:-1, None] + _WINDOW] = IGNORED
    return Split(inputs, targets)
