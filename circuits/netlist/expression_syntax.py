r"""The syntax of ngspice's ``.param`` expressions: text to tree. What trees are worth is ``expressions``.

The grammar is that of numparam as measured on ngspice 39.3:

- from the loosest to the tightest: ``?:``, ``||``, ``&&``, comparisons, ``+ -``, ``* / % \``, ``^`` and ``**``, ``!``;
  every level associates to the left, powers too;
- a sign at the start of a (sub)expression binds like a subtraction: ``-2**2`` is -4. After an operator a minus is read
  only before a number: ``2*-x`` is an error in ngspice and ``3*-sqrt(4)+1`` is silently 5, so both are refused here;
- a branch inside the first branch of ``?:`` is misread without parentheses, and refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NoReturn

from automl_core.errors import InputError
from circuits.numbers import expression_exponent

__all__ = ["ARITIES", "Call", "Chain", "Name", "Not", "Number", "Parser", "Ternary", "Tree"]

ARITIES: dict[str, int] = {
    **dict.fromkeys(("abs", "acos", "acosh", "arctan", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh"), 1),
    **dict.fromkeys(("exp", "floor", "int", "ln", "log", "log10", "nint", "sgn", "sin", "sinh", "sqr", "sqrt"), 1),
    **dict.fromkeys(("tan", "tanh"), 1),
    **dict.fromkeys(("aunif", "limit", "max", "min", "pow", "pwr", "unif"), 2),
    **dict.fromkeys(("agauss", "gauss", "ternary_fcn"), 3),
}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?P<unit>[A-Za-z]*)"
    r"|(?P<name>[A-Za-z_][\w.]*)"
    r"|(?P<symbol>\*\*|<=|>=|<>|==|!=|&&|\|\||[-+*/%\\^<>=!?:(),]))"
)
_ALIASES = {"**": "^", "<>": "!=", "=": "=="}
_LEVELS: tuple[frozenset[str], ...] = (  # from the loosest to the tightest, below the ternary
    frozenset({"||"}),
    frozenset({"&&"}),
    frozenset({"==", "!=", "<", ">", "<=", ">="}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%", "\\"}),
    frozenset({"^"}),
)
_SUM_LEVEL = 3
_DEEPEST = 60  # nested parentheses; Python's own stack ends past a few hundred


@dataclass(frozen=True)
class Number:
    """A literal."""

    value: float


@dataclass(frozen=True)
class Name:
    """A parameter, lower case."""

    name: str


@dataclass(frozen=True)
class Not:
    """``!operand``."""

    operand: Tree


@dataclass(frozen=True)
class Chain:
    """``first op1 second op2 third ...`` of one level, from left to right."""

    first: Tree
    rest: tuple[tuple[str, Tree], ...]


@dataclass(frozen=True)
class Ternary:
    """``condition ? yes : no``."""

    condition: Tree
    yes: Tree
    no: Tree


@dataclass(frozen=True)
class Call:
    """``name(arguments)``; the name in lower case."""

    name: str
    arguments: tuple[Tree, ...]


Tree = Number | Name | Not | Chain | Ternary | Call


@dataclass(frozen=True)
class _Token:
    kind: str  # "number" | "name" | "symbol" | "end"
    text: str
    value: float
    column: int


class Parser:
    """Recursive descent over one expression.

    Args:
        text: the expression without delimiters.
        place: ``file:line``, for messages.
    """

    def __init__(self, text: str, place: str | None):
        self._text = text
        self._place = place
        self._tokens = list(self._scan())
        self._next = 0
        self._depth = 0
        self.names: dict[str, None] = {}
        self.calls: dict[str, None] = {}

    def parse(self) -> Tree:
        """The tree; ``names`` and ``calls`` are then filled.

        Raises:
            InputError: the expression cannot be read, or ngspice is known to misread it.
        """
        tree = self._ternary()
        if self._peek().kind != "end":
            self._fail("an operator is missing before")
        return tree

    def _scan(self) -> Iterable[_Token]:
        position, end = 0, len(self._text.rstrip())
        while position < end:
            match = _TOKEN.match(self._text, position)
            if match is None:
                column = position + len(self._text[position:]) - len(self._text[position:].lstrip())
                self._refuse(f"{self._text[column]!r} cannot stand", column)
            position = match.end()
            if match["number"] is not None:
                value = float(Decimal(match["number"]).scaleb(expression_exponent(match["unit"])))
                yield _Token("number", match["number"] + match["unit"], value, match.start("number"))
            elif match["name"] is not None:
                yield _Token("name", match["name"].lower(), 0.0, match.start("name"))
            else:
                yield _Token("symbol", _ALIASES.get(match["symbol"], match["symbol"]), 0.0, match.start("symbol"))
        yield _Token("end", "the end", 0.0, end)

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *symbols: str) -> str | None:
        token = self._peek()
        if token.kind == "symbol" and token.text in symbols:
            self._next += 1
            return token.text
        return None

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._refuse(f"more than {_DEEPEST} parentheses or branches are nested", self._peek().column)

    def _ternary(self, *, starts: bool = True) -> Tree:
        """A whole (sub)expression, or with ``starts`` false the last branch of a ternary."""
        self._deeper()
        tree = self._level(0, starts=starts)
        if self._take("?"):
            yes = self._level(0, starts=False)
            if self._peek().kind == "symbol" and self._peek().text == "?":
                self._fail("ngspice misreads a branch inside a branch without parentheses, at")
            if not self._take(":"):
                self._fail("a ':' is missing before")
            tree = Ternary(tree, yes, self._ternary(starts=False))
        self._depth -= 1
        return tree

    def _level(self, level: int, *, starts: bool) -> Tree:
        """One level of operators. ``starts``: nothing stands before it, so that a sign is allowed."""
        if level == len(_LEVELS):
            return self._atom()
        if level == _SUM_LEVEL and starts and (sign := self._take("+", "-")):
            first: Tree = Chain(Number(0.0), ((sign, self._level(level + 1, starts=False)),))
        else:
            first = self._level(level + 1, starts=starts)
        rest = []
        while symbol := self._take(*_LEVELS[level]):
            rest.append((symbol, self._level(level + 1, starts=False)))
        return Chain(first, tuple(rest)) if rest else first

    def _atom(self) -> Tree:
        token = self._peek()
        if self._take("!"):
            if self._peek().text in ("-", "+"):
                self._fail("ngspice reads no sign after '!', found")
            self._deeper()
            operand = self._atom()
            self._depth -= 1
            return Not(operand)
        if self._take("-"):
            if self._peek().kind != "number":
                self._fail(
                    "ngspice reads a minus after an operator before a number only; parentheses are missing around -"
                )
            self._next += 1
            return Number(-self._tokens[self._next - 1].value)
        if token.kind == "number":
            self._next += 1
            return Number(token.value)
        if token.kind == "name":
            self._next += 1
            return self._named(token)
        if self._take("("):
            tree = self._ternary()
            self._close()
            return tree
        self._fail("a value is missing before")

    def _named(self, token: _Token) -> Tree:
        if not self._take("("):
            if token.text in ARITIES:
                self._refuse(f"{token.text!r} is a function and needs arguments", token.column)
            self.names[token.text] = None
            return Name(token.text)
        arguments = [self._ternary()]
        while self._take(","):
            arguments.append(self._ternary())
        self._close()
        self.calls[token.text] = None
        wanted = ARITIES.get(token.text, len(arguments))
        if len(arguments) != wanted:
            self._refuse(f"{token.text}() takes {wanted} arguments, not {len(arguments)}", token.column)
        return Call(token.text, tuple(arguments))

    def _close(self) -> None:
        if not self._take(")"):
            self._fail("a ')' is missing before")

    def _fail(self, problem: str) -> NoReturn:
        token = self._peek()
        self._refuse(f"{problem} {token.text!r}" if token.kind != "end" else f"{problem} the end", token.column)

    def _refuse(self, problem: str, column: int) -> NoReturn:
        raise InputError(
            f"the expression {self._text!r} cannot be read: {problem} (character {column + 1})",
            place=self._place,
            remedy="write it as ngspice's .param expressions are written, such as {2*w1 + sqrt(l1)}",
        )
