"""Weights known by name rather than by position, so that what was learnt on one problem loads on another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

__all__ = ["NamedRows", "load_named", "saved_tensors"]


class NamedRows(nn.Module):
    """One learnt row for each name.

    Args:
        names: what the problem at hand has.
        width: of a row.
        generator: draws the rows.
        gain: standard deviation of a fresh row, times the square root of its width.
    """

    def __init__(self, names: Iterable[str], width: int, generator: torch.Generator, gain: float = 1.0) -> None:
        super().__init__()
        self.positions = {name: position for position, name in enumerate(dict.fromkeys(names))}
        rows = torch.randn(len(self.positions), width, generator=generator) * gain / math.sqrt(width)
        self.rows = nn.Parameter(rows)
        self._found: dict[tuple[str, ...], Tensor] = {}

    def forward(self, names: Sequence[str]) -> Tensor:
        """Shape (names, width)."""
        key = tuple(names)
        if key not in self._found:
            self._found[key] = torch.tensor([self.positions[name] for name in key], dtype=torch.long)
        return self.rows.index_select(0, self._found[key])


def saved_tensors(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
    """Every parameter of a module, and the names of the rows of those that are named."""
    names = {
        f"{path}.rows": list(part.positions) for path, part in module.named_modules() if isinstance(part, NamedRows)
    }
    return {path: value.detach().clone().contiguous() for path, value in module.named_parameters()}, names


def load_named(module: nn.Module, tensors: Mapping[str, Tensor], names: Mapping[str, Sequence[str]]) -> set[str]:
    """Copy parameters: whole ones where their shapes agree, rows by their names.

    Returns:
        The names of rows that are not among the saved ones: they start fresh.
    """
    fresh: set[str] = set()
    rows = {f"{path}.rows": part for path, part in module.named_modules() if isinstance(part, NamedRows)}
    with torch.no_grad():
        for path, parameter in module.named_parameters():
            saved = tensors.get(path)
            if path in rows:
                known = {name: at for at, name in enumerate(names.get(path, ()))}
                for name, position in rows[path].positions.items():
                    if saved is not None and name in known and saved.shape[1] == parameter.shape[1]:
                        parameter[position] = saved[known[name]]
                    else:
                        fresh.add(name)
            elif saved is not None and saved.shape == parameter.shape:
                parameter.copy_(saved)
    return fresh
