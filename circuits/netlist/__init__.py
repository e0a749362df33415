"""Decks: read without being run, flattened for a simulator, changed in nothing but values.

>>> from circuits.netlist import read_deck, with_values
>>> deck = read_deck(Path("amp.cir"))            # doctest: +SKIP
>>> deck.flatten({"w1": 20e-6})[0]               # doctest: +SKIP
'two-stage amplifier'

Lines become scopes, scopes become devices: ``deck_lines`` -> ``includes`` -> ``scopes`` -> ``environments`` ->
``instances`` -> :class:`Deck`. Expressions follow ngspice's numparam (``expression_syntax``, ``expressions``).
"""

from circuits.netlist.alteration import Alteration, alter_targets
from circuits.netlist.control_block import COMPUTED, AnalysisCard, MeasureCard, Note
from circuits.netlist.deck import Deck, Parameter, read_deck
from circuits.netlist.devices import COUNTS, SIZES, Device
from circuits.netlist.editing import LiftedLiteral, LiftedLiterals, difference, lift_literals, with_values
from circuits.netlist.expressions import Expression, Function, in_order, parse_expression
from circuits.netlist.floating import refuse_floating, skips_operating_point
from circuits.netlist.includes import Include, OutsideError

__all__ = [
    "COMPUTED",
    "COUNTS",
    "SIZES",
    "Alteration",
    "AnalysisCard",
    "Deck",
    "Device",
    "Expression",
    "Function",
    "Include",
    "LiftedLiteral",
    "LiftedLiterals",
    "MeasureCard",
    "Note",
    "OutsideError",
    "Parameter",
    "alter_targets",
    "difference",
    "in_order",
    "lift_literals",
    "parse_expression",
    "read_deck",
    "refuse_floating",
    "skips_operating_point",
    "with_values",
]
