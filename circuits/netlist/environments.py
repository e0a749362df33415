"""Parameters and functions that are visible somewhere in a deck, with their starting values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from circuits.netlist.assignments import Assignment
from circuits.netlist.deck_lines import Line
from circuits.netlist.expressions import (
    BUILT_IN_FUNCTIONS,
    Expression,
    Function,
    evaluate_all,
    in_order,
    parse_expression,
)
from circuits.netlist.scopes import Scope
from circuits.numbers import parse_number

__all__ = ["Environment", "names_in", "root_environment"]

_SPECIAL = frozenset({"temper", "time", "hertz", "temp"})  # known to ngspice while it simulates, not before
_WORD = re.compile(r"(?<![\w.])([A-Za-z_][\w.]*)\s*(\()?")
_BEHAVIOURAL = re.compile(r"\b(?:v|i)\s*\(|@|\b(?:temper|time|hertz)\b", re.IGNORECASE)
_GROUP = re.compile(r"\{([^{}]*)\}|'([^']*)'")
_NAME = re.compile(r"[A-Za-z_]\w*$")
_STARTS_NUMBER = re.compile(r"[+-]?\.?\d")
_FREE_LETTERS = frozenset("befghanpy")  # their words are not parameters but expressions, nodes or models of their own
_STRICT_LETTERS = frozenset("mrclx")


def names_in(text: str) -> set[str]:
    """The names in an expression that are no functions, lower case; without reading its syntax."""
    return {match[1].lower() for match in _WORD.finditer(text) if not match[2]}


@dataclass(frozen=True)
class Environment:
    """What is visible at one place.

    Attributes:
        names: all parameters.
        values: those with a value at the start; a parameter that depends on the temperature or is a text has none.
        functions: of the deck.
        compat: ngspice's ``ngbehavior``, or None.
        outer: where the instance around it stands; None at the top level.
        given: what the instance's line gives its parameters, as written out there.
        assigned: its other parameters of its own.
        inward: of the names in what is given, those that are this place's own, see :meth:`inside`.
        multiplied: whether the instance gives its devices a multiplier, see :meth:`inside`.
    """

    names: frozenset[str] = frozenset()
    values: Mapping[str, float] = field(default_factory=dict)
    functions: Mapping[str, Function] = field(default_factory=dict)
    compat: str | None = None
    outer: Environment | None = field(default=None, repr=False)
    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    assigned: Mapping[str, Assignment] = field(default_factory=dict, repr=False)
    inward: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    multiplied: bool = False

    def origins_of(self, text: str) -> frozenset[str]:
        """The parameters of the top level that an expression uses, itself or through those of the instances around it.

        A text that is no expression, as the time function of a source, uses none.
        """
        try:
            waiting: list[tuple[Environment, str]] = [(self, name) for name in parse_expression(text).names]
        except InputError:
            return frozenset()
        found, seen = set(), set()
        while waiting:
            around, name = waiting.pop()
            if (id(around), name) in seen:
                continue
            seen.add((id(around), name))
            if around.outer is None:
                found.update({name} & around.names)
            elif name in around.given:
                inward = around.inward.get(name, frozenset())
                for used in names_in(around.given[name]):
                    waiting.append((around if used in inward else around.outer, used))
            elif name in around.assigned:
                for used in names_in(around.assigned[name].value):
                    waiting.append((around.outer if used == name else around, used))
            else:
                waiting.append((around.outer, name))
        return frozenset(found)

    def value_of(self, text: str) -> float | None:
        """The starting value of a number, a parameter or an expression; None where it has none."""
        if _STARTS_NUMBER.match(text):
            try:
                return parse_number(text)
            except InputError:
                pass
        try:
            return parse_expression(text).evaluate(self.values, self.functions, compat=self.compat)
        except InputError:
            return None

    def check(self, text: str, line: Line, *, strict: bool = True) -> None:
        """Refuse an expression that cannot be read or uses an undefined parameter or function.

        Args:
            text: with or without delimiters.
            line: where it stands.
            strict: False looks for undefined names only, since other grammars than that of ``.param`` may apply.
        """
        if text.strip(" {}'").startswith('"'):
            return
        if strict and not _BEHAVIOURAL.search(text):
            expression = parse_expression(text, place=line.place)
            names: Iterable[str] = expression.names
            calls: Iterable[str] = expression.calls
        elif _BEHAVIOURAL.search(text):
            return
        else:
            names = names_in(text)
            calls = {match[1].lower() for match in _WORD.finditer(text) if match[2]} - BUILT_IN_FUNCTIONS
        for name in names:
            self._refuse_function(name, text, line)
            if name not in self.names and name not in _SPECIAL:
                self._undefined(name, text, line, self.names, "parameter")
        for name in calls:
            if name not in self.functions:
                self._undefined(name, text, line, {*self.functions, *BUILT_IN_FUNCTIONS}, "function")

    def _refuse_function(self, name: str, text: str, line: Line) -> None:
        """A parameter called as a function is, ``ln``: ngspice asks for its arguments and ends the process."""
        if name in BUILT_IN_FUNCTIONS and name in self.names:
            remedy = f"give the parameter another name, as {name}_"
            raise InputError(
                f"{text!r} uses a parameter {name!r}, which is a function of ngspice", place=line.place, remedy=remedy
            )

    def _undefined(self, name: str, text: str, line: Line, known: Iterable[str], what: str) -> None:
        names = set(known)
        remedy = f"define it: .param {name}=..." if what == "parameter" else f"define it: .func {name}(x) {{...}}"
        if names:
            remedy = f"{remedy}; {did_you_mean(name, names, f'the {what}s')}"
        shown = text if len(text) < 80 else f"{text[:77]}..."
        raise InputError(f"{shown!r} uses an undefined {what} {name!r}", place=line.place, remedy=remedy)

    def check_groups(self, line: Line) -> None:
        """Refuse an undefined name in any ``{...}`` or ``'...'`` of a line, whatever its grammar."""
        for group in _GROUP.finditer(line.text):
            self.check(group[1] if group[1] is not None else group[2], line, strict=False)

    def check_value(self, letter: str, key: str, text: str, line: Line) -> None:
        """Refuse an instance parameter's value that ngspice could not resolve.

        Args:
            letter: of the device.
            key: of the parameter.
            text: its value as written.
            line: where it stands.
        """
        groups = list(_GROUP.finditer(text))
        for group in groups:
            self.check(group[1] if group[1] is not None else group[2], line, strict=letter not in _FREE_LETTERS)
        if not groups and letter not in _FREE_LETTERS and _NAME.match(text):
            self._refuse_function(text.lower(), f"{key}={text}", line)
        if groups or letter not in _STRICT_LETTERS or _STARTS_NUMBER.match(text) or text.startswith('"'):
            return
        if letter == "x":
            self.check(text, line)
        elif _NAME.match(text) and text.lower() not in self.names:
            what = "parameter" if letter == "m" or key not in "rcl" else "parameter or model"
            remedy = did_you_mean(text.lower(), self.names, "the parameters of the deck")
            raise InputError(f"{key}={text} names an unknown {what}", place=line.place, remedy=remedy)

    def inside(self, scope: Scope, given: Mapping[str, str], line: Line) -> Environment:
        """What an instance of a subcircuit sees.

        Every subcircuit has a parameter ``m``: where it names none, ngspice writes ``m={m}`` on the lines inside, and
        that counts over an ``m`` of theirs (measured on 39.3; so it does then in its other instances, as 1, which is
        not followed here).

        What the line gives is not evaluated out here, but where it goes: a name that the subcircuit has itself is its
        own there, once that has a value. Numbers have theirs first, then each parameter after those that its default
        needs (measured on 39.3): with ``.subckt inv ... wn=1u wp=2u``, ``x1 ... inv wp={3*wn}`` makes wp 3u, whatever
        wn is out here.

        Args:
            scope: the subcircuit.
            given: the parameters on the instance's line; those that the subcircuit does not have are dropped, as
                ngspice does.
            line: that line.

        Raises:
            InputError: an undefined parameter in the subcircuit's own ``.param`` lines or defaults.
        """
        functions = {**self.functions, **scope.functions}
        local = _last({item.name: item for item in scope.defaults}, scope.assigned)
        taken = {name: text for name, text in given.items() if name in local or name == "m"}
        own = {name: item for name, item in local.items() if name not in taken}
        names, multiplied = self.names.union(local, taken), "m" in taken and "m" not in local
        order = _in_turn({name: item.value for name, item in local.items()}, taken)
        inward = {
            name: frozenset(names_in(text).intersection(order[: order.index(name)]))
            for name, text in taken.items()
            if order
        }
        inner = Environment(names, self.values, functions, self.compat, self, taken, own, inward, multiplied)
        known = dict(self.values)
        for name, text in taken.items():
            _settle(known, name, self.value_of(text))
        settled = replace(inner, values=known).with_values(own)
        if not order:
            return settled
        known = dict(self.values)
        for name in order:
            _settle(known, name, replace(inner, values=known).value_of(taken.get(name) or own[name].value))
        return replace(settled, values=known)

    def with_values(self, assigned: Mapping[str, Assignment]) -> Environment:
        """This environment with the values of assignments that its names already include."""
        expressions = {}
        for name, item in assigned.items():
            self.check(item.value, item.line)
            if not item.value.startswith('"') and not _BEHAVIOURAL.search(item.value):
                expressions[name] = parse_expression(item.value, place=item.line.place)
        hidden = {name: value for name, value in self.values.items() if name not in assigned or name in expressions}
        values = {**hidden, **_evaluated(expressions, hidden, self.functions, self.compat)}
        return replace(self, values=values)


def _settle(values: dict[str, float], name: str, value: float | None) -> None:
    """Give a name its value, or take away what it has from elsewhere."""
    if value is None:
        values.pop(name, None)
    else:
        values[name] = value


def _in_turn(defaults: Mapping[str, str], given: Mapping[str, str]) -> list[str]:
    """The parameters of an instance as ngspice evaluates them: numbers, then each after those its default needs.

    Nothing where it does not matter, because what is given names none of the subcircuit's own.
    """
    if not any(names_in(text) & defaults.keys() - {name} for name, text in given.items()):
        return []
    depths: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in depths:
            depths[name] = 1  # for a circle, which is refused elsewhere or cut by what is given
            needs = names_in(defaults.get(name, "")) & defaults.keys()
            depths[name] = 1 + max((depth(need) for need in needs if need != name), default=0)
        return depths[name]

    texts = {**defaults, **given}
    return sorted(texts, key=lambda name: 0 if _is_number(texts[name]) else depth(name))


def _is_number(text: str) -> bool:
    try:
        parse_number(text.strip(" {}'"))
    except InputError:
        return False
    return True


def _last(defaults: Mapping[str, Assignment], assigned: Iterable[Assignment]) -> dict[str, Assignment]:
    """Assignments by name; the last one counts."""
    return {**defaults, **{item.name: item for item in assigned}}


def _evaluated(
    expressions: Mapping[str, Expression],
    known: Mapping[str, float],
    functions: Mapping[str, Function],
    compat: str | None,
) -> dict[str, float]:
    """The values that can be known; all at once where that works, else one by one."""
    try:
        return evaluate_all(expressions, known, functions, compat=compat)
    except InputError as error:
        if "need each other" in error.problem:
            raise
    values = dict(known)
    for name in in_order(expressions, functions, known):
        try:
            values[name] = expressions[name].evaluate(values, functions, compat=compat)
        except InputError:
            values.pop(name, None)
    return {name: values[name] for name in expressions if name in values}


def root_environment(root: Scope, compat: str | None = None) -> Environment:
    """The parameters and functions of the top level.

    Raises:
        InputError: an expression that cannot be read, an undefined parameter, or parameters that need each other.
    """
    assigned = _last({}, root.assigned)
    return Environment(frozenset(assigned), {}, root.functions, compat).with_values(assigned)
