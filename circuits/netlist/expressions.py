r"""Expressions of ngspice's ``.param`` language (numparam): parsed, checked, evaluated.

The semantics are ngspice's, measured on 39.3 and checked against it in the tests (manual, section 2.9.5 "Expressions",
with the corrections that the measurement brought; the grammar is in :mod:`circuits.netlist.expression_syntax`):

- ``^`` and ``**`` take the magnitude of the base: ``(-2)**3`` is 8. With ``ngbehavior=hs`` a negative base is raised to
  the rounded exponent instead; with ``lt`` to an integer one.
- ``log`` is the natural logarithm; ``nint`` rounds halves to even; ``int`` truncates; ``\`` divides and truncates.
- Numbers know ``t g meg k m u n p f``; ``10mil`` is 10e-3 here (see :mod:`circuits.numbers`).
- ``agauss``, ``gauss``, ``unif``, ``aunif`` and ``limit`` are random in ngspice; their nominal value is taken here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NoReturn

from automl_core.errors import InputError
from circuits.netlist.expression_syntax import ARITIES, Call, Chain, Name, Not, Number, Parser, Ternary, Tree

__all__ = [
    "BUILT_IN_FUNCTIONS",
    "Expression",
    "Function",
    "evaluate_all",
    "in_order",
    "names_needed",
    "parse_expression",
    "strip_delimiters",
]

BUILT_IN_FUNCTIONS: frozenset[str] = frozenset(ARITIES)
_RANDOM = frozenset({"agauss", "gauss", "unif", "aunif", "limit"})
_DEEPEST_CALL = 20  # functions of the deck that call each other


def _sign(x: float) -> float:
    return float((x > 0) - (x < 0))


def _nominal(nominal: float, *_: float) -> float:
    return nominal


_FUNCTIONS: dict[str, Callable[..., float]] = {
    "abs": abs,
    "acos": math.acos,
    "acosh": math.acosh,
    "agauss": _nominal,
    "arctan": math.atan,
    "asin": math.asin,
    "asinh": math.asinh,
    "atan": math.atan,
    "atanh": math.atanh,
    "aunif": _nominal,
    "ceil": lambda x: float(math.ceil(x)),
    "cos": math.cos,
    "cosh": math.cosh,
    "exp": math.exp,
    "floor": lambda x: float(math.floor(x)),
    "gauss": _nominal,
    "int": lambda x: float(math.trunc(x)),
    "limit": _nominal,
    "ln": math.log,
    "log": math.log,
    "log10": math.log10,
    "max": max,
    "min": min,
    "nint": lambda x: float(round(x)),
    "pow": math.pow,
    "pwr": lambda x, y: math.pow(abs(x), y),
    "sgn": _sign,
    "sin": math.sin,
    "sinh": math.sinh,
    "sqr": lambda x: x * x,
    "sqrt": math.sqrt,
    "tan": math.tan,
    "tanh": math.tanh,
    "ternary_fcn": lambda condition, yes, no: yes if condition != 0 else no,
    "unif": _nominal,
}


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Attributes:
        text: as written, without its delimiters.
        names: the parameters it uses, lower case, in order of appearance.
        calls: the functions it calls that are not built in, lower case.
        random: whether it calls a random function, so that ngspice may give another value each time.
        tree: as parsed.
        place: ``file:line``, if it is known.
    """

    text: str
    names: tuple[str, ...]
    calls: tuple[str, ...]
    random: bool
    tree: Tree = field(repr=False, compare=False)
    place: str | None = field(default=None, compare=False)

    def evaluate(
        self, values: Mapping[str, float], functions: Mapping[str, Function] | None = None, *, compat: str | None = None
    ) -> float:
        """The value for given parameters.

        Args:
            values: by name, lower case.
            functions: those of the deck (``.func``), by name.
            compat: ngspice's ``ngbehavior``; ``hs`` and ``lt`` change the power of a negative base.

        Raises:
            InputError: an undefined parameter or function, a division by zero, a value that is not finite.
        """
        try:
            value = _Evaluation(values, functions or {}, (compat or "").lower()).of(self.tree)
        except (ArithmeticError, ValueError) as error:
            self._fail(f"{self.text!r} has no finite value ({error})", "change the values that it is made from")
        except _UnknownError as error:
            self._fail(f"{error} in {self.text!r} is not defined", f"define it: .param {error}=...")
        if not math.isfinite(value):
            self._fail(f"{self.text!r} has no finite value", "change the values that it is made from")
        return value

    def _fail(self, problem: str, remedy: str) -> NoReturn:
        raise InputError(problem, place=self.place, remedy=remedy) from None


@dataclass(frozen=True)
class Function:
    """A function of the deck: ``.func name(arguments) {body}`` or ``.param name(arguments)={body}``."""

    name: str
    arguments: tuple[str, ...]
    body: Expression


class _UnknownError(Exception):
    """A parameter or function without a definition."""


class _Evaluation:
    """One walk over a tree."""

    def __init__(self, values: Mapping[str, float], functions: Mapping[str, Function], compat: str, depth: int = 0):
        self._values = values
        self._functions = functions
        self._compat = compat
        self._depth = depth

    def of(self, tree: Tree) -> float:
        match tree:
            case Number(value):
                return value
            case Name(name):
                if name not in self._values:
                    raise _UnknownError(name)
                return self._values[name]
            case Not(operand):
                return float(self.of(operand) == 0)
            case Chain(first, rest):
                total = self.of(first)
                for symbol, operand in rest:
                    total = self._operate(symbol, total, self.of(operand))
                return total
            case Ternary(condition, yes, no):
                return self.of(yes if self.of(condition) != 0 else no)
            case Call(name, arguments):
                return self._call(name, [self.of(argument) for argument in arguments])

    def _operate(self, symbol: str, x: float, y: float) -> float:
        if symbol == "^":
            return self._power(x, y)
        return _OPERATORS[symbol](x, y)

    def _power(self, x: float, y: float) -> float:
        if self._compat.startswith("hs"):
            return 0.0 if x == 0 else math.pow(x, float(round(y)) if x < 0 else y)
        if self._compat.startswith("lt") and x < 0:
            return math.pow(x, float(round(y))) if math.isclose(y, round(y), rel_tol=1e-15) else 0.0
        return math.pow(abs(x), y)

    def _call(self, name: str, arguments: list[float]) -> float:
        if name in _FUNCTIONS:
            return float(_FUNCTIONS[name](*arguments))
        function = self._functions.get(name)
        if function is None or len(function.arguments) != len(arguments):
            raise _UnknownError(f"{name}() with {len(arguments)} arguments")
        if self._depth > _DEEPEST_CALL:
            raise ValueError(f"{name}() calls itself")
        inner = {**self._values, **dict(zip(function.arguments, arguments, strict=True))}
        return _Evaluation(inner, self._functions, self._compat, self._depth + 1).of(function.body.tree)


_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "||": lambda x, y: float(x != 0 or y != 0),
    "&&": lambda x, y: float(x != 0 and y != 0),
    "==": lambda x, y: float(x == y),
    "!=": lambda x, y: float(x != y),
    "<": lambda x, y: float(x < y),
    ">": lambda x, y: float(x > y),
    "<=": lambda x, y: float(x <= y),
    ">=": lambda x, y: float(x >= y),
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "%": lambda x, y: x - y * math.trunc(x / y),
    "\\": lambda x, y: float(math.trunc(abs(x / y))),
}


def strip_delimiters(text: str) -> str:
    """An expression without the braces or quotes around the whole of it.

    ``{a}*{b}`` keeps its braces, since they do not surround the whole.
    """
    stripped = text.strip()
    while len(stripped) >= 2 and (stripped[0], stripped[-1]) in {("{", "}"), ("'", "'")}:
        inner = stripped[1:-1]
        if stripped[0] == "'" and "'" in inner:
            break
        if stripped[0] == "{" and not _balanced(inner):
            break
        stripped = inner.strip()
    return stripped


def _balanced(text: str) -> bool:
    """Whether no closing brace comes before its opening one."""
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def parse_expression(text: str, *, place: str | None = None) -> Expression:
    """Parse an expression, with or without its delimiters.

    Braces and quotes inside it count as parentheses, as in ``{1+x} + y``.

    Args:
        text: the expression.
        place: ``file:line``, for messages here and at evaluation.

    Raises:
        InputError: it is empty, cannot be read, or ngspice is known to misread it.
    """
    inner = strip_delimiters(text)
    if not inner:
        raise InputError(f"the expression {text!r} is empty", place=place, remedy="write a number or an expression")
    return _parse(inner, place)


@lru_cache(maxsize=4096)
def _parse(inner: str, place: str | None) -> Expression:
    parser = Parser(inner.replace("{", "(").replace("}", ")").replace("'", " "), place)
    tree = parser.parse()
    calls = tuple(call for call in parser.calls if call not in BUILT_IN_FUNCTIONS)
    return Expression(inner, tuple(parser.names), calls, not _RANDOM.isdisjoint(parser.calls), tree, place)


def evaluate_all(
    expressions: Mapping[str, Expression],
    known: Mapping[str, float] | None = None,
    functions: Mapping[str, Function] | None = None,
    *,
    compat: str | None = None,
) -> dict[str, float]:
    """Evaluate expressions that use each other, whatever their order.

    Args:
        expressions: by parameter name, lower case.
        known: further values; ``x={x+1}`` takes its x from here, as a subcircuit's does from around it.
        functions: those of the deck.
        compat: ngspice's ``ngbehavior``.

    Returns:
        The value of every expression, by name; ``known`` is not repeated.

    Raises:
        InputError: an undefined parameter, a circle (``a={b}``, ``b={a}``), or no finite value.
    """
    values = dict(known or {})
    for name in in_order(expressions, functions or {}, values):
        values[name] = expressions[name].evaluate(values, functions, compat=compat)
    return {name: values[name] for name in expressions}


def in_order(
    expressions: Mapping[str, Expression], functions: Mapping[str, Function], known: Mapping[str, float]
) -> list[str]:
    """The names so that each comes after those it needs.

    Args:
        expressions: by parameter name, lower case.
        functions: those of the deck.
        known: names with a value from elsewhere; an expression may use its own name then.

    Raises:
        InputError: parameters that need each other.
    """
    order: dict[str, None] = {}
    for start in expressions:
        path: dict[str, None] = {}
        waiting = [(start, False)]
        while waiting:
            name, done = waiting.pop()
            if done:
                del path[name]
                order[name] = None
            elif name in path:
                chain = list(path)
                circle = " -> ".join([*chain[chain.index(name) :], name])
                place = expressions[name].place
                remedy = "give one of them a number"
                raise InputError(f"parameters need each other: {circle}", place=place, remedy=remedy)
            elif name not in order and name in expressions:
                path[name] = None
                waiting.append((name, True))
                needs = names_needed(expressions[name], functions)
                waiting.extend((need, False) for need in needs if need != name or name not in known)
    return list(order)


def names_needed(expression: Expression, functions: Mapping[str, Function], inside: Sequence[str] = ()) -> list[str]:
    """Parameters that an expression uses, itself or through the functions it calls."""
    names = list(expression.names)
    for call in expression.calls:
        function = functions.get(call)
        if function is not None and call not in inside:
            inner = names_needed(function.body, functions, (*inside, call))
            names.extend(name for name in inner if name not in function.arguments)
    return names
