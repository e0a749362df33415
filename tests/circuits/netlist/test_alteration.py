"""What `alter` can reach, against `alterparam` and `reset` in ngspice."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl_core.errors import InputError
from circuits.netlist import Deck, read_deck
from circuits.netlist.alteration import alter_targets
from circuits.numbers import format_number
from tests.circuits.deck_runs import batch, figures, needs_ngspice

AMPLIFIER = """a stage of which some parameters can be altered
.param w1=10u l1=1u m1=2 rl=10k c=1p ib=20u vb=0.7 lx=1n
.param wr=2u used=1k wb=5u wm=3u kp0=100u half={wr/2}
vdd dd 0 3
vg g 0 vb ac 1
m1 o g 0 0 nx w=w1 l={l1} m='m1'
m2 o g 0 0 nx w=w1 l=l1
m3 o g 0 0 nx w=half l=1u
m4 o g 0 0 bin w=wb l=1u
x1 o cell w=wm
rl dd o rl
r2 o p {used*2}
c c 0 c
rc o c 1k
l1 p 0 lx
i1 dd o {ib}
.subckt cell p w=1u
m1 p p 0 0 nx w={w} l=1u
rs p 0 1meg
.ends
.model nx nmos level=1 vto=0.5 kp={kp0} lambda=0.1
.model bin.1 nmos level=1 vto=0.5 lmin=0.1u lmax=10u wmin=0.1u wmax=100u
"""
TARGETS = {
    "w1": ("@m1[w]", "@m2[w]"),
    "l1": ("@m1[l]", "@m2[l]"),
    "m1": ("@m1[m]",),
    "rl": ("rl",),
    "c": ("c",),
    "lx": ("l1",),
    "ib": ("@i1[dc]",),
    "vb": ("@vg[dc]",),
}
OTHERS = {"wr": "2", "used": "12", "wb": "9", "wm": "10", "kp0": "21", "half": None}


def deck_of(folder: Path, text: str) -> Deck:
    (folder / "deck.cir").write_text(text)
    return read_deck(folder / "deck.cir", environment={})


def test_bare_values_of_top_level_devices_have_targets(tmp_path: Path) -> None:
    found = alter_targets(deck_of(tmp_path, AMPLIFIER), TARGETS)
    assert {name: alteration.targets for name, alteration in found.items()} == TARGETS
    assert all(alteration.reason is None for alteration in found.values())


@pytest.mark.parametrize("name", OTHERS)
def test_other_uses_have_none_and_say_where(tmp_path: Path, name: str) -> None:
    alteration = alter_targets(deck_of(tmp_path, AMPLIFIER), [name])[name]
    if name == "half":  # a value on its own, though an expression by definition
        assert alteration.targets == ("@m3[w]",)
        return
    assert alteration.targets == ()
    assert alteration.reason is not None


def test_the_reasons_name_the_line(tmp_path: Path) -> None:
    found = alter_targets(deck_of(tmp_path, AMPLIFIER), ["wr", "used", "wb", "wm", "kp0"])
    lines = {name: found[name].reason.split()[0].rpartition(":")[2] for name in found if found[name].reason}
    assert lines == {"wr": "3", "used": "12", "wb": "9", "wm": "10", "kp0": "21"}


@pytest.mark.parametrize(
    ("definition", "reason"),
    [("", "no device"), (".if (w==1)\n.endif\n", ".if"), (".options gmin={w}\n", ":5"), ("b1 c 0 v={w*v(a)}\n", ":5")],
)
def test_anything_else_that_uses_it_stands_in_the_way(tmp_path: Path, definition: str, reason: str) -> None:
    deck = deck_of(tmp_path, f"t\n.param w=1\nr9 a 0 1\nv1 a 0 1\n{definition}")
    assert reason in str(alter_targets(deck, ["w"])["w"].reason)


def test_parameters_of_subcircuits_and_unknown_ones(tmp_path: Path) -> None:
    deck = deck_of(tmp_path, "t\nx1 a s\n.subckt s p\n.param k=1\nr1 p 0 k\nd1 p 0 dd\n.ends\n.model dd d\nv1 a 0 1\n")
    assert alter_targets(deck, ["s.k"])["s.k"].targets == ()
    with pytest.raises(InputError, match="zz"):
        alter_targets(deck, ["zz"])


@needs_ngspice
@pytest.mark.parametrize("factor", [0.5, 1.37, 4.0])
def test_altering_the_targets_gives_the_figures_of_a_new_expansion(tmp_path: Path, factor: float) -> None:
    text = AMPLIFIER.replace("m4 o g 0 0 bin w=wb l=1u\n", "")
    deck = deck_of(tmp_path, text)
    names = [*TARGETS, "half"]
    starts = {name: deck.parameter(name).start or 0.0 for name in names}
    values = {name: start * (round(factor * 4) / 4 if name == "m1" else factor) for name, start in starts.items()}
    values["vb"] = starts["vb"] + 0.01 * factor
    analyses = ["op", "print v(o) i(vdd)", "ac dec 3 1k 1g", "print vdb(o)"]
    settings = [f"alterparam {name} = {format_number(value)}" for name, value in values.items()]
    expanded = figures(batch(tmp_path, deck.flatten(), [*settings, "reset", *analyses]))
    targets = alter_targets(deck, names)
    commands = [f"alter {target} = {values[name]!r}" for name in names for target in targets[name].targets]
    altered = figures(batch(tmp_path, deck.flatten(), [*commands, *analyses]))
    assert len(expanded) > 15
    for one, other in zip(_numbers(expanded), _numbers(altered), strict=True):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-9)
    unchanged = figures(batch(tmp_path, deck.flatten(), analyses))
    assert unchanged != expanded


def _numbers(lines: list[str]) -> list[float]:
    return [
        float(word)
        for line in lines
        if "TEMP" not in line
        for word in line.replace("=", " ").split()
        if word[-1].isdigit()
    ]
