"""What a user asks of a compression, and what follows from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from automl_core.budget import Budget
from automl_core.errors import InputError
from automl_core.optimizers import check_name
from nn_compression.files.references import zoo_model
from nn_compression.files.user_code import is_user_reference
from nn_compression.hardware import HARDWARE, load_hardware
from nn_compression.run.base import Source
from nn_compression.run.plan import Plan, Stage, make_plan
from nn_compression.training.trained_weights import usual_schedule

__all__ = ["Settings", "settings_of"]

_SMALL = "digits_net"
"""The network where the user names none: on scikit-learn's digits, trained as usual."""

_ONLY: Mapping[str, tuple[Callable[[Stage], bool], str]] = {
    "round_to": (lambda stage: stage.method == "channels", "--method channels and all"),
    "table": (
        lambda stage: stage.metric == "latency" and not stage.modelled,
        "--method channels with --budget latency=..., which is measured here",
    ),
    "hardware": (
        lambda stage: stage.modelled,
        "--method bits with --budget latency=... or energy=..., which are modelled",
    ),
}
"""What has a use in some stages only: in which, and in words."""


@dataclass(frozen=True)
class Settings:
    """What the user asked for.

    Args:
        model: ``module:function``, or a network of the zoo; ``None``: a small one on scikit-learn's digits.
        data: ``module:function``, or the name of a data set; ``None``: what the zoo's network is for.
        weights: a safetensors file.
        method: of :data:`nn_compression.run.plan.METHODS`.
        budget: as in ``macs=0.5``; ``None``: the method's usual one.
        max_drop: instead of a budget.
        optimizer: a name of the registry.
        evaluations: of a search: a number, or a time ("10m").
        seed: of everything.
        train_epochs: of the network before it is compressed; ``None``: it comes trained.
        finetune_epochs: after each stage.
        learning_rate: of the training; a fifth of it afterwards; ``None``: the usual one.
        distill: whether the network as it was teaches.
        keep: layers that make all their channels, and keep all their weights and 8 bits.
        round_to: channels that are kept are multiples of this; ``None``: of 1.
        hardware: whose latency or energy is modelled; ``None``: the edge's.
        table: a file of latencies measured here; ``None``: the one in the user's cache.
        policy: the folder of what an agent learnt on another network.
    """

    model: str | None = None
    data: str | None = None
    weights: str | None = None
    method: str = "channels"
    budget: str | None = None
    max_drop: float | None = None
    optimizer: str = "auto"
    evaluations: str = "200"
    seed: int = 0
    train_epochs: int | None = None
    finetune_epochs: int = 10
    learning_rate: float | None = None
    distill: bool = False
    keep: tuple[str, ...] = ()
    round_to: int | None = None
    hardware: str | None = None
    table: str | None = None
    policy: str | None = None

    def settled(self) -> Settings:
        """With the names that were left out, and the whole paths of files: a run goes on from any folder.

        Raises:
            InputError: a user's own network comes without data, or there is no policy where one is named.
        """
        if self.model is None:
            usual = usual_schedule(_SMALL)
            epochs = 0 if self.weights or usual is None else usual.epochs
            epochs = epochs if self.train_epochs is None else self.train_epochs
            return replace(self, model=_SMALL, train_epochs=epochs).settled()
        if self.data is None and is_user_reference(self.model):
            remedy = "name it with --data module:function, a function that returns nn_compression.data.Data"
            raise InputError("a network of your own needs its data", place=self.model, remedy=remedy)
        named = self._located()
        named = replace(named, data=named.data or zoo_model(self.model)[0].data)
        return named if named.policy is None else named._with_policy(Path(named.policy))

    def _located(self) -> Settings:
        """With the whole paths of the files that were named."""
        paths = {"weights": self.weights, "table": self.table, "policy": self.policy}
        paths["data"] = self.data if (self.data or "").endswith(".txt") else None
        machine = self._own_machine
        paths["hardware"] = machine if machine is not None and Path(machine).is_file() else None
        found: dict[str, Any] = {name: str(Path(path).resolve()) for name, path in paths.items() if path is not None}
        return replace(self, **found)

    def _with_policy(self, named: Path) -> Settings:
        """With the policy itself where a run's folder was named, and with the optimizer that it is of."""
        from nn_compression.run.policy import found_policy, kind_of  # only here: it costs the import of the agent

        policy = found_policy(named, [stage.method for stage in self.plan.stages])
        return replace(
            self, policy=str(policy), optimizer=kind_of(policy) if self.optimizer == "auto" else self.optimizer
        )

    @property
    def source(self) -> Source:
        """Where the network comes from; of settled settings."""
        return Source(
            self.model or "", self.data or "", self.weights, self.train_epochs or 0, self.learning_rate, self.seed
        )

    @property
    def plan(self) -> Plan:
        """What is done, in which order.

        Raises:
            InputError: the method or the budget cannot be read, or do not go together.
        """
        return make_plan(self.method, self.budget, self.max_drop)

    def check(self) -> None:
        """Refuse what can be refused before the network is read; of settled settings.

        Raises:
            InputError: the optimizer, the hardware or the policy does not exist; the method, the budget or the
                evaluations cannot be read; or two of them do not go together.
        """
        check_name(self.optimizer)
        _ = self.plan, self.search_budget
        if self.hardware is not None:
            _refuse_unknown_hardware(self.hardware)
        if self.learning_rate is not None and not self.train_epochs and not self.finetune_epochs:
            remedy = "leave it out, or train: --train-epochs before the search, --finetune-epochs after it"
            raise InputError("there is no training for it", place="--lr", remedy=remedy)
        if self.distill and not self.finetune_epochs:
            remedy = "leave one of them out: without training afterwards nothing is learnt from the network as it was"
            raise InputError("--distill and --finetune-epochs 0 exclude each other", place="--distill", remedy=remedy)
        if self.policy is not None:
            from nn_compression.run.policy import check_policy  # as above

            check_policy(Path(self.policy), self.optimizer)

    def refuse_idle(self) -> None:
        """Refuse options that the plan has no use for: one that is passed over would seem to count.

        Raises:
            InputError: with what it is for.
        """
        for name, (use, purpose) in _ONLY.items():
            if getattr(self, name) is not None and not any(map(use, self.plan.stages)):
                option = f"--{name.replace('_', '-')}"
                raise InputError(
                    f"it has no part in {self.plan}", place=option, remedy=f"leave it out; {option} is for {purpose}"
                )

    @property
    def search_budget(self) -> Budget:
        """What a search may spend.

        Raises:
            InputError: it cannot be read.
        """
        return Budget.parse(self.evaluations)

    @property
    def measures_latency(self) -> bool:
        """Whether the budget is a latency measured here, not one modelled for some hardware."""
        stage = self.plan.stages[0]
        return stage.metric == "latency" and not stage.modelled

    @property
    def name(self) -> str:
        """What a run of it is called."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", (self.model or "").rpartition(":")[2]) or "network"

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that were named, and do not grow with the run as a table does."""
        policy = sorted(Path(self.policy).glob("policy.*")) if self.policy else []
        others = [Path(file) for file in (self.weights, self._own_machine) if file]
        return (*others, *policy)

    @property
    def _own_machine(self) -> str | None:
        """The file of the hardware, where it is none that has a name."""
        return None if self.hardware in HARDWARE else self.hardware


def _refuse_unknown_hardware(reference: str) -> None:
    """Also where no figure of the hardware is asked for: a name that is passed over would seem to count.

    Raises:
        InputError: there is no such machine, or its file cannot be read.
    """
    try:
        load_hardware(reference)
    except InputError as error:
        place = "--hardware" if error.place == "hardware" else error.place
        raise InputError(error.problem, place=place, remedy=error.remedy) from error


def settings_of(facts: Mapping[str, Any]) -> Settings:
    """The settings that a record holds."""
    known = {entry.name for entry in fields(Settings)}
    kept = {name: value for name, value in facts["settings"].items() if name in known}
    return Settings(**{**kept, "keep": tuple(kept["keep"])})
