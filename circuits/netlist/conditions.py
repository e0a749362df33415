"""``.if (condition) ... .elseif ... .else ... .endif``: which lines count at the starting values.

ngspice takes the devices of the first branch whose condition is not zero; ``.param`` and ``.include`` lines count in
every branch (measured on 39.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from automl_core.errors import InputError
from circuits.netlist.deck_lines import Line
from circuits.netlist.environments import Environment
from circuits.netlist.scopes import Scope

__all__ = ["CONDITION_WORDS", "active_lines"]

CONDITION_WORDS = frozenset({".if", ".elseif", ".else", ".endif"})


@dataclass
class _Branch:
    line: Line
    taken: bool  # a branch of this .if has counted
    active: bool  # the current one counts


def active_lines(lines: Sequence[Line], scope: Scope, environment: Environment) -> list[Line]:
    """Those of a scope's device lines that stand in no branch, or in one that counts.

    Args:
        lines: the candidates, lines of the scope.
        scope: the scope.
        environment: its parameters; a condition that has no value there is taken as true.

    Raises:
        InputError: an ``.if`` without ``.endif``, or the reverse.
    """
    if not any(line.word in CONDITION_WORDS for line in scope.lines):
        return list(lines)
    candidates = {id(line) for line in lines}
    stack: list[_Branch] = []
    found = []
    for line in scope.lines:
        if line.word in CONDITION_WORDS:
            _enter(stack, line, environment)
        elif id(line) in candidates and all(branch.active for branch in stack):
            found.append(line)
    if stack:
        raise InputError(".if has no .endif", place=stack[-1].line.place, remedy="close it with .endif")
    return found


def _enter(stack: list[_Branch], line: Line, environment: Environment) -> None:
    if line.word == ".if":
        holds = _holds(line, environment)
        stack.append(_Branch(line, holds, holds))
        return
    if not stack:
        raise InputError(f"{line.word} has no .if", place=line.place, remedy="remove it")
    branch = stack[-1]
    if line.word == ".endif":
        stack.pop()
    else:
        branch.active = not branch.taken and (line.word == ".else" or _holds(line, environment))
        branch.taken = branch.taken or branch.active


def _holds(line: Line, environment: Environment) -> bool:
    text = line.text[len(line.word) :].strip()
    environment.check(text, line)
    value = environment.value_of(f"{{{text}}}")
    return value is None or value != 0
