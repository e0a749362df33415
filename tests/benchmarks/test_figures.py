"""The part that benchmarks share."""

from __future__ import annotations

import json
import math
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

import figures
from automl_core.errors import InputError
from figures import Figure, Figures, chosen, parse

READING_AND_SHOWING = ("matplotlib", "networkx", "orjson", "pydantic", "PyYAML", "rich", "typer")

SCRIPT = '''"""Says that two is small."""

from dataclasses import dataclass
from typing import Annotated

import figures
from automl_core.errors import InputError
from figures import Figures, parse, run


@dataclass(frozen=True)
class Args(figures.Args):
    """What to count."""

    number: Annotated[int, "what is counted"] = 2


def main() -> int:
    args = parse(Args, __doc__)
    if args.number < 0:
        raise InputError(f"{args.number} is not counted", place="--number", remedy="count from 0")
    table = Figures(args)
    table.add("number", args.number, "<= 3")
    table.add("number squared", args.number**2)
    return table.finish()


if __name__ == "__main__":
    run(main)
'''


@dataclass(frozen=True)
class Args(figures.Args):
    """One option of each type."""

    learning_rate: Annotated[float, "step"] = 0.5
    name: str = "tpe"
    count: int | None = None
    plots: bool = True


def run_script(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs the benchmark above as a user would."""
    script = folder / "small_numbers.py"
    script.write_text(SCRIPT)
    return subprocess.run(
        [sys.executable, script, *options],
        env={"PYTHONPATH": str(figures.ROOT / "benchmarks"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_benchmark_prints_its_table_and_writes_its_result(tmp_path: Path) -> None:
    file = tmp_path / "new" / "out.json"
    done = run_script(tmp_path, "--quick", "--seed", "7", "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()[:3]] == [
        ["figure", "value", "bar", "met"],
        ["number", "2", "<=", "3", "yes"],
        ["number", "squared", "4", "-", "-"],
    ]
    result = json.loads(file.read_text())
    assert result["figures"] == [
        {"name": "number", "value": 2, "bar": "<= 3", "met": True},
        {"name": "number squared", "value": 4, "bar": None, "met": None},
    ]
    assert (result["command"], result["seed"]) == ("python benchmarks/small_numbers.py --quick --seed 7", 7)
    assert set(result) == {"command", "seed", "versions", "machine", "when", "seconds", "figures"}
    assert 0 <= result["seconds"] < 60
    assert result["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert result["machine"]["cores"] >= 1 and result["machine"]["memory_gib"] > 0


def test_the_versions_are_of_all_that_the_project_needs_but_for_what_reads_and_shows() -> None:
    needed = tomllib.loads((figures.ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[=<>~]", each)[0] for each in needed}
    assert {*figures.PACKAGES} == {"sizewise", *names} - {*READING_AND_SHOWING}


def test_a_missed_bar_is_the_exit_status(tmp_path: Path) -> None:
    done = run_script(tmp_path, "--number", "4")
    assert done.returncode == 1
    assert done.stdout.splitlines()[1].split()[-1] == "no"


def test_bad_input_is_told_without_a_traceback(tmp_path: Path) -> None:
    done = run_script(tmp_path, "--number", "-1")
    assert (done.returncode, done.stderr) == (2, "--number: -1 is not counted\n  count from 0\n")


def test_help_says_what_each_option_is(tmp_path: Path) -> None:
    done = run_script(tmp_path, "--help")
    assert done.returncode == 0
    assert all(
        text in done.stdout for text in ("two is small", "--number", "what is counted", "(default: 2)", "--quick")
    )


def test_a_wrong_option_is_refused(tmp_path: Path) -> None:
    done = run_script(tmp_path, "--number", "many")
    assert done.returncode == 2 and "many" in done.stderr


@pytest.mark.parametrize(
    ("value", "bar", "met"),
    [
        (1.5, "<= 1.5", True),
        (1.51, "<= 1.5", False),
        (5, ">= 5", True),
        (4.99, ">=5", False),
        (10, "== 10", True),
        (9, "== 10", False),
        (1, "< 1", False),
        (1, "> 1", False),
        (math.nan, "<= 1", False),
        (math.nan, ">= 1", False),
        (math.inf, "<= 1e9", False),
        (3, None, None),
    ],
)
def test_a_value_meets_its_bar(value: float, bar: str | None, met: bool | None) -> None:
    assert Figure("x", value, bar).met is met


@pytest.mark.parametrize("bar", ["1.5", "<=", "<= few", "~ 3", ""])
def test_a_bar_that_says_nothing_is_refused_when_it_is_added(bar: str) -> None:
    with pytest.raises(ValueError):
        Figures(Args(), "x.py").add("x", 1.0, bar)


def test_a_value_that_json_lacks_is_null() -> None:
    assert Figure("x", math.nan, "<= 1").as_json() == {"name": "x", "value": None, "bar": "<= 1", "met": False}


def test_options_are_read_by_their_types() -> None:
    read = parse(
        Args, argv=["--learning-rate", "0.1", "--name", "de", "--count", "3", "--no-plots", "--json", "a.json"]
    )
    assert read == Args(learning_rate=0.1, name="de", count=3, plots=False, json=Path("a.json"))
    assert parse(Args, argv=[]) == Args()


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--seed", "3", "--quick"],
        ["--learning-rate", "0.1", "--name", "two words", "--no-plots", "--count", "0"],
    ],
)
def test_the_command_of_a_result_gives_the_same_arguments(options: list[str]) -> None:
    read = parse(Args, argv=options)
    words = shlex.split(Figures(read, "/somewhere/speed.py").command())
    assert words[:2] == ["python", "benchmarks/speed.py"]
    assert parse(Args, argv=words[2:]) == read


def test_a_type_that_no_option_can_have_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd(figures.Args):
        sizes: list[int] | None = None

    with pytest.raises(TypeError, match=r"Odd\.sizes"):
        parse(Odd, argv=[])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0, "2"),
        (1500, "1500"),
        (0.00012345, "0.0001234"),
        (1.23456, "1.235"),
        (math.nan, "-"),
        (None, "-"),
        (math.inf, "inf"),
    ],
)
def test_values_are_shown_to_four_figures(value: float | None, text: str) -> None:
    assert figures.value_text(value) == text


def test_a_folder_holds_results_of_one_kind(tmp_path: Path) -> None:
    first = Figures(Args())
    first.keep_in(tmp_path / "new", Args(count=3), plan="short")
    again = Figures(Args())
    again.keep_in(tmp_path / "new", Args(count=3, seed=5, quick=True), plan="short")  # other parts of the same
    assert (first.resumed, again.resumed) == (False, True)
    assert "resumed" not in first.as_json() and again.as_json()["resumed"] is True
    for other, more in ((Args(count=4), "short"), (Args(count=3), "long")):
        with pytest.raises(InputError, match=r"3 there, 4 here|short there, long here"):
            Figures(Args()).keep_in(tmp_path / "new", other, plan=more)


def test_what_an_option_lists_must_be_known() -> None:
    assert chosen("edge, cloud", ["cloud", "edge"], "--machines") == ["edge", "cloud"]
    with pytest.raises(InputError, match=r"--machines: there is no 'egde'\n.*did you mean 'edge'") as caught:
        chosen("cloud,egde", ["cloud", "edge"], "--machines")
    assert caught.value.exit_status == 2
    with pytest.raises(InputError, match="there is no ''"):
        chosen("", ["cloud"], "--machines")


def test_no_seed_at_all_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    @dataclass(frozen=True)
    class Seeded(figures.Args):
        seeds: int = 3

    with pytest.raises(SystemExit) as caught:
        parse(Seeded, argv=["--seeds", "0"])
    assert caught.value.code == 2 and "--seeds 0: give one or more" in capsys.readouterr().err
