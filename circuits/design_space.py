"""The design space of a circuit: its variables, its devices as nodes, its nets as edges."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from automl_core.errors import InputError
from automl_core.space import DesignSpace, Edge, Node, Variable
from circuits.netlist import SIZES, Deck, Device
from circuits.numbers import short_number
from circuits.spec_entries import VariableEntry
from circuits.specfile import SpecFile

__all__ = ["circuit_space", "moved_starts", "own_parameters"]


def circuit_space(spec: SpecFile, decks: Mapping[str, Deck]) -> DesignSpace:
    """Variables in the order of their devices, devices as nodes, shared nets as edges.

    Args:
        spec: whose variables to use.
        decks: by test bench.

    Raises:
        InputError: a variable that no deck defines or uses, or a range that makes no sense.
    """
    own = {name: entry for name, entry in spec.variables.items() if entry.expr is None}
    if not own:
        raise InputError("no variable has a range", place=spec.place("variables"), remedy="give one min and max")
    for name in spec.variables:
        _check_used(name, spec, decks)
    devices = _devices(spec, decks, own)
    nodes = [_node(device, slots) for device, slots in devices]
    order = dict.fromkeys(name for node in nodes for name in node.slots.values())
    names = [*order, *(name for name in own if name not in order)]
    edges = _edges([device for device, _ in devices])
    return DesignSpace([_variable(name, own[name], spec, decks) for name in names], nodes, edges)


def own_parameters(deck: Deck, names: Iterable[str]) -> list[str]:
    """Those of the names that this deck defines at its top level."""
    defined = {parameter.name for parameter in deck.parameters if not parameter.scope}
    return [name for name in names if name in defined]


def moved_starts(spec: SpecFile, decks: Mapping[str, Deck], space: DesignSpace) -> list[str]:
    """Sentences on the deck's own values that lie outside a range or off a grid, so that trial 0 differs from them."""
    moved = []
    for variable in space.variables:
        written = _start(variable.name, spec.variables[variable.name], decks)
        if written is None or variable.start is None:
            continue
        used = float(variable.nearest(written))
        if abs(used - written) > 1e-9 * max(abs(written), abs(used)):
            place, name = spec.place("variables", variable.name), variable.name
            written_text, used_text = short_number(written, 10), short_number(used, 10)
            moved.append(
                f"{place}: the deck's {name} = {written_text} is off its range or grid; trial 0 uses {used_text}"
            )
    return moved


def _check_used(name: str, spec: SpecFile, decks: Mapping[str, Deck]) -> None:
    place = spec.place("variables", name)
    holders = [deck for deck in decks.values() if own_parameters(deck, [name])]
    if not holders:
        error = _undefined(name, list(decks.values()))
        raise InputError(error.problem, place=place, remedy=error.remedy)
    if not any(_uses(deck, name) for deck in holders):
        raise InputError(
            f"nothing in the deck uses the parameter {name!r}",
            place=place,
            remedy=f"take it out of the variables, or write {{{name}}} where it belongs in the deck",
        )


def _undefined(name: str, decks: Sequence[Deck]) -> InputError:
    inner = [p.scope for deck in decks for p in deck.parameters if p.scope and p.name == name]
    if inner:
        problem = f"{name!r} is a parameter of the subcircuit {inner[0]!r}, and only those of the top level can vary"
        return InputError(
            problem, remedy=f"move its .param line out of the subcircuit, or pass it in by params: {name}="
        )
    try:
        decks[0].parameter(name)
    except InputError as error:
        return error
    return InputError(f"no .param defines {name!r}", remedy="define it in the deck")


def _uses(deck: Deck, name: str) -> bool:
    """Whether anything but the definition of a parameter mentions it."""
    mention = re.compile(rf"(?<![\w.]){re.escape(name)}(?![\w.])", re.IGNORECASE)
    definition = re.compile(rf"(?<![\w.]){re.escape(name)}\s*=(?!=)", re.IGNORECASE)
    for line in deck.flatten()[1:]:
        text = definition.sub("", line) if line.lstrip().lower().startswith(".param") else line
        if not text.lstrip().startswith("*") and mention.search(text):
            return True
    return False


def _start(name: str, entry: VariableEntry, decks: Mapping[str, Deck]) -> float | None:
    if entry.start is not None:
        return entry.start
    for deck in decks.values():
        if own_parameters(deck, [name]):
            return deck.parameter(name).start
    return None


def _variable(name: str, entry: VariableEntry, spec: SpecFile, decks: Mapping[str, Deck]) -> Variable:
    low, high = entry.min, entry.max
    try:
        variable = Variable(name, low or 0.0, high or 0.0, entry.scale, entry.step, entry.integer)
        start = _start(name, entry, decks)
        return variable if start is None else replace(variable, start=variable.nearest(start))
    except InputError as error:
        raise InputError(error.problem, place=spec.place("variables", name), remedy=error.remedy) from None


def _devices(
    spec: SpecFile, decks: Mapping[str, Deck], variables: Mapping[str, VariableEntry]
) -> list[tuple[Device, Mapping[str, str]]]:
    """The sized devices of all benches with their slots; one that stands in several decks is taken once."""
    followers = {name: entry.expr for name, entry in spec.variables.items() if entry.expr is not None}
    found: dict[str, tuple[Device, Mapping[str, str]]] = {}
    for deck in decks.values():
        definitions = {**deck.definitions, **followers}
        for device in deck.devices:
            slots = _slots(device.setters(definitions, variables))
            if device.kind in SIZES or slots:
                found.setdefault(device.name, (device, slots))
    return list(found.values())


def _node(device: Device, slots: Mapping[str, str]) -> Node:
    known = {f"{name}": value for name, value in device.values.items() if name not in slots}
    return Node(device.name, device.kind, known, slots)


def _slots(setters: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Property -> the one variable that sets it, directly or in an expression."""
    return {name: next(iter(variables)) for name, variables in setters.items() if len(variables) == 1}


def _edges(devices: Sequence[Device]) -> Iterator[Edge]:
    """Devices that share a net, ground apart: an edge from each to each, by the terminal of the first."""
    on_net: dict[str, list[tuple[str, str]]] = {}
    for device in devices:
        for role, net in device.terminals.items():
            if net != "0":
                on_net.setdefault(net, []).append((device.name, role))
    for connections in on_net.values():
        for source, role in connections:
            for target in dict.fromkeys(name for name, _ in connections):
                if target != source:
                    yield Edge(source, target, role)
