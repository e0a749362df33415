"""How raw numbers become inputs of a network: one monotone map a name, kept with the weights trained on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from automl_core.agent.model import Warp
from automl_core.space import Array

__all__ = ["Scales"]

_LEAST_SPREAD = 0.05
"""Of the centre: a feature that is the same everywhere must not turn a small difference into a huge one."""


class Scales:
    """Name -> map; a name gets its map from the first numbers seen under it and keeps it."""

    def __init__(self, warps: Mapping[str, Warp] | None = None) -> None:
        self.warps = dict(warps or {})

    def learn(self, name: str, values: Array) -> None:
        """Fix the map of a name, unless it has one; numbers that are not finite do not count."""
        finite = values[np.isfinite(values)]
        if name not in self.warps and len(finite):
            warp = Warp.of(finite)
            spread = max(warp.spread, _LEAST_SPREAD * (1.0 if warp.log else abs(warp.centre)), 1e-30)
            self.warps[name] = Warp(warp.log, warp.centre, spread)

    def apply(self, name: str, values: Array) -> Tensor:
        """Numbers of some shape to network inputs of that shape; what is not a number becomes 0."""
        warp = self.warps.get(name)
        if warp is None:
            return torch.zeros(values.shape)
        return torch.as_tensor(np.nan_to_num(warp.forward(values) / 2.0), dtype=torch.float32)

    def as_json(self) -> dict[str, dict[str, Any]]:
        """For a file."""
        return {name: asdict(warp) for name, warp in self.warps.items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Mapping[str, Any]]) -> Scales:
        """From a file."""
        return cls({name: Warp(**fields) for name, fields in content.items()})
