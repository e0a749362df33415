"""Cells: subcircuits that only wrap one transistor, resistor or capacitor, as those of kits do.

The instances of a cell size it, by its parameters. A subcircuit without parameters is a circuit, and what sizes it
stands inside; so is one whose elements are set by parameters of their own, as an RC filter's r and c.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from circuits.netlist.devices import Device
from circuits.netlist.environments import names_in
from circuits.netlist.scopes import Scope

__all__ = ["wrapped_device"]

_MOSFET_ROLES = ("drain", "gate", "source", "bulk")
_ELEMENT_ROLES = ("plus", "minus", "bulk")
_MOST_PARTS = 6
"""Of a resistor or capacitor: its body, its ends, and what they have to the bulk."""


def wrapped_device(
    scope: Scope, devices: Sequence[Device], nets: Sequence[str]
) -> tuple[str, dict[str, str], str | None] | None:
    """Kind, terminals and observed name of the one device that a subcircuit wraps; None where it is a circuit.

    Args:
        scope: the subcircuit.
        devices: of one instance of it.
        nets: those of the whole circuit that its ports are on.
    """
    if not scope.defaults:
        return None
    transistors = [device for device in devices if device.letter == "m"]
    if len(transistors) == 1 and len(scope.ports) == len(_MOSFET_ROLES):
        inside = transistors[0]
        ends = [inside.terminals.get(role) for role in _MOSFET_ROLES]
        if all(device.letter in "mrdc" for device in devices) and sorted(map(str, ends)) == sorted(nets):
            return inside.kind, dict(inside.terminals), inside.name
    kind = _element(scope, devices)
    return None if kind is None else (kind, dict(zip(_ELEMENT_ROLES, nets, strict=False)), None)


def _element(scope: Scope, devices: Sequence[Device]) -> str | None:
    """Whether devices are a "resistor" or a "capacitor" between the first two ports, with parasitics set like it."""
    one_noun = all(d.kind in ("resistor", "capacitor") and d.scope == scope.name for d in devices)
    if not one_noun or len(devices) > _MOST_PARTS or len(scope.ports) not in (2, 3):
        return None
    bulk = {*scope.ports[2:], "0", "gnd"}
    between = [device for device in devices if not bulk & set(device.card.nodes)]
    resistors = [device for device in between if device.kind == "resistor"]
    if any(device.kind == "resistor" and device not in between for device in devices):
        return None  # a divider
    set_by = {device.label: _set_by(scope, device) for device in devices}
    if _joined(scope.ports, resistors) and any(set_by[device.label] for device in resistors):
        kind, body = "resistor", resistors
    else:
        kind, body = "capacitor", [device for device in between if device.kind == "capacitor"]
    own = set().union(*(set_by[device.label] for device in body))
    together = all(names <= own for names in set_by.values())
    return kind if own and together and _joined(scope.ports, between) else None


def _set_by(scope: Scope, device: Device) -> set[str]:
    """The parameters of a subcircuit that set a device in it, also through its ``.param`` lines."""
    assigned = {item.name: item.value for item in scope.assigned}
    found: set[str] = set()
    waiting = [name for text in device.parameters.values() for name in names_in(text)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(names_in(assigned.get(name, "")))
    return found & {item.name for item in scope.defaults}


def _joined(ports: Sequence[str], devices: Collection[Device]) -> bool:
    """Whether devices lead from the first port to the second."""
    reached = {ports[0]}
    for _ in devices:
        for device in devices:
            if reached & set(device.card.nodes):
                reached.update(device.card.nodes)
    return ports[1] in reached
