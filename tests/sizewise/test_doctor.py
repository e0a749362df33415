"""``doctor`` on machines that lack something."""

from __future__ import annotations

from pathlib import Path

import pytest

from sizewise.doctor import examine


def _lines(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What was said of each part, with whether it is there."""
    lines = capsys.readouterr().out.splitlines()
    return {line[9:31].strip(): line[:9].strip() + ": " + line[32:] for line in lines[:-1]} | {"last": lines[-1]}


def test_on_a_machine_that_has_all_of_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PDK_ROOT", raising=False)
    assert examine() == 0
    said = _lines(capsys)
    assert said["last"] == "nothing is lacking"
    assert said["libngspice"].endswith("simulates")
    assert "ngspice-" in said["ngspice"]
    assert all(words.startswith("ok: ") for part, words in said.items() if part != "last")


def test_what_is_lacking_is_told_with_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("NGSPICE_LIBRARY_PATH", str(tmp_path / "libngspice.so"))
    monkeypatch.setenv("PDK_ROOT", str(tmp_path / "kits"))
    assert examine() == 3
    said = _lines(capsys)
    assert said["last"] == "3 lacking"
    assert said["ngspice"].startswith("lacking: ") and "apt install ngspice" in said["ngspice"]
    assert said["libngspice"].startswith("lacking: ") and str(tmp_path / "libngspice.so") in said["libngspice"]
    assert said["PDK_ROOT"] == f"lacking: {tmp_path / 'kits'} is no folder: correct it"


def test_a_library_that_computes_nonsense_is_lacking(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from circuits.bench import Reading
    from circuits.simulator import Simulator

    monkeypatch.delenv("PDK_ROOT", raising=False)
    monkeypatch.setattr(Simulator, "evaluate", lambda *_: Reading({"out": 0.5}))
    monkeypatch.setattr(Simulator, "version", "39")
    assert examine() == 3
    said = _lines(capsys)
    assert said["libngspice"].startswith("lacking: ") and "gives 0.5 V" in said["libngspice"]


def test_a_package_that_is_missing_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError, version

    from sizewise import doctor

    def found(package: str) -> str:
        if package == "pymoo":
            raise PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(doctor, "version", found)
    monkeypatch.setattr(doctor, "_library", lambda: "there")
    assert examine() == 3
    assert _lines(capsys)["pymoo"] == "lacking: pip install -c constraints.txt -e ."
