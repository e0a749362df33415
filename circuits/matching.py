"""Matched devices, found in the graph of the circuit: devices on one side, nets on the other, terminals as edges.

Structure decides, never size alone: two transistors of one size that nothing relates are not matched. The search begins
at what shows symmetry by itself (differential and cross-coupled pairs, current mirrors) and follows it from net to net
through cascodes, loads and passive branches, the way a designer reads a schematic; the building blocks are those of
Gray, Hurst, Lewis and Meyer, "Analysis and Design of Analog Integrated Circuits", chapters 3 and 4.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import networkx as nx

from circuits.netlist import COUNTS, SIZES, Deck, Device

__all__ = ["Match", "circuit_graph", "find_matches"]

_ROLES: Mapping[str, Mapping[str, str]] = {
    **{kind: {"drain": "drain", "gate": "gate", "source": "source"} for kind in ("nmos", "pmos", "jfet")},
    "bjt": {"collector": "drain", "base": "gate", "emitter": "source"},
}
_PASSIVE = {"resistor": "symmetric_resistors", "capacitor": "symmetric_capacitors", "inductor": "symmetric_inductors"}


@dataclass(frozen=True)
class Match:
    """Devices that belong together.

    Attributes:
        kind: "differential_pair", "cross_coupled_pair", "current_mirror", "cascode_pair", "load_pair",
            "symmetric_resistors", "symmetric_capacitors" or "symmetric_inductors".
        devices: their labels in the order of the deck; of a mirror the reference first.
        evidence: one phrase that says which nets show it.
    """

    kind: str
    devices: tuple[str, ...]
    evidence: str


@dataclass(frozen=True, eq=False)
class _Transistor:
    device: Device
    drain: str
    gate: str
    source: str

    @property
    def family(self) -> tuple[str, str | None]:
        """What two transistors must share to be matched: their kind and model."""
        return self.device.kind, self.device.model


def circuit_graph(devices: Iterable[Device]) -> nx.MultiGraph:
    """The bipartite graph of a circuit.

    Args:
        devices: of the expanded circuit.

    Returns:
        Nodes ("device", label) with the attribute ``device``, and ("net", name); an edge a terminal, with its ``role``.
    """
    graph = nx.MultiGraph()
    for device in devices:
        graph.add_node(("device", device.label), device=device, bipartite=0)
        for role, net in device.terminals.items():
            graph.add_node(("net", net), bipartite=1)
            graph.add_edge(("device", device.label), ("net", net), role=role)
    return graph


def find_matches(deck: Deck) -> tuple[Match, ...]:
    """The matched devices of a deck; every device is in one match at most.

    Args:
        deck: the deck.

    Returns:
        Differential and cross-coupled pairs first, then mirrors, then what follows from their symmetry.
    """
    return _Search(deck.devices).run()


@dataclass
class _Search:
    devices: Sequence[Device]
    found: list[Match] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    pairs: list[tuple[str, str]] = field(default_factory=list)  # nets that mirror each other, in order of discovery

    def __post_init__(self) -> None:
        self._graph = circuit_graph(self.devices)
        self._order = {device.label: index for index, device in enumerate(self.devices)}
        self._transistors = {device.label: found for device in self.devices if (found := _transistor(device))}
        self._rails = self._held_nets()
        self._followed: set[tuple[str, str]] = set()

    def run(self) -> tuple[Match, ...]:
        self._cross_coupled_pairs()
        self._differential_pairs()
        self._mirrors()
        while self.pairs:
            first, second = self.pairs.pop(0)
            self._follow(first, second)
        return tuple(self.found)

    def _held_nets(self) -> set[str]:
        """Ground, and the nets that voltage sources hold to it: no tail of a differential pair."""
        rails = {"0"}
        grown = True
        while grown:
            grown = False
            for device in self.devices:
                ends = set(device.nodes[:2])
                if device.kind == "vsource" and ends & rails and not ends <= rails:
                    rails |= ends
                    grown = True
        return rails

    def _on(self, net: str, role: str) -> Iterator[_Transistor]:
        """The transistors with a terminal on a net, in the order of the deck."""
        if ("net", net) not in self._graph:
            return
        labels = sorted({label for _, label in self._graph[("net", net)]}, key=self._order.__getitem__)
        for label in labels:
            transistor = self._transistors.get(label)
            if transistor is not None and getattr(transistor, role) == net:
                yield transistor

    def _passives(self, net: str) -> Iterator[Device]:
        if ("net", net) not in self._graph:
            return
        for label in sorted({label for _, label in self._graph[("net", net)]}, key=self._order.__getitem__):
            device: Device = self._graph.nodes[("device", label)]["device"]
            if device.kind in _PASSIVE and len(device.nodes) >= 2:
                yield device

    def _add(self, kind: str, devices: Sequence[Device], evidence: str) -> bool:
        """Record a match unless one of its devices has one already."""
        labels = tuple(device.label for device in devices)
        if self.taken.intersection(labels):
            return False
        self.taken.update(labels)
        self.found.append(Match(kind, labels, evidence))
        return True

    def _mirror_nets(self, first: str, second: str) -> None:
        if (
            first != second
            and not {first, second} & self._rails
            and {(first, second), (second, first)}.isdisjoint(self._followed)
        ):
            self._followed.add((first, second))
            self.pairs.append((first, second))

    def _cross_coupled_pairs(self) -> None:
        for a, b in itertools.combinations(self._transistors.values(), 2):
            crossed = a.gate == b.drain and b.gate == a.drain and a.gate != b.gate
            if crossed and a.source == b.source and a.family == b.family and _same_size(a.device, b.device):
                evidence = f"each gate on the other's drain ({a.drain}, {b.drain}), sources on {a.source}"
                if self._add("cross_coupled_pair", (a.device, b.device), evidence):
                    self._mirror_nets(a.drain, b.drain)

    def _differential_pairs(self) -> None:
        for net in sorted({item.source for item in self._transistors.values()} - self._rails):
            for group in _by_family(item for item in self._on(net, "source") if item.drain != net):
                gates = list(dict.fromkeys(item.gate for item in group))
                if len(gates) != 2 or net in gates or not self._has_tail(net, group):
                    continue
                sides = [[item for item in group if item.gate == gate] for gate in gates]
                drains = [{item.drain for item in side} for side in sides]
                if any(len(ends) != 1 for ends in drains) or drains[0] == drains[1]:
                    continue
                self._pair(sides, net)

    def _pair(self, sides: Sequence[Sequence[_Transistor]], tail: str) -> None:
        """Record a differential pair, each side one transistor or several in parallel."""
        first, second = sides
        if sorted(_size(item.device) for item in first) != sorted(_size(item.device) for item in second):
            return
        a, b = first[0], second[0]
        devices = sorted((item.device for item in (*first, *second)), key=lambda device: self._order[device.label])
        evidence = f"sources on net {tail}, gates on {a.gate} and {b.gate}, drains on {a.drain} and {b.drain}"
        if self._add("differential_pair", devices, evidence):
            self._mirror_nets(a.drain, b.drain)
            self._mirror_nets(a.gate, b.gate)

    def _has_tail(self, net: str, group: Sequence[_Transistor]) -> bool:
        """Whether a current comes from somewhere else: another transistor's drain, a current source, a resistor."""
        own = {item.device.label for item in group}
        for _, label in self._graph[("net", net)]:
            device: Device = self._graph.nodes[("device", label)]["device"]
            transistor = self._transistors.get(label)
            feeds = transistor is not None and transistor.drain == net
            if label not in own and (feeds or device.kind in ("isource", "resistor", "inductor")):
                return True
        return False

    def _mirrors(self) -> None:
        by_lines: dict[tuple[object, ...], list[_Transistor]] = {}
        for item in self._transistors.values():
            by_lines.setdefault((item.gate, item.source, item.family, _length(item.device)), []).append(item)
        for group in by_lines.values():
            if len(group) < 2 or group[0].gate == group[0].source:
                continue
            reference = next((item for item in group if self._is_reference(item)), None)
            if reference is None:
                continue
            ordered = [reference, *(item for item in group if item is not reference)]
            where = "its own drain" if reference.drain == reference.gate else "the drain of its cascode"
            name = reference.device.label
            evidence = f"gates on {reference.gate}, which is {where} for {name}; sources on {reference.source}"
            if self._add("current_mirror", [item.device for item in ordered], evidence):
                self._cascodes_of(ordered)
                for a, b in itertools.combinations(ordered, 2):
                    if len(ordered) == 2 and _same_size(a.device, b.device):
                        self._mirror_nets(a.drain, b.drain)

    def _is_reference(self, item: _Transistor) -> bool:
        """Diode-connected, or with its gate at the drain of the cascode that stands on it."""
        if item.drain == item.gate:
            return True
        stacked = (other for other in self._on(item.drain, "source") if other.device.kind == item.device.kind)
        return any(other.drain == item.gate and other is not item for other in stacked)

    def _cascodes_of(self, mirror: Sequence[_Transistor]) -> None:
        """The cascodes that stand on the branches of a mirror: one gate net, each source on one drain."""
        stacked = [
            other
            for item in mirror
            for other in self._on(item.drain, "source")
            if item.drain not in self._rails and other.device.kind == item.device.kind and other is not item
        ]
        by_gate: dict[tuple[object, ...], list[_Transistor]] = {}
        for other in stacked:
            by_gate.setdefault((other.gate, other.family, _length(other.device)), []).append(other)
        for group in by_gate.values():
            sources = {item.source for item in group}
            if len(group) >= 2 and len(sources) == len(group):
                evidence = f"gates on {group[0].gate}, on the branches {', '.join(sorted(sources))} of a mirror"
                self._add("cascode_pair", [item.device for item in group], evidence)

    def _follow(self, p: str, q: str) -> None:
        """Find the pairs of devices that hang on two nets that mirror each other."""
        for role in ("source", "drain"):
            for a, b in itertools.product(list(self._on(p, role)), list(self._on(q, role))):
                if a is not b and a.family == b.family and _same_size(a.device, b.device):
                    self._transistor_pair(a, b, role)
        for first, second in itertools.product(list(self._passives(p)), list(self._passives(q))):
            self._passive_pair(first, second, p, q)

    def _transistor_pair(self, a: _Transistor, b: _Transistor, role: str) -> None:
        """A cascode pair or a load pair, both of whose ``role`` terminals are on mirrored nets."""
        diodes = a.gate == a.drain and b.gate == b.drain
        if a.source == b.source and a.drain != b.drain and role == "drain" and (a.gate == b.gate or diodes):
            gates = "each gate on its own drain" if diodes else f"gates on {a.gate}"
            evidence = f"drains on {a.drain} and {b.drain}, sources on {a.source}, {gates}"
            self._add("load_pair", (a.device, b.device), evidence)
        elif a.gate == b.gate and a.source != b.source and a.drain != b.drain:
            evidence = f"gates on {a.gate}, between {a.source} and {a.drain}, and {b.source} and {b.drain}"
            if self._add("cascode_pair", (a.device, b.device), evidence):
                self._mirror_nets(a.drain, b.drain)
                self._mirror_nets(a.source, b.source)

    def _passive_pair(self, a: Device, b: Device, p: str, q: str) -> None:
        """Two equal elements from mirrored nets to one net, or to nets that mirror each other too."""
        if a is b or a.kind != b.kind or a.model != b.model or not _same_size(a, b):
            return
        far_a, far_b = _other_end(a, p), _other_end(b, q)
        known = {(far_a, far_b), (far_b, far_a)} & self._followed
        if far_a is None or far_b is None or {far_a, far_b} & {p, q} or not (far_a == far_b or known):
            return
        where = far_a if far_a == far_b else f"{far_a} and {far_b}"
        self._add(_PASSIVE[a.kind], (a, b), f"from {p} and {q} to {where}")


def _transistor(device: Device) -> _Transistor | None:
    roles = _ROLES.get(device.kind)
    if roles is None or not set(roles) <= set(device.terminals):
        return None
    return _Transistor(device, **{role: device.terminals[terminal] for terminal, role in roles.items()})


def _by_family(items: Iterable[_Transistor]) -> list[list[_Transistor]]:
    families: dict[tuple[str, str | None], list[_Transistor]] = {}
    for item in items:
        families.setdefault(item.family, []).append(item)
    return list(families.values())


def _other_end(device: Device, net: str) -> str | None:
    ends = device.nodes[:2]
    if ends[0] == ends[1] or net not in ends:
        return None
    return ends[1] if ends[0] == net else ends[0]


def _size(device: Device) -> tuple[float | str, ...]:
    """The sizes of a device, comparable: its values, or their texts where they have none."""
    sizes: list[float | str] = []
    for key in SIZES[device.kind]:
        default = 1.0 if key in COUNTS else 0.0
        value: float | str = device.values.get(key, device.parameters.get(key, default))
        sizes.append(f"{value:.9g}" if isinstance(value, float) else value)
    return tuple(sizes)


def _same_size(a: Device, b: Device) -> bool:
    return _size(a) == _size(b)


def _length(device: Device) -> str:
    """What the branches of a mirror share: the channel length; their widths set the ratio."""
    value = device.values.get("l", device.parameters.get("l", 0.0))
    return f"{value:.9g}" if isinstance(value, float) else value
