"""What can make a loss no finite number although no step was too large: examples and weights that are none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nn_compression.data import Split

__all__ = ["broken_examples", "broken_weights", "named_break"]


def broken_examples(split: Split) -> Tensor:
    """Numbers of the examples whose input or target holds NaN or infinity, rising."""
    return (_broken(split.inputs) | _broken(split.targets)).nonzero().flatten()


def broken_weights(model: nn.Module) -> str | None:
    """The first parameter that holds NaN or infinity, or buffer that holds NaN; ``None`` where there is none.

    Infinity in a buffer is a mask of attention.
    """
    weights = next((name for name, each in model.named_parameters() if not bool(each.isfinite().all())), None)
    return weights or next((name for name, each in model.named_buffers() if bool(each.isnan().any())), None)


def named_break(split: Split, weights: str | None) -> str | None:
    """What is no finite number, in a clause; ``None`` where everything is one.

    Args:
        split: the examples.
        weights: of ``broken_weights``.
    """
    for what, values in (("inputs", split.inputs), ("targets", split.targets)):
        if count := int(_broken(values).sum()):
            return f"{count} of {len(split)} {what} hold NaN or infinity"
    return None if weights is None else f"the weights hold NaN or infinity in {weights!r}"


def _broken(values: Tensor) -> Tensor:
    """By example, shape (examples, ...) to (examples,); whole numbers are always finite."""
    if not values.is_floating_point():
        return torch.zeros(len(values), dtype=torch.bool, device=values.device)
    return ~values.reshape(len(values), -1).isfinite().all(1)
