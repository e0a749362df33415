"""A user's deck: what it holds, and the flat deck that a simulator loads.

>>> deck = read_deck(Path("amp.cir"))                    # doctest: +SKIP
>>> [parameter.name for parameter in deck.parameters]    # doctest: +SKIP
['w1', 'l1', 'cc']
>>> deck.flatten({"w1": 20e-6})[0]                       # doctest: +SKIP
'two-stage amplifier'

The deck is read, never run: no command of a ``.control`` block reaches ngspice, and files are read only from the deck's
own folder, ``PDK_ROOT`` and the folders that the user allowed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from circuits.netlist import flattening
from circuits.netlist.assignments import Assignment
from circuits.netlist.control_block import COMPUTED, AnalysisCard, Lifted, MeasureCard, Note, lift
from circuits.netlist.deck_lines import Line, read_text
from circuits.netlist.devices import Device
from circuits.netlist.environments import Environment, root_environment
from circuits.netlist.expressions import parse_expression
from circuits.netlist.forbidden import refuse_forbidden
from circuits.netlist.includes import Include, Includes
from circuits.netlist.instances import expand
from circuits.netlist.scopes import Scope, build_scopes
from circuits.numbers import format_number, readable_number

__all__ = ["Deck", "Parameter", "read_deck", "value_text"]

_CHECKED_CARDS = frozenset({".option", ".options", ".opt", ".temp", ".ic", ".nodeset", ".csparam"})
_FOURIER_CARDS = frozenset({".four", ".fourier"})
_GROUP = re.compile(r"\{([^{}]*)\}|'([^']*)'")


@dataclass(frozen=True)
class Parameter:
    """One parameter of the deck.

    Attributes:
        name: lower case.
        text: its value as written, delimiters kept.
        start: its value; None where it has none before the simulation (a text, or one that the temperature enters).
        scope: "" for the top level, else the subcircuit.
        own: whether it is defined in the deck's own folder, not in a kit.
        assignment: where it stands; the last one where there are several.
    """

    name: str
    text: str
    start: float | None
    scope: str
    own: bool
    assignment: Assignment = field(repr=False, compare=False)

    @property
    def key(self) -> str:
        """What :meth:`Deck.flatten` calls it: "w1", or "amp.w1" in the subcircuit amp."""
        return f"{self.scope}.{self.name}" if self.scope else self.name

    @property
    def file(self) -> Path:
        """Where it is defined."""
        return self.assignment.line.file

    @property
    def line(self) -> int:
        """The first physical line of its ``.param`` line, from 1."""
        return self.assignment.line.number


@dataclass(frozen=True)
class Deck:
    """A deck as read.

    Attributes:
        path: of the main file, resolved.
        title: its first line.
        root: the top level of its scopes.
        environment: the parameters of the top level.
        devices: all devices of the expanded circuit.
        used: the subcircuits in use.
        lifted: analyses, measures and settings.
        includes: every file and section that it reads, in order.
        notes: what was found and not lifted, or deserves a look.
        pdk_root: the folder of the installed kits that includes were allowed from.
    """

    path: Path
    title: str
    root: Scope = field(repr=False)
    environment: Environment = field(repr=False)
    devices: tuple[Device, ...] = field(repr=False)
    used: tuple[Scope, ...] = field(repr=False)
    lifted: Lifted = field(repr=False)
    includes: tuple[Include, ...]
    notes: tuple[Note, ...]
    pdk_root: Path | None = None

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters of the top level, then those of the ``.param`` lines of subcircuits in use."""
        found = [self._parameter(item, self.root, self.environment.values) for item in _last(self.root)]
        for scope in self.used:
            found.extend(self._parameter(item, scope, {}) for item in _last(scope))
        return tuple(found)

    def _parameter(self, item: Assignment, scope: Scope, values: Mapping[str, float]) -> Parameter:
        own = item.line.file.is_relative_to(self.path.parent)
        start = values.get(item.name)
        if scope is not self.root:
            start = Environment(functions=self.environment.functions).value_of(item.value)
        return Parameter(item.name, item.value, start, scope.name, own, item)

    @property
    def definitions(self) -> dict[str, str]:
        """The parameters of the top level, as written, by name."""
        return {parameter.name: parameter.text for parameter in self.parameters if not parameter.scope}

    @property
    def analyses(self) -> tuple[AnalysisCard, ...]:
        """The analyses that a run of the deck would make."""
        return tuple(self.lifted.analyses)

    @property
    def measures(self) -> tuple[MeasureCard, ...]:
        """The measures of the deck."""
        return tuple(self.lifted.measures)

    @property
    def settings(self) -> Mapping[str, str]:
        """What its ``.control`` blocks ``set``, such as ``ngbehavior``."""
        return self.lifted.settings

    @cached_property
    def nets(self) -> tuple[str, ...]:
        """Every net of the expanded circuit, in order of appearance; "0" is ground."""
        return tuple(dict.fromkeys(net for device in self.devices for net in device.nodes))

    @cached_property
    def folders(self) -> tuple[Path, ...]:
        """The folders outside the deck's own and outside PDK_ROOT that the deck reads."""
        found = dict.fromkeys(include.file.parent for include in self.includes)
        kits = self.pdk_root.resolve() if self.pdk_root else None
        outside = (folder for folder in found if not folder.is_relative_to(self.path.parent))
        return tuple(folder for folder in outside if kits is None or not folder.is_relative_to(kits))

    def device(self, name: str) -> Device:
        """The device of a name, ngspice's or the designer's.

        Raises:
            InputError: there is none.
        """
        wanted = name.lower()
        for device in self.devices:
            if wanted in (device.name, device.label):
                return device
        remedy = did_you_mean(wanted, (device.label for device in self.devices), "the devices of the deck")
        raise InputError(f"the deck has no device {name!r}", place=str(self.path), remedy=remedy)

    def parameter(self, key: str) -> Parameter:
        """The parameter of a name ("w1"), or of one in a subcircuit ("amp.w1").

        Raises:
            InputError: the deck defines none.
        """
        wanted = key.lower()
        for parameter in self.parameters:
            if parameter.key == wanted:
                return parameter
        own = [parameter.key for parameter in self.parameters if parameter.own]
        remedy = did_you_mean(wanted, own, "the parameters of the deck")
        raise InputError(f"no .param defines {key!r}", place=str(self.path), remedy=remedy)

    def flatten(self, values: Mapping[str, float | str] | None = None, *, prune: bool = True) -> tuple[str, ...]:
        """The deck as one list of lines, for a :class:`circuits.bench.Bench`.

        Includes are in place, with the chosen library sections only; ``.control`` blocks and analysis, measure and
        output cards are gone; ``.end`` is last. Every ``.param``, ``.func`` and ``.options`` line stays.

        Args:
            values: parameter -> its new value: a number, or the text of an expression.
            prune: leave out the ``.subckt`` and ``.model`` definitions that nothing can use.

        Raises:
            InputError: a parameter that no ``.param`` defines, or a text that is no expression.
        """
        texts = {}
        for key, value in (values or {}).items():
            parameter = self.parameter(key)
            texts[parameter.scope, parameter.name] = value_text(value)
        return tuple(flattening.flat_lines(self.title, self.root, texts, prune=prune))


def value_text(value: float | str) -> str:
    """A value as it is written into a ``.param`` line: a number, or an expression in braces.

    Raises:
        InputError: a text that is no expression.
    """
    if isinstance(value, str):
        return f"{{{parse_expression(value).text}}}"
    return readable_number(float(value))


def _last(scope: Scope) -> list[Assignment]:
    """The assignments that count, in order of first appearance."""
    return list({item.name: item for item in scope.assigned}.values())


def read_deck(
    path: Path,
    *,
    allowed: Sequence[Path] = (),
    pdk_root: Path | None = None,
    environment: Mapping[str, str] | None = None,
    compat: str | None = None,
) -> Deck:
    """Read a deck and all that it includes.

    Args:
        path: the main file; its first line is the title.
        allowed: folders that it may read besides its own (``include_paths`` of a spec).
        pdk_root: where kits are installed; by default the environment's ``PDK_ROOT``.
        environment: by default the process's.
        compat: ngspice's ``ngbehavior``, for ``.lib file`` and the few expressions that it changes.

    Raises:
        InputError: with file and line, what is wrong and what to do: a file that is missing, empty, binary, too large
            or outside the allowed folders; includes in a circle; an unknown section, model or subcircuit; an open
            brace, quote or block; an undefined parameter; a card that reads or writes files or loads code.
    """
    surroundings = os.environ if environment is None else environment
    if pdk_root is None and surroundings.get("PDK_ROOT"):
        pdk_root = Path(surroundings["PDK_ROOT"])
    main = _main_file(path)
    title, _, body = read_text(main).partition("\n")
    if not body.strip():
        remedy = "a deck has a title on its first line, and devices below"
        raise InputError("the deck is empty", place=str(main), remedy=remedy)
    reader = Includes(main, tuple(allowed), pdk_root, surroundings, compat)
    root, commands, repeated = build_scopes(reader.lines())
    outer = root_environment(root, compat)
    refuse_forbidden(root.lines)
    for line in root.lines:
        if line.word in _CHECKED_CARDS:
            outer.check_groups(line)
    devices, used = expand(root, outer)
    for scope in used:
        refuse_forbidden(scope.lines)
    if not devices:
        raise InputError(
            "the deck has no devices", place=str(main), remedy="its first line is the title, never a device"
        )
    cards = [line for line in root.lines if line.word in flattening.ANALYSIS_WORDS | flattening.MEASURE_WORDS]
    lifted = lift(cards, commands, lambda line, text: _settled(text, outer))
    notes = (*lifted.notes, *_notes(root, repeated, used))
    return Deck(main, title.strip(), root, outer, devices, used, lifted, tuple(reader.found), notes, pdk_root)


def _main_file(path: Path) -> Path:
    try:
        resolved = path.expanduser().resolve()
    except (OSError, RuntimeError, ValueError):
        raise InputError(f"{path} cannot be resolved", remedy="check the path and its links") from None
    if resolved.is_dir():
        raise InputError(f"{path} is a folder", remedy="give the deck inside it")
    return resolved


def _settled(text: str, environment: Environment) -> str | None:
    """An analysis or measure with the expressions in it replaced by their starting values."""
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        number = environment.value_of(match[0])
        missing = missing or number is None
        return "" if number is None else format_number(number)

    if COMPUTED.search(text):
        return text  # param= becomes an `expr` of the spec, whose names are looked up there; par() it refuses
    settled = _GROUP.sub(value, text)
    return None if missing else settled


def _notes(root: Scope, repeated: Sequence[Line], used: Sequence[Scope]) -> list[Note]:
    """What deserves a look: repeated definitions, values that ngspice reads by halves, unknown cards."""
    notes = [Note(line.place, line.text[:80], "repeats a definition; ngspice keeps the first") for line in repeated]
    for scope in (root, *used):
        seen: dict[str, Assignment] = {}
        for item in scope.assigned:
            if item.name in seen:
                reason = f"{item.name} was set before at line {seen[item.name].line.number}; the last one counts"
                notes.append(Note(item.line.place, item.line.text[:80], reason))
            seen[item.name] = item
            if item.ignored:
                reason = f"ngspice reads {item.name} as {item.value!r} and drops {item.ignored!r}; put it in braces"
                notes.append(Note(item.line.place, item.line.text[:80], reason))
    known = flattening.KEPT_WORDS | flattening.DROPPED_WORDS | flattening.ANALYSIS_WORDS | flattening.MEASURE_WORDS
    for line in root.lines:
        if line.word[:1] == "." and line.word not in known:
            notes.append(Note(line.place, line.text[:80], f"ngspice has no card {line.word}; it is left out"))
        elif line.word in _FOURIER_CARDS:
            notes.append(Note(line.place, line.text[:80], "a Fourier analysis is a measure of the spec: kind: thd"))
    return notes
