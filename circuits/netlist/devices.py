"""One device of the expanded circuit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from circuits.netlist.cards import Card
from circuits.netlist.environments import names_in

__all__ = ["COUNTS", "SIZES", "Device"]

COUNTS = frozenset({"m", "nf", "mult"})
"""Instance parameters that are whole numbers: of devices in parallel, and of gate fingers."""
SIZES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("nmos", "pmos"), ("w", "l", "nf", "m", "mult")),
    **dict.fromkeys(("bjt", "diode", "jfet", "mesfet"), ("area", "m")),
    "resistor": ("r", "value", "w", "l", "m", "mult"),
    "capacitor": ("c", "value", "w", "l", "m", "mult"),
    "inductor": ("l", "value", "m", "mult"),
    "isource": ("dc",),
}
"""Instance parameters that a designer chooses, by kind of device; other kinds are part of the test bench."""


@dataclass(frozen=True)
class Device:
    """One device of the expanded circuit.

    Attributes:
        name: ngspice's: "m1", "m.x1.m1"; of a wrapped transistor that of the transistor inside.
        label: the designer's: "m1", "x1.m1"; of a wrapped device that of its instance, "x1".
        kind: "nmos", "pmos", "resistor", "capacitor", "inductor", "vsource", "isource", "bjt", "diode", ...
        terminals: net by role ("drain", "gate", "source", "bulk"; "plus", "minus"; ...), nets of the whole circuit.
        model: lower case; of a wrapped device the subcircuit's name; None without one.
        parameters: as written, by name, lower case.
        values: those of them that have a value at the start.
        card: the line as read.
        scope: the scope that the line stands in; "" for the top level.
        path: the instances around it, from the outside in.
        origins: by parameter, the parameters of the top level that it uses, itself or through the instances around it.
        inside: of a wrapped device those that stand for it in the subcircuit; else nothing.
    """

    name: str
    label: str
    kind: str
    terminals: Mapping[str, str]
    model: str | None
    parameters: Mapping[str, str]
    values: Mapping[str, float]
    card: Card = field(repr=False, compare=False)
    scope: str = ""
    path: tuple[str, ...] = ()
    origins: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False, compare=False)
    inside: tuple[Device, ...] = field(default=(), repr=False, compare=False)

    def setters(self, definitions: Mapping[str, str], among: Collection[str]) -> dict[str, frozenset[str]]:
        """Which parameters of the top level set those of the device.

        Args:
            definitions: of the parameters of the top level, as written; they are followed.
            among: the parameters that count; they are not followed further.

        Returns:
            Instance parameter -> those that set it, alone or with others.
        """
        return {key: _followed(names, definitions, among) for key, names in self.origins.items()}

    @property
    def letter(self) -> str:
        """The first letter of the line: "m", "x", ..."""
        return self.card.letter

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nets in the order of the terminals."""
        return tuple(self.terminals.values())

    @property
    def file(self) -> Path:
        """Where its line stands."""
        return self.card.line.file

    @property
    def line(self) -> int:
        """The first physical line, from 1."""
        return self.card.line.number

    @property
    def place(self) -> str:
        """``file:line``, for messages."""
        return self.card.line.place


def _followed(names: Iterable[str], definitions: Mapping[str, str], among: Collection[str]) -> frozenset[str]:
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(() if name in among else names_in(definitions.get(name, "")))
    return frozenset(seen.intersection(among))
