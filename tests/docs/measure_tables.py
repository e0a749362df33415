"""The tables of built-in measures in docs/adding_a_circuit.md, made from ``circuits.measures.KINDS``.

``python -m tests.docs.measure_tables`` puts them into the page; a test compares them with what stands there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from circuits.measures import KINDS, Argument, Kind
from tests.docs.pages import DOCS

PAGE = DOCS / "adding_a_circuit.md"
BEGIN, END = "<!-- made by tests/docs/measure_tables.py -->\n", "<!-- end -->\n"


def tables() -> str:
    """Both tables: the measures, then their arguments."""
    return "\n".join([*_kinds(), "", *_arguments(), ""])


def between_marks(page: str) -> str:
    """What stands between the marks of a page."""
    return page.partition(BEGIN)[2].partition(END)[0]


def _kinds() -> Iterator[str]:
    yield "| kind | in | unit | arguments | what it is |"
    yield "|---|---|---|---|---|"
    for kind in KINDS.values():
        arguments = ", ".join(f"**{a.name}**" if a.required else a.name for a in kind.arguments)
        units = " or ".join(_units(kind))
        yield _row(f"`{kind.name}`", ", ".join(kind.analyses), units, arguments, kind.meaning)


def _units(kind: Kind) -> list[str]:
    """Every unit that a kind can have: over its choices, its optional numbers, and inputs of voltage and current."""
    options = [_options(argument) for argument in kind.arguments]
    found: dict[str, None] = {}
    for values in itertools.product(*options):
        given = {a.name: v for a, v in zip(kind.arguments, values, strict=True) if v is not None}
        for command in ("noise v(out) vin dec 1 1 10", "noise v(out) iin dec 1 1 10"):
            found[kind.unit_of(given, command)] = None
    return list(found)


def _options(argument: Argument) -> list[object]:
    if argument.type == "choice":
        return [argument.default, *(choice for choice in argument.choices if choice != argument.default)]
    if argument.name == "at" and not argument.required:
        return [1.0, None]
    return [{"number": 1.0}.get(argument.type, "x") if argument.required else None]


def _arguments() -> Iterator[str]:
    yield "| argument | takes | default | what it is | of |"
    yield "|---|---|---|---|---|"
    users: dict[Argument, list[str]] = {}
    for kind in KINDS.values():
        for argument in kind.arguments:
            users.setdefault(argument, []).append(f"`{kind.name}`")
    for argument, kinds in sorted(users.items(), key=lambda item: item[0].name):
        default = "required" if argument.required else "" if argument.default is None else _shown(argument.default)
        yield _row(f"`{argument.name}`", _takes(argument), default, argument.meaning, ", ".join(kinds))


def _takes(argument: Argument) -> str:
    if argument.type == "choice":
        return " or ".join(f"`{choice}`" for choice in argument.choices)
    names = {"device": "MOSFETs or `all`", "analysis": "an analysis of the spec", "source": "voltage sources"}
    if argument.type != "number":
        return names.get(argument.type, "a signal")
    limits = [
        f"{word} {limit:g}"
        for word, limit in (("above", argument.low), ("below", argument.high))
        if math.isfinite(limit)
    ]
    return ", ".join(["a whole number" if argument.whole else "a number", *limits])


def _shown(default: float | str) -> str:
    return f"`{default}`" if isinstance(default, str) else f"{default:.6g}"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.replace(BEGIN + between_marks(text) + END, BEGIN + tables() + END), encoding="utf-8")
