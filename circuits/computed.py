"""Metrics computed of other metrics and of the sizes: ``area: {expr: "w1*l1 + 2*w3*l3"}``.

The language is that of ``.param`` expressions (:mod:`circuits.netlist.expressions`), in which ``.meas ... param=``
cards are written too. A name is a metric, a variable or a parameter of the deck's top level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NoReturn

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from automl_core.space import Point
from circuits.measures.scripts import number
from circuits.netlist import Deck, Expression, Function, in_order, parse_expression
from circuits.netlist.expression_syntax import Call, Chain, Name, Not, Number, Ternary, Tree
from circuits.netlist.expressions import BUILT_IN_FUNCTIONS, names_needed
from circuits.signoff import result_vector
from circuits.specfile import SpecFile

__all__ = ["ComputedMetrics"]

_OPERATORS = {"||": "or", "&&": "and", "==": "eq", "!=": "ne", "<": "lt", ">": "gt", "<=": "le", ">=": "ge"}
"""As ngspice's commands write them, to which ``<`` and ``>`` are redirections."""
_SAME = "abs atan ceil cos cosh exp floor ln log10 nint sin sinh sqrt tan tanh".split()
_FUNCTIONS = {
    **{name: f"{name}({{0}})" for name in _SAME},
    "arctan": "atan({0})",
    "int": "(({0} ge 0)*floor({0}) + ({0} lt 0)*ceil({0}))",
    "log": "ln({0})",
    "max": "(({0} gt {1})*{0} + ({0} le {1})*{1})",
    "min": "(({0} lt {1})*{0} + ({0} ge {1})*{1})",
    "pow": "({0} ^ {1})",
    "pwr": "(abs({0}) ^ {1})",
    "sgn": "(({0} gt 0) - ({0} lt 0))",
    "sqr": "({0}*{0})",
    "ternary_fcn": "(({0} ne 0)*{1} + ({0} eq 0)*{2})",
}
"""Functions of ``.param`` expressions as ngspice's commands write them, where those know them at all."""


class ComputedMetrics:
    """The metrics of a spec that follow from others.

    Args:
        spec: whose ``computed`` they are.
        decks: by test bench; their parameters may be used.

    Raises:
        InputError: with the line of the spec: an expression that cannot be read, a name that is neither a metric nor
            a parameter or both, metrics that need each other, or a random function.
    """

    def __init__(self, spec: SpecFile, decks: Mapping[str, Deck]) -> None:
        self._spec, self._decks = spec, decks
        self._functions = {name: f for deck in decks.values() for name, f in deck.environment.functions.items()}
        self._measured = {measure.name.lower() for _, measure in spec.measures}
        self._own = {name.lower(): name for name in spec.computed}
        self._expressions = {name.lower(): self._read(name, text) for name, text in spec.computed.items()}
        if self._own:
            self._refuse_same_names()
        for user in list(self._own):
            self._follow(user)
        self._order = in_order(self._expressions, self._functions, {})

    def __bool__(self) -> bool:
        return bool(self._own)

    def values(self, metrics: Mapping[str, float], point: Point) -> dict[str, float]:
        """The computed metrics of a design; NaN where a metric that one needs is NaN, or it has no finite value.

        Args:
            metrics: those measured.
            point: the design.
        """
        return {metric: value for metric, (value, _) in self._all(metrics, point).items()}

    def notes(self, metrics: Mapping[str, float], point: Point) -> dict[str, str]:
        """Why a computed metric is NaN, for each that is."""
        return {metric: why for metric, (_, why) in self._all(metrics, point).items() if why}

    def needs(self, metric: str) -> dict[str, str]:
        """All names that a computed metric follows from, itself among them: its expression, or "" where it has none."""
        found, waiting = dict[str, str](), [metric.lower()]
        while waiting:
            name = waiting.pop()
            if name not in found:
                expression = self._expressions.get(name)
                found[name] = expression.text if expression else ""
                waiting += self._names(name) if expression else ()
        return found

    def _all(self, metrics: Mapping[str, float], point: Point) -> dict[str, tuple[float, str]]:
        """Each computed metric's value, and why it is NaN where it is."""
        values = {name: float(value) for name, value in point.items()}
        values |= {name.lower(): value for name, value in metrics.items()}
        found: dict[str, tuple[float, str]] = {}
        for name in self._order:
            expression = self._expressions[name]
            lacking = next((each for each in self._names(name) if math.isnan(values.get(each, math.nan))), None)
            value, why = math.nan, f"{lacking} has no figure"
            if lacking is None:
                try:
                    value, why = expression.evaluate(values, self._functions), ""
                except InputError as error:
                    why = error.problem
            values[name] = value
            if name in self._own:
                found[self._own[name]] = value, why
        return found

    def commands(self, vectors: Mapping[str, str], point: Point) -> list[str]:
        """Lines of a ``.control`` block that print ``metric = value``, after all measures were printed.

        Args:
            vectors: metric -> how the vector of its figure is called from any plot.
            point: the design.
        """
        known = {name: _as_command(Number(float(value)), {}, {}) for name, value in point.items()}
        known |= {name.lower(): vector for name, vector in vectors.items()}
        lines = [""]
        for name in self._order:
            text = _as_command(self._expressions[name].tree, known, self._functions)
            known[name] = text
            if name in self._own:
                vector = result_vector(self._own[name])
                lines += [f"let {vector} = {text}", f'echo "{self._own[name]} = $&{vector}"']
                known[name] = vector
        return lines

    # Reading.

    def _read(self, metric: str, text: str) -> Expression:
        expression = parse_expression(text, place=self._place(metric))
        if expression.random:
            self._refuse(metric, f"{text!r} is random: a metric of it would differ from run to run", "take it out")
        unknown = [call for call in expression.calls if call not in self._functions]
        if unknown:
            remedy = did_you_mean(unknown[0], [*BUILT_IN_FUNCTIONS, *self._functions], "the functions")
            self._refuse(metric, f"{unknown[0]}() in {text!r} is not defined", remedy)
        return expression

    def _refuse_same_names(self) -> None:
        seen: dict[str, str] = {}
        for metric in [*(measure.name for _, measure in self._spec.measures), *self._spec.computed]:
            other = seen.setdefault(metric.lower(), metric)
            if other != metric:
                problem = f"{other!r} and {metric!r} differ in case alone, which expressions do not tell apart"
                self._refuse(metric, problem, "rename one of them")

    def _follow(self, user: str) -> None:
        """Take up the parameters that a metric needs, and those that they need."""
        waiting, metric = self._names(user), self._own[user]
        while waiting:
            name = waiting.pop()
            definition = next(self._definitions(name), None)
            if name in self._measured | self._own.keys():
                if definition is not None:
                    problem = f"{name!r} is both a metric and a parameter of the deck"
                    self._refuse(metric, problem, "give the measure another name")
            elif definition is None:
                known = [*self._measured, *self._own, *self._spec.variables]
                self._refuse(
                    metric,
                    f"there is no metric and no parameter {name!r}",
                    did_you_mean(name, known, "the metrics and variables"),
                )
            elif name not in self._expressions and not self._is_varied(name):
                self._expressions[name] = parse_expression(definition, place=self._place(metric))
                waiting += self._names(name)

    def _names(self, name: str) -> list[str]:
        """What an expression needs, itself or through the functions that it calls."""
        return names_needed(self._expressions[name], self._functions)

    def _definitions(self, name: str) -> Iterator[str]:
        entry = self._spec.variables.get(name)
        if entry is not None:
            yield entry.expr or ""
        yield from (deck.definitions[name] for deck in self._decks.values() if name in deck.definitions)

    def _is_varied(self, name: str) -> bool:
        entry = self._spec.variables.get(name)
        return entry is not None and entry.expr is None

    def _place(self, metric: str) -> str:
        return self._spec.place("measures", metric, "expr")

    def _refuse(self, metric: str, problem: str, remedy: str) -> NoReturn:
        raise InputError(f"measure {metric!r}: {problem}", place=self._place(metric), remedy=remedy)


def _as_command(tree: Tree, known: Mapping[str, str], functions: Mapping[str, Function]) -> str:
    """An expression in the language of ngspice's commands, in parentheses where it has parts.

    Where that has no such function, the text holds its name, and ngspice will print no figure.
    """

    def text_of(part: Tree) -> str:
        return _as_command(part, known, functions)

    match tree:
        case Number(value):
            return number(value) if value >= 0 else f"({number(value)})"
        case Name(name):
            return known.get(name, name)
        case Not(operand):
            return f"({text_of(operand)} eq 0)"
        case Chain(first, rest):
            text = text_of(first)
            for symbol, operand in rest:
                text = _operation(symbol, text, text_of(operand))
            return text
        case Ternary(condition, yes, no):
            return text_of(Call("ternary_fcn", (condition, yes, no)))
        case Call(name, arguments):
            parts = [text_of(argument) for argument in arguments]
            if name not in _FUNCTIONS and name in functions:
                own = functions[name]
                return _as_command(own.body.tree, {**known, **dict(zip(own.arguments, parts, strict=True))}, functions)
            return _FUNCTIONS[name].format(*parts) if name in _FUNCTIONS else f"{name}({','.join(parts)})"


def _operation(symbol: str, one: str, other: str) -> str:
    if symbol == "^":
        return f"(abs({one}) ^ {other})"
    if symbol == "\\":
        return f"floor(abs({one} / {other}))"
    return f"({one} {_OPERATORS.get(symbol, symbol)} {other})"
