"""The copy of a deck with the sizes that a run found."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from automl_core.errors import InputError
from circuits.application import apply_best
from circuits.numbers import parse_number
from tests.circuits.finished_run import DECK, DRIVER, VALUES, Finished, finish


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def copy(finished: Finished) -> tuple[Path, str]:
    applied = apply_best(finished.run, finished.home / "copy")
    assert all(path.is_file() for path in applied.files) and len(applied.files) == 3
    return finished.home / "copy", applied.difference


def test_the_copy_keeps_its_places(finished: Finished, copy: tuple[Path, str]) -> None:
    folder, _ = copy
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["amp/low_pass.cir", "amp/parts/values.inc", "kit/driver.inc"]
    assert (folder / "amp/low_pass.cir").read_bytes() == DECK.encode()
    assert (folder / "kit/driver.inc").read_bytes() == DRIVER.encode()
    assert (finished.home / "amp/parts/values.inc").read_text() == VALUES, "the user's own is not touched"


def test_nothing_but_values_of_parameters_changes(finished: Finished, copy: tuple[Path, str]) -> None:
    folder, difference = copy
    text = (folder / "amp/parts/values.inc").read_text()
    pattern = re.escape(VALUES).replace(re.escape("= 1k"), r"=\ (\S+)").replace(re.escape("='1n'"), r"=(\S+)")
    match = re.fullmatch(pattern, text)
    assert match, text
    changed = [line for line in difference.splitlines() if re.match(r"[+-](?![+-])", line)]
    assert len(changed) == 4 and all(line[1:].startswith(".param") for line in changed)
    assert [line[1:] for line in changed if line[0] == "+"] == text.splitlines()[1:3]


def test_what_is_written_is_what_was_simulated_in_four_digits(finished: Finished, copy: tuple[Path, str]) -> None:
    text = (copy[0] / "amp/parts/values.inc").read_text()
    for name, value in finished.best["point"].items():
        written = re.search(rf"{name}\s*=\s*(\S+)", text)
        assert written and parse_number(written[1]) == pytest.approx(value, rel=1e-15)
        assert re.fullmatch(r"(\d\.?){1,4}[a-z]*", written[1]), "four digits and a factor"


def test_the_copy_runs_in_plain_ngspice_and_gives_the_figures(
    finished: Finished, copy: tuple[Path, str], tmp_path: Path
) -> None:
    shutil.copytree(copy[0], tmp_path / "copy")
    deck = tmp_path / "copy" / "amp" / "low_pass.cir"
    control = ".control\nac dec 50 100 1G\nlet top=vecmax(vdb(out))\n"
    control += "let level=top-10*log10(2)\nmeas ac corner when vdb(out)=level fall=1\nprint top\nquit 0\n.endc\n"
    deck.write_text(deck.read_text().replace(".end\n", control + ".end\n"))
    ran = subprocess.run(
        ["ngspice", "-n", "-b", deck.name], cwd=deck.parent, capture_output=True, text=True, timeout=60, check=False
    )
    corner = re.search(r"corner\s*=\s*(\S+)", ran.stdout)
    assert corner, ran.stdout + ran.stderr
    assert float(corner[1]) == pytest.approx(finished.best["metrics"]["bandwidth"], rel=2e-3)


def test_includes_that_lead_away_from_the_copy_lead_into_it(tmp_path: Path) -> None:
    """By an absolute path, by a link, and from the deck's folder; the library stands in two sections of one file."""
    home = tmp_path / "home ä"
    finished = finish(home)
    deck = home / "amp/low_pass.cir"
    (home / "kit/values.inc").write_text(VALUES.replace("r2 out 0 {100*other*1k}", ".lib corner.lib load"))
    (home / "amp/corner.lib").write_text(".lib load\nr2 out 0 {100*other*1k}\n.endl\n.lib other\n.endl\n")
    (home / "amp/link.inc").symlink_to(home / "kit/driver.inc")
    include = f".include '{home}/kit/values.inc' $ absolute"
    text = deck.read_text().replace(".include 'parts/values.inc'", include).replace("../kit/driver.inc", "link.inc")
    deck.write_text(text)
    applied = apply_best(finished.run, tmp_path / "copy")
    home.rename(tmp_path / "gone")
    run = tmp_path / "copy/amp/run.cir"
    control = ".control\nac lin 1 1 1\nprint @r1[resistance] @c1[capacitance] @r2[resistance]\nquit 0\n.endc\n.end\n"
    run.write_text((tmp_path / "copy/amp/low_pass.cir").read_text().replace(".end\n", control))
    ran = subprocess.run(
        ["ngspice", "-n", "-b", run.name], cwd=run.parent, capture_output=True, text=True, timeout=60, check=False
    )
    found = {name: float(value) for name, value in re.findall(r"@(\w+)\[\w+\] = (\S+)", ran.stdout)}
    point = finished.best["point"]
    expected = {"r1": point["rser"], "c1": point["cload"], "r2": 50e3 * point["rser"]}
    assert found == pytest.approx(expected, rel=1e-5), ran.stdout + ran.stderr
    assert '+.include "../kit/values.inc" $ absolute' in applied.difference
    assert '+.include "../kit/driver.inc"' in applied.difference
    assert sorted(path.name for path in applied.files) == ["corner.lib", "driver.inc", "low_pass.cir", "values.inc"]


@pytest.mark.parametrize("there", [True, False])
def test_a_copy_that_is_another_circuit_is_refused(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setattr("circuits.application.with_values", lambda deck, values, moved: {})
    folder = tmp_path / "copy"
    if there:
        folder.mkdir()
    with pytest.raises(InputError, match="not the circuit that was sized") as caught:
        apply_best(finished.run, folder)
    assert "1k" in caught.value.problem and caught.value.place == str(folder / "amp/low_pass.cir")
    assert list(tmp_path.rglob("*")) == ([folder] if there else [])


def test_a_folder_with_something_in_it_is_not_written_to(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(InputError, match="not empty"):
        apply_best(finished.run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no result yet"), ("{", "not the result of a run"), ("{}", "not the result of a run")]
)
def test_a_run_without_a_result_says_so(finished: Finished, tmp_path: Path, content: str | None, said: str) -> None:
    shutil.copytree(finished.run, tmp_path / "run")
    (tmp_path / "run" / "best.json").unlink()
    if content is not None:
        (tmp_path / "run" / "best.json").write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        apply_best(tmp_path / "run", tmp_path / "copy")
    assert caught.value.place == str(tmp_path / "run" / "best.json")
    assert not (tmp_path / "copy").exists()
