"""The design space of a deck: the order of its variables, its devices as nodes, its nets as edges."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from automl_core.errors import InputError
from automl_core.space import DesignSpace
from circuits.design_space import circuit_space, moved_starts, own_parameters
from circuits.netlist import Deck, read_deck
from circuits.specfile import SpecFile, read_spec
from tests.circuits.deck_runs import batch, needs_ngspice, printed

DECK = """differential pair with a bias mirror
.param ib=20u w6=4u w5=8u l=0.5u rload=10k vlow=0.2
.param w1=10u mt=4 spare=1 twice={2*w1}
vdd vdd 0 1.8
vip inp 0 dc 0.9
vin inn 0 dc {0.9+vlow}
ib vdd nb {ib}
m6 nb nb 0 0 n w={w6} l={l}
m5 tail nb 0 0 n w='w5' l={l} m={mt}
m1 outp inp tail 0 n w={w1} l=0.18u
m2 outn inn tail 0 n w={2*w1} l=0.18u
r1 vdd outp {rload}
x1 vdd outn load
.subckt load a b
.param inner=5k
r2 a b {inner}
.ends
.model n nmos level=1
.end
"""

SPEC = """netlist: pair.cir
variables:
{variables}
analyses: {{op: op}}
measures: {{v: {{in: op, kind: voltage, node: outp}}}}
specs: {{v: {{min: 1, unit: V}}}}
"""


def _made(folder: Path, *variables: str, deck: str = DECK) -> tuple[SpecFile, dict[str, Deck]]:
    (folder / "pair.cir").write_text(deck)
    (folder / "pair.yaml").write_text(SPEC.format(variables="\n".join(f"  {line}" for line in variables)))
    spec = read_spec(folder / "pair.yaml")
    return spec, {"": read_deck(folder / "pair.cir")}


def _space(folder: Path, *variables: str, deck: str = DECK) -> DesignSpace:
    return circuit_space(*_made(folder, *variables, deck=deck))


ALL = [
    "vlow: {min: 0, max: 0.5}",
    "rload: {min: 1k, max: 100k, scale: log}",
    "w1: {min: 1u, max: 100u, scale: log}",
    "mt: {min: 1, max: 20, integer: true}",
    "w5: {min: 1u, max: 100u}",
    "L: {min: 0.18u, max: 2u}",
    "ib: {min: 1u, max: 100u, scale: log}",
]


def test_variables_come_in_the_order_of_the_devices_that_they_set(tmp_path: Path) -> None:
    space = _space(tmp_path, *ALL)
    assert [variable.name for variable in space.variables] == ["vlow", "ib", "l", "w5", "mt", "w1", "rload"]


def test_devices_are_nodes_with_slots_and_what_is_known(tmp_path: Path) -> None:
    nodes = {node.name: node for node in _space(tmp_path, *ALL).nodes}
    assert nodes["m5"].kind == "nmos"
    assert nodes["m5"].slots == {"w": "w5", "l": "l", "m": "mt"}
    assert nodes["m6"].slots == {"l": "l"} and nodes["m6"].features["w"] == 4e-6
    assert nodes["m2"].slots == {"w": "w1"} and nodes["m2"].features == {"l": 0.18e-6}
    assert nodes["r1"].slots and set(nodes["r1"].slots.values()) == {"rload"}
    assert {"vdd", "vip"}.isdisjoint(nodes), "sources of the test bench are no part of the design"
    assert nodes["vin"].slots, "but one that a variable sets is"


def test_a_shared_variable_couples_its_devices(tmp_path: Path) -> None:
    space = _space(tmp_path, *ALL)
    users = [node.name for node in space.nodes if "l" in node.slots.values()]
    assert users == ["m6", "m5"]
    assert space.owners["l"].name == "m6" and space.owners["w1"].name == "m1"


def test_a_variable_of_no_single_device_has_a_node_of_its_own(tmp_path: Path) -> None:
    deck = DECK.replace("{rload}", "{rload*w1/10u}")
    space = _space(tmp_path, "rload: {min: 1, max: 2k}", "w1: {min: 1u, max: 2u}", deck=deck)
    assert [variable.name for variable in space.variables] == ["w1", "rload"]
    assert space.nodes[-1].kind == "parameter" and space.nodes[-1].slots == {"value": "rload"}


HIERARCHY = """two levels, with defaults, expressions and multipliers
.param wn=10u wp='2*wn' len=0.5u rl=10k k=3 ib=20u half=0.5 wtail=4u wload=3u
vdd vdd 0 1.8
vin in 0 dc 0.9
x1 in a vdd stage wa={wn} wb={wp} la=len mult={k}
x2 a b vdd doubled m={k}
x3 b c vdd stage
r1 vdd c {rl}
c1 c 0 1p
.subckt stage i o p wa=1u wb='3*wa' la=1u mult=2
.param wc={wb*half} ls=0.3u
xn o i 0 inner w={wa} l={la}
mp o i p p pch w={wc} l={ls} m={mult}
mt o i p p pch w={wtail}
.ends
.subckt inner d g s w=2u l=2u wn=7u
m1 d g s 0 nch w={w} l={l}
m2 d g s 0 nch w={wn} l=1u m=4
r1 d t {rl*w/1u}
d1 t s dd area={wload/1u}
.ends
.subckt doubled i o p
xa o i deep
mp o i p p pch w={wtail} l=1u m=2
.ends
.subckt deep o i
m1 o i 0 0 nch w='wn*2' l=1u
r1 o 0 1k
.ends
.model nch nmos level=1
.model pch pmos level=1
.model dd d
.end
"""
NAMES = ("wn", "wp", "len", "rl", "k", "half", "wtail", "wload")


def _moved(folder: Path, names: tuple[str, ...], sizes: list[tuple[str, str]]) -> dict[tuple[str, str], set[str]]:
    """The parameters of the top level at which ngspice gives a device another size."""

    def run(changed: str | None) -> list[float]:
        values = {name: {"k": 7.0, "half": 0.7}.get(name, 17.3e-6) for name in names if name == changed}
        lines = read_deck(folder / "pair.cir").flatten(values)
        shown = [f"print @{device}[{'resistance' if key == 'r' else key}]" for device, key in sizes]
        return list(printed(batch(folder, lines, ["op", *shown])).values())

    first = run(None)
    assert len(first) == len(sizes)
    others = {name: run(name) for name in names}
    return {size: {name for name in names if others[name][n] != first[n]} for n, size in enumerate(sizes)}


@needs_ngspice
@pytest.mark.parametrize("left_out", ["wp", "wn"])
def test_slots_are_the_variables_that_move_a_size_in_ngspice(tmp_path: Path, left_out: str) -> None:
    """Through instances, defaults, expressions, shadowed names, multipliers, and parameters that follow from others."""
    names = tuple(name for name in NAMES if name != left_out)
    spec, decks = _made(tmp_path, *(f"{name}: {{min: 1u, max: 20}}" for name in names), deck=HIERARCHY)
    space = circuit_space(spec, decks)
    sized = {"nmos": ("w", "l", "m"), "pmos": ("w", "l", "m"), "resistor": ("r", "m"), "diode": ("area", "m")}
    nodes = {node.name: node for node in space.nodes if node.kind in sized}
    sizes = [(name, key) for name, node in nodes.items() for key in sized[node.kind]]
    moved = _moved(tmp_path, names, sizes)
    expected = {size: next(iter(found)) for size, found in moved.items() if len(found) == 1}
    found = {(name, key): node.slots[key] for name, node in nodes.items() for key in node.slots}
    assert found == expected and len(found) >= 14


def test_a_variable_that_follows_has_the_slots_of_the_one_it_follows(tmp_path: Path) -> None:
    nodes = {n.name: n for n in _space(tmp_path, "w5: {min: 1u, max: 9u}", "w1: {expr: '2*w5'}").nodes}
    assert (nodes["m5"].slots["w"], nodes["m1"].slots["w"], nodes["m2"].slots["w"]) == ("w5", "w5", "w5")


def test_edges_join_devices_that_share_a_net_other_than_ground(tmp_path: Path) -> None:
    nets = {
        "ib": {"vdd": "plus", "nb": "minus"},
        "m6": {"nb": "drain"},
        "m5": {"tail": "drain", "nb": "gate"},
        "m1": {"outp": "drain", "inp": "gate", "tail": "source"},
        "m2": {"outn": "drain", "inn": "gate", "tail": "source"},
        "r1": {"vdd": "plus", "outp": "minus"},
        "r.x1.r2": {"vdd": "plus", "outn": "minus"},
    }
    expected = {
        (one, two, role)
        for one, two in itertools.permutations(nets, 2)
        for net, role in nets[one].items()
        if net in nets[two]
    } | {("m6", "ib", "gate"), ("m6", "m5", "gate")}  # m6 is a diode: its gate is on the same net
    space = _space(tmp_path, "w1: {min: 1u, max: 2u}")
    assert {(edge.source, edge.target, edge.role) for edge in space.edges} == expected
    assert len(space.edges) == len(expected)


def test_starts_are_the_decks_values_unless_the_spec_says_otherwise(tmp_path: Path) -> None:
    space = _space(tmp_path, "w1: {min: 1u, max: 100u}", "mt: {min: 1, max: 20, integer: true, start: 7}")
    assert space.start == {"w1": 10e-6, "mt": 7}


def test_starts_that_had_to_move_are_told(tmp_path: Path) -> None:
    spec, decks = _made(
        tmp_path,
        "w1: {min: 20u, max: 100u}",
        "w5: {min: 1u, max: 100u, step: 3u}",
        "mt: {min: 1, max: 20, integer: true}",
    )
    space = circuit_space(spec, decks)
    assert space.start == pytest.approx({"w1": 20e-6, "w5": 7e-6, "mt": 4})
    said = sorted(moved_starts(spec, decks, space))
    assert said == [
        f"{spec.path}:3: the deck's w1 = 10u is off its range or grid; trial 0 uses 20u",
        f"{spec.path}:4: the deck's w5 = 8u is off its range or grid; trial 0 uses 7u",
    ]


def test_only_parameters_of_the_top_level_are_the_decks_own(tmp_path: Path) -> None:
    _, decks = _made(tmp_path, "w1: {min: 1u, max: 2u}")
    assert own_parameters(decks[""], ["inner", "w1", "nothing", "spare"]) == ["w1", "spare"]


def test_a_device_on_two_benches_is_one_node(tmp_path: Path) -> None:
    spec, decks = _made(tmp_path, "w1: {min: 1u, max: 2u}")
    twice = circuit_space(spec, {"one": decks[""], "two": decks[""]})
    assert [node.name for node in twice.nodes] == [node.name for node in circuit_space(spec, decks).nodes]


@pytest.mark.parametrize(
    ("variable", "problem", "remedy"),
    [
        ("w11: {min: 1, max: 2}", "no .param defines 'w11'", "'w1'"),
        ("inner: {min: 1, max: 2}", "'inner' is a parameter of the subcircuit 'load'", "params: inner="),
        ("spare: {min: 1, max: 2}", "nothing in the deck uses the parameter 'spare'", "{spare}"),
        ("twice: {min: 1u, max: 2u}", "nothing in the deck uses the parameter 'twice'", "{twice}"),
        ("w1: {min: 2u, max: 1u}", "low <= high must hold, but low is 2e-06 and high is 1e-06", "bounds"),
        ("w1: {min: 0, max: 1u, scale: log}", "a log scale needs low > 0", None),
        ("mt: {min: 0.5, max: 4, integer: true}", "an integer needs whole bounds", None),
        ("w1: {min: 1u, max: 2u, step: -1n}", "step must be positive", None),
        ("w1: {expr: '2*w5'}", "no variable has a range", "min and max"),
    ],
)
def test_variables_that_cannot_be_are_refused_with_their_line(
    tmp_path: Path, variable: str, problem: str, remedy: str | None
) -> None:
    with pytest.raises(InputError) as caught:
        _space(tmp_path, variable)
    line = 2 if "no variable" in problem else 3
    assert caught.value.place == f"{tmp_path / 'pair.yaml'}:{line}"
    assert problem in caught.value.problem
    assert caught.value.remedy and (remedy is None or remedy in caught.value.remedy)
