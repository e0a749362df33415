"""Options that commands of both fields take alike."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

__all__ = ["Jobs", "Json", "Seed"]

Jobs: TypeAlias = Annotated[
    int, typer.Option("--jobs", "-j", min=0, help="Workers; 0: one a core.", show_default=False)
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Seed: TypeAlias = Annotated[int, typer.Option(min=0, help="The same seed gives the same history.")]
