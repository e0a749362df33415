"""Decks as read, against what ngspice makes of the same decks."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_core.errors import InputError
from circuits.netlist import Deck, read_deck
from tests.circuits.deck_runs import batch, figures, needs_ngspice, printed

KITS = Path(os.environ.get("PDK_ROOT", Path(__file__).parents[3] / "shared" / "pdk"))
SKY130 = KITS / "sky130A/libs.tech/combined/continuous/sky130.lib.spice"
needs_sky130 = pytest.mark.skipif(not SKY130.exists(), reason="the sky130 kit is not below PDK_ROOT")
LOAD = "v1 a 0 1\nr1 a 0 1\n"


def deck_of(folder: Path, text: str | bytes, **files: str) -> Deck:
    """The deck of a text; ``files`` by name with ``_`` for the dot."""
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    path = folder / "deck.cir"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_deck(path, environment={})


def values_of(deck: Deck) -> dict[str, float | None]:
    return {parameter.key: parameter.start for parameter in deck.parameters}


def refusal(folder: Path, text: str | bytes, **files: str) -> InputError:
    with pytest.raises(InputError) as caught:
        deck_of(folder, text, **files)
    assert caught.value.remedy
    return caught.value


AMPLIFIER = """a common-source stage, written as decks in the wild are
* comment
.PARAM W1=2u ; width
+ l1 = 1u // length

* a comment between continuations
+ vbias={0.3 + 0.4}  rload = 10K $ ohms
.param gain='w1/l1' area={gain*square(2)} $ derived
.func square(x) {x*x}
.global dd
VDD dd 0 DC 3
Vg g 0 DC {vbias} AC 1 SIN(0 1m 1k)
M1 O G 0 0 NX W=w1 L = 'l1*2'
+ M = 2
Rl dd o {rload}
Cl o 0 C=1p
X1 o BUFFER_OUT buffer k='gain*3'
.subckt Buffer in out params: k=2
.param inner={k*2}
Mb dd in out 0 nx w={k*1u} l=1u
Rb out 0 'inner*1k'
.ends
.model nx NMOS level=1 vto=0.5 kp=100u lambda=0.05
.ac dec 5 1k 1meg
.op
.print ac v(o)
.end
"""


def test_reads_parameters_with_their_values_and_places(tmp_path: Path) -> None:
    deck = deck_of(tmp_path, AMPLIFIER)
    assert deck.title == "a common-source stage, written as decks in the wild are"
    values = values_of(deck)
    assert {name: values[name] for name in ("w1", "l1", "vbias", "rload", "gain", "area")} == pytest.approx(
        {"w1": 2e-6, "l1": 1e-6, "vbias": 0.7, "rload": 1e4, "gain": 2.0, "area": 8.0}
    )
    assert deck.parameter("W1").text == "2u"
    assert deck.parameter("gain").line == 8
    assert deck.parameter("buffer.inner").scope == "buffer"
    assert "square" not in values


def test_reads_devices_with_terminals_models_and_parameters(tmp_path: Path) -> None:
    deck = deck_of(tmp_path, AMPLIFIER)
    assert [device.name for device in deck.devices] == ["vdd", "vg", "m1", "rl", "cl", "m.x1.mb", "r.x1.rb"]
    m1, inner = deck.device("m1"), deck.device("x1.mb")
    assert m1.kind == "nmos"
    assert m1.terminals == {"drain": "o", "gate": "g", "source": "0", "bulk": "0"}
    assert m1.parameters == {"w": "w1", "l": "'l1*2'", "m": "2"}
    assert m1.values == pytest.approx({"w": 2e-6, "l": 2e-6, "m": 2})
    assert (m1.line, m1.model, m1.scope) == (13, "nx", "")
    assert inner.terminals == {"drain": "dd", "gate": "o", "source": "buffer_out", "bulk": "0"}
    assert (inner.scope, inner.path) == ("buffer", ("x1",))
    assert inner.values["w"] == pytest.approx(6e-6)
    assert deck.device("vg").parameters == {"dc": "{vbias}", "ac": "1", "waveform": "SIN(0 1m 1k)"}
    assert deck.nets == ("dd", "0", "g", "o", "buffer_out")


@needs_ngspice
def test_sizes_inside_the_deck_are_those_that_ngspice_uses(tmp_path: Path) -> None:
    deck = deck_of(tmp_path, AMPLIFIER)
    wanted = {"@m1[w]": ("m1", "w"), "@m1[l]": ("m1", "l"), "@m.x1.mb[w]": ("m.x1.mb", "w")}
    wanted |= {"@rl[resistance]": ("rl", "r"), "@r.x1.rb[resistance]": ("r.x1.rb", "r")}
    output = batch(tmp_path, deck.flatten(), ["op", *(f"print {name}" for name in wanted)])
    expected = {name: deck.device(device).values[key] for name, (device, key) in wanted.items()}
    assert printed(output) == pytest.approx(expected, rel=1e-9)


@needs_ngspice
@pytest.mark.parametrize("prune", [True, False])
def test_the_flat_deck_gives_the_figures_of_the_deck_bit_by_bit(tmp_path: Path, prune: bool) -> None:
    library = ".model nx nmos level=1 vto=0.5 kp=1e-4 lambda=0.1\n.model spare nmos level=1\n"
    library += ".subckt spare a\nr1 a 0 1\n.ends\n"
    text = AMPLIFIER.replace(".model nx NMOS level=1 vto=0.5 kp=100u lambda=0.05", ".include 'models.lib' $ models")
    deck = deck_of(tmp_path, text, models_lib=library)
    commands = ["op", "print all", "ac dec 5 1k 1g", "print vdb(o) vp(o)"]
    plain = [line for line in text.splitlines() if not line.startswith((".ac", ".op", ".print"))]
    expected = figures(batch(tmp_path, plain, commands))
    assert len(expected) > 30
    assert figures(batch(tmp_path, deck.flatten(prune=prune), commands)) == expected
    assert any("spare" in line for line in deck.flatten(prune=prune)) is not prune


@needs_ngspice
@needs_sky130
@pytest.mark.parametrize("section", ["tt", "ss"])
def test_a_sky130_deck_is_pruned_without_changing_a_bit(tmp_path: Path, section: str) -> None:
    text = f"""two mirrored transistors of a kit
.lib {SKY130} {section}
.param w1=10 l1=0.5
vdd vdd 0 1.8 ac 1
ib vdd n 20u
xm1 n n 0 0 sky130_fd_pr__nfet_01v8 w={{w1}} l={{l1}}
xm2 o n 0 0 sky130_fd_pr__nfet_01v8 w={{2*w1}} l={{l1}}
xc1 o 0 sky130_fd_pr__cap_mim_m3_1 w=10 l=10
rl vdd o 10k
"""
    (tmp_path / "deck.cir").write_text(text)
    deck = read_deck(tmp_path / "deck.cir", pdk_root=KITS)
    commands = ["op", "print all", "ac dec 3 1k 1g", "print vdb(o)"]
    pruned = figures(batch(tmp_path, deck.flatten(), commands))
    assert len(pruned) > 15
    assert pruned == figures(batch(tmp_path, text.splitlines(), commands))
    assert len(deck.flatten()) < len(deck.flatten(prune=False)) / 3
    mirror = deck.device("xm2")
    assert (mirror.kind, mirror.name) == ("nmos", "m.xm2.msky130_fd_pr__nfet_01v8")
    assert mirror.terminals == {"drain": "o", "gate": "n", "source": "0", "bulk": "0"}
    assert mirror.values == {"w": 20.0, "l": 0.5}
    assert deck.device("xc1").kind == "capacitor"
    assert [parameter.name for parameter in deck.parameters if parameter.own] == ["w1", "l1"]
    assert deck.folders == ()


@needs_sky130
def test_a_kit_is_read_within_a_second(tmp_path: Path) -> None:
    (tmp_path / "deck.cir").write_text(f"t\n.lib {SKY130} tt\nxm1 a a 0 0 sky130_fd_pr__nfet_01v8 w=1 l=1\nv1 a 0 1\n")
    before = time.perf_counter()
    read_deck(tmp_path / "deck.cir", pdk_root=KITS).flatten()
    assert time.perf_counter() - before < 1.5  # 0.15 s on an idle machine of 2 cores


@needs_ngspice
def test_new_values_reach_ngspice(tmp_path: Path) -> None:
    deck = deck_of(tmp_path, AMPLIFIER)
    lines = deck.flatten({"w1": 3.3e-6, "vbias": "0.2 + l1*1e5", "buffer.inner": 7})
    output = batch(tmp_path, lines, ["op", "print @m1[w]", "print @r.x1.rb[resistance]", "print v(g)"])
    assert printed(output) == pytest.approx({"@m1[w]": 3.3e-6, "@r.x1.rb[resistance]": 7e3, "v(g)": 0.3}, rel=1e-9)
    with pytest.raises(InputError, match="w2"):
        deck.flatten({"w2": 1e-6})


def test_the_flat_deck_holds_no_commands_and_no_cards_of_analyses(tmp_path: Path) -> None:
    text = (
        AMPLIFIER
        + ".control\nrun\nshell touch x\n.endc\n*#shell touch y\n.meas ac g max vdb(o)\n.save all\n.probe v(o)\n"
    )
    lines = deck_of(tmp_path, text).flatten()
    assert lines[-1] == ".end"
    words = {line.split()[0].lower() for line in lines[1:]}
    assert words <= {".param", ".func", ".global", ".subckt", ".ends", ".model", ".end"} | {
        device for device in ("vdd", "vg", "m1", "rl", "cl", "x1", "mb", "rb")
    }


@pytest.mark.parametrize("title", ["*#shell touch hacked", "*ng_script", ".control", "", "+ x", "é\x1b[2J"])
@needs_ngspice
def test_a_title_is_only_a_title(tmp_path: Path, title: str) -> None:
    deck = deck_of(tmp_path, f"{title}\n{LOAD}")
    assert "v(a) = 1" in batch(tmp_path, deck.flatten(), ["op", "print v(a)"])
    assert not (tmp_path / "hacked").exists()
    assert deck.flatten()[0].isascii() and deck.flatten()[0].isprintable()


# -- parameters and scopes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("definitions", "value"),
    [
        (".param x=1\n.param x=2", 2),
        (".param x=1 x=2", 2),
        (".param x=y*2\n.param y=3", 6),
        (".param y=1\n.param x=y\n.param y=5", 5),
        (".param x = 2 * 3", 6),
        (".param x = 2 + 3 y = 4", 2),
        (".param x=max(2, 3) z=9", 3),
        (".param y=5 x = (2 + 3) z=9", 5),
        (".param y=5 x = y==5 z=9", 1),
        (".param x={2+\n+3}", 5),
        (".params x=7", 7),
        (".func f(u,w)=u*w+1\n.param x='2*f(1+1,3)'", 14),
        (".param y=2 f(a,b)=a*b+1 z=4\n.param x=f(2,3)", 7),
        (".param s=1\n.if (s==1)\n.param x=5\n.else\n.param x=6\n.endif", 6),
        (".PARAM X=3 $ hi", 3),
        (".param\tx\t=\t4", 4),
    ],
)
@needs_ngspice
def test_parameters_have_ngspice_s_values(tmp_path: Path, definitions: str, value: float) -> None:
    text = f"t\n{definitions}\nv1 a 0 {{x}}\nr1 a 0 1\n"
    deck = deck_of(tmp_path, text)
    assert values_of(deck)["x"] == pytest.approx(value)
    for lines in (deck.flatten(), text.splitlines()):
        assert printed(batch(tmp_path, lines, ["op", "print v(a)"])) == pytest.approx({"v(a)": value})


SUBCIRCUITS = {
    "default": ("x1 a s\n.subckt s p k=2\nr1 p 0 {k}\n.ends", "r.x1.r1"),
    "given": ("x1 a s k=3\n.subckt s p k=2\nr1 p 0 {k}\n.ends", "r.x1.r1"),
    "given beats .param": ("x1 a s k=5\n.subckt s p\n.param k=7\nr1 p 0 {k}\n.ends", "r.x1.r1"),
    "default of another": ("x1 a s b=5\n.subckt s p c={b*2} b=1\nr1 p 0 {c}\n.ends", "r.x1.r1"),
    "own name outside": (".param k=1\nx1 a s k={k+1}\n.subckt s p k=7\nr1 p 0 {k}\n.ends", "r.x1.r1"),
    "own name inside": (".param k=1\nx1 a s\n.subckt s p\n.param k={k+1}\nr1 p 0 {k}\n.ends", "r.x1.r1"),
    "from the caller": ("x1 a s k=3\n.subckt s p k=1\nx2 p t\n.ends\n.subckt t p\nr1 p 0 {k}\n.ends", "r.x1.x2.r1"),
    "bare expression": (".param k=3\nx1 a s w=k*2\n.subckt s p w=1\nr1 p 0 {w}\n.ends", "r.x1.r1"),
    "a name of the cell's own": (".param n=9\nx1 a s k={3*n}\n.subckt s p n=2 k=1\nr1 p 0 {k}\n.ends", "r.x1.r1"),
    "own names crossed": (
        ".param k=7\n.param n=9\nx1 a s k={n} n={k}\n.subckt s p n=2 k=1\nr1 p 0 {10*k+n}\n.ends",
        "r.x1.r1",
    ),
    "not yet its own": (".param n=9 k=5\nx1 a s k={n}\n.subckt s p n={2*k} k=1\nr1 p 0 {10*k+n}\n.ends", "r.x1.r1"),
    "its own by then": (
        ".param n=9 k=5\nx1 a s n={k}\n.subckt s p n={2*k} k={q} q=3\nr1 p 0 {10*k+n}\n.ends",
        "r.x1.r1",
    ),
    "numbers first": (
        ".param n=9 k=5\nx1 a s n=3 k={n}\n.subckt s p k=1\n.param n={2*k}\nr1 p 0 {10*k+n}\n.ends",
        "r.x1.r1",
    ),
    "sorted .param": (
        ".param n=9 k=5\nx1 a s k={n}\n.subckt s p\n.param k={n+1}\n.param n={2*3}\nr1 p 0 {10*k+n}\n.ends",
        "r.x1.r1",
    ),
    "function inside": ("x1 a s\n.func f(x) {x}\n.subckt s p\n.func f(x) {x*3}\nr1 p 0 {f(2)}\n.ends", "r.x1.r1"),
    "first definition": ("x1 a s\n.subckt s p\nr1 p 0 1\n.ends\n.subckt s p\nr1 p 0 2\n.ends", "r.x1.r1"),
    "conditional": ("x1 a s k=2\n.subckt s p k=1\n.if (k==1)\nr1 p 0 1\n.else\nr1 p 0 4\n.endif\n.ends", "r.x1.r1"),
}


@needs_ngspice
@pytest.mark.parametrize("name", SUBCIRCUITS)
def test_values_in_subcircuits_are_ngspice_s(tmp_path: Path, name: str) -> None:
    body, device = SUBCIRCUITS[name]
    text = f"t\nv1 a 0 1\n{body}\nr9 a 0 1\n"  # r9: a wrapped resistor alone would be called x1
    text = text.replace("r1 p 0", "d9 p 0 dd\nr1 p 0").replace("r9", ".model dd d is=1e-30\nr9")
    deck = deck_of(tmp_path, text)
    output = batch(tmp_path, text.splitlines(), ["op", f"print @{device}[resistance]"])
    assert printed(output)[f"@{device}[resistance]"] == pytest.approx(deck.device(device).values["r"])


@pytest.mark.parametrize(("cell", "origins"), [("n=2 k=1", set()), ("n={2*k} k=1", {"n"}), ("k=1", {"n"})])
def test_the_parameters_that_size_a_cell_are_those_that_count(tmp_path: Path, cell: str, origins: set[str]) -> None:
    text = f"t\n.param n=9\nv1 a 0 1\nx1 a s k={{3*n}}\n.subckt s p {cell}\nd9 p 0 dd\nr1 p 0 {{k}}\n.ends\n"
    deck = deck_of(tmp_path, text + ".model dd d is=1e-30\nr9 a 0 1\n")
    assert deck.device("r.x1.r1").origins["r"] == origins


@pytest.mark.parametrize("given", ["", "k=3", "k={a}"])
def test_defaults_that_need_each_other_are_refused(tmp_path: Path, given: str) -> None:
    text = f"t\n.param a=1\nv1 a 0 1\nx1 a s {given}\n.subckt s p a={{b}} b={{a}} k=1\nr1 p 0 {{k}}\n.ends\n"
    with pytest.raises(InputError, match="need each other: a -> b -> a"):
        _ = deck_of(tmp_path, text).devices


@needs_ngspice
def test_nets_inside_instances_are_named_as_ngspice_does(tmp_path: Path) -> None:
    text = "t\nv1 a 0 1\nx1 a o\n.subckt o p\nx2 p m i\nx3 m GND i\nr5 m 0 1k\n.ends\n"
    text += ".subckt i p q\nr1 p t 3\nl1 t q 1n\n.ends\n"
    deck = deck_of(tmp_path, text)
    assert set(deck.nets) == {"a", "0", "x1.m", "x1.x2.t", "x1.x3.t"}
    output = batch(tmp_path, deck.flatten(), ["op", "print v(x1.m) v(x1.x2.t) v(x1.x3.t)"])
    assert len(printed(output)) == 3


# -- includes ---------------------------------------------------------------------------------------------------------


def test_only_the_chosen_section_of_a_library_is_read(tmp_path: Path) -> None:
    library = "* a library\nr99 a 0 1\n.lib TT\n.param x=5\n.include inner.inc\n.endl TT\n"
    library += ".lib ss\n.param x=7\n.lib 'corners.lib' common\n.endl\n"
    library += ".lib common\n.param y=2\n.endl\n.lib broken\n.include missing.inc\n.endl\n"
    inner = "r2 a 0 {x}\n.end\nr3 a 0 1\n"
    deck = deck_of(tmp_path, f"t\n.LIB 'corners.lib' tt $ typical\n{LOAD}", corners_lib=library, inner_inc=inner)
    assert values_of(deck) == {"x": 5.0}
    assert [device.name for device in deck.devices] == ["r2", "r3", "v1", "r1"]
    assert (deck.device("r3").file.name, deck.device("r3").line) == ("inner.inc", 3)
    slow = deck_of(tmp_path, f't\n.lib "corners.lib" SS\n{LOAD}')
    assert values_of(slow) == {"x": 7.0, "y": 2.0}
    assert [include.section for include in slow.includes] == ["ss", "common"]
    error = refusal(tmp_path, f"t\n\n.lib corners.lib comon\n{LOAD}")
    assert "common" in str(error.remedy)
    assert error.place == f"{tmp_path / 'deck.cir'}:3"


@needs_ngspice
@pytest.mark.parametrize("compat", ["ps", "psa", "lt", "lta", "ltpsa", "hsa", None])
def test_a_library_without_a_section_is_an_include_where_it_is_one_for_ngspice(
    tmp_path: Path, compat: str | None
) -> None:
    (tmp_path / "models.lib").write_text(".lib other.lib\n.param r2=5\n")
    (tmp_path / "other.lib").write_text(".param r1=3\n")
    text = "t\n.lib models.lib\ni1 0 a 1\nr1 a b {r1}\nr2 b 0 {r2}\n"
    (tmp_path / "deck.cir").write_text(text)
    dialect = ["-D", f"ngbehavior={compat}"] if compat else []
    volts = printed(batch(tmp_path, text.splitlines(), ["op", "print v(a)"], *dialect))
    if not volts:
        with pytest.raises(InputError, match=r"'\.lib models\.lib' names no section") as caught:
            read_deck(tmp_path / "deck.cir", compat=compat)
        assert compat in ("hsa", None) and caught.value.place == f"{tmp_path / 'deck.cir'}:2"
        assert str(caught.value.remedy).startswith("write .include 'models.lib', or name a section")
    else:
        deck = read_deck(tmp_path / "deck.cir", compat=compat)
        assert volts["v(a)"] == pytest.approx(sum(device.values["r"] for device in deck.devices[1:]))
        assert [include.file.name for include in deck.includes] == ["models.lib", "other.lib"]


def test_includes_are_relative_to_the_file_that_asks(tmp_path: Path) -> None:
    (tmp_path / "cells" / "deep").mkdir(parents=True)
    (tmp_path / "cells" / "a b.inc").write_text(".inc deep/c.inc\r\n")
    (tmp_path / "cells" / "deep" / "c.inc").write_bytes(b"r7 a 0 \xb5 ; caf\xe9\r\n".replace(b"\xb5", b"7"))
    deck = deck_of(tmp_path, f"t\n.include 'cells/a b.inc'\n{LOAD}")
    assert deck.device("r7").values == {"r": 7.0}


@pytest.mark.parametrize("name", ["../outside/x.inc", "link.inc", "{absolute}"])
def test_an_include_outside_is_refused_with_the_folder_to_allow(tmp_path: Path, name: str) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "x.inc").write_text(".param secret=1\n")
    (inside / "link.inc").symlink_to(outside / "x.inc")
    text = f"t\n.include {name.format(absolute=outside / 'x.inc')}\n{LOAD}"
    error = refusal(inside, text)
    assert str(error.remedy).endswith(f"allow the folder {outside}")
    assert error.place == f"{inside / 'deck.cir'}:2"
    deck = read_deck(inside / "deck.cir", allowed=[outside], environment={})
    assert values_of(deck) == {"secret": 1.0}
    assert deck.folders == (outside,)


def test_a_kit_behind_a_link_below_pdk_root_may_be_read(tmp_path: Path) -> None:
    store, root, design = tmp_path / "store", tmp_path / "pdk", tmp_path / "design"
    for folder in (store, root, design):
        folder.mkdir()
    (store / "m.lib").write_text(".param kit=1\n")
    (root / "kit").symlink_to(store)
    (design / "deck.cir").write_text(f"t\n.include $PDK_ROOT/kit/m.lib\n{LOAD}")
    deck = read_deck(design / "deck.cir", environment={"PDK_ROOT": str(root)})
    assert values_of(deck) == {"kit": 1.0}
    with pytest.raises(InputError, match="PDK_ROOT"):
        read_deck(design / "deck.cir", environment={})


def test_includes_in_a_circle_or_too_deep_end_at_once(tmp_path: Path) -> None:
    assert "include each other" in refusal(tmp_path, f"t\n.include a.inc\n{LOAD}", a_inc=".include deck.cir\n").problem
    for index in range(60):
        (tmp_path / f"i{index}").write_text(f".include i{index + 1}\n")
    assert "levels" in refusal(tmp_path, f"t\n.include i0\n{LOAD}").problem
    os.mkfifo(tmp_path / "pipe")
    assert "regular file" in refusal(tmp_path, f"t\n.include pipe\n{LOAD}").problem


# -- what is wrong, said with its place -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("", None, "empty"),
        ("title\n", None, "empty"),
        ("title\n* only comments\n", None, "no devices"),
        (b"t\nr1 a 0 \0\n", None, "binary"),
        ("t\n.include gone.inc\n", 2, "gone.inc"),
        ("t\n.include 'gone.inc\n", 2, "unclosed quote"),
        ("t\n.param x={1\n", 2, "unclosed brace"),
        ("t\n* c\nr1 a 0\n+ {1\n", 3, "unclosed brace"),
        ("t\n.param x='2\n", 2, "unclosed quote"),
        ("t\n.param x=2, y=3\n", 2, "comma"),
        ("t\n.param x\n", 2, "assigns nothing"),
        ("t\n.param a= b=2\n", 2, "no value"),
        ("t\n.param x={2}*3 y=1\n", 2, "beside other"),
        ("t\n.param x={y*2}\n", 2, "'y'"),
        ("t\n.param x={f(2)}\n", 2, "'f'"),
        ("t\n.param a={b} b={a}\n", 2, "a -> b -> a"),
        ("t\nr1 a 0 {y}\n", 2, "'y'"),
        ("t\nr1 a 0 y\n", 2, "unknown parameter or model"),
        ("t\nm1 a a 0 0 n w=ww\n.model n nmos\n", 2, "w=ww"),
        ("t\nx1 a s k=y\n.subckt s p k=1\nr1 p 0 {k}\n.ends\n", 2, "'y'"),
        ("t\nx1 a s\n.subckt s p\nr1 p 0 {k}\n.ends\n", 4, "'k'"),
        ("t\nx1 a s k=2\n.subckt s p\nr1 p 0 {k}\n.ends\n", 4, "'k'"),
        ("t\nb1 a 0 v={kk*2}\n", 2, "'kk'"),
        ("t\nd1 a 0 dm\n.model dm d is={y}\n", 3, "'y'"),
        ("t\nm1 a a 0 0 nmoss\n.model nmos1 nmos\n", 2, "nmoss"),
        ("t\nm1 a a 0 0 s\n.subckt s d g s b\nr1 d s 1\n.ends\n", 2, "'s'"),
        ("t\nx1 a 0 opmap\n.subckt opamp a b\nr1 a b 1\n.ends\n", 2, "opmap"),
        ("t\nx1 a 0 b s\n.subckt s a b\nr1 a b 1\n.ends\n", 2, "3 nodes"),
        ("t\nx1 a s\n.subckt s a\nx1 a s\n.ends\n", 3, "nested"),
        ("t\n.subckt s a\nr1 a 0 1\n", 2, "no .ends"),
        ("t\nr1 a 0 1\n.ends\n", 3, "closes no .subckt"),
        ("t\n.control\nrun\n", 2, "no .endc"),
        ("t\n.if (1)\nr1 a 0 1\n", 2, "no .endif"),
        ("t\nr1 a 0 1\nR1 a 0 2\n", 3, "second device"),
        ("t\n# comment\nr1 a 0 1\n", 2, "'#'"),
        ("t\nr1 a\n", 2, "too few nodes"),
        ("t\n.options gmin={g}\nr1 a 0 1\n", 2, "'g'"),
        ("t\n.model n nmos\nm7 out nb 0 n w=1u\n", 3, "m7 has 3 nodes before its model 'n'"),
        ("t\n.model q npn\nq1 c b q\n", 3, "q1 has 2 nodes before its model 'q'"),
        ("t\n.param ln=1u\nm1 a a 0 0 n l=ln\n.model n nmos\n", 3, "'ln', which is a function"),
        ("t\n.param max=1k\nr1 a 0 max\n", 3, "'max', which is a function"),
        ("t\n.param x={ln*2} ln=1\nr1 a 0 1\n", 2, "'ln' is a function"),
        ("t\n.param exp=2\nb1 a 0 v={exp*2}\n", 3, "'exp', which is a function"),
    ],
)
def test_errors_name_the_value_the_place_and_the_remedy(
    tmp_path: Path, text: str | bytes, line: int | None, word: str
) -> None:
    error = refusal(tmp_path, text)
    assert word in error.problem
    where = str(tmp_path / "deck.cir")
    assert error.place == (f"{where}:{line}" if line else error.place)
    assert where in str(error)


@needs_ngspice
@pytest.mark.parametrize(
    "definition",
    [
        ".param x={y*2}",
        ".param a={b} b={a}",
        "r2 a 0 {y}",
        "m1 a a 0 0 n w=ww\n.model n nmos",
        "x1 a s k=2\n.subckt s p\nr1 p 0 {k}\n.ends",
        ".param ln=1u\nm1 a a 0 0 n l=ln\n.model n nmos",
        ".param max=1k\nr2 a 0 max",
        ".param exp=2\nb1 a 0 v={exp*2}",
        ".model n nmos\nm7 a a 0 n w=1u",
    ],
)
def test_what_is_refused_would_end_ngspice(tmp_path: Path, definition: str) -> None:
    text = f"t\n{LOAD}{definition}\n"
    refusal(tmp_path, text)
    assert "v(a)" not in batch(tmp_path, text.splitlines(), ["op", "print v(a)"])


@pytest.mark.parametrize("definition", [".subckt s p\nr1 p 0 {k}\n.ends", ".model z r rsh={nope}", ".tran {nope} 1"])
def test_what_nothing_uses_may_be_wrong(tmp_path: Path, definition: str) -> None:
    deck = deck_of(tmp_path, f"t\n{LOAD}{definition}\n")
    assert "nope" not in " ".join(deck.flatten())


def test_a_remedy_names_the_nearest(tmp_path: Path) -> None:
    assert "'opamp'" in str(refusal(tmp_path, "t\nx1 a 0 opmap\n.subckt opamp a b\nr1 a b 1\n.ends\n").remedy)
    assert "begin the device's name" in str(refusal(tmp_path, "t\nx1 a a 0 0 n\n.model n nmos\n").remedy)
    assert "begins with x" in str(refusal(tmp_path, "t\nm1 a a 0 0 s\n.subckt s d g s b\nr1 d s 1\n.ends\n").remedy)


@pytest.mark.parametrize(
    "card",
    [
        '.model m filesource (file="/etc/passwd")',
        '.model m d_process (process_file="/bin/sh")',
        '.model m d_source (input_file="x")',
        'v2 a 0 pwl file="x"',
        '.model m odd (state_file="x")',
        ".osdi model.osdi",
        ".hdl model.va",
        "x1 a s\n.subckt s p\nr1 p 0 1\n.hdl x.va\n.ends",
    ],
)
def test_cards_that_reach_files_or_code_are_refused(tmp_path: Path, card: str) -> None:
    error = refusal(tmp_path, f"t\n{LOAD}{card}\n")
    assert str(error.place).startswith(f"{tmp_path / 'deck.cir'}:")


def test_huge_decks_end_at_once(tmp_path: Path) -> None:
    before = time.perf_counter()
    assert "MiB" in refusal(tmp_path, b"t\n" + b"r1 a 0 1\n" * 6_000_000).problem
    bomb = "".join(f".subckt s{i} a\nx1 a s{i + 1}\nx2 a s{i + 1}\n.ends\n" for i in range(25))
    assert "20000 devices" in refusal(tmp_path, f"t\nx1 a s0\n{bomb}.subckt s25 a\nr1 a 0 1\n.ends\n").problem
    assert time.perf_counter() - before < 20


def test_missing_decks_and_folders(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.cir", tmp_path):
        with pytest.raises(InputError) as caught:
            read_deck(path)
        assert str(path) in str(caught.value)


# -- analyses and measures --------------------------------------------------------------------------------------------


def test_analyses_and_measures_are_lifted_from_cards_and_blocks(tmp_path: Path) -> None:
    text = f"""t
.param fmax=1g
{LOAD}.ac dec 10 1 {{fmax}}
.meas ac gain max vdb(a)
.MEASURE tran rise TRIG v(a) VAL=0.1 RISE=1
+ TARG v(a) VAL={{fmax/1e10}} RISE=1
.control
run
tran 1n 1u
ac dec 20 1 1meg
meas ac peak max vdb(a)
meas tran slow find v(a) at=5n
let y = v(a)
shell rm -rf important
write out.raw
set ngbehavior=hsa
.endc
"""
    deck = deck_of(tmp_path, text)
    assert [(card.name, card.command) for card in deck.analyses] == [
        ("ac", "ac dec 10 1 1g"),
        ("tran", "tran 1n 1u"),
        ("ac_2", "ac dec 20 1 1meg"),
    ]
    assert [(card.name, card.analysis, card.take) for card in deck.measures] == [
        ("gain", "ac", "max vdb(a)"),
        ("rise", "tran", "trig v(a) val=0.1 rise=1 targ v(a) val=100m rise=1"),
        ("peak", "ac_2", "max vdb(a)"),
        ("slow", "tran", "find v(a) at=5n"),
    ]
    assert deck.settings == {"ngbehavior": "hsa"}
    assert {note.text for note in deck.notes} == {"let y = v(a)", "shell rm -rf important", "write out.raw"}
    assert all(re.fullmatch(r".*deck\.cir:\d+", note.place) for note in deck.notes)


def test_repeated_definitions_and_dropped_text_are_noted(tmp_path: Path) -> None:
    text = f"t\n{LOAD}.param a=1\n.param a=2\n.param b = 2 + 3 c=4\n.model m r rsh=1\n.model m r rsh=2\n.foo\n"
    reasons = {note.place.rpartition(":")[2]: note.reason for note in deck_of(tmp_path, text).notes}
    assert set(reasons) == {"5", "6", "8", "9"}
    assert "drops '+ 3'" in reasons["6"]


# -- round trips ------------------------------------------------------------------------------------------------------

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).map(lambda name: f"q{name}")
NUMBERS = st.floats(1e-14, 1e9).map(lambda value: float(f"{value:.9g}"))


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, NUMBERS, min_size=1, max_size=8), st.data())
def test_rendered_decks_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, float], data: st.DataObject
) -> None:
    pieces = []
    for name, value in values.items():
        text = data.draw(st.sampled_from([f"{value!r}", f"{{{value!r}}}", f"'{value!r}'", f"{{{value!r} + 0}}"]))
        sign = data.draw(st.sampled_from(["=", " = ", "= ", " ="]))
        joint = data.draw(st.sampled_from(["\n.param ", " ", "\n+ ", "\n* c\n+ ", " ; c\n+", "\r\n.PARAM\t"]))
        pieces.append(f"{joint}{name.upper() if data.draw(st.booleans()) else name}{sign}{text}")
    folder = tmp_path_factory.mktemp("deck")
    deck = deck_of(folder, f"t\n.param zero=0{''.join(pieces)}\n{LOAD}")
    found = values_of(deck)
    assert found.pop("zero") == 0.0
    assert found == values
    (folder / "flat.cir").write_text("\n".join(deck.flatten()))
    again = values_of(read_deck(folder / "flat.cir", environment={}))
    assert again == {"zero": 0.0, **values}


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, NUMBERS, min_size=1, max_size=5), st.data())
def test_values_given_to_a_flat_deck_read_back(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, float], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("deck")
    deck = deck_of(folder, f"t\n.param {' '.join(f'{name} = {{1}}' for name in values)}\n{LOAD}")
    chosen = {name: value for name, value in values.items() if data.draw(st.booleans())}
    (folder / "flat.cir").write_text("\n".join(deck.flatten(chosen)))
    assert values_of(read_deck(folder / "flat.cir", environment={})) == {name: chosen.get(name, 1.0) for name in values}
