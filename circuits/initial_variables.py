"""What of a deck can vary, and in which ranges: the variables of a first spec."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from automl_core.errors import InputError
from circuits.netlist import COUNTS, SIZES, Deck, Device, Parameter, parse_expression
from circuits.numbers import parse_number, short_number

__all__ = ["OUTPUTS", "Uses", "bias_hints", "is_test_bench", "sizing_parameters", "variable_entries"]

Uses = Sequence[tuple[Device, str]]
"""The places that a parameter sets: a device and the name of its own parameter."""

OUTPUTS = ("out", "vout", "output", "vo", "outp", "voutp")
"""Nets that are probably the output, the likeliest first."""

_INPUTS = ("gate", "base")
"""Terminals that a bias voltage holds."""
_LARGEST = {"resistor": 1e9, "capacitor": 1e-6, "inductor": 1e-3}
"""Elements beyond these are in no circuit: 1 GH and 1 GF close a loop at DC and open it above."""
_GRIDS = (10, 5, 1)
"""Of widths and lengths, in nm: what fabs draw on, from 180 nm down."""
_LARGEST_METRES = 1e-3
"""A width above this is in µm, as kits have it whose cells are subcircuits."""
_FINEST = 5
"""Significant digits of the deck's own value down to which a grid is looked for."""


def sizing_parameters(deck: Deck) -> dict[str, Uses]:
    """Parameters of the top level that alone set a size, with the places that they set.

    They have a value of their own, other than 0; the voltage of a source is none, though a resistor may follow from it.
    """
    sources = (device for device in deck.devices if device.kind == "vsource")
    voltages = {device.parameters.get("dc", "").strip("{}' \t").lower() for device in sources}
    own, definitions = _own_numbers(deck) - voltages, deck.definitions
    found: dict[str, list[tuple[Device, str]]] = {}
    for device in deck.devices:
        setters = {} if is_test_bench(device) else device.setters(definitions, own)
        for slot in SIZES.get(device.kind, ()):
            names = setters.get(slot, frozenset())
            if len(names) == 1:
                found.setdefault(next(iter(names)), []).append((device, slot))
    return dict(found)


def _own_numbers(deck: Deck) -> set[str]:
    """Parameters of the top level that have a value of their own, other than 0."""
    return {p.name for p in deck.parameters if not p.scope and p.own and p.start and _is_number(p)}


def bias_hints(deck: Deck, sizing: Mapping[str, Uses]) -> list[str]:
    """How the bias voltages of a deck are sized too, a line each; ``init`` cannot tell them from the test bench.

    Args:
        deck: the deck.
        sizing: from :func:`sizing_parameters`; what varies already is left out.
    """
    return [hint for device in deck.devices if _is_bias(device, deck) for hint in _hint(device, deck, sizing)]


def _hint(device: Device, deck: Deck, sizing: Mapping[str, Uses]) -> list[str]:
    value, text = device.values["dc"], device.parameters["dc"].strip("{}' \t").lower()
    low, high = sorted((value / 2, value * 1.5))
    entry = f"{{min: {short_number(low)}, max: {short_number(high)}}}"
    bias = f"the bias voltage of {device.label}, today {value:g} V"
    if text in _own_numbers(deck):
        return [] if text in sizing else [f"{text}: {entry}  # {bias}: uncomment to size it too"]
    try:
        parse_number(text)
    except InputError:
        return []  # it follows from others
    name = re.sub(r"\W", "_", f"dc_{device.label}")
    return [f"{name}: {entry}  # {bias}: uncomment, and write `.param {name}={text}` and `dc {{{name}}}` in the deck"]


def _is_bias(device: Device, deck: Deck) -> bool:
    """A constant voltage that holds gates or bases, and nothing else but capacitors; no stimulus, and not swept."""
    if device.kind != "vsource" or device.path or not device.values.get("dc") or "0" not in device.nodes:
        return False
    swept = any(device.name in card.command.lower().split() for card in deck.analyses)
    if swept or "waveform" in device.parameters or device.values.get("ac", 0.0) != 0:
        return False
    (net,) = set(device.nodes) - {"0"} or {"0"}
    others = [other for other in deck.devices if other is not device and other.kind != "capacitor"]
    roles = [role for other in others for role, node in other.terminals.items() if node == net]
    return bool(roles) and set(roles) <= set(_INPUTS)


def is_test_bench(device: Device) -> bool:
    """A load at the output, a current that is a stimulus or a load, or an element that no circuit has."""
    value = next((device.values[name] for name in ("value", "r", "c", "l", "dc") if name in device.values), 0.0)
    at_output = bool(set(device.nodes) & set(OUTPUTS))
    if device.kind == "isource":
        driven = "waveform" in device.parameters or device.values.get("ac", 0.0) != 0
        return driven or value == 0 or (at_output and "0" in device.nodes)
    if device.kind in _LARGEST and abs(value) > _LARGEST[device.kind]:
        return True
    return device.kind == "capacitor" and "0" in device.nodes and at_output


def _is_number(parameter: Parameter) -> bool:
    """A parameter that follows from others is no variable, nor is one that ngspice draws."""
    expression = parse_expression(parameter.text)
    return not expression.names and not expression.calls and not expression.random


def variable_entries(deck: Deck, sizing: Mapping[str, Uses]) -> dict[str, str]:
    """The variables of the spec: a range about the deck's own value of each, on a grid on which that value lies.

    Args:
        deck: the deck.
        sizing: from :func:`sizing_parameters`.

    Returns:
        Parameter -> its entry, as YAML.
    """
    starts = {name: deck.parameter(name).start or 0.0 for name in sizing}
    shortest = min((starts[name] for name, uses in sizing.items() if _is_channel_length(uses)), default=0.0)
    return {name: _entry(starts[name], uses, shortest) for name, uses in sizing.items()}


def _is_channel_length(uses: Uses) -> bool:
    return all(slot == "l" and device.kind in ("nmos", "pmos") for device, slot in uses)


def _entry(start: float, uses: Uses, shortest: float) -> str:
    if {slot for _, slot in uses} & COUNTS:
        return f"{{min: 1, max: {max(4, 4 * round(start))}, integer: true}}"
    lowest = min(shortest, start) if _is_channel_length(uses) else None
    step = _grid(start, lowest, drawn=all(slot in ("w", "l") and d.kind in ("nmos", "pmos") for d, slot in uses))
    grid = "" if step is None else f", step: {_written(step)}"
    low, high = _decade(start, step)
    if start < 0:
        return f"{{min: {high}, max: {low}{grid}}}"
    if lowest is not None:
        low = short_number(lowest, 12)
    return f"{{min: {low}, max: {high}, scale: log{grid}}}"


def _decade(start: float, step: Decimal | None) -> tuple[str, str]:
    """A tenth of the value and ten times it, the nearer to 0 first, on its grid."""
    if step is None:
        return short_number(start / 10), short_number(start * 10)
    count = round(abs(Decimal(repr(start))) / step)
    sign = 1 if start > 0 else -1
    return _written(sign * max(1, round(count / 10)) * step), _written(sign * 10 * count * step)


def _grid(start: float, lowest: float | None, *, drawn: bool) -> Decimal | None:
    """The coarsest grid that the value, and the lowest one, lie on; ``None`` where all are too fine.

    A grid of three digits and more leaves the search as free as none would: the lower end of the range has two.
    """
    values = [Decimal(repr(start)), *([] if lowest is None else [Decimal(repr(lowest))])]
    if drawn:
        unit = Decimal("1e-9") if start < _LARGEST_METRES else Decimal("1e-3")
        steps: Iterable[Decimal] = (grid * unit for grid in _GRIDS)
    else:
        first = math.floor(math.log10(abs(start)))
        steps = (Decimal(1).scaleb(first - digits) for digits in range(3, _FINEST))
    return next((step for step in steps if all(value % step == 0 for value in values)), None)


def _written(number: Decimal) -> str:
    return short_number(float(number), 12)
