"""A first spec for a deck that nobody prepared: what can vary, what it measures, and what it reaches today."""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from automl_core.errors import EvaluationError, InputError
from automl_core.report.engineering import engineering
from automl_core.runs import write_whole
from circuits.calibration import start_of
from circuits.initial_variables import OUTPUTS, Uses, bias_hints, is_test_bench, sizing_parameters, variable_entries
from circuits.lifted_deck import Origin, lifted_deck, own_place, refuse_existing
from circuits.measures import KINDS
from circuits.netlist import AnalysisCard, Deck, MeasureCard, Note, OutsideError, read_deck, skips_operating_point
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


_Card = AnalysisCard | MeasureCard


class _UnfitError(Exception):
    """A card that a spec cannot hold."""

    def __init__(self, card: _Card, reason: str) -> None:
        super().__init__(reason)
        self.card, self.reason = card, reason


@dataclass
class _Draft:
    """The parts of the spec, as text."""

    variables: dict[str, str] = field(default_factory=dict)
    biases: list[str] = field(default_factory=list)
    analyses: dict[str, str] = field(default_factory=dict)
    measures: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str | None] = field(default_factory=dict)
    cards: dict[str, _Card] = field(default_factory=dict)
    """Line of the spec -> the card of the deck that it was lifted from."""


def write_initial_spec(
    deck_path: Path,
    output: Path | None,
    allowed: tuple[Path, ...],
    *,
    lift: bool | None,
    confirm: Callable[[list[Path]], bool],
) -> InitialSpec:
    """Write a spec that ``check`` accepts; where that fails, no file is left behind.

    Args:
        deck_path: the deck.
        output: the spec file; ``DECK.yaml`` beside the deck by default.
        allowed: folders outside the deck's own that it may read.
        lift: turn literal sizes into parameters of a new deck; ``None``: where no parameter sizes anything.
        confirm: asks whether the deck may read further folders, which it is given.

    Raises:
        InputError: the deck cannot be read, nothing in it can vary, it gives no figures (in ngspice's words), a folder
            was not allowed, or a file exists already.
    """
    spec_path = output or deck_path.with_suffix(".yaml")
    refuse_existing(spec_path, "name another with -o")
    folders = _allowed_folders(deck_path, allowed, confirm)
    own = deck = read_deck(deck_path, allowed=folders)
    files, report = [spec_path], [f"{deck.path.name}: {len(deck.devices)} devices, {len(deck.nets)} nets"]
    origins: Mapping[Path, Origin] = {}
    with ExitStack() as undo:
        sizing = sizing_parameters(deck)
        if lift or (lift is None and not sizing):
            deck, origins, said = lifted_deck(deck, folders, undo)
            files += [deck_path.parent / os.path.relpath(file, own.path.parent) for file in origins]
            report, sizing = report + said, sizing_parameters(deck)
        if not sizing:
            raise InputError(
                "no parameter of the deck sizes a device",
                place=str(own.path),
                remedy="use --lift, or write W={w1} in it",
            )
        left = [device.label for device in own.devices if is_test_bench(device)]
        report += [f"not varied: {', '.join(left)} (load or test bench)"] if left else []
        header = _header(deck, spec_path, folders)
        try:
            draft, figures, unfit = _tried(own, deck, sizing, header, spec_path)
        except InputError as error:
            raise InputError(error.problem, place=own_place(error.place, origins), remedy=error.remedy) from None
        report += [f"not lifted: {_shown(note, own, deck_path)}" for note in (*own.notes, *unfit)]
        write_whole(spec_path, _text(header, draft, _spec_lines(draft, figures)))
        undo.pop_all()
    return InitialSpec(spec_path, tuple(files), tuple(report))


def _shown(note: Note, deck: Deck, deck_path: Path) -> str:
    """A note whose file is named as the user names the deck."""
    return str(note).replace(f"{deck.path.parent}/", f"{deck_path.parent}/" if deck_path.parent != Path() else "", 1)


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


# Analyses and measures.


def _draft(own: Deck, deck: Deck, sizing: Mapping[str, Uses], unfit: Collection[_Card]) -> _Draft:
    """What the spec says: cards by the user's ``own`` deck, everything else by the lifted one."""
    draft = _Draft(variables=variable_entries(deck, sizing), biases=bias_hints(deck, sizing))
    for analysis in own.analyses:
        if analysis not in unfit:
            draft.analyses[analysis.name] = _quoted(analysis.command)
            draft.cards[_entry(analysis.name, draft.analyses[analysis.name])] = analysis
    kept = [card for card in own.analyses if card not in unfit]
    kinds = {card.name: card.kind for card in kept}
    charged = kept and all(skips_operating_point(card.command) for card in kept)  # nets may float: no DC voltages
    if not charged and "op" not in kinds.values():
        draft.analyses["op"], kinds["op"] = _quoted("op"), "op"
    for measure in own.measures:
        if measure not in unfit:
            name, analysis_name = _scalar(measure.name), _scalar(measure.analysis or measure.kind)
            taken = f"in: {analysis_name}, take: {_quoted(measure.take)}"
            computed = measure.expression
            draft.measures[name] = f"{{{taken}}}" if computed is None else f"{{expr: {_quoted(computed)}}}"
            draft.kinds[name] = None
            draft.cards[_entry(name, draft.measures[name])] = measure
    for name, (of, kind, arguments) in _suggestions(deck, kinds).items():
        if name not in draft.measures:
            draft.measures[name] = f"{{in: {of}, kind: {kind}{arguments}}}"
            draft.kinds[name] = kind
    return draft


def _suggestions(deck: Deck, analyses: Mapping[str, str]) -> dict[str, tuple[str, str, str]]:
    """Built-in measures that this deck can have: name -> (analysis, kind, further arguments).

    Args:
        deck: the deck.
        analyses: name -> kind.
    """
    found: dict[str, tuple[str, str, str]] = {}
    out = next((net for net in OUTPUTS if net in deck.nets), None)
    ac = next((name for name, kind in analyses.items() if kind == "ac"), None)
    if ac and out:
        found |= {
            k: (ac, k, f", node: {out}") for k in ("dc_gain", "unity_gain_frequency", "phase_margin", "bandwidth")
        }
    op = next((name for name, kind in analyses.items() if kind == "op"), None)
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


def _scalar(word: str) -> str:
    """A word of the deck as YAML takes it: bare where that is safe."""
    return word if re.fullmatch(r"[a-z_]\w*", word, re.ASCII) else _quoted(word)


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
        return ["", f"{name}:", *(_entry(key, value) for key, value in entries.items())]

    lines = [*header, *section("variables", draft.variables), *(f"  # {hint}" for hint in draft.biases)]
    lines += section("analyses", draft.analyses)
    return "\n".join([*lines, *section("measures", draft.measures), "", "specs:", *specs, ""])


def _entry(key: str, value: str) -> str:
    return f"  {key}: {value}"


def _tried(
    own: Deck, deck: Deck, sizing: Mapping[str, Uses], header: list[str], spec_path: Path
) -> tuple[_Draft, Mapping[str, float], list[Note]]:
    """The draft, what its measures give at the deck's own sizing, and the cards that a spec cannot hold.

    Raises:
        InputError: it gives no figures.
    """
    unfit: dict[_Card, Note] = {}
    while True:
        draft = _draft(own, deck, sizing, unfit)
        try:
            return draft, _figures(header, draft, spec_path, own), list(unfit.values())
        except _UnfitError as error:
            unfit[error.card] = Note(error.card.place, _as_command(error.card), error.reason)


def _as_command(card: _Card) -> str:
    return card.command if isinstance(card, AnalysisCard) else f"meas {card.kind} {card.name} {card.take}"


def _figures(header: list[str], draft: _Draft, spec_path: Path, own: Deck) -> Mapping[str, float]:
    """What every measure gives at the deck's own sizing: a trial spec is run once, from a file that is then gone.

    Raises:
        _UnfitError: a spec cannot hold a card.
        InputError: the deck gives no figures, for whatever reason.
    """
    specs = [_entry(name, "{goal: maximize, scale: 1}") for name in draft.measures]
    if not specs:
        raise InputError(
            "nothing can be measured: the deck has no analyses", place=str(own.path), remedy="add one, as .ac"
        )
    text = _text(header, draft, specs)
    with tempfile.NamedTemporaryFile(
        "w", dir=spec_path.parent, prefix=".sizewise-", suffix=".yaml", delete=False
    ) as file:
        file.write(text)
    try:
        with CircuitProblem(read_spec(Path(file.name)), limit_seconds=600.0) as problem:
            return _start_figures(problem)
    except InputError as error:
        trial, _, number = (error.place or "").rpartition(":")
        if Path(trial).name != Path(file.name).name:
            raise
        card = draft.cards.get(text.splitlines()[int(number) - 1])
        if card is None:
            raise InputError(error.problem, place=str(own.path), remedy=error.remedy) from None
        raise _UnfitError(card, f"{error.problem}; {error.remedy}" if error.remedy else error.problem) from None
    except EvaluationError as error:
        raise InputError(
            f"at its own sizing {error.problem}",
            place=str(own.path),
            remedy="make the deck run in ngspice first: look at its bias and at its analyses",
        ) from None
    finally:
        os.unlink(file.name)


def _start_figures(problem: CircuitProblem) -> Mapping[str, float]:
    """The metrics at the deck's own sizing.

    Raises:
        EvaluationError: there are none.
    """
    start = start_of(problem)
    metrics = problem.evaluate(start, "", 0).metrics
    if all(math.isnan(value) for value in metrics.values()):
        notes = problem.read(start, {})[""].notes
        raise EvaluationError("no measure gives a figure: " + "; ".join(f"{name}: {notes[name]}" for name in notes))
    return metrics


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
        first = next(i for i, line in enumerate(lines) if "min or max" in line)
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
