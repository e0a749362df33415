"""A sizing run: begun from a spec, kept in a folder, resumed from it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from automl_core.budget import Budget
from automl_core.errors import EvaluationError, InputError, RecordError
from automl_core.optimizers import Optimizer, Targeted, Transferable, check_name, make
from automl_core.optimizers.portfolio import choose
from automl_core.pool import Pool
from automl_core.problem import Evaluation, Trial
from automl_core.record import Record
from automl_core.runs import RECORD, versions
from automl_core.specs import Specs
from automl_core.study import BATCH, Stop, StopReason, Study
from circuits.calibration import Calibration, calibrate, remedy_for, start_of
from circuits.design_space import moved_starts
from circuits.earlier import earlier_trials, fingerprint
from circuits.problem import CircuitProblem
from circuits.specfile import read_spec
from circuits.targetfile import range_warnings, read_targets

__all__ = ["Settings", "SizingRun", "digest", "refuse_dead_start", "scales_of"]

_PACKAGES = ("numpy", "scipy", "cmaes", "pymoo", "optuna", "botorch", "torch", "PySpice")


@dataclass(frozen=True)
class Settings:
    """What the user asked for.

    Args:
        optimizer: a name of the registry.
        budget: evaluations ("2000") or time ("10m").
        seed: of the study.
        timeout: seconds an evaluation may take on a bench; ``None``: max(1 s, 20 times the measured cost).
        stop: when to end; ``None``: at the first design that meets all specs, or at a stall where a spec has a goal.
        policy: the folder of a policy to begin from.
        earlier: folders of runs to begin from.
        targets: a file of ranges: the run trains a policy over them.
    """

    optimizer: str = "auto"
    budget: str = "2000"
    seed: int = 0
    timeout: float | None = None
    stop: Literal["met", "stall", "budget"] | None = None
    policy: str | None = None
    earlier: tuple[str, ...] = ()
    targets: str | None = None


class SizingRun:
    """A problem, its record and what decides its history. Make one by :meth:`begin` or :meth:`reopen`.

    A run that trains a policy is one whose optimizer aims at targets drawn from ranges, and that saves what it learnt.
    """

    def __init__(self, folder: Path, problem: CircuitProblem, record: Record) -> None:
        self.folder = folder
        self.problem = problem
        self.record = record
        self.facts: Mapping[str, Any] = record.facts()
        self.silent_measures: list[str] = []
        """Sentences on measures that have no figure at the start."""
        self.study: Study | None = None
        """The study as far as it is, once it was begun."""

    @classmethod
    def begin(
        cls,
        spec_path: Path,
        make_folder: Callable[[], Path],
        settings: Settings,
        command: str,
        *,
        trying: AbstractContextManager[None] | None = None,
    ) -> SizingRun:
        """Check the spec, measure an evaluation, decide what decides the history, and write all that down.

        Args:
            spec_path: the spec.
            make_folder: makes the run folder; called once all is known to be well.
            settings: what the user asked for.
            command: the command line, for the record.
            trying: entered while the deck is simulated, once the spec and the settings are known to be well.

        Raises:
            InputError: the spec, a deck or a setting is wrong, or the start gives no figures at all.
            MissingError: there is no libngspice.
        """
        check_name(settings.optimizer)
        budget = Budget.parse(settings.budget)
        problem = CircuitProblem(read_spec(spec_path))
        settings = _settled(settings)
        specs = _specs(problem, settings.targets)
        earlier = _earlier(problem, settings)
        if settings.policy is not None or settings.targets is not None:
            _try_optimizer(problem, specs, budget, settings)
        # Simulators start while the libraries of the optimizer are imported.
        with trying or nullcontext(), ThreadPoolExecutor(1) as aside:
            measuring = aside.submit(calibrate, problem, limit_seconds=settings.timeout)
            try:
                _try_optimizer(problem, specs, budget, settings)
                measured = measuring.result()
                refuse_dead_start(problem, measured)
            except BaseException:
                problem.stop()
                raise
        planned = Budget(budget.evaluations, budget.seconds, measured.seconds or None)
        optimizer, reason = settings.optimizer, "asked for"
        if optimizer == "auto":
            choice = choose(problem.space, specs, planned)
            reason = f"{choice.words}: {choice.reason}"
        folder = make_folder()
        facts = {
            "kind": "sizing" if settings.targets is None else "training",
            "command": command,
            "spec": str(spec_path.resolve()),
            "digest": digest(problem) | _digest_of_files(settings),
            "circuit": fingerprint(problem),
            "seed": settings.seed,
            "settings": asdict(settings),
            "optimizer": optimizer,
            "reason": reason,
            "budget": asdict(planned),
            "batch": BATCH,
            "limit_seconds": measured.limit_seconds,
            "modes": dict(measured.modes),
            "scales": scales_of(specs, measured),
            "versions": versions(*_PACKAGES),
        }
        run = cls(folder, problem, Record.begin(folder / RECORD, facts, earlier))
        if isinstance(measured.start, Evaluation) and any(map(math.isnan, measured.start.metrics.values())):
            run.silent_measures = unmeasured(problem)
        return run

    @classmethod
    def reopen(cls, folder: Path) -> SizingRun:
        """Open a run to go on with it.

        Raises:
            RecordError: there is no run, or its spec or deck has changed since.
        """
        record = Record.open(folder / RECORD)
        facts = record.facts()
        if facts.get("kind") not in ("sizing", "training"):
            raise RecordError(
                "this is not the folder of a finished set-up", place=str(folder), remedy="begin a new run"
            )
        spec = read_spec(Path(facts["spec"]))
        problem = CircuitProblem(spec, limit_seconds=facts["limit_seconds"], modes=facts["modes"])
        now = digest(problem) | _digest_of_files(_settings_of(facts))
        changed = [name for name, checksum in now.items() if facts["digest"].get(name) != checksum]
        if changed:
            raise RecordError(
                f"{changed[0]}, or a file that it reads, has changed since the run began: its trials do not fit",
                place=str(folder),
                remedy="undo the change, or begin a new run",
            )
        return cls(folder, problem, record)

    @property
    def trains(self) -> bool:
        """Whether it trains a policy rather than sizing a circuit."""
        return _settings_of(self.facts).targets is not None

    def known_targets(self) -> tuple[int, int]:
        """Of 200 targets drawn from the ranges of a training: how many a design of the training meets, and how many."""
        settings = _settings_of(self.facts)
        if settings.targets is None:
            return 0, 0
        targets = read_targets(Path(settings.targets), self.problem.spec.specs)
        drawn = targets.draw(200, np.random.default_rng(0))
        trials = [trial for trial in (*self.record.earlier(), *self.record.trials()) if trial.status == "ok"]
        met = sum(any(specs.judge(trial).feasible for trial in trials) for specs in drawn)
        return met, len(drawn)

    @property
    def warnings(self) -> list[str]:
        """What is probably not meant, and starts that had to move."""
        problem, targets = self.problem, _settings_of(self.facts).targets
        ranges = [] if targets is None else range_warnings(Path(targets), problem.spec.specs)
        return [*problem.spec.warnings, *ranges, *moved_starts(problem.spec, problem.decks, problem.space)]

    def execute(
        self, jobs: int, progress: Callable[[Study], None], say: Callable[[str], None] = lambda _: None
    ) -> tuple[Study, StopReason]:
        """Run the study to its end, replaying what the record holds already.

        The simulators of the problem go on, for what is read of the best design; an interrupt ends them.

        Args:
            jobs: workers.
            progress: called after every batch.
            say: hears what a policy brought and what begins afresh.
        """
        facts, settings = self.facts, _settings_of(self.facts)
        specs = _specs(self.problem, settings.targets).scaled_by(facts.get("scales", {}))
        budget = Budget(**facts["budget"])
        optimizer = make(facts["optimizer"], self.problem.space, specs, facts["seed"], budget)
        said = _begin_from(optimizer, settings.policy)
        if said is not None:
            say(said)
        earlier = self.record.earlier()
        if earlier:
            say(_known_before(earlier, specs))
        if settings.targets is not None and isinstance(optimizer, Targeted):
            optimizer.aim(read_targets(Path(settings.targets), self.problem.spec.specs))
        self.problem.observe = getattr(optimizer, "observes", False)
        with Pool(self.problem, jobs) as pool:
            study = self.study = Study(
                self.problem,
                specs,
                pool,
                self.record,
                seed=facts["seed"],
                budget=budget,
                earlier=earlier,
                progress=progress,
            )
            try:
                reason = study.run(optimizer, stop=cast("Stop | None", facts["settings"]["stop"]), batch=facts["batch"])
                if settings.targets is not None and isinstance(optimizer, Transferable):
                    optimizer.save(self.folder)
            except BaseException:
                self.problem.stop()  # the children first: the pool waits for whoever waits for them
                raise
        return study, reason


def _settled(settings: Settings) -> Settings:
    """The optimizer that a policy belongs to, where none was asked for."""
    if settings.optimizer != "auto":
        return settings
    if settings.policy is not None:
        return replace(settings, optimizer=_kind_of(settings.policy))
    return settings if settings.targets is None else replace(settings, optimizer="seq2seq")


def _kind_of(policy: str) -> str:
    """The optimizer that a policy belongs to."""
    from automl_core.agent.policy_files import kind_of  # only here: it costs the import of torch

    return kind_of(Path(policy))


def _settings_of(facts: Mapping[str, Any]) -> Settings:
    kept = facts["settings"]
    return Settings(**{**kept, "earlier": tuple(kept["earlier"])})


def _specs(problem: CircuitProblem, targets: str | None) -> Specs:
    """What orders the designs: the spec's own bounds, or the target in the middle of the ranges."""
    specs = problem.spec.specs
    return specs if targets is None else read_targets(Path(targets), specs).middle


def scales_of(specs: Specs, measured: Calibration) -> dict[str, float]:
    """What the start has of the metric that is a goal without bound and scale; see :meth:`Specs.scaled_by`."""
    if isinstance(measured.start, EvaluationError):
        return {}
    scaled = specs.scaled_by(measured.start.metrics)
    return {spec.metric: scaled.by_metric[spec.metric].normaliser for spec in specs.unscaled}


def _try_optimizer(problem: CircuitProblem, specs: Specs, budget: Budget, settings: Settings) -> None:
    """Make the optimizer, which imports its libraries, and refuse what it cannot do.

    Raises:
        InputError: it cannot be trained, or begins from no policy, or not from this one.
    """
    trial = make(settings.optimizer, problem.space, specs, 0, budget)
    _refuse_untrainable(trial, settings)
    _begin_from(trial, settings.policy)


def _refuse_untrainable(optimizer: Optimizer, settings: Settings) -> None:
    if settings.targets is not None and not isinstance(optimizer, Targeted):
        problem = f"the optimizer {settings.optimizer!r} cannot be trained over targets"
        raise InputError(problem, remedy="ask for --optimizer seq2seq or gcn")


def _begin_from(optimizer: Optimizer, policy: str | None) -> str | None:
    """Load a policy; what the optimizer says of it."""
    if policy is None:
        return None
    if not isinstance(optimizer, Transferable):
        remedy = f"leave --optimizer out, or ask for {_kind_of(policy)}"
        raise InputError("this optimizer begins from no policy", place=policy, remedy=remedy)
    return optimizer.load(Path(policy))


def _earlier(problem: CircuitProblem, settings: Settings) -> list[Trial]:
    """Trials of the runs that were named, and of the policy where it was trained on this circuit."""
    found = [trial for folder in settings.earlier for trial in earlier_trials(Path(folder), problem)]
    if settings.policy is not None and (Path(settings.policy) / RECORD).is_file():
        found += earlier_trials(Path(settings.policy), problem, required=False)
    return found


def _known_before(earlier: Sequence[Trial], specs: Specs) -> str:
    """What trials of earlier runs are worth under these specs, in words."""
    best = min((specs.judge(trial) for trial in earlier), key=lambda score: score.loss)
    worth = "meets every spec" if best.feasible else f"has a violation of {best.violation:.4g}"
    return f"begins from {len(earlier)} earlier trials, the best of which {worth}"


def _digest_of_files(settings: Settings) -> dict[str, str]:
    """Checksums of the policy and of the ranges."""
    files = [] if settings.policy is None else sorted(Path(settings.policy).glob("policy.*"))
    files += [] if settings.targets is None else [Path(settings.targets)]
    return {str(file): hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest() for file in files}


def refuse_dead_start(problem: CircuitProblem, measured: Calibration) -> None:
    """A start that gives no figures is most likely a deck that is wrong; a search from there is time lost.

    Raises:
        InputError: the start fails, or none of its metrics can be measured.
    """
    deck = str(next(iter(problem.spec.decks.values())))
    if isinstance(measured.start, EvaluationError):
        raise InputError(
            f"the deck's own sizing gives no figures: {measured.start.problem}",
            place=deck,
            remedy=remedy_for(measured.start),
        )
    metrics = measured.start.metrics
    if all(metrics.get(spec.metric) != metrics.get(spec.metric) for spec in problem.spec.specs.specs):
        raise InputError(
            "none of the metrics can be measured at the deck's own sizing: " + "; ".join(unmeasured(problem)),
            place=deck,
            remedy="correct the measures, or give starting values (`start:`) at which they exist",
        )


def unmeasured(problem: CircuitProblem) -> list[str]:
    """A sentence for every measure that has no figure at the start: its line in the spec, and why."""
    try:
        readings = problem.read(start_of(problem), {})
    except EvaluationError:
        return []
    notes = {name: note for reading in readings.values() for name, note in reading.notes.items()}
    metrics = {name: value for reading in readings.values() for name, value in reading.metrics.items()}
    notes |= problem.computed.notes(metrics, start_of(problem))
    return [f"{problem.spec.place('measures', name)}: {name}: {note}" for name, note in notes.items()]


def digest(problem: CircuitProblem) -> dict[str, str]:
    """Checksum of all that the figures depend on: the spec, and each deck with what it includes."""
    texts = {str(problem.spec.path.resolve()): problem.spec.path.read_text(encoding="utf-8")}
    texts |= {str(problem.decks[name].path): "\n".join(bench.lines) for name, bench in problem.benches.items()}
    return {name: hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for name, text in texts.items()}
