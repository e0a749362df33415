"""``resume`` asks the record whose run it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl_core.errors import RecordError
from automl_core.record import Record
from automl_core.runs import RECORD
from circuits import commands as circuit_commands
from nn_compression import commands as network_commands
from sizewise.resuming import resume


@pytest.mark.parametrize(
    ("kind", "field"), [("sizing", "circuits"), ("training", "circuits"), ("compression", "networks")]
)
def test_the_field_of_the_record_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, field: str
) -> None:
    went = []
    for name, commands in (("circuits", circuit_commands), ("networks", network_commands)):

        def go_on(folder: Path, jobs: int, *, json: bool, name: str = name) -> None:
            went.append((name, folder, jobs, json))

        monkeypatch.setattr(commands, "resume_run", go_on)
    Record.begin(tmp_path / RECORD, {"kind": kind}).close()
    resume(tmp_path, 3, json=True)
    assert went == [(field, tmp_path, 3, True)]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no such study"):
        resume(tmp_path)
    Record.begin(tmp_path / RECORD, {"kind": "contest"}).close()
    with pytest.raises(RecordError, match="not the folder of a finished set-up"):
        resume(tmp_path)
    (tmp_path / "amp").mkdir()
    (tmp_path / "amp/problem.json").write_text("{}")
    with pytest.raises(RecordError, match="folder of a comparison"):
        resume(tmp_path)
