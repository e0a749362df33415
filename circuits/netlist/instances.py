"""The devices of a deck as ngspice expands them: every instance of every subcircuit, with nets, models and values.

Names are ngspice's (measured on 39.3): ``m1`` at the top, ``m.x1.x2.m1`` inside ``x2`` inside ``x1``; an inner net is
``x1.x2.net``. Parameters are looked up along the chain of instances, as numparam does. A cell that only wraps one
transistor, resistor or capacitor counts as that device (:mod:`circuits.netlist.cells`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from circuits.netlist.cards import Card, Value, read_card
from circuits.netlist.cells import wrapped_device
from circuits.netlist.conditions import active_lines
from circuits.netlist.deck_lines import Line
from circuits.netlist.devices import Device
from circuits.netlist.environments import Environment
from circuits.netlist.scopes import Scope

__all__ = ["expand"]

_MOST_DEVICES = 20_000
_DEEPEST = 40
_POLARITIES = {"nmos": "nmos", "pmos": "pmos", "vdmos": "nmos", "vdmosn": "nmos", "vdmosp": "pmos"}
_MODELLED = frozenset("mqjzdsw")
_MULTIPLIED = frozenset("mrcldqjzigfx")
"""What an ``m`` of the instance around it multiplies."""


@dataclass
class _Expansion:
    """What is carried through the recursion."""

    devices: list[Device] = field(default_factory=list)
    used: dict[int, Scope] = field(default_factory=dict)
    cards: dict[tuple[int, int], Card] = field(default_factory=dict)
    global_nets: frozenset[str] = frozenset()
    checked: set[tuple[int, frozenset[str]]] = field(default_factory=set)  # model lines, with the names they see


def expand(root: Scope, environment: Environment) -> tuple[tuple[Device, ...], tuple[Scope, ...]]:
    """Expand the instances of a deck.

    Args:
        root: the top level.
        environment: its parameters.

    Returns:
        All devices in the order of the deck, and the subcircuits that are in use.

    Raises:
        InputError: an unknown subcircuit or model, a wrong number of nodes, an undefined parameter or a delimiter left
            open in a line that is used; subcircuits that contain themselves; more than 20,000 devices.
    """
    words = [line.text.lower().split()[1:] for line in root.lines if line.word == ".global"]
    expansion = _Expansion(global_nets=frozenset(net for nets in words for net in nets))
    _visit(expansion, (root,), (), {}, environment)
    return tuple(expansion.devices), tuple(expansion.used.values())


def _visit(
    expansion: _Expansion,
    chain: tuple[Scope, ...],
    path: tuple[str, ...],
    nets: Mapping[str, str],
    environment: Environment,
) -> None:
    scope = chain[-1]
    seen: dict[str, Line] = {}
    if len(path) > _DEEPEST:
        place = scope.line.place if scope.line else None
        problem = f"subcircuits are nested more than {_DEEPEST} deep at {'.'.join(path[:4])}..."
        raise InputError(problem, place=place, remedy=f"does {scope.name!r} contain itself?")
    for line in active_lines(scope.device_lines, scope, environment):
        card = _card(expansion, chain, line)
        if card.name in seen:
            problem = f"a second device is called {card.name!r}; the first stands at {seen[card.name].place}"
            raise InputError(problem, place=line.place, remedy="give it another name")
        seen[card.name] = line
        if environment.multiplied and card.letter in _MULTIPLIED:
            card = replace(card, parameters={**card.parameters, "m": Value("{m}", 0, 0)})
        _check_values(card, environment)
        mapped = tuple(_net(node, path, nets, expansion.global_nets) for node in card.nodes)
        if card.letter == "x":
            _instance(expansion, chain, path, card, mapped, environment)
        else:
            _plain(expansion, chain, path, card, mapped, environment)
        if len(expansion.devices) > _MOST_DEVICES:
            problem = f"the circuit has more than {_MOST_DEVICES} devices"
            raise InputError(problem, place=line.place, remedy="give a smaller test bench")


def _card(expansion: _Expansion, chain: Sequence[Scope], line: Line) -> Card:
    key = (id(line), id(chain[-1]))
    if key not in expansion.cards:
        expansion.cards[key] = read_card(line, lambda name: _has_model(chain, name))
    return expansion.cards[key]


def _has_model(chain: Sequence[Scope], name: str) -> bool:
    return any(scope.has_model(name) for scope in reversed(chain))


def _net(node: str, path: tuple[str, ...], nets: Mapping[str, str], global_nets: frozenset[str]) -> str:
    """The net of the whole circuit that a node of a scope is."""
    if node in ("0", "gnd"):
        return "0"
    if node in nets:
        return nets[node]
    return node if not path or node in global_nets else ".".join((*path, node))


def _plain(
    expansion: _Expansion,
    chain: Sequence[Scope],
    path: tuple[str, ...],
    card: Card,
    nets: Sequence[str],
    environment: Environment,
) -> None:
    """Add a device that is no subcircuit."""
    kind = card.kind
    if card.letter in _MODELLED:
        kind = _modelled_kind(expansion, chain, card, environment)
    name = ".".join((card.letter, *path, card.name)) if path else card.name
    terminals = dict(zip(card.roles, nets, strict=False))
    expansion.devices.append(
        _device(name, ".".join((*path, card.name)), kind, terminals, card, path, chain, environment)
    )


def _device(
    name: str,
    label: str,
    kind: str,
    terminals: Mapping[str, str],
    card: Card,
    path: tuple[str, ...],
    chain: Sequence[Scope],
    environment: Environment,
) -> Device:
    texts = {key: value.text for key, value in card.parameters.items()}
    values = {key: value for key, text in texts.items() if (value := environment.value_of(text)) is not None}
    origins = {key: environment.origins_of(text) for key, text in texts.items()}
    return Device(name, label, kind, terminals, card.model, texts, values, card, chain[-1].name, path, origins)


def _modelled_kind(expansion: _Expansion, chain: Sequence[Scope], card: Card, environment: Environment) -> str:
    """The kind of a device that needs a model, which must exist; "nmos" or "pmos" for a MOSFET."""
    lines = next((found for scope in reversed(chain) if (found := scope.model_lines(card.model or ""))), [])
    if not lines:
        _unknown_model(chain, card)
    for line in lines:
        if (id(line), environment.names) not in expansion.checked:
            expansion.checked.add((id(line), environment.names))
            environment.check_groups(line)
    words = lines[0].text.replace("(", " ").lower().split()
    kind = words[2] if len(words) > 2 else ""
    if kind.startswith("ako:") and len(words) > 3:
        kind = words[3]
    if kind == "vdmos" and "pchan" in words:
        return "pmos"
    return _POLARITIES.get(kind, card.kind) if card.letter == "m" else card.kind


def _unknown_model(chain: Sequence[Scope], card: Card) -> NoReturn:
    early = next((index for index, node in enumerate(card.nodes) if _has_model(chain, node)), None)
    if early is not None:
        problem = f"{card.name} has {early} node{'' if early == 1 else 's'} before its model {card.nodes[early]!r}"
        remedy = f"a {card.kind} has {len(card.nodes)}: {', '.join(filter(None, card.roles))}"
        raise InputError(problem, place=card.line.place, remedy=remedy)
    if card.model is None:
        raise InputError(f"{card.name} names no model", place=card.line.place, remedy="add its model after the nodes")
    if any(scope.find_subcircuit(card.model) for scope in chain):
        remedy = f"{card.model!r} is a subcircuit: call it by an instance whose name begins with x"
    else:
        known = {name for scope in chain for around in scope.scopes() for name in around.model_bases}
        remedy = did_you_mean(card.model, known, "the models of the deck")
    raise InputError(f"{card.name} uses an unknown model {card.model!r}", place=card.line.place, remedy=remedy)


def _instance(
    expansion: _Expansion,
    chain: tuple[Scope, ...],
    path: tuple[str, ...],
    card: Card,
    nets: Sequence[str],
    environment: Environment,
) -> None:
    """Expand one instance of a subcircuit, or add it as the device that it wraps."""
    name = card.model or ""
    scope = next((found for around in reversed(chain) if (found := around.find_subcircuit(name))), None)
    if scope is None:
        _unknown_subcircuit(chain, card)
    if len(nets) != len(scope.ports):
        problem = f"{card.name} gives {len(nets)} nodes to {name!r}, which has {len(scope.ports)} ports"
        raise InputError(problem, place=card.line.place, remedy=f"its ports are {' '.join(scope.ports)}")
    expansion.used[id(scope)] = scope
    ports = dict(zip(scope.ports, nets, strict=True))
    given = {key: value.text for key, value in card.parameters.items()}
    inner = environment.inside(scope, given, card.line)
    first = len(expansion.devices)
    _visit(expansion, (*chain, scope), (*path, card.name), ports, inner)
    inside = tuple(expansion.devices[first:])
    wrapped = wrapped_device(scope, inside, nets)
    if wrapped is not None:
        kind, terminals, observed = wrapped
        label = ".".join((*path, card.name))
        device = _device(observed or label, label, kind, terminals, card, path, chain, environment)
        expansion.devices[first:] = [replace(device, inside=inside)]


def _unknown_subcircuit(chain: Sequence[Scope], card: Card) -> NoReturn:
    name = card.model or ""
    if _has_model(chain, name):
        remedy = f"{name!r} is a model: begin the device's name with the letter of its kind (M, Q, D, ...)"
    else:
        known = {known for scope in chain for around in scope.scopes() for known in around.subcircuits}
        remedy = did_you_mean(name, known, "the subcircuits of the deck")
    raise InputError(f"{card.name} calls an unknown subcircuit {name!r}", place=card.line.place, remedy=remedy)


def _check_values(card: Card, environment: Environment) -> None:
    """Refuse an undefined parameter in a device's values: it would end ngspice's library."""
    for key, value in card.parameters.items():
        environment.check_value(card.letter, key, value.text, card.line)
