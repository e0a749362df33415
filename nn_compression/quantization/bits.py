"""Bit widths of a layer: what it is stored and computed in."""

from __future__ import annotations

from dataclasses import dataclass

from automl_core.errors import InputError

__all__ = ["FLOAT", "FLOAT_BITS", "MOST_BITS", "Bits"]

FLOAT_BITS = 32
"""Bits of a number that is not quantized."""

MOST_BITS = 8
"""Bits of the widest integer."""


@dataclass(frozen=True)
class Bits:
    """Bit widths of one layer.

    Args:
        weights: 1 to 8, or 32 for weights that stay as they are.
        activations: the same for the layer's input.

    Raises:
        InputError: another width.
    """

    weights: int = FLOAT_BITS
    activations: int = FLOAT_BITS

    def __post_init__(self) -> None:
        for what, width in (("weights", self.weights), ("activations", self.activations)):
            if width != FLOAT_BITS and not (isinstance(width, int) and 1 <= width <= MOST_BITS):
                remedy = f"give 1 to {MOST_BITS}, or {FLOAT_BITS} to leave them as they are"
                raise InputError(f"{what} of {width!r} bits", place="bits", remedy=remedy)


FLOAT = Bits()
"""A layer that is not quantized."""
