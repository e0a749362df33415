"""A first spec for a deck that nobody prepared: what can vary, what it measures, and what it reaches today."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from automl_core.errors import EvaluationError, InputError
from automl_core.problem import Evaluation
from automl_core.report.engineering import engineering
from automl_core.runs import write_whole
from circuits.calibration import start_of
from circuits.initial_variables import OUTPUTS, Uses, bias_hints, is_test_bench, sizing_parameters, variable_entries
from circuits.matching import find_matches
from circuits.measures import KINDS
from circuits.netlist import Deck, Note, OutsideError, lift_literals, read_deck, skips_operating_point
from circuits.numbers import short_number
from circuits.problem import CircuitProblem
from circuits.specfile import read_spec

__all__ = ["InitialSpec", "write_initial_spec"]

_SMALLER_IS_BETTER = frozenset(
    {"supply_current", "supply_power", "settling_time", "overshoot", "offset", "input_referred_noise", "output_noise"}
    | {"thd", "rise_time", "fall_time", "delay", "peaking"}
)


@dataclass(frozen=True)
class InitialSpec:
    """What was written.

    Args:
        spec: the spec file.
        files: all files, the spec among them.
        report: lines for a person: what was found, and what was not lifted.
    """

    spec: Path
    files: tuple[Path, ...]
    report: tuple[str, ...]


@dataclass
class _Draft:
    """The parts of the spec, as text."""

    variables: dict[str, str] = field(default_factory=dict)
    biases: list[str] = field(default_factory=list)
    analyses: dict[str, str] = field(default_factory=dict)
    measures: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str | None] = field(default_factory=dict)


def write_initial_spec(
    deck_path: Path,
    output: Path | None,
    allowed: tuple[Path, ...],
    *,
    lift: bool | None,
    confirm: Callable[[list[Path]], bool],
) -> InitialSpec:
    """Write a spec that ``check`` accepts.

    Args:
        deck_path: the deck.
        output: the spec file; ``DECK.yaml`` beside the deck by default.
        allowed: folders outside the deck's own that it may read.
        lift: turn literal sizes into parameters of a new deck; ``None``: where no parameter sizes anything.
        confirm: asks whether the deck may read further folders, which it is given.

    Raises:
        InputError: the deck cannot be read, nothing in it can vary, a folder was not allowed, or a file exists already.
    """
    spec_path = output or deck_path.with_suffix(".yaml")
    _refuse_existing(spec_path)
    folders = _allowed_folders(deck_path, allowed, confirm)
    own = deck = read_deck(deck_path, allowed=folders)
    files, report = [spec_path], [f"{deck.path.name}: {len(deck.devices)} devices, {len(deck.nets)} nets"]
    sizing = sizing_parameters(deck)
    if lift or (lift is None and not sizing):
        deck, new_files, said = _lifted(deck, folders)
        files += [deck_path.parent / os.path.relpath(file, own.path.parent) for file in new_files]
        report, sizing = report + said, sizing_parameters(deck)
    if not sizing:
        raise InputError(
            "no parameter of the deck sizes a device", place=str(deck.path), remedy="use --lift, or write W={w1} in it"
        )
    left = [device.label for device in own.devices if is_test_bench(device)]
    report += [f"not varied: {', '.join(left)} (load or test bench)"] if left else []
    report += [f"not lifted: {_shown(note, own, deck_path)}" for note in own.notes]  # by the user's own lines
    draft = _draft(deck, sizing)
    header = _header(deck, spec_path, folders)
    figures = _figures(header, draft, spec_path)
    write_whole(spec_path, _text(header, draft, _spec_lines(draft, figures)))
    return InitialSpec(spec_path, tuple(files), tuple(report))


def _shown(note: Note, deck: Deck, deck_path: Path) -> str:
    """A note whose file is named as the user names the deck."""
    return str(note).replace(f"{deck.path.parent}/", f"{deck_path.parent}/" if deck_path.parent != Path() else "", 1)


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise InputError(
            "the file exists already, and nothing is overwritten", place=str(path), remedy="name another with -o"
        )


# Folders.


def _allowed_folders(deck: Path, allowed: tuple[Path, ...], confirm: Callable[[list[Path]], bool]) -> tuple[Path, ...]:
    """The folders that the deck may read: those allowed on the command line, and those confirmed now.

    Raises:
        InputError: the deck reads others, and they were not confirmed.
    """
    wanted = list(_outside_folders(deck, allowed))
    if wanted and not confirm(wanted):
        flags = " ".join(f"--allow {folder}" for folder in wanted)
        raise InputError(
            "the deck reads folders that were not allowed", place=str(deck), remedy=f"if you trust it: {flags}"
        )
    return (*allowed, *wanted)


def _outside_folders(deck: Path, allowed: tuple[Path, ...]) -> Iterator[Path]:
    """Every further folder that the deck reads; files are looked into only for their own includes."""
    found: list[Path] = []
    while len(found) < 100:
        try:
            read_deck(deck, allowed=(*allowed, *found))
        except OutsideError as outside:
            found.append(outside.folder)
            yield outside.folder
        except InputError:
            return
        else:
            return


# Lifting.


def _lifted(deck: Deck, folders: tuple[Path, ...]) -> tuple[Deck, list[Path], list[str]]:
    """A new deck beside the old one, whose literal sizes are parameters; matched devices share theirs."""
    matches = find_matches(deck)
    bench = [device.label for device in deck.devices if is_test_bench(device)]
    lifted = lift_literals(deck, matched=[match.devices for match in matches], bias=True, but=bench)
    if not lifted.parameters:
        return deck, [], ["no literal size to lift"]
    names = {file: file.with_name(f"{file.stem}.lifted{file.suffix}") for file in lifted.files}
    contents = {names[file]: _renamed(content, names) for file, content in lifted.files.items()}
    for path in contents:
        _refuse_existing(path)
    for path, content in contents.items():
        write_whole(path, content)
    said = [
        f"lifted {p.name} = {short_number(p.value)} ({', '.join('.'.join(use) for use in p.uses)})"
        for p in lifted.parameters
    ]
    said += [f"matched: {match.kind.replace('_', ' ')} {', '.join(match.devices)}" for match in matches]
    return read_deck(names[deck.path], allowed=folders), list(contents), said


def _renamed(content: bytes, names: Mapping[Path, Path]) -> bytes:
    """The includes of a lifted file lead to the lifted files."""
    for old, new in names.items():
        for quote in (b'"', b"'", b" ", b"/"):
            for end in (b'"', b"'", b"\n", b"\r"):
                content = content.replace(quote + old.name.encode() + end, quote + new.name.encode() + end)
    return content


# Analyses and measures.


def _draft(deck: Deck, sizing: Mapping[str, Uses]) -> _Draft:
    draft = _Draft(variables=variable_entries(deck, sizing), biases=bias_hints(deck, sizing))
    draft.analyses = {
        card.name: card.command for card in deck.analyses if card.kind in ("op", "ac", "dc", "tran", "noise")
    }
    commands = draft.analyses.values()
    charged = commands and all(map(skips_operating_point, commands))  # its nets may float: it asks for no DC voltages
    if not charged and not any(command.split()[0] == "op" for command in commands):
        draft.analyses["op"] = "op"
    for card in deck.measures:
        if card.analysis is not None:
            draft.measures[card.name] = f"{{in: {card.analysis}, take: {_quoted(card.take)}}}"
            draft.kinds[card.name] = None
    for name, (analysis, kind, arguments) in _suggestions(deck, draft.analyses).items():
        if name not in draft.measures:
            draft.measures[name] = f"{{in: {analysis}, kind: {kind}{arguments}}}"
            draft.kinds[name] = kind
    return draft


def _suggestions(deck: Deck, analyses: Mapping[str, str]) -> dict[str, tuple[str, str, str]]:
    """Built-in measures that this deck can have: name -> (analysis, kind, further arguments)."""
    found: dict[str, tuple[str, str, str]] = {}
    out = next((net for net in OUTPUTS if net in deck.nets), None)
    ac = next((name for name, command in analyses.items() if command.split()[0] == "ac"), None)
    if ac and out:
        found |= {
            k: (ac, k, f", node: {out}") for k in ("dc_gain", "unity_gain_frequency", "phase_margin", "bandwidth")
        }
    op = next((name for name, command in analyses.items() if command.split()[0] == "op"), None)
    if op is None:
        return found
    supply = _supply(deck)
    if supply:
        found["supply_current"] = (op, "supply_current", f", source: {supply}")
    if any(device.kind in ("nmos", "pmos") for device in deck.devices):
        found["saturation_margin"] = (op, "saturation_margin", "")
    return found


def _supply(deck: Deck) -> str | None:
    """The voltage source that most devices hang on."""
    sources = {d.terminals.get("plus"): d.label for d in deck.devices if d.kind == "vsource" and not d.path}
    users = {net: sum(net in device.nodes for device in deck.devices) for net in sources if net}
    net = max(users, key=lambda name: users[name], default=None)
    return sources[net] if net is not None and users[net] > 1 else None


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# The text.


def _header(deck: Deck, spec_path: Path, folders: tuple[Path, ...]) -> list[str]:
    base = spec_path.parent.resolve()
    lines = [f"# Written by `sizewise init` from {deck.path.name}: check the ranges, and say in `specs` what you need."]
    lines.append(f"netlist: {_quoted(os.path.relpath(deck.path, base))}")
    if folders:
        lines.append(
            f"include_paths: [{', '.join(_quoted(os.path.relpath(folder.resolve(), base)) for folder in folders)}]"
        )
    if deck.settings.get("ngbehavior"):
        lines.append(f"simulator: {{compat: {deck.settings['ngbehavior']}}}")
    return lines


def _text(header: list[str], draft: _Draft, specs: list[str]) -> str:
    def section(name: str, entries: Mapping[str, str]) -> list[str]:
        return ["", f"{name}:", *(f"  {key}: {value}" for key, value in entries.items())]

    analyses = {name: _quoted(command) for name, command in draft.analyses.items()}
    lines = [*header, *section("variables", draft.variables), *(f"  # {hint}" for hint in draft.biases)]
    lines += section("analyses", analyses)
    return "\n".join([*lines, *section("measures", draft.measures), "", "specs:", *specs, ""])


def _figures(header: list[str], draft: _Draft, spec_path: Path) -> dict[str, float]:
    """What every measure gives at the deck's own sizing: a trial spec is run once, from a file that is then gone."""
    specs = [f"  {name}: {{goal: maximize, scale: 1}}" for name in draft.measures]
    if not specs:
        raise InputError(
            "nothing can be measured: the deck has no analyses", place=str(spec_path), remedy="add one, as .ac"
        )
    with tempfile.NamedTemporaryFile(
        "w", dir=spec_path.parent, prefix=".sizewise-", suffix=".yaml", delete=False
    ) as file:
        file.write(_text(header, draft, specs))
    try:
        with CircuitProblem(read_spec(Path(file.name)), limit_seconds=600.0) as problem:
            answer: Evaluation | EvaluationError = problem.evaluate(start_of(problem), "", 0)
    except EvaluationError as error:
        answer = error
    finally:
        os.unlink(file.name)
    return dict(answer.metrics) if isinstance(answer, Evaluation) else {}


def _spec_lines(draft: _Draft, figures: Mapping[str, float]) -> list[str]:
    """One spec a measure: today's figure as the bound where the better direction is known, a comment elsewhere."""
    lines, active = [], 0
    for name, kind in draft.kinds.items():
        value = figures.get(name, math.nan)
        unit = _unit(kind)
        if math.isnan(value):
            lines.append(f"  # {name}: {{min: 0}}  # no figure at the deck's own sizing")
        elif kind is None or value == 0:
            lines.append(f"  # {name}: {{min: {short_number(value)}}}  # today {value:.5g}; min or max?")
        else:
            side = "max" if kind in _SMALLER_IS_BETTER else "min"
            note = f", unit: {unit}" if unit else ""
            bound = short_number(_reached(value, side))
            lines.append(f"  {name}: {{{side}: {bound}{note}}}  # today {engineering(value, unit)}")
            active += 1
    if not active:
        first = next((i for i, line in enumerate(lines) if "min or max" in line), None)
        if first is None:
            raise InputError(
                "no measure gives a figure at the deck's own sizing", remedy="make the deck run in ngspice first"
            )
        lines[first] = lines[first].replace("  # ", "  ", 1)
    return lines


def _reached(value: float, side: str) -> float:
    """A bound of three digits that the value meets: below it for a minimum, above it for a maximum."""
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    count = value / step
    slack = 1e-9 * abs(count)  # a figure that is a round number but for its last bits
    return (math.floor(count - slack) if side == "min" else math.ceil(count + slack)) * step


def _unit(kind: str | None) -> str:
    if kind is None:
        return ""
    unit = KINDS[kind].unit
    return unit if isinstance(unit, str) else "dB"
