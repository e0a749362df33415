"""New values in a user's text, and literals lifted into parameters: all else stays byte for byte."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_core.errors import InputError
from circuits.netlist import read_deck
from circuits.netlist.editing import difference, lift_literals, with_values
from tests.circuits.deck_runs import batch, figures, needs_ngspice, printed

DECK = (
    "title \xe9 $ 1u\r\n"
    ".PARAM W1=2u ; w1=9u is only a comment\r\n"
    "+ l1 = {1u}// other\r\n"
    ".param cc={3p+\r\n"
    "* between\r\n"
    "+ 1p} ib='20u'  rr=2k\r\n"
    "V1 dd 0 DC 3\tAC 1\r\n"
    "rl dd o\r\n"
    "+ 10K ; load\r\n"
    "rx o 0 rr\r\n"
    "m1 o g 0 0 NX W=w1 L = 'l1*2' m=2\r\n"
    "m2 o g 0 0 NX W=10u L=2U\t$ sized\r\n"
    "m3 o g 0 0 NX W=10u L=2u m=2\r\n"
    "c1 o 0 cc\r\n"
    "i1 0 o {ib}\r\n"
    "vg g 0 0.7\r\n"
    ".model nx nmos level=1 vto=0.5 kp=100u\r\n"
    ".end\r\n"
).encode("latin-1")


def write(folder: Path, content: bytes = DECK) -> Path:
    path = folder / "deck.cir"
    path.write_bytes(content)
    return path


def test_only_the_values_change(tmp_path: Path) -> None:
    path = write(tmp_path)
    deck = read_deck(path)
    (changed,) = with_values(deck, {"w1": 3.5e-6, "cc": 2e-12, "ib": "2*30u"}).values()
    expected = DECK.replace(b"W1=2u ;", b"W1=3.5u ;").replace(b"'20u'", b"{2*30u}")
    expected = expected.replace(b"{3p+\r\n* between\r\n+ 1p}", b"2p\r\n* between\r\n+ ")
    assert changed == expected
    path.write_bytes(changed)
    values = {parameter.name: parameter.start for parameter in read_deck(path).parameters}
    assert values == pytest.approx({"w1": 3.5e-6, "l1": 1e-6, "cc": 2e-12, "ib": 60e-6, "rr": 2e3})


def test_no_values_change_nothing_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    deck = read_deck(write(tmp_path))
    assert with_values(deck, {}) == {}
    with pytest.raises(InputError, match="w9"):
        with_values(deck, {"w9": 1.0})
    with pytest.raises(InputError, match="cannot be read"):
        with_values(deck, {"w1": "2*("})


def test_the_file_that_defines_a_parameter_is_the_one_that_changes(tmp_path: Path) -> None:
    (tmp_path / "sizes.inc").write_text(".param w1=1u\n")
    path = write(tmp_path, b"t\n.include sizes.inc\n.subckt s p\n.param k=2\nr1 p 0 {k*w1}\nd1 p 0 dd\n.ends\n"
                 b".model dd d\nx1 a s\nv1 a 0 1\n")  # fmt: skip
    changed = with_values(read_deck(path), {"w1": 2e-6, "s.k": 3})
    assert changed[tmp_path / "sizes.inc"] == b".param w1=2u\n"
    assert changed[path] == path.read_bytes().replace(b"k=2", b"k=3")


def test_the_last_of_repeated_definitions_changes(tmp_path: Path) -> None:
    path = write(tmp_path, b"t\n.param w=1\n.param w=2\nr1 a 0 {w}\nv1 a 0 1\n")
    assert with_values(read_deck(path), {"w": 5.0})[path] == b"t\n.param w=1\n.param w=5\nr1 a 0 {w}\nv1 a 0 1\n"


@settings(max_examples=40, deadline=None)
@given(st.floats(1e-15, 1e12), st.sampled_from(["w1", "l1", "cc", "ib", "rr"]))
def test_a_value_that_is_written_reads_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, value: float, name: str
) -> None:
    path = write(tmp_path_factory.mktemp("deck"))
    (changed,) = with_values(read_deck(path), {name: value}).values()
    before, after = DECK.split(b"\r\n"), changed.split(b"\r\n")
    assert len(before) == len(after)
    assert sum(old != new for old, new in zip(before, after, strict=True)) <= 2
    path.write_bytes(changed)
    read = read_deck(path).parameter(name).start
    exact = float(f"{value:.6g}") != value
    assert read == value if exact else read == pytest.approx(value, rel=1e-15, abs=0), "80u is the float beside 8e-05"


def test_the_difference_shows_the_changed_lines(tmp_path: Path) -> None:
    path = write(tmp_path)
    deck = read_deck(path)
    shown = difference(path, with_values(deck, {"w1": 4e-6})[path])
    lines = [line for line in shown.splitlines() if re.match(r"[+-][^+-]", line)]
    assert [line.strip() for line in lines] == [
        "-.PARAM W1=2u ; w1=9u is only a comment",
        "+.PARAM W1=4u ; w1=9u is only a comment",
    ]
    assert difference(path, DECK) == ""


def test_literals_become_parameters_and_all_else_stays(tmp_path: Path) -> None:
    path = write(tmp_path)
    lifted = lift_literals(read_deck(path), matched=[("m2", "m3")])
    assert {item.name: (item.value, item.uses) for item in lifted.parameters} == {
        "r_rl": (1e4, (("rl", "r"),)),
        "m_m1": (2.0, (("m1", "m"),)),
        "w_m2": (1e-5, (("m2", "w"), ("m3", "w"))),
        "l_m2": (2e-6, (("m2", "l"), ("m3", "l"))),
        "m_m3": (2.0, (("m3", "m"),)),
    }
    added = b".param r_rl=10K\r\n.param m_m1=2\r\n.param w_m2=10u\r\n.param l_m2=2U\r\n.param m_m3=2\r\n"
    expected = DECK.replace(b"title \xe9 $ 1u\r\n", b"title \xe9 $ 1u\r\n" + added).replace(b"+ 10K", b"+ {r_rl}")
    expected = expected.replace(b"'l1*2' m=2", b"'l1*2' m={m_m1}").replace(b"L=2u m=2", b"L=2u m={m_m3}")
    expected = expected.replace(b"W=10u L=2U", b"W={w_m2} L={l_m2}").replace(b"W=10u L=2u", b"W={w_m2} L={l_m2}")
    assert lifted.files == {path: expected}


def test_lifting_twice_finds_nothing_more(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(lift_literals(read_deck(path), bias=True).files[path])
    again = lift_literals(read_deck(path), bias=True)
    assert again.parameters == ()
    assert again.files[path] == path.read_bytes()


@needs_ngspice
def test_a_lifted_deck_gives_the_same_figures(tmp_path: Path) -> None:
    path = write(tmp_path)
    commands = ["op", "print all", "ac dec 3 1k 1g", "print vdb(o)"]
    deck = read_deck(path)
    expected = figures(batch(tmp_path, deck.flatten(), commands))
    path.write_bytes(lift_literals(deck, matched=[("m2", "m3")], bias=True).files[path])
    assert len(expected) > 20
    assert figures(batch(tmp_path, read_deck(path).flatten(), commands)) == expected


def test_a_mil_is_lifted_with_the_value_it_has_on_the_instance(tmp_path: Path) -> None:
    path = write(tmp_path, b"t\nm1 a a 0 0 n w=10mil l=1u\n.model n nmos\nv1 a 0 1\n")
    lifted = lift_literals(read_deck(path))
    path.write_bytes(lifted.files[path])
    assert read_deck(path).parameter("w_m1").start == pytest.approx(254e-6)


def test_names_that_are_taken_are_numbered(tmp_path: Path) -> None:
    path = write(tmp_path, b"t\n.param w_m1=3\nm1 a a 0 0 n w=1u l=1u\n.model n nmos\nr1 a 0 {w_m1}\nv1 a 0 1\n")
    assert [item.name for item in lift_literals(read_deck(path)).parameters] == ["w_m1_2", "l_m1"]


def test_a_line_in_a_subcircuit_is_lifted_once(tmp_path: Path) -> None:
    path = write(tmp_path, b"t\nx1 a s\nx2 a s\n.subckt s p\nm1 p p 0 0 n w=1u l=1u\nr1 p 0 1k\n.ends\n"
                 b".model n nmos\nv1 a 0 1\ni1 a 0 1u\n")  # fmt: skip
    deck = read_deck(path)
    names = ["w_s_m1", "l_s_m1", "r_s_r1"]
    assert [item.name for item in lift_literals(deck).parameters] == names
    assert [item.name for item in lift_literals(deck, bias=True).parameters] == [*names, "dc_i1"]
    path.write_bytes(lift_literals(deck).files[path])
    assert read_deck(path).device("x2.m1").values == {"w": 1e-6, "l": 1e-6}


INCLUDES = [
    b".include core.inc",
    b".include core.inc  ",
    b".include\tcore.inc\t$ the amplifier",
    b".INC 'core.inc' ; the amplifier",
    b'.include "core.inc"\r',
    b".include ./sub/../core.inc",
    b".lib core.lib tt $ a corner",
]


@needs_ngspice
@pytest.mark.parametrize("include", INCLUDES)
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_includes_lead_to_the_lifted_files(tmp_path: Path, include: bytes, end: bytes) -> None:
    """However they are written, and to no namesake; who includes a lifted file is lifted too."""
    core = b"m1 a a 0 0 n w=1u l=2u\n.model n nmos\n"
    files = {"amp.cir": b"t\nv1 a 0 1\n.include between.inc\n.include other/core.inc\n" + include + end}
    files |= {"core.inc": core, "core.lib": b".lib tt\n" + core + b".endl\n"}
    files |= {"between.inc": b"r1 a 0 {rr}\n.include last.inc", "last.inc": b"c1 a 0 1p\n"}
    files["other/core.inc"] = b".param rr=1k\n"
    (tmp_path / "other").mkdir()
    (tmp_path / "sub").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    lifted = lift_literals(read_deck(tmp_path / "amp.cir"), renamed=lambda file: file.with_name(f"new_{file.name}"))
    for file, content in lifted.files.items():
        file.with_name(f"new_{file.name}").write_bytes(content)
    read = "core.lib" if b".lib" in include else "core.inc"
    assert {file.name for file in lifted.files} == {"amp.cir", "between.inc", "last.inc", read}
    deck = read_deck(tmp_path / "new_amp.cir")
    names = ["new_between.inc", "new_last.inc", "core.inc", f"new_{read}"]
    assert [each.file.name for each in deck.includes] == names
    assert deck.device("m1").parameters == {"w": "{w_m1}", "l": "{l_m1}"}
    assert deck.device("m1").values == {"w": 1e-6, "l": 2e-6}
    new = (tmp_path / "new_amp.cir").read_bytes()
    plain = re.sub(rb"(\.\w+\s+)([\"']?)(?:\./sub/\.\./)?(core\.\w+)\2", rb'\1"new_\3"', include)
    assert plain in new, "the rest of the line stays"
    said = printed(batch(tmp_path, new.decode().split("\n"), ["op", "print @m1[w] @m1[l] @r1[resistance]"]))
    assert said == pytest.approx({"@m1[w]": 1e-6, "@m1[l]": 2e-6, "@r1[resistance]": 1e3}), "by ngspice's own reading"


def test_an_include_from_outside_cannot_be_redirected(tmp_path: Path) -> None:
    for name, content in {
        "deck/amp.cir": b"t\nv1 a 0 1\n.include ../kit/top.inc\n",
        "deck/core.inc": b"r1 a 0 1k\n",
        "kit/top.inc": b".include ../deck/core.inc\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    deck = read_deck(tmp_path / "deck/amp.cir", allowed=[tmp_path / "kit"])
    with pytest.raises(InputError, match="from outside the deck's folder") as caught:
        lift_literals(deck, renamed=lambda file: file.with_name(f"new_{file.name}"))
    assert caught.value.place == f"{tmp_path / 'kit/top.inc'}:1"
