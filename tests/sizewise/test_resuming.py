"""``resume`` asks the record whose run it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl_core.errors import InputError, RecordError
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

        def go_on(folder: Path, jobs: int, *, json: bool, name: str = name, learning_rate: float | None = None) -> None:
            went.append((name, folder, jobs, json, learning_rate))

        monkeypatch.setattr(commands, "resume_run", go_on)
    Record.begin(tmp_path / RECORD, {"kind": kind}).close()
    resume(tmp_path, 3, json=True)
    assert went == [(field, tmp_path, 3, True, None)]
    if field == "networks":
        resume(tmp_path, 3, lr=0.1)
        assert went[1:] == [(field, tmp_path, 3, False, 0.1)]
    else:
        with pytest.raises(InputError, match="not trained"):
            resume(tmp_path, 3, lr=0.1)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"not the folder of a run: it holds no study\.sqlite"):
        resume(tmp_path)
    Record.begin(tmp_path / RECORD, {"kind": "contest"}).close()
    with pytest.raises(RecordError, match="not the folder of a finished set-up"):
        resume(tmp_path)
    (tmp_path / "amp").mkdir()
    (tmp_path / "amp/problem.json").write_text("{}")
    with pytest.raises(RecordError, match="folder of a comparison"):
        resume(tmp_path)


def test_a_folder_without_a_run_is_told_what_is_missing_and_which_runs_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere/empty").mkdir(parents=True)
    with pytest.raises(RecordError) as none:
        resume(Path("elsewhere/empty"))
    assert "study.sqlite" in none.value.problem and "the folder that `sizewise size`" in (none.value.remedy or "")
    for name in ("amp-1", "amp-2"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        Record.begin(tmp_path / "runs" / name / RECORD, {"kind": "sizing"}).close()
    for given, problem in (("elsewhere/empty", "holds no"), ("runs", "holds no"), ("runs/amp-3", "no such folder")):
        with pytest.raises(RecordError, match=problem) as caught:
            resume(Path(given))
        assert caught.value.place == given
        assert {"runs/amp-1", "runs/amp-2"} <= set((caught.value.remedy or "").replace(",", "").split())
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match="a file, no folder"):
        resume(Path("file"))
