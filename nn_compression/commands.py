"""The network commands of the command line: ``compress``, ``latency``.

Each function reads its arguments, calls what does the work, and shows the outcome. Imports stand inside the functions,
so that ``--help`` does not wait for torch, onnx or matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

__all__ = ["COMMANDS", "resume_run"]

COMMANDS: tuple[Callable[..., None], ...] = ()


def resume_run(folder: Path, jobs: int, *, json: bool) -> None:
    """Go on with a compression; nothing that was evaluated or trained is repeated."""
    raise NotImplementedError
