"""Cards that would make ngspice read or write files, run programs or load code: refused."""

from __future__ import annotations

import re
from collections.abc import Iterable

from automl_core.errors import InputError
from circuits.netlist.deck_lines import Line

__all__ = ["refuse_forbidden"]

_CARDS = frozenset({".hdl", ".osdi", ".pre_osdi", ".codemodel", ".pre_codemodel", ".use", ".load", ".verilog", ".va"})
_FILE_MODELS = frozenset(  # XSPICE code models that read files, run programs or load libraries
    {"d_cosim", "d_process", "d_source", "d_state", "file_source", "filesource", "table2d", "table3d", "s_cosim"}
)
_FILE_PARAMETER = re.compile(r"\b(\w*file\w*|simulation|process)\s*=", re.IGNORECASE)
_PLAIN_MODELS = frozenset(
    {"nmos", "pmos", "npn", "pnp", "d", "r", "res", "c", "cap", "l", "ind", "njf", "pjf", "nmf", "pmf", "sw", "csw"}
)


def refuse_forbidden(lines: Iterable[Line]) -> None:
    """Refuse the cards, devices and models among lines that reach beyond the simulation.

    Raises:
        InputError: with file and line, for the first of them.
    """
    for line in lines:
        if line.word in _CARDS:
            _refuse(line, line.word, "loads code into ngspice")
        elif line.word == ".model":
            words = line.text.replace("(", " ").lower().split(None, 3)
            kind = words[2] if len(words) > 2 else ""
            if kind in _FILE_MODELS:
                _refuse(line, kind, "reads files or runs programs while it simulates")
            if kind not in _PLAIN_MODELS:
                _check_parameters(line)
        elif line.word[:1] != ".":
            _check_parameters(line)


def _check_parameters(line: Line) -> None:
    match = _FILE_PARAMETER.search(line.text)
    if match:
        _refuse(line, match[1], "names a file or program for ngspice to use")


def _refuse(line: Line, what: str, why: str) -> None:
    problem = f"{what!r} in {line.text[:80]!r} {why}"
    raise InputError(problem, place=line.place, remedy="sizewise runs no such card; take it out of the deck")
