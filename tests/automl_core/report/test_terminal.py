"""What commands say, in a terminal and in a pipe."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from automl_core.report.terminal import command_line, cores, goes_on_with, json_text, make_console, say, shown


def test_a_line_is_printed_as_it_is_however_long() -> None:
    out = io.StringIO()
    line = "[bold]not markup[/bold] " + "x" * 300
    say(Console(file=out, width=40), line, "second")
    assert out.getvalue() == f"{line}\nsecond\n"


def test_a_pipe_gets_a_line_for_what_goes_on_and_a_terminal_none_that_stays() -> None:
    piped, terminal = io.StringIO(), io.StringIO()
    with shown(Console(file=piped), "signing off"):
        assert piped.getvalue() == "signing off\n"
    with shown(Console(file=terminal, force_terminal=True), "signing off"):
        pass
    assert not terminal.getvalue().endswith("signing off\n")
    with shown(Console(file=piped), "quiet", quiet=True):
        assert piped.getvalue() == "signing off\n"


def test_json_has_no_nan() -> None:
    assert json.loads(json_text({"a": math.nan, "b": math.inf, "c": [1.5]})) == {"a": None, "b": None, "c": [1.5]}


def test_the_command_is_quoted_so_that_it_can_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/sizewise", "size", "my amp.yaml"])
    assert command_line() == "sizewise size 'my amp.yaml'"
    assert goes_on_with(Path("my run")) == "`sizewise resume 'my run'` goes on from here\n"


def test_zero_workers_are_one_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    assert (cores(0), cores(3)) == (7, 3)


def test_a_pipe_is_as_wide_as_tables_want() -> None:
    assert make_console(133).width == 133
