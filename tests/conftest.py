"""What all tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # several tests run at once, and threads of one would wait for another's

settings.register_profile("usual", max_examples=50)
settings.load_profile("usual")

_LONG = ("end_to_end", "docs", "benchmarks", "nn_compression")
"""Folders whose files take longest: what begins last should not run alone, while the other worker has nothing to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; otherwise in the order of the files."""

    def place(item: pytest.Item) -> int:
        return next((number for number, folder in enumerate(_LONG) if folder in item.path.parts), len(_LONG))

    items.sort(key=place)
