"""The scopes of a deck: the top level and its subcircuits, each with parameters, functions, models and devices.

Names follow ngspice (measured on 39.3): of two subcircuits or two models with one name in a scope the first counts, of
two assignments to one parameter the last, wherever it stands; ``.param`` lines inside ``.if`` count always. A scope
reads its lines when first asked, so that the unused cells of a library cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from automl_core.errors import InputError
from circuits.netlist.assignments import Assignment, assignments, check_delimiters, function_of, tokens
from circuits.netlist.deck_lines import Line
from circuits.netlist.expressions import Function, parse_expression

__all__ = ["Scope", "build_scopes"]

_PARAMETER_WORDS = frozenset({".param", ".params"})
_OPENING = frozenset({".subckt", ".macro"})
_CLOSING = frozenset({".ends", ".eom"})


class Scope:
    """One scope, in the order of its lines.

    Attributes:
        name: of the subcircuit, lower case; "" for the top level.
        line: its ``.subckt`` line; None for the top level.
        parent: the scope around it.
        items: its lines and the subcircuits defined in it, in order.
        subcircuits: by name, lower case.
        models: by name, lower case, bins with their suffix ("nch.1").
    """

    def __init__(self, name: str = "", line: Line | None = None, parent: Scope | None = None):
        self.name = name
        self.line = line
        self.parent = parent
        self.items: list[Line | Scope] = []
        self.subcircuits: dict[str, Scope] = {}
        self.models: dict[str, Line] = {}

    @cached_property
    def _header(self) -> tuple[tuple[str, ...], tuple[Assignment, ...]]:
        """Ports, and parameters with their defaults."""
        if self.line is None:
            return (), ()
        check_delimiters(self.line)
        words = list(tokens(self.line))[2:]
        ports: list[str] = []
        for index, word in enumerate(words):
            if word.text.lower() == "params:" or (index + 1 < len(words) and words[index + 1].text == "="):
                start = word.end if word.text.lower() == "params:" else word.start
                defaults = assignments(self.line, start) if self.line.text[start:].strip() else []
                return tuple(ports), tuple(defaults)
            if word.text not in ("(", ")"):
                ports.append(word.text.lower())
        return tuple(ports), ()

    @property
    def ports(self) -> tuple[str, ...]:
        """The ports of the subcircuit, lower case."""
        return self._header[0]

    @property
    def defaults(self) -> tuple[Assignment, ...]:
        """The parameters of the ``.subckt`` line."""
        return self._header[1]

    @property
    def lines(self) -> Iterator[Line]:
        """Its own lines, without those of the subcircuits in it."""
        return (item for item in self.items if isinstance(item, Line))

    @cached_property
    def _assigned(self) -> tuple[Assignment, ...]:
        found: list[Assignment] = []
        for line in self.lines:
            if line.word in _PARAMETER_WORDS and line.text[len(line.word) :].strip():
                found.extend(assignments(line, len(line.word)))
        return tuple(found)

    @cached_property
    def assigned(self) -> tuple[Assignment, ...]:
        """The parameters of its ``.param`` lines, repeated ones included, in order."""
        return tuple(assignment for assignment in self._assigned if assignment.arguments is None)

    @cached_property
    def functions(self) -> dict[str, Function]:
        """The functions of its ``.func`` and ``.param f(x)=...`` lines, by name."""
        found = [item for item in self._assigned if item.arguments is not None]
        found.extend(function_of(line) for line in self.lines if line.word == ".func" or line.word == ".function")
        functions = {}
        for item in found:
            body = parse_expression(item.value, place=item.line.place)
            functions[item.name] = Function(item.name, item.arguments or (), body)
        return functions

    @cached_property
    def device_lines(self) -> tuple[Line, ...]:
        """The lines that begin with a device's name, those in every branch of an ``.if`` included."""
        return tuple(line for line in self.lines if line.word[:1] not in (".", "*"))

    @cached_property
    def model_bases(self) -> frozenset[str]:
        """The names by which its models can be asked for: bins without their suffix too."""
        return frozenset(self.models) | {name.rpartition(".")[0] for name in self.models if _is_bin(name)}

    def scopes(self) -> Iterator[Scope]:
        """This scope and those around it, from the inside out."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def find_subcircuit(self, name: str) -> Scope | None:
        """The subcircuit that a name means here."""
        return next((scope.subcircuits[name] for scope in self.scopes() if name in scope.subcircuits), None)

    def has_model(self, name: str) -> bool:
        """Whether a name is a model, binned or not, that is visible here."""
        return any(name in scope.model_bases for scope in self.scopes())

    def model_lines(self, name: str) -> list[Line]:
        """The ``.model`` lines that a name means here: several for bins, none where it is unknown."""
        for scope in self.scopes():
            if name in scope.models:
                return [scope.models[name]]
            if name in scope.model_bases:
                return [line for key, line in scope.models.items() if _is_bin(key) and key.rpartition(".")[0] == name]
        return []

    def all_scopes(self) -> Iterator[Scope]:
        """This scope and all that are defined in it, at any depth."""
        waiting = [self]
        while waiting:
            scope = waiting.pop()
            yield scope
            waiting.extend(item for item in scope.items if isinstance(item, Scope))


def _is_bin(name: str) -> bool:
    return name.rpartition(".")[2].isdigit() and "." in name


def _second_word(line: Line, what: str) -> str:
    words = line.text.split(None, 2)
    if len(words) < 2:
        raise InputError(f"{line.text!r} names no {what}", place=line.place, remedy=f"write {words[0]} name ...")
    return words[1].partition("(")[0].lower()


def build_scopes(lines: Iterable[Line]) -> tuple[Scope, list[Line], list[Line]]:
    """Sort the lines of a deck into scopes.

    Args:
        lines: all lines in order, includes in place; without the title.

    Returns:
        The top level; the lines of ``.control`` blocks and hidden commands, in order; the second and further
        definitions of a subcircuit or model, which ngspice ignores.

    Raises:
        InputError: a ``.subckt``, ``.ends``, ``.control`` or ``.endc`` without its counterpart.
    """
    builder = _Builder()
    for line in lines:
        builder.add(line)
    return builder.finish()


class _Builder:
    """The state while lines are sorted."""

    def __init__(self) -> None:
        self._root = self._scope = Scope()
        self._opened: Line | None = None  # the .control line that waits for its .endc
        self._commands: list[Line] = []
        self._repeated: list[Line] = []

    def add(self, line: Line) -> None:
        word = line.word
        if self._opened is not None:
            if word == ".endc":
                self._opened = None
            else:
                self._commands.append(line)
        elif word == ".control":
            self._opened = line
        elif word == "*#":
            self._commands.append(line)
        elif word in _OPENING:
            self._open(line)
        elif word in _CLOSING:
            self._close(line)
        else:
            self._keep(line)

    def finish(self) -> tuple[Scope, list[Line], list[Line]]:
        if self._opened is not None:
            problem = "the .control block has no .endc"
            raise InputError(problem, place=self._opened.place, remedy="close it with .endc")
        if self._scope.line is not None:
            name = self._scope.name
            problem = f"the subcircuit {name!r} has no .ends"
            raise InputError(problem, place=self._scope.line.place, remedy=f"close it with .ends {name}")
        return self._root, self._commands, self._repeated

    def _keep(self, line: Line) -> None:
        if line.word == ".model":
            name = _second_word(line, "model")
            if self._scope.models.setdefault(name, line) is not line:
                self._repeated.append(line)
        self._scope.items.append(line)

    def _open(self, line: Line) -> None:
        inner = Scope(_second_word(line, "subcircuit"), line, self._scope)
        if self._scope.subcircuits.setdefault(inner.name, inner) is not inner:
            self._repeated.append(line)
        self._scope.items.append(inner)
        self._scope = inner

    def _close(self, line: Line) -> None:
        if self._scope.parent is None:
            raise InputError(f"{line.text!r} closes no .subckt", place=line.place, remedy="remove it")
        self._scope = self._scope.parent
