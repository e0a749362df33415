"""Device lines: name, nodes by role, model, and instance parameters with where their values stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from automl_core.errors import InputError
from circuits.netlist.assignments import Token, check_delimiters, tokens
from circuits.netlist.deck_lines import Line

__all__ = ["DEVICE_LETTERS", "Card", "Value", "read_card"]

_TWO = ("plus", "minus")
_ROLES: Mapping[str, tuple[str, ...]] = {
    "m": ("drain", "gate", "source", "bulk"),
    "q": ("collector", "base", "emitter", "substrate"),
    "j": ("drain", "gate", "source"),
    "z": ("drain", "gate", "source"),
    "d": _TWO,
    "r": _TWO,
    "c": _TWO,
    "l": _TWO,
    "v": _TWO,
    "i": _TWO,
    "b": _TWO,
    "f": _TWO,
    "h": _TWO,
    "e": (*_TWO, "control_plus", "control_minus"),
    "g": (*_TWO, "control_plus", "control_minus"),
    "s": (*_TWO, "control_plus", "control_minus"),
    "w": _TWO,
    "t": ("plus_1", "minus_1", "plus_2", "minus_2"),
    "o": ("plus_1", "minus_1", "plus_2", "minus_2"),
    "u": ("plus", "minus", "ground"),
}
_FEWEST = {"q": 3}
_KINDS: Mapping[str, str] = {
    **{"r": "resistor", "c": "capacitor", "l": "inductor", "v": "vsource", "i": "isource", "d": "diode", "q": "bjt"},
    **{"j": "jfet", "z": "mesfet", "m": "mosfet", "x": "subcircuit", "b": "behavioural", "e": "vcvs", "g": "vccs"},
    **{"f": "cccs", "h": "ccvs", "s": "switch", "w": "switch", "t": "line", "o": "line", "u": "line", "k": "coupling"},
    **{"a": "code_model", "n": "verilog_a", "p": "line", "y": "line"},
}
DEVICE_LETTERS: frozenset[str] = frozenset(_KINDS)
_VALUED = frozenset("rcl")
_CONTROLLED = {"poly", "value", "vol", "cur", "table", "laplace", "freq"}
_WAVEFORMS = frozenset({"pulse", "sin", "exp", "pwl", "sffm", "am", "trnoise", "trrandom", "external", "distof1"})
_FEWEST_NODES = 2


@dataclass(frozen=True)
class Value:
    """The value of an instance parameter.

    Attributes:
        text: as written, delimiters kept.
        start: where it begins in the line's text.
        end: past its last character.
    """

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Card:
    """One device line.

    Attributes:
        name: lower case, as in the deck: "m1".
        letter: its first.
        kind: "mosfet", "resistor", "vsource", "subcircuit", ...; the polarity of transistors is the model's.
        nodes: lower case, in order.
        roles: the names of the terminals, in the same order; ports of subcircuits are "" here.
        model: of a transistor, diode or valued element, or the subcircuit's name; lower case; None without one.
        parameters: by name: "w", "l", "m"; "r", "c" and "l" for the value of a resistor, capacitor or inductor; "dc"
            and "ac" of a source, and "waveform" for its time function.
        line: where it stands.
    """

    name: str
    letter: str
    kind: str
    nodes: tuple[str, ...]
    roles: tuple[str, ...]
    model: str | None
    line: Line
    parameters: Mapping[str, Value] = field(default_factory=dict)


def read_card(line: Line, is_model: Callable[[str], bool]) -> Card:
    """Read a device line.

    Args:
        line: one whose first letter is a device's.
        is_model: tells whether a name is that of a model, or of a subcircuit; where a line may have several nodes or
            a value in place of a model, this decides.

    Raises:
        InputError: an unknown first letter, too few words, or an open delimiter.
    """
    check_delimiters(line)
    words = list(tokens(line))
    name = words[0].text.lower()
    letter = name[0]
    if letter not in DEVICE_LETTERS:
        remedy = "begin comments with '*'; device names begin with the letter of their kind (M, R, C, V, X, ...)"
        raise InputError(f"ngspice knows no device {words[0].text!r}", place=line.place, remedy=remedy)
    positional, parameters = _split(words[1:], line)
    if letter == "x":
        return _subcircuit(name, positional, parameters, line)
    if letter in "ka":
        return Card(name, letter, _KINDS[letter], (), (), None, line, parameters)
    return _device(name, letter, positional, parameters, line, is_model)


def _split(words: list[Token], line: Line) -> tuple[list[Token], dict[str, Value]]:
    """Positional words, and ``name = value`` pairs; parentheses around nodes fall away."""
    positional: list[Token] = []
    parameters: dict[str, Value] = {}
    index = 0
    while index < len(words):
        if index + 1 < len(words) and words[index + 1].text == "=" and words[index].text not in "=()":
            key = words[index].text.lower()
            if index + 2 >= len(words) or words[index + 2].text == "=":
                raise InputError(f"{key} has no value in {line.text!r}", place=line.place, remedy=f"write {key}=value")
            value = words[index + 2]
            parameters[key] = Value(value.text, value.start, value.end)
            index += 3
        else:
            positional.append(words[index])
            index += 1
    return positional, parameters


def _subcircuit(name: str, positional: list[Token], parameters: dict[str, Value], line: Line) -> Card:
    words = [word for word in positional if word.text not in ("(", ")")]
    if words and words[-1].text.lower() in ("params:", "param:"):
        words.pop()
    if not words:
        raise InputError(f"{line.text!r} names no subcircuit", place=line.place, remedy="write xname nodes subcircuit")
    nodes = tuple(word.text.lower() for word in words[:-1])
    return Card(name, "x", "subcircuit", nodes, ("",) * len(nodes), words[-1].text.lower(), line, parameters)


def _device(
    name: str,
    letter: str,
    positional: list[Token],
    parameters: dict[str, Value],
    line: Line,
    is_model: Callable[[str], bool],
) -> Card:
    roles = _ROLES.get(letter, _TWO)
    words = positional if letter in "vi" else [word for word in positional if word.text not in ("(", ")")]
    if letter in "vi":
        words = _without_node_parentheses(words)
    count = _node_count(letter, words, roles, is_model)
    if len(words) < max(count, _FEWEST_NODES):
        problem = f"{line.text!r} has too few nodes for a {_KINDS[letter]}"
        raise InputError(problem, place=line.place, remedy=f"give its terminals: {', '.join(roles)}")
    nodes = tuple(word.text.lower() for word in words[:count])
    rest = words[count:]
    model = None
    if letter in _VALUED:
        model = _value_and_model(letter, rest, parameters, is_model)
    elif letter in "vi":
        _source(line, rest, parameters)
    elif letter in "mqjzdswu" and rest:
        model = rest[0].text.lower()
    shown = roles[:count] + ("",) * (count - len(roles))
    return Card(name, letter, _KINDS[letter], nodes, shown, model, line, parameters)


def _without_node_parentheses(words: list[Token]) -> list[Token]:
    """A source's words without the parentheses of ``(a 0)``; those of ``pulse(...)`` stay."""
    if words and words[0].text == "(":
        closing = next((index for index, word in enumerate(words) if word.text == ")"), len(words))
        return [*words[1:closing], *words[closing + 1 :]]
    return words


def _node_count(letter: str, words: list[Token], roles: tuple[str, ...], is_model: Callable[[str], bool]) -> int:
    """How many nodes stand before the model: where that varies, up to the first word that is a model."""
    if letter in "eg" and len(words) > 2 and (words[2].text[:1] in "{'" or words[2].text.lower() in _CONTROLLED):
        return 2
    if letter in "eg" and len(words) <= 3:
        return 2
    fewest = _FEWEST.get(letter, len(roles))
    if letter not in "mqd":
        return fewest
    for index in range(fewest, min(len(words), 8)):
        if is_model(words[index].text.lower()):
            return index
    return fewest


def _value_and_model(
    letter: str, rest: list[Token], parameters: dict[str, Value], is_model: Callable[[str], bool]
) -> str | None:
    """The positional value of R, C or L goes to the parameters; its model, if any, is returned."""
    model = None
    for word in rest[:2]:
        if is_model(word.text.lower()):
            model = word.text.lower()
        elif letter not in parameters:
            parameters[letter] = Value(word.text, word.start, word.end)
    return model


def _source(line: Line, rest: list[Token], parameters: dict[str, Value]) -> None:
    """``[dc] value``, ``ac magnitude [phase]`` and the time function of a source."""
    index = 0
    while index < len(rest):
        word = rest[index].text.lower()
        following = rest[index + 1] if index + 1 < len(rest) else None
        if word in _WAVEFORMS:
            last = _last_of_waveform(rest, index)
            start, end = rest[index].start, rest[last].end
            parameters["waveform"] = Value(line.text[start:end], start, end)
            index = last + 1
        elif word in ("dc", "ac") and following is not None and following.text.lower() not in _WAVEFORMS:
            parameters[word] = Value(following.text, following.start, following.end)
            index += 2
        elif word in ("dc", "ac"):
            index += 1
        else:
            if "dc" not in parameters and "ac" not in parameters:
                parameters["dc"] = Value(rest[index].text, rest[index].start, rest[index].end)
            index += 1


def _last_of_waveform(rest: list[Token], index: int) -> int:
    """The index of a time function's closing parenthesis, or of the last word before dc or ac."""
    depth, last = 0, index
    for position in range(index + 1, len(rest)):
        word = rest[position].text
        if depth == 0 and word.lower() in ("dc", "ac"):
            break
        depth += (word == "(") - (word == ")")
        last = position
        if word == ")" and depth == 0:
            break
    return last
