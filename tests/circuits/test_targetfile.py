"""Ranges of targets: what is probably not meant. What is wrong is told end to end."""

from __future__ import annotations

from pathlib import Path

from automl_core.specs import Spec, Specs
from circuits.targetfile import range_warnings

SPECS = Specs([Spec("bandwidth", minimum=1.0, unit="Hz"), Spec("offset", maximum=1.0, unit="V")])


def test_a_milli_that_meets_hertz_is_warned_of_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "ranges.yaml"
    path.write_text("offset: {max: [1M, 5M]}\nbandwidth:\n  min: [1Meg, 25M]\n  max: 3M\n")
    first, second = range_warnings(path, SPECS)
    assert first.startswith(f"{path}:3: ") and "write 25meg" in first
    assert second.startswith(f"{path}:4: ") and "write 3meg" in second
