"""The sized deck: complete, with a ``.control`` block of our own that prints every metric."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from automl_core.space import Point
from circuits.measures.signals import BANG_CARD
from circuits.netlist import SIZES, Deck, read_deck
from circuits.problem import CircuitProblem
from circuits.signoff import control_block, printed_vectors

__all__ = ["MAIN", "device_values", "sized_decks"]

MAIN = "sized.cir"
"""The file to run; where there are several test benches it calls the others by ``source``."""


def sized_decks(problem: CircuitProblem, point: Point) -> dict[str, str]:
    """The files of a sized circuit, by name: ``ngspice -n -b sized.cir`` in their folder prints every metric.

    Args:
        problem: the circuit.
        point: the design.
    """
    names = {bench: MAIN if n == 0 else f"sized_{bench}.cir" for n, bench in enumerate(problem.decks)}
    others = [name for name in names.values() if name != MAIN]
    last = _computed(problem, point)
    return {
        name: _deck(problem, bench, point, others, last) if name == MAIN else _deck(problem, bench, point, [], [])
        for bench, name in names.items()
    }


def _computed(problem: CircuitProblem, point: Point) -> list[str]:
    """Commands that print what is computed of the figures of all benches."""
    if not problem.computed:
        return []
    vectors: dict[str, str] = {}
    for name, bench in problem.benches.items():
        vectors |= printed_vectors(bench.measures, problem.decks[name].nets)
    return problem.computed.commands(vectors, point)


def _deck(problem: CircuitProblem, bench: str, point: Point, others: list[str], last: list[str]) -> str:
    deck, held = problem.decks[bench], problem.benches[bench]
    expressions = {name: e.expr for name, e in problem.spec.variables.items() if e.expr is not None}
    values: dict[str, float | str] = dict(problem.values(bench, point))
    defined = {parameter.key for parameter in deck.parameters}
    values |= {name: text for name, text in expressions.items() if name in defined}
    title, *body = deck.flatten(values)
    options = [f".options {name}={value}" if value else f".options {name}" for name, value in held.options]
    block = control_block(held.analyses, held.measures, _sources(deck), deck.nets)
    options += [BANG_CARD] if any("$bang" in line for line in block) else []
    main = bool(others) or len(problem.decks) == 1
    return "\n".join(
        [
            f"{title} (sized by sizewise; ngspice -n -b {'prints' if main else 'alone prints'} the metrics)",
            *body[:-1],
            *options,
            "",
            ".control",
            "set num_threads=1",
            *block,
            *(f"source {name}" for name in others),
            *last,
            *(["quit 0"] if main else []),
            ".endc",
            ".end",
            "",
        ]
    )


def _sources(deck: Deck) -> list[str]:
    """Independent sources, by ngspice's names."""
    return [device.name for device in deck.devices if device.kind in ("vsource", "isource")]


def device_values(folder: Path) -> dict[str, dict[str, float | str]]:
    """W, L, multiplier and value of every device of the sized decks, read back from the files.

    Returns:
        Device -> its kind and its numbers: in SI units; of a kit's ``cell`` in the kit's own, often µm.
    """
    found: dict[str, dict[str, float | str]] = {}
    for path in sorted(folder.glob("sized*.cir")):
        for device in read_deck(path).devices:
            numbers: Mapping[str, float] = {k: v for k, v in device.values.items() if k in SIZES.get(device.kind, ())}
            if numbers:
                cell: dict[str, float | str] = {"cell": device.model or ""} if device.letter == "x" else {}
                found.setdefault(device.label, {"kind": device.kind, **cell, **numbers})
    return found
