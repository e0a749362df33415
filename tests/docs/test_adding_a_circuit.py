"""The page on adding a circuit: its files and commands work as shown, and its tables follow the code."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from circuits.spec_entries import (
    AnalysisEntry,
    Document,
    MeasureEntry,
    SimulatorEntry,
    SpecEntry,
    VariableEntry,
)
from tests.docs.measure_tables import PAGE, between_marks, tables
from tests.docs.pages import blocks, show
from tests.end_to_end.command_line import ROOT

PAGE_TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS: dict[str, type[BaseModel]] = {
    "simulator": SimulatorEntry,
    "variables": VariableEntry,
    "analyses": AnalysisEntry,
    "measures": MeasureEntry,
    "specs": SpecEntry,
}


@pytest.mark.timeout(300)
def test_the_files_and_commands_of_the_page_work_as_shown(tmp_path: Path) -> None:
    if shutil.which("ngspice") is None:
        pytest.skip("there is no ngspice")
    ran = []
    folder = tmp_path / "ota"
    for block in blocks(PAGE.name):
        if block.language == "console":
            ran.append(show(block.text, folder / "runs/ota" if block.name == "runs/ota" else folder, tmp_path))
        elif block.name is not None:
            path = tmp_path / block.name
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    assert ran == ["init", "check", "check", "size", "ngspice", "resume", "apply"]


def test_the_tables_of_measures_follow_the_code() -> None:
    assert between_marks(PAGE_TEXT) == tables(), "run `python -m tests.docs.measure_tables`"


def keys(text: str) -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def model_keys(model: type[BaseModel]) -> set[str]:
    return {info.alias or name for name, info in model.model_fields.items()}


def sections() -> Iterator[tuple[str, str]]:
    for name in SECTIONS:
        yield name, PAGE_TEXT.partition(f"**`{name}`**")[2].partition("\n\n")[2].partition("\n\n")[0]


def test_every_key_of_the_spec_file_is_explained_and_no_other() -> None:
    whole = PAGE_TEXT.partition("| key | takes |")[2].partition("\n\n")[0]
    assert keys(whole) == model_keys(Document)
    for name, table in sections():
        assert keys(table) == model_keys(SECTIONS[name]), name


def test_the_messages_of_the_troubleshooting_table_are_those_of_the_code() -> None:
    source = "".join(
        path.read_text(encoding="utf-8")
        for name in ("circuits", "automl_core")
        for path in sorted((ROOT / name).rglob("*.py"))
    )
    table = PAGE_TEXT.partition("## Troubleshooting")[2]
    messages = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert len(messages) > 12
    for message in messages:
        assert message.replace("mode reset", "mode {mode}") in source, message
