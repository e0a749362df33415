"""A compression run: begun from a network, its data and a budget; kept in a folder; gone on with at any point.

A run goes from state to state, each a folder that is complete once its ``model.json`` is there: ``base``, the network
as it came or as it was trained; one for each stage of the plan, the network after it; and the run's own folder, the
result. What lies between two states is kept too: trainings by epoch, searches by batch.
"""

from __future__ import annotations

import math
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson
from torch import nn

from automl_core.errors import InputError, RecordError
from automl_core.record import Record
from automl_core.report.figures import save
from automl_core.report.terminal import json_text
from automl_core.runs import RECORD, versions, write_whole
from nn_compression.cost import raw_bytes
from nn_compression.data import SettledData
from nn_compression.files.model_files import ModelSpec, load_saved, read_spec, save_model
from nn_compression.files.references import load_data
from nn_compression.graph.tracing import trace
from nn_compression.latency.table import LatencyTable
from nn_compression.problems.budget import METRICS, CostLimit
from nn_compression.problems.candidate import metric_name
from nn_compression.problems.network import NetworkReference
from nn_compression.run.base import finetuning, load_base, refuse_untrained
from nn_compression.run.deliverables import (
    CODED,
    INT8,
    ONNX,
    export,
    in_floats,
    load_compressed,
    try_int8,
    write_deliverables,
)
from nn_compression.run.dependencies import digests, refuse_changes
from nn_compression.run.designs import designs_of
from nn_compression.run.drawing import kept_figure
from nn_compression.run.finishing import Finishing
from nn_compression.run.kept import KeptLayer, kept_layers
from nn_compression.run.measuring import figures_of, timed_in_turn
from nn_compression.run.narration import Narrator
from nn_compression.run.outcome import Figures, Outcome, Reached, drop_between
from nn_compression.run.plan import Stage
from nn_compression.run.refusals import refuse_hopeless
from nn_compression.run.settings import Settings, settings_of
from nn_compression.run.stage import POINT, StageRun, read_search
from nn_compression.training.devices import best_device
from nn_compression.training.loop import Diverged, NotFinite
from nn_compression.training.schedule import Schedule

__all__ = ["RESULT", "CompressionRun"]

RESULT, KEPT = "result.json", "kept.svg"
_BASE, _LATENCIES = "base", "latency.json"
_ROUNDED = (
    "the ONNX file rounds in floats, so that its figures are those of the integers: fewer bits pay in bytes, and on "
    "hardware that computes in them; latency in torch is that of the floats"
)
_INT8_DROP = 0.5
"""How much worse an int8 file may be, in the metric's unit."""
_PACKAGES = ("numpy", "torch", "torch-pruning", "onnx", "onnxruntime", "constriction", "scikit-learn", "safetensors")


class CompressionRun:
    """A network, its data, what is asked of it, and the folder of it all. Make one by ``begin`` or ``reopen``.

    Attributes:
        folder: of the run.
        settings: what the user asked for, with the names that were left out.
        data: as settled by the seed.
        notes: what was decided on the way, to be told to the user.
    """

    def __init__(self, folder: Path, record: Record, settings: Settings, data: SettledData) -> None:
        self.folder, self.record = folder, record
        self.settings, self.data = settings, data
        self.plan = settings.plan

    @classmethod
    def begin(cls, make_folder: Callable[[str], Path], asked: Settings, command: str) -> CompressionRun:
        """Read the network and its data, see that the budget can be met, and write down what was asked for.

        Args:
            make_folder: makes the run folder of a name; called once all is known to be well.
            asked: what the user asked for.
            command: the command line, for the record.

        Raises:
            InputError: something of it cannot be used; no folder was made then.
        """
        settings = asked.settled()
        settings.check()
        settings.refuse_idle()
        data = load_data(settings.data or "", settings.seed)
        refuse_hopeless(settings, data)
        facts = {
            "kind": "compression",
            "command": command,
            "home": os.getcwd(),
            "settings": asdict(settings),
            "digest": digests(settings, data),
            "seed": settings.seed,
            "versions": versions(*_PACKAGES),
        }
        folder = make_folder(settings.name)
        return cls(folder, Record.begin(folder / RECORD, facts), settings, data)

    @classmethod
    def reopen(cls, folder: Path, learning_rate: float | None = None) -> CompressionRun:
        """Open a run to go on with it.

        Args:
            folder: of the run.
            learning_rate: of all training from now on, a fifth of it after the search; ``None``: as before.

        Raises:
            RecordError: there is none, what it still needs has changed or is gone, or it began in another folder.
            InputError: another learning rate is asked for, and there is no training left.
        """
        record = Record.open(folder / RECORD)
        facts = record.facts()
        if facts.get("kind") != "compression":
            raise RecordError("this is not the folder of a compression", place=str(folder), remedy="begin a new run")
        settings = settings_of(facts)
        if ":" in f"{settings.model}{settings.data}" and Path(facts["home"]) != Path.cwd():
            remedy = f"go there, or run it from there: cd {facts['home']}"
            raise RecordError("the run's own network and data are found from another folder", remedy=remedy)
        run = cls(folder, record, settings, load_data(settings.data or "", settings.seed))
        run._refuse_changes()
        if learning_rate is not None:
            run._learn_at(learning_rate)
        return run

    def _refuse_changes(self) -> None:
        """Refuse to go on from other data, code or files; once the base lies in the run, its weights are not needed.

        Raises:
            RecordError: what has changed, or is gone.
        """
        if not self.finished:
            needless = self.settings.weights if self._has_base else None
            refuse_changes(self.folder, self.facts["digest"], self.data, needless)

    def _learn_at(self, rate: float) -> None:
        """Change the learning rate of what is not trained yet; a training on its way begins anew.

        Raises:
            InputError: there is no training left.
        """
        if not self._trains_on:
            problem = "no training is left of this run that could go on at another learning rate"
            raise InputError(problem, place=f"--lr {rate:g}", remedy="leave it out, or begin a new run with it")
        self.settings = replace(self.settings, learning_rate=rate)
        self.record.write_fact("settings", asdict(self.settings))
        self.record.write_fact("relearned", f"resumed with --lr {rate:g}, at which training went on")
        for stage in self.plan.stages:
            if not self._done(stage):
                self._tidy(self._folder_of(stage))

    @property
    def _trains_on(self) -> bool:
        """Whether there is training to come: of the network before the search, or after a stage's."""
        before = self.settings.train_epochs and not self._has_base
        after = self.settings.finetune_epochs and not self._done(self.plan.stages[-1])
        return bool(before or after)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the record says of the run."""
        return self.record.facts()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided on the way."""
        relearned = self.facts.get("relearned")
        return self.data.notes if relearned is None else (*self.data.notes, relearned)

    @property
    def headline(self) -> tuple[str, ...]:
        """What is done, in a line or two."""
        settings = self.settings
        lines = [f"{settings.model} on {self.data.label}: {self.plan}, seed {settings.seed}"]
        if self.data.train.inputs.is_cuda or best_device().type == "cuda":
            lines.append("trained and judged on CUDA")
        return tuple(lines)

    @property
    def finished(self) -> bool:
        """Whether the result is written."""
        return (self.folder / RESULT).is_file()

    @property
    def files(self) -> tuple[Path, ...]:
        """What a finished run holds for use, in the order worth reading."""
        names = (ONNX, INT8, CODED, "model.safetensors", "model.json", KEPT, RESULT)
        return tuple(self.folder / name for name in names if (self.folder / name).is_file())

    # The run.

    def execute(self, jobs: int, narrator: Narrator) -> Outcome:
        """Go on from the last state to the result.

        Args:
            jobs: workers of a search; 0: as many as it is worth.
            narrator: hears what goes on.

        Raises:
            InputError: a training fails, the budget cannot be met, or something cannot be written.
        """
        with self._nothing_left_of_a_false_start(), self._clock():
            self._base(narrator)
            before = self._before(narrator)
            for stage in self.plan.stages:
                if not self._done(stage):
                    with self._how_to_go_on():
                        self._stage(stage, before, narrator).run(jobs, narrator)
                    self._tidy(self._folder_of(stage))
        return self._result(before, narrator)

    @contextmanager
    def _clock(self) -> Iterator[None]:
        """Add the time of the block to that of the run."""
        began = time.monotonic()
        try:
            yield
        finally:
            spent = float(self.facts.get("elapsed_run", 0.0)) + time.monotonic() - began
            self.record.write_fact("elapsed_run", spent)

    @contextmanager
    def _nothing_left_of_a_false_start(self) -> Iterator[None]:
        """A run that is refused before its first design is evaluated leaves no folder; trained weights are cached."""
        try:
            yield
        except InputError:
            if not isinstance(sys.exc_info()[1], RecordError) and not len(self.record):
                self.record.close()
                shutil.rmtree(self.folder, ignore_errors=True)
            raise

    @contextmanager
    def _how_to_go_on(self) -> Iterator[None]:
        """A training that fails after a search says what is kept, and how the run goes on from there."""
        try:
            yield
        except NotFinite as error:
            command = f"sizewise resume {shlex.quote(str(self.folder))}"
            remedy = f"{error.remedy}; what was searched is kept, `{command}` then goes on from it"
            if isinstance(error, Diverged):
                rate = self._finetuning.learning_rate / 10
                remedy = f"what was searched is kept: `{command} --lr {rate:.2g}` goes on with a lower learning rate"
            raise type(error)(error.problem, place=error.place, remedy=remedy) from error

    def _base(self, narrator: Narrator) -> None:
        """The first state."""
        if self._has_base:
            return
        source = self.settings.source
        with narrator.training(f"training {source.model}", source.train_epochs) as heard:
            model = load_base(source, heard)
        refuse_untrained(model, self.data, source)
        save_model(self.folder / _BASE, model, self._spec())

    @property
    def _has_base(self) -> bool:
        return (self.folder / _BASE / "model.json").is_file()

    def _spec(self) -> ModelSpec:
        example = self.data.example_input
        return ModelSpec(
            self.settings.model or "",
            tuple(example.shape),
            str(example.dtype).removeprefix("torch."),
            classes=self.data.classes,
        )

    def _before(self, narrator: Narrator) -> Figures:
        """Figures of the first state, taken once."""
        kept = self.facts.get("before")
        if kept is None:
            with narrator.doing("measuring the network as it is"):
                model = load_saved(self.folder / _BASE)
                onnx, faults = export(model, self.data.example_input, self.folder / _BASE / ONNX)
                figures = figures_of(model, self.data, raw_bytes(model))
                if self.plan.limit is not None and self.plan.limit.metric == "latency":
                    figures = timed_in_turn([(figures, model, onnx)], self.data.example_input)[0]
                kept = asdict(figures)
            narrator.say(*(f"warning: there will be {fault}" for fault in faults))
            self.record.write_fact("before", kept)
        return Figures.from_json(kept)

    def _folder_of(self, stage: Stage) -> Path:
        return self.folder / stage.method

    def _done(self, stage: Stage) -> bool:
        return (self._folder_of(stage) / "model.json").is_file()

    @property
    def _finetuning(self) -> Schedule:
        return finetuning(self.settings.source, self.data.task.name, self.settings.finetune_epochs)

    def _stage(self, stage: Stage, before: Figures, narrator: Narrator) -> StageRun:
        """A stage, from the state before it."""
        place = self.plan.stages.index(stage)
        source = self._folder_of(self.plan.stages[place - 1]) if place else self.folder / _BASE
        settings, folder = self.settings, self._folder_of(stage)
        folder.mkdir(exist_ok=True)
        reference = NetworkReference(settings.data or "", saved=source, seed=settings.seed)
        if settings.measures_latency:
            settings = self._with_own_table(reference, folder / _LATENCIES, narrator)
        teacher = load_saved(self.folder / _BASE) if settings.distill else None
        return StageRun(
            stage=stage,
            designs=designs_of(stage.method, reference, settings),
            folder=folder,
            records=lambda name: self.folder / _record(name, stage, place),
            before=before,
            base=self.folder / _BASE,
            budget=settings.search_budget,
            optimizer=settings.optimizer,
            finishing=Finishing(self.data, self._finetuning, settings.seed, folder, teacher),
            policy=None if settings.policy is None else Path(settings.policy),
        )

    def _with_own_table(self, reference: NetworkReference, path: Path, narrator: Narrator) -> Settings:
        """The settings with a table of latencies of the run's own, complete before the search.

        The times decide what the search finds: whatever becomes of the user's table, it goes on by the same ones.

        Raises:
            RecordError: the times are of another machine, or of other versions.
        """
        if not path.is_file():
            with narrator.doing("measuring latencies"):
                problem = designs_of("channels", reference, self.settings).problem(CostLimit("latency", 1.0))
                problem.latencies.copy_to(path)
        try:
            LatencyTable(path)
        except InputError as error:
            remedy = "go on with the run where it began, and with the same versions; or begin a new run"
            raise RecordError(error.problem, place=str(path), remedy=remedy) from error
        return replace(self.settings, table=str(path))

    def _tidy(self, folder: Path) -> None:
        """Remove the checkpoints of trainings that are done."""
        for rest in folder.glob("finish-*"):
            shutil.rmtree(rest) if rest.is_dir() else rest.unlink()

    # The result.

    def _result(self, before: Figures, narrator: Narrator) -> Outcome:
        """Write what the run was for; a finished run is read."""
        path = self.folder / RESULT
        if self.finished:
            load_compressed(self.folder)  # a file that is damaged is told
            return Outcome.from_json(orjson.loads(path.read_bytes()))
        with self._clock():
            last = self._folder_of(self.plan.stages[-1])
            model, spec = load_saved(last), read_spec(last)
            (self.folder / INT8).unlink(missing_ok=True)  # one may be left of an end that was cut off, and not pay now
            with narrator.doing("writing and measuring the network"):
                written = write_deliverables(self.folder, model, spec, self.data.example_input)
                after = figures_of(model, self.data, written.file_bytes)
                base = self.folder / _BASE
                before, after = timed_in_turn(
                    [(before, load_saved(base), _there(base / ONNX)), (after, model, written.onnx)],
                    self.data.example_input,
                )
                int8 = try_int8(self.folder, model, self.data, _INT8_DROP) if written.onnx else ""
            reached = self._reached(last, before, after)
        outcome = Outcome(
            before=before,
            after=after,
            reached=reached,
            searches=[read_search(self._folder_of(stage)) for stage in self.plan.stages],
            layers=self._layers(model, spec),
            metric=metric_name(self.data.task),
            unit=self.data.task.unit,
            higher_is_better=self.data.task.higher_is_better,
            seconds=float(self.facts["elapsed_run"]),
            notes=(*self.notes, *written.notes, *([_ROUNDED] if spec.bits else []), *([int8] if int8 else [])),
        )
        facts = {name: self.facts[name] for name in ("command", "seed", "versions")}
        save(kept_figure(outcome.layers, f"{self.settings.model}: {self.plan}"), self.folder / KEPT)
        write_whole(path, json_text({**outcome.as_json(), **facts}))
        return outcome

    def _reached(self, last: Path, before: Figures, after: Figures) -> Reached:
        """The budget, and what became of it."""
        limit, stage = self.plan.limit, self.plan.stages[-1]
        if limit is None:
            better = self.data.task.higher_is_better
            worse = drop_between(before.validation, after.validation, higher_is_better=better)
            return Reached("drop", self.plan.max_drop or 0.0, worse, self.data.task.unit)
        unit = METRICS[limit.metric]
        if stage.modelled:
            reference = NetworkReference(self.settings.data or "", saved=self.folder / _BASE, seed=self.settings.seed)
            problem = designs_of(stage.method, reference, self.settings).problem(CostLimit(limit.metric, 1.0))
            value = problem.cost_of(orjson.loads((last / POINT).read_bytes()))
            return Reached(limit.metric, limit.bound(problem.base_cost), value, unit, modelled=True)
        if limit.metric == "latency":
            whole, own = (math.nan if each.onnx is None else each.onnx.seconds for each in (before, after))
            spread = None if after.onnx is None else after.onnx.spread
            return Reached(limit.metric, limit.bound(whole), own, unit, spread=spread)
        base = {"macs": before.macs, "bytes": before.file_bytes}[limit.metric]
        value = {"macs": after.macs, "bytes": after.file_bytes}[limit.metric]
        return Reached(limit.metric, limit.bound(base), value, unit)

    def _layers(self, model: nn.Module, spec: ModelSpec) -> tuple[KeptLayer, ...]:
        """What was kept of each layer."""
        base, floats, example = load_saved(self.folder / _BASE), in_floats(model), self.data.example_input
        return kept_layers((trace(base, example), base), (trace(floats, example), floats), spec.bits)


def _record(name: str, stage: Stage, place: int) -> str:
    """The file of a search: those of the first stage have plain names."""
    return f"{name}.sqlite" if not place else f"{name}-{stage.method}.sqlite"


def _there(path: Path) -> Path | None:
    return path if path.is_file() else None
