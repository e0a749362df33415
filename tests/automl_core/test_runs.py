"""Run folders: none is overwritten, and files appear whole."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from automl_core.errors import InputError
from automl_core.runs import new_run_folder, versions, write_whole


def test_folders_are_counted_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [str(new_run_folder(None, "amp")) for _ in range(3)] == ["runs/amp-1", "runs/amp-2", "runs/amp-3"]
    assert str(new_run_folder(None, "other")) == "runs/other-1"


def test_a_number_in_use_is_passed_over_even_where_it_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "amp-1").write_text("mine")
    assert str(new_run_folder(None, "amp")) == "runs/amp-2"
    assert (tmp_path / "runs" / "amp-1").read_text() == "mine"


def test_a_folder_that_another_run_makes_at_the_same_moment_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.mkdir

    def too_late(folder: Path, *settings: int, **named: bool) -> None:
        if folder.name == "amp-1" and not folder.exists():
            make(folder)
        make(folder, *settings, **named)

    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(Path, "mkdir", too_late)
    assert str(new_run_folder(None, "amp")) == "runs/amp-2"


def test_the_folder_asked_for_is_made_with_its_parents(tmp_path: Path) -> None:
    assert new_run_folder(tmp_path / "a" / "b", "amp").is_dir()


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    assert new_run_folder(tmp_path, "amp") == tmp_path


def test_a_folder_with_anything_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_text("x")
    with pytest.raises(InputError) as caught:
        new_run_folder(tmp_path, "amp")
    assert "not empty" in caught.value.problem
    assert f"sizewise resume {tmp_path}" in caught.value.remedy


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for wanted in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(InputError) as caught:
            new_run_folder(wanted, "amp")
        assert caught.value.place == str(wanted)


@pytest.mark.parametrize("content", ["Ω µ\n", b"\xff\x00bytes"])
def test_text_and_bytes_are_written_as_they_are(tmp_path: Path, content: str | bytes) -> None:
    write_whole(tmp_path / "f", content)
    assert (tmp_path / "f").read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert os.listdir(tmp_path) == ["f"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk."""
    script = (
        "import sys; from pathlib import Path; from automl_core.runs import write_whole\n"
        "from automl_core.errors import InputError\n"
        "try: write_whole(Path(sys.argv[1]), 'x' * 100000)\n"
        "except InputError as error: print(error); sys.exit(2)\n"
    )

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    (tmp_path / "f").write_text("the old one")
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "f")],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "."},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 2, ran.stderr
    assert ran.stdout.startswith(f"{tmp_path / 'f'}: cannot be written: File too large")
    assert (tmp_path / "f").read_text() == "the old one"
    assert os.listdir(tmp_path) == ["f"]


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_whole(tmp_path / "gone" / "f", "x")


def test_the_versions_that_a_run_stands_on() -> None:
    found = versions("numpy")
    assert list(found) == ["python", "sizewise", "numpy"]
    assert found["numpy"] == numpy.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
