"""What counts as one device: cells of kits do, circuits of a designer's own do not; judged by ngspice's impedances."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuits.netlist import read_deck
from tests.circuits.deck_runs import batch, needs_ngspice, printed

CELLS = {
    "a resistor with its ends' capacitances": "p q b w=1 l=1\nr1 p q 'l/w*300'\nc1 p b 1f\nc2 q b 1f",
    "a resistor of three pieces": "p q b w=1\n.param r={1k/w}\nra p s {r/9}\nrb s t {r}\nrc t q {r/9}\nxc s b k w={w}",
    "a capacitor with a leak": "p q w=1 l=1\nc1 p q 'w*l*1p'\nr1 p q 1e12",
    "a capacitor with the resistance of its plates": "p q w=1\nc1 p s {w*1p}\nr1 s q {1/w}",
    "a capacitor with a plate over the bulk": "p q b w=1\nc1 p q {w*1p}\nc2 q b {w*1f}",
}
"""Subcircuits with w or l, all on the ports p and q."""

CIRCUITS = {
    "a low pass": "p q b\nr1 p q 1k\nc1 q b 1p",
    "a low pass with parameters": "p q b r=1k c=1p\nr1 p q {r}\nc1 q b {c}",
    "a pi of equal ends": "p q b r=1k c=1p\nc1 p b {c}\nr1 p q {r}\nc2 q b {c}",
    "a high pass": "p q b w=1\nc1 p q {w*1p}\nr1 q b {w*1k}",
    "a divider": "p q b w=1\nr1 p q {w*1k}\nr2 q b 1k",
    "a compensation": "p q r=1k c=1p\nr1 p s {r}\nc1 s q {c}",
    "one resistor, sized where it stands": "p q\nr1 p q 1k",
    "two of something, apart": "p q w=1\nc1 p 0 {w*1p}\nc2 q 0 {w*1p}",
}
SUBCIRCUIT_K = ".subckt k p b w=1\nc1 p b {w*1f}\n.ends\n"


def _text(body: str) -> str:
    nodes = "a 0 0" if body.startswith("p q b") else "a 0"
    return f"t\nv1 a 0 dc 1 ac 1\nx1 {nodes} cell\n.subckt cell {body}\n.ends\n{SUBCIRCUIT_K}.end\n"


@needs_ngspice
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_is_the_element_whose_impedance_ngspice_finds(tmp_path: Path, name: str) -> None:
    text = _text(CELLS[name])
    (tmp_path / "deck.cir").write_text(text)
    device = read_deck(tmp_path / "deck.cir").device("x1")
    output = batch(tmp_path, text.splitlines(), ["ac lin 1 100k 100k", "print abs(re(i(v1)))", "print abs(im(i(v1)))"])
    real, imaginary = printed(output).values()
    assert device.kind == ("resistor" if real > imaginary else "capacitor")
    assert (device.terminals["plus"], device.terminals["minus"]) == ("a", "0")


@pytest.mark.parametrize("name", CIRCUITS)
def test_the_parts_of_a_circuit_are_seen(tmp_path: Path, name: str) -> None:
    (tmp_path / "deck.cir").write_text(_text(CIRCUITS[name]))
    devices = [device.label for device in read_deck(tmp_path / "deck.cir").devices[1:]]
    assert devices == [f"x1.{line.split()[0]}" for line in CIRCUITS[name].splitlines()[1:]]
