"""Nets that float: no current can reach them, so that no simulator can tell their voltage at DC.

ngspice meets a singular matrix there, and then invents a voltage by gmin stepping or gives up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from automl_core.errors import InputError
from circuits.netlist.deck import Deck
from circuits.netlist.devices import Device

__all__ = ["floating_nets", "refuse_floating", "skips_operating_point"]

_NO_PATH = frozenset({"capacitor", "isource"})
_OPAQUE = frozenset("apny")
"""Code models, Verilog-A and lines whose nets are not told apart: with one of them in a deck nothing is said."""
_CONTROLS = ("gate", "control_plus", "control_minus")
_TRANSISTORS = frozenset({"nmos", "pmos", "mosfet"})


def floating_nets(devices: Iterable[Device]) -> dict[str, Device]:
    """The nets without a path for direct current to ground, each with the first device on it.

    Capacitors, current sources, gates of MOSFETs and control terminals carry no direct current; everything else counts
    as a path between all its terminals, so that a net named here does float.
    """
    touched: dict[str, Device] = {}
    neighbours: dict[str, set[str]] = {"0": set()}
    for device in _parts(devices):
        if device.letter in _OPAQUE:
            return {}
        for net in device.nodes:
            touched.setdefault(net, device)
        joined = list(_joined(device))
        for net in joined:
            neighbours.setdefault(net, set()).update(joined)
    grounded = _reached("0", neighbours)
    return {net: device for net, device in touched.items() if net not in grounded and net != "0"}


def _parts(devices: Iterable[Device]) -> Iterator[Device]:
    """The devices, those inside cells in place of the cells: a current may pass where a capacitor has a resistance."""
    for device in devices:
        yield from _parts(device.inside) if device.inside else (device,)


def _joined(device: Device) -> Iterator[str]:
    """The nets that direct current can flow between."""
    if device.kind in _NO_PATH:
        return
    for role, net in device.terminals.items():
        if role not in _CONTROLS or (role == "gate" and device.kind not in _TRANSISTORS):
            yield net


def skips_operating_point(command: str) -> bool:
    """Whether an analysis begins at initial conditions, without voltages at DC: ``tran ... uic``."""
    words = command.lower().split()
    return words[:1] == ["tran"] and "uic" in words


def _reached(start: str, neighbours: Mapping[str, set[str]]) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        new = neighbours.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def refuse_floating(deck: Deck, options: Iterable[str], commands: Collection[str]) -> None:
    """Refuse a deck with a net that floats, unless ``rshunt`` ties every net to ground or ``.ic`` gives its voltage.

    Nothing is refused either where nothing asks for voltages at DC: all analyses are ``tran ... uic``.

    Args:
        deck: as read.
        options: of the simulator, from the spec.
        commands: of the analyses that the deck is to make.

    Raises:
        InputError: names the net, and the line of the first device on it.
    """
    if "rshunt" in {option.lower() for option in options} or (commands and all(map(skips_operating_point, commands))):
        return
    cards = [line.text.lower() for line in deck.root.lines if line.word in (".option", ".options", ".opt", ".ic")]
    if any("rshunt" in card for card in cards if not card.startswith(".ic")):
        return
    held = " ".join(card.replace(" ", "") for card in cards if card.startswith(".ic"))
    for net, device in floating_nets(deck.devices).items():
        if f"v({net})=" not in held:
            raise InputError(
                f"the net {net!r} at {device.label} floats: no current can reach it, only capacitors, gates and"
                " current sources are on it",
                place=device.place,
                remedy="correct its name, or give it a path to ground; if it is meant so, write"
                " .options rshunt=1e12 in the deck, or simulator: {options: {rshunt: 1e12}} in the spec",
            )
