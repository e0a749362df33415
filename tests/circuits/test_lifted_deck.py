"""Places in a lifted deck, told as places in the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuits.lifted_deck import Origin, own_place

ORIGINS = {
    Path("/a/amp.lifted.cir"): Origin(Path("/a/amp.cir"), 3),
    Path("/a/x.lifted.inc"): Origin(Path("/a/x.inc"), 0),
}


@pytest.mark.parametrize(
    ("lifted", "own"),
    [
        ("/a/amp.lifted.cir:7", "/a/amp.cir:4"),
        ("/a/amp.lifted.cir:2", "/a/amp.cir:1"),
        ("/a/amp.lifted.cir", "/a/amp.cir"),
        ("/a/x.lifted.inc:7", "/a/x.inc:7"),
        ("/kit/models.lib:7", "/kit/models.lib:7"),
        (None, None),
    ],
)
def test_an_error_names_the_users_own_file_and_line(lifted: str | None, own: str | None) -> None:
    assert own_place(lifted, ORIGINS) == own
