"""``init`` on decks that nobody prepared: a spec that ``check`` accepts, ``size`` runs on, and ``apply`` puts back."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.command_line import sizewise, write

MODELS = """* models of a teacher
.model nch nmos level=1 vto=0.45 kp=250u lambda=0.1 tox=4n
.model pch pmos level=1 vto=-0.45 kp=80u lambda=0.15 tox=4n
"""

LITERALS = """Five-transistor OTA, as a student draws it
* every size a literal
VDD vdd 0 DC 1.8
VIP inp 0 DC 0.9 AC 1
VIN inn 0 DC 0.9
IB vdd nb 20u
M6 nb nb 0 0 nch W=4u L=0.5u
M5 tail nb 0 0 nch W=8u L=0.5u
M1 d1 inp tail 0 nch W=10u L=0.5u
M2 out inn tail 0 nch W=10u L=0.5u
M3 d1 d1 vdd vdd pch W=10u L=0.5u
M4 out d1 vdd vdd pch W=10u L=0.5u
CL out 0 1p
.model nch nmos level=1 vto=0.45 kp=250u lambda=0.1 tox=4n
.model pch pmos level=1 vto=-0.45 kp=80u
+ lambda=0.15 tox=4n
.op
.ac dec 10 1 1G
.end
"""

PARAMETERS = """* RC-loaded source follower with parameters
.param wn = 20u  ; the follower
.param lf='0.5u' rs=5k
.param cl = {2p}
vdd vdd 0 1.8
vin in 0 dc 1.2 ac 1 pulse(1.1 1.3 10n 1n 1n 100n 200n)
m1 vdd in vout 0 nch w={wn} l=lf
rs vout 0 {rs}
cl vout 0 'cl'
.model nch nmos level=1 vto=0.45 kp=250u lambda=0.1 tox=4n
.ac dec 5 10k 10g
.tran 1n 200n
.meas tran top max v(vout)
.meas ac level find vdb(vout) at=100k
.end
"""

CONTROL = """two-transistor inverter amplifier, run from a .control block
vdd vdd 0 dc 1.8
vin in 0 dc 0.9 ac 1
mn out in 0 0 nch w=4u l=0.5u m=2
mp out in vdd vdd pch w=12u l=0.5u m=2
rf in2 out 100k
cb in2 0 1n
cl out 0 2p
.include devices.inc
.control
set filetype=ascii
op
print v(out)
ac dec 10 1k 1g
meas ac peak max vdb(out)
meas ac f0 when vdb(out)=0 fall=1
plot vdb(out)
write result.raw
quit
.endc
.end
"""

SUBCIRCUITS = """two stages of one subcircuit
.include "models/cards.lib"
.param wa=10u wb=20u ra=10k rb=5k
vdd vdd 0 1.8
vin in 0 dc 0.6 ac 1
.subckt stage a y vdd w=1u r=1k
m1 y a 0 0 nch w={w} l=0.5u
r1 vdd y {r}
.ends stage
x1 in mid vdd stage w={wa} r={ra}
cc mid b 10p
rb b bias 1meg
vb bias 0 0.6
x2 b out vdd stage w={wb} r={rb}
cl out 0 1p
.ac dec 10 10k 10g
.end
"""

DECKS = {
    "literals": {"deck.cir": LITERALS},
    "parameters": {"deck.cir": PARAMETERS},
    "control": {"deck.cir": CONTROL, "devices.inc": MODELS},
    "subcircuits": {"deck.cir": SUBCIRCUITS, "models/cards.lib": MODELS},
}


@pytest.mark.parametrize("style", DECKS)
def test_from_a_deck_to_a_sized_one(tmp_path: Path, style: str) -> None:
    write(tmp_path, DECKS[style])
    begun = sizewise(tmp_path, "init", "deck.cir")
    assert begun.status == 0, begun
    assert (tmp_path / "deck.cir").read_text() == DECKS[style]["deck.cir"]

    checked = sizewise(tmp_path, "check", "deck.yaml", "--json")
    assert checked.status == 0, checked
    report = json.loads(checked.out)
    assert report["sound"] and report["metrics"] and report["variables"]
    assert any(value is not None for value in report["metrics"].values())
    for variable in report["variables"].values():
        assert variable["low"] <= variable["start"] <= variable["high"]
    assert all(report["met"].values())  # what the deck reaches today is what its first spec asks for

    ran = sizewise(tmp_path, "size", "deck.yaml", "-o", "run", "--budget", 30, "--stop", "budget")
    assert ran.status == 0, ran  # trial 0 is the designer's own sizing, which meets it
    best = json.loads((tmp_path / "run/best.json").read_text())
    assert best["evaluations"] == 30
    assert best["sign_off"]["worst_relative_difference"] < 1e-3
    assert best["sign_off"]["unconfirmed"] == []

    applied = sizewise(tmp_path, "apply", "run", "-o", "applied")
    assert applied.status == 0, applied
    for line in applied.out.splitlines():
        if re.match(r"[-+](?![-+])", line):
            assert line[1:].lower().lstrip().startswith(".param"), applied.out
    deck = next(path for path in sorted((tmp_path / "applied").glob("deck*.cir")))
    run = subprocess.run(
        ["ngspice", "-n", "-b", deck.name], cwd=deck.parent, capture_output=True, text=True, timeout=60, check=False
    )
    said = run.stdout + run.stderr
    assert "Circuit:" in said and not re.search(r"unknown|undefined|can't find model|no such", said), said


def test_what_was_measured_in_the_deck_is_measured_by_the_spec(tmp_path: Path) -> None:
    write(tmp_path, DECKS["control"])
    assert sizewise(tmp_path, "init", "deck.cir").status == 0
    report = json.loads(sizewise(tmp_path, "check", "deck.yaml", "--json").out)
    lines = [line for line in CONTROL.splitlines() if not line.startswith(("plot", "write"))]
    (tmp_path / "alone.cir").write_text("\n".join(lines) + "\n")
    run = subprocess.run(
        ["ngspice", "-n", "-b", "alone.cir"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    for metric in ("peak", "f0"):
        own = re.search(rf"^{metric}\s+=\s+(\S+)", run.stdout, re.MULTILINE)
        assert own, run.stdout
        assert report["metrics"][metric] == pytest.approx(float(own[1]), rel=1e-5)


def test_folders_outside_are_asked_for(tmp_path: Path) -> None:
    deck = SUBCIRCUITS.replace("models/cards.lib", "../models/cards.lib")
    write(tmp_path, {"work/deck.cir": deck, "models/cards.lib": MODELS})
    work = tmp_path / "work"
    refused = sizewise(work, "init", "deck.cir")
    assert refused.status == 2
    assert f"--allow {tmp_path / 'models'}" in refused.err
    assert not (work / "deck.yaml").exists()
    assert sizewise(work, "init", "deck.cir", "--allow", "../models").status == 0
    assert re.search(r'^include_paths: \["\.\./models"\]$', (work / "deck.yaml").read_text(), re.MULTILINE)
    assert sizewise(work, "check", "deck.yaml").status == 0


def test_a_spec_is_not_overwritten(tmp_path: Path) -> None:
    write(tmp_path, {**DECKS["parameters"], "deck.yaml": "mine\n"})
    run = sizewise(tmp_path, "init", "deck.cir")
    assert run.status == 2
    assert "deck.yaml" in run.err and "-o" in run.err
    assert (tmp_path / "deck.yaml").read_text() == "mine\n"
