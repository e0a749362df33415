"""What a run leaves behind: the sized deck that ngspice confirms, figures and statuses; nothing is overwritten."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.command_line import AMPLIFIER, SPEC, Run, replaced, sizewise, write

FIGURE = re.compile(r"^(\w+) = ([-+.\deE]+)\s*$", re.MULTILINE)


@pytest.fixture(scope="module")
def sized(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    folder = tmp_path_factory.mktemp("sized")
    write(folder, {"spec.yaml": SPEC, "amp.cir": AMPLIFIER})
    return folder, sizewise(folder, "size", "spec.yaml", "-o", "run", "--budget", 60, "--stop", "budget")


def number(text: str) -> float:
    """Of the suffixes of SPICE the few that stand here."""
    scale = {"p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3}.get(text[-1])
    return float(text) if scale is None else float(text[:-1]) * scale


def batch(folder: Path, deck: str) -> str:
    run = subprocess.run(
        ["ngspice", "-n", "-b", deck], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    return run.stdout


def test_the_sized_deck_prints_the_reported_metrics(sized: tuple[Path, Run]) -> None:
    folder, run = sized
    assert run.status == 0
    best = json.loads((folder / "run/best.json").read_text())
    printed = {name: float(value) for name, value in FIGURE.findall(batch(folder / "run", "sized.cir"))}
    assert printed.keys() == best["metrics"].keys() == {"gain", "bw", "current"}
    for name, value in best["metrics"].items():
        assert printed[name] == pytest.approx(value, rel=1e-3), name
    assert all(spec["met"] for spec in best["specs"]) and best["met"] and best["confirmed"]


def test_the_table_says_what_best_json_says(sized: tuple[Path, Run]) -> None:
    folder, run = sized
    best = json.loads((folder / "run/best.json").read_text())
    for spec in best["specs"]:
        line = re.search(rf"^\s*{spec['metric']}\s.*\s(yes|no)\s*$", run.out, re.MULTILINE)
        assert line and line[1] == ("yes" if spec["met"] else "no")
    assert "confirms 3 of 3 metrics" in run.out
    said = ["trying the deck", "run folder", "signing off", "the budget is spent", "drawing the figures", "sized.cir"]
    assert [run.out.index(words) for words in said] == sorted(run.out.index(words) for words in said)
    search, whole = (float(found) for found in re.findall(r"([\d.]+) s (?:of search|in all)", run.out))
    assert 0 < search < whole
    assert str(Path("run/sized.cir")) in run.out


def test_piped_output_has_no_escape_codes(sized: tuple[Path, Run]) -> None:
    _, run = sized
    assert "\x1b" not in run.out + run.err


def test_a_run_folder_is_never_overwritten(sized: tuple[Path, Run]) -> None:
    folder, _ = sized
    before = {path: path.read_bytes() for path in (folder / "run").iterdir()}
    run = sizewise(folder, "size", "spec.yaml", "-o", "run", "--budget", 3)
    assert run.status == 2
    assert "run" in run.err and "overwrite" in run.err and "resume" in run.err
    assert {path: path.read_bytes() for path in (folder / "run").iterdir()} == before


def test_runs_are_numbered(tmp_path: Path) -> None:
    write(tmp_path, {"amp.yaml": SPEC, "amp.cir": AMPLIFIER})
    (tmp_path / "runs/amp-1").mkdir(parents=True)
    assert sizewise(tmp_path, "size", "amp.yaml", "--budget", 3, "--stop", "budget").status in (0, 1)
    assert (tmp_path / "runs/amp-2/best.json").is_file()
    assert not list((tmp_path / "runs/amp-1").iterdir())


def test_apply_changes_values_of_parameters_alone(sized: tuple[Path, Run]) -> None:
    folder, _ = sized
    run = sizewise(folder, "apply", "run", "-o", "applied")
    assert run.status == 0, run
    best = json.loads((folder / "run/best.json").read_text())
    old, new = AMPLIFIER.splitlines(), (folder / "applied/amp.cir").read_text().splitlines()
    assert len(old) == len(new)
    changed = [number for number, (one, two) in enumerate(zip(old, new, strict=True)) if one != two]
    assert changed == [1]  # the .param line
    values = dict(re.findall(r"(\w+)=(\S+)", new[1]))
    assert {name: number(value) for name, value in values.items()} == pytest.approx(best["point"], rel=1e-9)
    minus = [line for line in run.out.splitlines() if re.match(r"[-+](?![-+])", line)]
    assert minus == [f"-{old[1]}", f"+{new[1]}"]
    assert (folder / "amp.cir").read_text() == AMPLIFIER  # the user's own stays as it is
    control = ".control\nset num_threads=1\nop\nprint v(out)\nquit 0\n.endc\n.end\n"
    (folder / "applied/run.cir").write_text("\n".join(new).replace(".end", control))
    voltage = float(re.search(r"v\(out\) = (\S+)", batch(folder / "applied", "run.cir"))[1])  # type: ignore[index]
    expected = 1.8 - best["metrics"]["current"] * best["point"]["rl"]
    assert voltage == pytest.approx(expected, rel=1e-3)
    again = sizewise(folder, "apply", "run", "-o", "applied")
    assert again.status == 2 and "overwritten" in again.err


def test_json_is_all_that_is_printed(tmp_path: Path) -> None:
    write(tmp_path, {"spec.yaml": SPEC, "amp.cir": AMPLIFIER})
    checked = sizewise(tmp_path, "check", "spec.yaml", "--json")
    assert checked.status == 0 and checked.err == ""
    report = json.loads(checked.out)
    assert report["sound"] and report["deterministic"] and set(report["metrics"]) == {"gain", "bw", "current"}
    ran = sizewise(tmp_path, "size", "spec.yaml", "-o", "run", "--budget", 5, "--stop", "budget", "--json")
    assert ran.err == ""
    best = json.loads(ran.out)
    assert best["evaluations"] == 5
    assert best["metrics"].keys() == report["metrics"].keys()
    assert best["seed"] == 0 and best["command"].startswith("sizewise size") and best["versions"]["PySpice"] == "1.5"
    resumed = sizewise(tmp_path, "resume", "run", "--json")
    assert json.loads(resumed.out)["point"] == best["point"]


def test_status_1_where_a_spec_is_not_met(tmp_path: Path) -> None:
    write(tmp_path, {"spec.yaml": replaced(SPEC, "gain: {min: 15", "gain: {min: 90"), "amp.cir": AMPLIFIER})
    run = sizewise(tmp_path, "size", "spec.yaml", "-o", "run", "--budget", 10)
    assert run.status == 1
    assert "the budget is spent: 10 evaluations" in run.out
    assert json.loads((tmp_path / "run/best.json").read_text())["met"] is False


def test_status_3_where_the_machine_lacks_ngspice(tmp_path: Path) -> None:
    write(tmp_path, {"spec.yaml": SPEC, "amp.cir": AMPLIFIER})
    nowhere = {"NGSPICE_LIBRARY_PATH": str(tmp_path / "libngspice.so")}
    run = sizewise(tmp_path, "size", "spec.yaml", **nowhere)
    assert run.status == 3
    assert "libngspice" in run.err
    assert not (tmp_path / "runs").exists()
    doctor = sizewise(tmp_path, "doctor", **nowhere)
    assert doctor.status == 3
    assert re.search(r"^lacking\s+libngspice", doctor.out, re.MULTILINE)


def test_doctor_finds_nothing_lacking_here(tmp_path: Path) -> None:
    run = sizewise(tmp_path, "doctor")
    assert run.status == 0, run.out
    assert "nothing is lacking" in run.out


def test_without_the_ngspice_program_a_run_is_not_signed_off(tmp_path: Path) -> None:
    write(tmp_path, {"spec.yaml": SPEC, "amp.cir": AMPLIFIER, "bin/empty": ""})
    run = sizewise(tmp_path, "size", "spec.yaml", "-o", "run", "--budget", 60, PATH=str(tmp_path / "bin"))
    best = json.loads((tmp_path / "run/best.json").read_text())
    assert best["met"] and not best["confirmed"]
    assert run.status == 1
    assert "not signed off" in run.out


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ("s/^bw = .*/bw =/", "not confirmed: bw: ngspice prints no figure where the search has "),
        ("s/^bw = .*/bw = 1/", "not confirmed: bw: ngspice prints 1 where the search has "),
    ],
)
def test_status_1_where_ngspice_does_not_confirm_a_spec(tmp_path: Path, edit: str, said: str) -> None:
    """An ngspice that prints one figure otherwise stands first in the path."""
    other = f"#!/bin/sh\n{shutil.which('ngspice')} \"$@\" | sed '{edit}'\n"
    write(tmp_path, {"spec.yaml": SPEC, "amp.cir": AMPLIFIER, "bin/ngspice": other})
    (tmp_path / "bin/ngspice").chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    run = sizewise(tmp_path, "size", "spec.yaml", "-o", "run", "--budget", 60, PATH=path)
    assert run.status == 1
    assert "all specs met" in run.out and "confirms 2 of 3 metrics" in run.out and said in run.out
    best = json.loads((tmp_path / "run/best.json").read_text())
    assert best["met"] and not best["confirmed"]
    assert len(best["sign_off"]["objections"]) == 1
