"""Matched devices in textbook circuits, by what a designer would mark in their schematics."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest

from circuits.matching import Match, circuit_graph, find_matches
from circuits.netlist import lift_literals, read_deck

MODELS = ".model n nmos\n.model p pmos\n.model n2 nmos\n.model qn npn\n"
SUPPLY = "vdd vdd 0 1.8\n"

FIVE_TRANSISTORS = """
vip inp 0 0.9
vin inn 0 0.9
ib vdd nb 20u
m6 nb nb 0 0 n w=4u l=1u
m5 tail nb 0 0 n w=16u l=1u
m1 x inp tail 0 n w=10u l=0.5u
m2 out inn tail 0 n w=10u l=0.5u
m3 x x vdd vdd p w=8u l=0.5u
m4 out x vdd vdd p w=8u l=0.5u
cl out 0 1p
"""
MILLER = (
    FIVE_TRANSISTORS.replace("out", "y")
    + """
m7 out y vdd vdd p w=40u l=0.5u
m8 out nb 0 0 n w=40u l=1u
cc y z 1p
rz z out 2k
cl2 out 0 5p
"""
)
FOLDED_CASCODE = """
vb1 b1 0 0.9
vb2 b2 0 0.8
vb3 b3 0 1.0
vip inp 0 0.9
vin inn 0 0.9
mt tail b1 vdd vdd p w=40u l=1u
m1 f1 inp tail vdd p w=20u l=0.5u
m2 f2 inn tail vdd p w=20u l=0.5u
m3 f1 nb 0 0 n w=10u l=1u
m4 f2 nb 0 0 n w=10u l=1u
vnb nb 0 0.6
m5 c1 b2 f1 0 n w=10u l=0.5u
m6 out b2 f2 0 n w=10u l=0.5u
m7 c1 b3 g1 vdd p w=20u l=0.5u
m8 out b3 g2 vdd p w=20u l=0.5u
m9 g1 c1 vdd vdd p w=20u l=1u
m10 g2 c1 vdd vdd p w=20u l=1u
cl out 0 1p
"""
OSCILLATOR = """
m1 op on tail 0 n w=20u l=0.2u
m2 on op tail 0 n w=20u l=0.2u
it tail 0 1m
l1 vdd op 1n
l2 vdd on 1n
c1 op 0 100f
c2 on 0 100f
m3 op on vdd vdd p w=40u l=0.2u
m4 on op vdd vdd p w=40u l=0.2u
"""
RESISTIVE = """
vip inp 0 0.9
vin inn 0 0.9
m1 o1 inp s 0 n w=10u l=0.5u
m2 o2 inn s 0 n w=10u l=0.5u
rt s 0 5k
r1 vdd o1 10k
r2 vdd o2 10k
c1 o1 0 1p
c2 0 o2 1p
rx o1 0 10k
"""
CASCODED_MIRROR = """
i1 vdd a 10u
m1 b b 0 0 n w=2u l=1u
m2 c b 0 0 n w=8u l=1u
m3 a a b 0 n w=2u l=0.5u
m4 out a c 0 n w=8u l=0.5u
rl vdd out 1k
"""
WIDE_SWING = """
i1 vdd a 10u
vc vc 0 1
m1 b a 0 0 n w=2u l=1u
m2 c a 0 0 n w=8u l=1u
m3 a vc b 0 n w=2u l=0.5u
m4 out vc c 0 n w=8u l=0.5u
rl vdd out 1k
"""


def matches(folder: Path, body: str) -> tuple[Match, ...]:
    (folder / "deck.cir").write_text(f"t\n{SUPPLY}{MODELS}{body}")
    return find_matches(read_deck(folder / "deck.cir", environment={}))


def found(folder: Path, body: str) -> set[tuple[str, ...]]:
    return {(match.kind, *match.devices) for match in matches(folder, body)}


CIRCUITS = {
    "five transistors": (
        FIVE_TRANSISTORS,
        {("differential_pair", "m1", "m2"), ("current_mirror", "m3", "m4"), ("current_mirror", "m6", "m5")},
    ),
    "Miller": (
        MILLER,
        {("differential_pair", "m1", "m2"), ("current_mirror", "m3", "m4"), ("current_mirror", "m6", "m5", "m8")},
    ),
    "folded cascode": (
        FOLDED_CASCODE,
        {
            ("differential_pair", "m1", "m2"),
            ("load_pair", "m3", "m4"),
            ("cascode_pair", "m5", "m6"),
            ("cascode_pair", "m7", "m8"),
            ("current_mirror", "m9", "m10"),
        },
    ),
    "oscillator": (
        OSCILLATOR,
        {
            ("cross_coupled_pair", "m1", "m2"),
            ("cross_coupled_pair", "m3", "m4"),
            ("symmetric_inductors", "l1", "l2"),
            ("symmetric_capacitors", "c1", "c2"),
        },
    ),
    "resistive loads": (
        RESISTIVE,
        {
            ("differential_pair", "m1", "m2"),
            ("symmetric_resistors", "r1", "r2"),
            ("symmetric_capacitors", "c1", "c2"),
        },
    ),
    "cascoded mirror": (CASCODED_MIRROR, {("current_mirror", "m1", "m2"), ("cascode_pair", "m3", "m4")}),
    "wide-swing mirror": (WIDE_SWING, {("current_mirror", "m1", "m2"), ("cascode_pair", "m3", "m4")}),
    "bipolar pair": (
        "q1 a b e qn\nq2 c d e qn\nie e 0 1m\nr1 vdd a 1k\nr2 vdd c 1k\nvb b 0 1\nvd d 0 1\n",
        {("differential_pair", "q1", "q2"), ("symmetric_resistors", "r1", "r2")},
    ),
    "fingers in parallel": (
        FIVE_TRANSISTORS + "m1b x inp tail 0 n w=10u l=0.5u\nm2b out inn tail 0 n w=10u l=0.5u\n",
        {
            ("differential_pair", "m1", "m2", "m1b", "m2b"),
            ("current_mirror", "m3", "m4"),
            ("current_mirror", "m6", "m5"),
        },
    ),
    "follower": (
        FIVE_TRANSISTORS.replace("vin inn 0 0.9\n", "").replace("inn", "out"),
        {("differential_pair", "m1", "m2"), ("current_mirror", "m3", "m4"), ("current_mirror", "m6", "m5")},
    ),
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_a_circuit_s_pairs_are_found_and_nothing_else(tmp_path: Path, name: str) -> None:
    body, expected = CIRCUITS[name]
    assert found(tmp_path, body) == expected


@pytest.mark.parametrize("name", CIRCUITS)
def test_the_order_of_lines_and_terminals_of_passives_does_not_matter(tmp_path: Path, name: str) -> None:
    body, _ = CIRCUITS[name]
    lines = [line for line in body.splitlines() if line]
    reversed_body = "\n".join(reversed(lines)) + "\n"
    forward = {(match.kind, frozenset(match.devices)) for match in matches(tmp_path, body)}
    assert {(match.kind, frozenset(match.devices)) for match in matches(tmp_path, reversed_body)} == forward


UNRELATED = {
    "two stages of one size": "m1 a x 0 0 n w=1u l=1u\nm2 b y 0 0 n w=1u l=1u\nr1 vdd a 1k\nr2 vdd b 1k\n",
    "two followers": "m1 vdd x a 0 n w=1u l=1u\nm2 vdd y b 0 n w=1u l=1u\nr1 a 0 1k\nr2 b 0 1k\n",
    "a chain of inverters": "m1 b a 0 0 n w=1u l=1u\nm2 b a vdd vdd p w=2u l=1u\nm3 c b 0 0 n w=1u l=1u\n"
    "m4 c b vdd vdd p w=2u l=1u\n",
    "a NAND": "m1 o a x 0 n w=1u l=1u\nm2 x b 0 0 n w=1u l=1u\nm3 o a vdd vdd p w=1u l=1u\n"
    "m4 o b vdd vdd p w=1u l=1u\n",
    "a shared gate at a bias": "vb b 0 0.6\nm1 x b 0 0 n w=1u l=1u\nm2 y b 0 0 n w=1u l=1u\nr1 vdd x 1k\nr2 vdd y 2k\n",
    "a pair of two sizes": "m1 a x s 0 n w=1u l=1u\nm2 b y s 0 n w=2u l=1u\ni1 s 0 1u\n",
    "a pair of two models": "m1 a x s 0 n w=1u l=1u\nm2 b y s 0 n2 w=1u l=1u\ni1 s 0 1u\n",
    "sources on a supply": "m1 a x vdd vdd p w=1u l=1u\nm2 b y vdd vdd p w=1u l=1u\n",
    "no tail": "m1 a x s 0 n w=1u l=1u\nm2 b y s 0 n w=1u l=1u\nc1 s 0 1p\n",
    "equal resistors apart": "r1 vdd a 1k\nr2 vdd b 1k\nc1 a 0 1p\nc2 b 0 1p\n",
}


@pytest.mark.parametrize("name", UNRELATED)
def test_equal_sizes_alone_match_nothing(tmp_path: Path, name: str) -> None:
    assert found(tmp_path, UNRELATED[name]) == set()


def test_a_pair_inside_a_subcircuit_is_found_in_every_instance(tmp_path: Path) -> None:
    body = ".subckt ota inp inn out vdd\nib vdd nb 20u\n"
    body += "\n".join(line for line in FIVE_TRANSISTORS.splitlines() if line.startswith("m")) + "\n.ends\n"
    body += "va a 0 1\nvb b 0 1\nx1 a b o1 vdd ota\nx2 a b o2 vdd ota\n"
    pairs = {match.devices for match in matches(tmp_path, body) if match.kind == "differential_pair"}
    assert pairs == {("x1.m1", "x1.m2"), ("x2.m1", "x2.m2")}


def test_evidence_names_the_nets(tmp_path: Path) -> None:
    evidence = {match.kind: match.evidence for match in matches(tmp_path, RESISTIVE)}
    assert all(net in evidence["differential_pair"] for net in ("s,", "inp", "inn", "o1", "o2"))
    assert evidence["symmetric_resistors"] == "from o1 and o2 to vdd"


def test_the_graph_is_bipartite_with_an_edge_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "deck.cir").write_text(f"t\n{SUPPLY}{MODELS}{FIVE_TRANSISTORS}")
    deck = read_deck(tmp_path / "deck.cir", environment={})
    graph = circuit_graph(deck.devices)
    assert nx.is_bipartite(graph)
    assert graph.number_of_edges() == sum(len(device.terminals) for device in deck.devices)
    assert {data["role"] for data in graph.get_edge_data(("device", "m3"), ("net", "x")).values()} == {"drain", "gate"}


def test_matched_devices_share_a_lifted_parameter(tmp_path: Path) -> None:
    (tmp_path / "deck.cir").write_text(f"t\n{SUPPLY}{MODELS}{MILLER}")
    deck = read_deck(tmp_path / "deck.cir", environment={})
    lifted = lift_literals(deck, matched=[match.devices for match in find_matches(deck)])
    uses = {item.name: {device for device, _ in item.uses} for item in lifted.parameters}
    assert uses["w_m1"] == uses["l_m1"] == {"m1", "m2"}
    assert uses["w_m3"] == {"m3", "m4"}
    assert uses["l_m6"] == {"m5", "m6", "m8"}
    assert uses["w_m5"] == {"m5"} and uses["w_m8"] == {"m8"}
    assert uses["w_m7"] == {"m7"}
