"""The page of results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import figures
import results
from automl_core.errors import InputError


def write_result(folder: Path, name: str, value: float, command: str | None = None) -> Path:
    """A file as a benchmark writes it."""
    table = figures.Figures(figures.Args(seed=3), f"{name}.py")
    table.add("ours | theirs", value, "<= 1.5")
    table.add("as it comes", 12)
    result = table.as_json() | ({"command": command} if command else {})
    file = folder / f"{name}.json"
    file.write_text(json.dumps(result))
    return file


def test_the_page_shows_every_result_with_when_and_on_what(tmp_path: Path) -> None:
    kept = [
        json.loads(write_result(tmp_path, name, value).read_text()) for name, value in (("a_speed", 1.25), ("b", 2.5))
    ]
    page = tmp_path / "docs" / "results.md"
    assert results.main(["--results", str(tmp_path), "--output", str(page)]) == 0
    text = page.read_text()
    assert text.index("## A speed") < text.index("## B")
    assert "| ours \\| theirs | 1.25 | &lt;= 1.5 | yes |" in text
    assert "| ours \\| theirs | 2.5 | &lt;= 1.5 | no |" in text
    assert "| as it comes | 12 | - | - |" in text
    assert "`python benchmarks/a_speed.py --seed 3`, seed 3" in text
    assert all(kept[0][key] in text for key in ("command", "when"))
    assert kept[0]["machine"]["processor"] in text and f"python {kept[0]['versions']['python']}" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not json", "cannot be read"),
        ("[1]", "lacks command"),
        ('{"command": "python x.py"}', "lacks figures, machine"),
    ],
)
def test_a_file_that_is_no_result_is_named(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "odd.json").write_text(content)
    with pytest.raises(InputError) as told:
        results.main(["--results", str(tmp_path), "--output", str(tmp_path / "page.md")])
    message = str(told.value)
    assert "odd.json" in message and said in message and "run the benchmark again" in message
    assert not (tmp_path / "page.md").exists()


def test_a_quick_run_is_no_result(tmp_path: Path) -> None:
    write_result(tmp_path, "speed", 1.0, command="python benchmarks/speed.py --quick --seed 0")
    with pytest.raises(InputError, match="quick run"):
        results.main(["--results", str(tmp_path), "--output", str(tmp_path / "page.md")])


def test_no_result_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make results"):
        results.main(["--results", str(tmp_path), "--output", str(tmp_path / "page.md")])


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (119.0, "119.0 s"), (125.4, "2 min 5 s")])
def test_durations(seconds: float, text: str) -> None:
    assert results.duration_text(seconds) == text


def test_the_page_in_the_docs_is_what_the_files_say() -> None:
    """Nobody edits figures by hand, and nobody forgets to write the page."""
    files = sorted((figures.ROOT / "benchmarks" / "results").glob("*.json"))
    page = figures.ROOT / "docs" / "results.md"
    assert page.exists() == bool(files)
    assert not files or page.read_text(encoding="utf-8") == results.page(files)


def test_tables_behind_the_figures_are_shown_whole(tmp_path: Path) -> None:
    table = figures.Figures(figures.Args(), "a_duel.py")
    table.add("duels", 1, ">= 1")
    table.show("ours | theirs", ["who", "wins"], [["ours", "1"], ["theirs", "< 1"]])
    (tmp_path / "a_duel.json").write_text(json.dumps(table.as_json()))
    page = results.page([tmp_path / "a_duel.json"])
    assert "\nours \\| theirs:\n\n| who | wins |\n|---|---:|\n| ours | 1 |\n| theirs | &lt; 1 |\n\n" in page
    assert page.index("| duels | 1 |") < page.index("| who | wins |") < page.index("`python benchmarks/a_duel.py")


def test_a_result_of_several_calls_says_so(tmp_path: Path) -> None:
    file = write_result(tmp_path, "speed", 1.0)
    assert "taken up" not in results.page([file])
    file.write_text(json.dumps(json.loads(file.read_text()) | {"resumed": True}))
    assert "results of earlier calls were taken up" in results.page([file])
