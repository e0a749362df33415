"""A deck is untrusted: no command of it, of a ``.spiceinit`` or of a comment runs, and it writes no file."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.command_line import AMPLIFIER, SPEC, environment, replaced, sizewise, write

CONTROL = """.control
shell touch {marker}
op
write {marker}
print all > {marker}
set x = `touch {marker}`
system touch {marker}
quit
.endc
"""


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def run_all(folder: Path, marker: Path) -> None:
    """``init``, ``check``, ``size`` and the sign-off: none leaves the marker, or a file that is not its own."""
    before = files_of(folder)
    for words in (("check", "spec.yaml"), ("size", "spec.yaml", "--budget", "5", "-o", "run")):
        run = sizewise(folder, *words)
        assert run.status in (0, 1), run
    initial = sizewise(folder, "init", "amp.cir", "-o", "new.yaml")
    assert initial.status == 0, initial
    own = {"sized.cir", "best.json", "study.sqlite", "convergence.svg", "bode.svg"}
    made = files_of(folder) - before
    assert made - {f"run/{name}" for name in own} - {"new.yaml"} == set()
    assert not marker.exists()


def test_no_command_of_a_control_block_runs(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    deck = replaced(AMPLIFIER, ".end\n", CONTROL.format(marker=marker) + ".end\n")
    write(tmp_path, {"spec.yaml": SPEC, "amp.cir": deck})
    subprocess.run(["ngspice", "-n", "-b", "amp.cir"], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert marker.exists()  # ngspice itself would run it
    marker.unlink()
    run_all(tmp_path, marker)


def test_no_hidden_command_runs(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    hidden = "\n".join(f"{words} touch {marker}" for words in ("*# shell", "*#shell", "  *# system"))
    deck = replaced(AMPLIFIER, "cl out", f"{hidden}\ncl out")
    write(tmp_path, {"spec.yaml": SPEC, "amp.cir": deck})
    run_all(tmp_path, marker)


def test_no_spiceinit_runs(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    write(tmp_path, {"spec.yaml": SPEC, "amp.cir": AMPLIFIER})
    script = f"shell touch {marker}\n"
    write(tmp_path, {".spiceinit": script, "spice.rc": script, "home/.spiceinit": script, "home/.spice.rc": script})
    subprocess.run(
        ["ngspice", "-b", "amp.cir"], cwd=tmp_path, env=environment(tmp_path), capture_output=True, timeout=60
    )
    assert marker.exists()  # ngspice itself would run it
    marker.unlink()
    run_all(tmp_path, marker)
    # The sized deck is run by people as the summary says, with -n: nothing of ours runs the script either.
    subprocess.run(
        [shutil.which("ngspice") or "ngspice", "-n", "-b", "sized.cir"],
        cwd=tmp_path / "run",
        env=environment(tmp_path),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert not marker.exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("cl out", ".hdl evil.va\ncl out", ".hdl"),
        ("cl out", 'a1 [g] [d] proc\n.model proc d_process(process_file="/bin/true")\ncl out', "d_process"),
    ],
)
def test_cards_that_load_code_are_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    write(tmp_path, {"spec.yaml": SPEC, "amp.cir": replaced(AMPLIFIER, old, new)})
    run = sizewise(tmp_path, "size", "spec.yaml")
    assert run.status == 2
    assert words in run.err and "amp.cir:" in run.err


@pytest.mark.parametrize("phrase", ["max vdb(out); shell touch {}", "max vdb(out) `touch {}`", "max vdb(out) > {}"])
def test_a_spec_cannot_smuggle_a_command_in(tmp_path: Path, phrase: str) -> None:
    marker = tmp_path / "marker"
    spec = replaced(SPEC, "kind: dc_gain, node: out", f'take: "{phrase.format(os.fspath(marker))}"')
    write(tmp_path, {"spec.yaml": spec, "amp.cir": AMPLIFIER})
    run = sizewise(tmp_path, "size", "spec.yaml", "--budget", "3")
    assert run.status == 2, run
    assert "gain" in run.err
    assert not marker.exists()
