"""All designs that the agent was told of, as tensors; scored under whatever specs are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from automl_core.agent.graph import DesignGraph
from automl_core.agent.imagination import Standing
from automl_core.agent.scales import Scales
from automl_core.agent.scoring import SpecTensors
from automl_core.agent.state import State
from automl_core.problem import Trial
from automl_core.specs import Specs

__all__ = ["Memory"]


class Memory:
    """The replay memory.

    What a trial is worth is not kept: it follows from its metrics, so that one memory serves every target.

    Args:
        graph: of the problem.
        metrics: names of the metrics that specs name.
        scales: of observations and metrics; learnt from the first trials.
    """

    def __init__(self, graph: DesignGraph, metrics: Sequence[str], scales: Scales) -> None:
        self._graph = graph
        self.metrics = tuple(metrics)
        self._scales = scales
        self.observations: tuple[str, ...] = ()
        self._known: set[bytes] = set()
        self._trials: list[Trial] = []
        self._designs = torch.zeros(0, graph.relaxation.dim)
        self._values = torch.zeros(0, len(self.metrics))
        self._seen: Tensor | None = None

    def __len__(self) -> int:
        return len(self._trials)

    def __contains__(self, unit: bytes) -> bool:
        return unit in self._known

    @property
    def trials(self) -> Sequence[Trial]:
        """Every trial, in the order it was first heard of."""
        return self._trials

    @property
    def designs(self) -> Tensor:
        """Shape (trials, coordinates): every design, relaxed."""
        return self._designs

    def add(self, trials: Sequence[Trial]) -> list[Trial]:
        """Take in trials; one that is known already adds nothing.

        Returns:
            Those that are new, in order.
        """
        fresh: list[Trial] = []
        for trial in trials:
            key = trial.unit.tobytes()
            if key not in self._known:
                self._known.add(key)
                fresh.append(trial)
        if fresh:
            self._trials += fresh
            rows = np.stack([self._graph.relaxation.expand(trial.unit) for trial in fresh])
            self._designs = torch.cat([self._designs, torch.as_tensor(rows, dtype=torch.float32)])
            values = [[_finite(trial.metrics.get(name, math.nan)) for name in self.metrics] for trial in fresh]
            self._values = torch.cat([self._values, torch.tensor(values, dtype=torch.float32)])
        return fresh

    def settle(self) -> None:
        """Fix the scales and the names of observations by what was seen so far; called before networks are made."""
        seen = [trial for trial in self._trials if trial.observations]
        names = sorted({name for trial in seen for values in trial.observations.values() for name in values})
        self.observations = tuple(names)
        for name in names:
            column = [v[name] for t in seen for v in t.observations.values() if name in v]
            self._scales.learn(f"observation {name}", np.array(column, dtype=float))
        for position, metric in enumerate(self.metrics):
            self._scales.learn(f"metric {metric}", self._values[:, position].double().numpy())

    def losses(self, specs: SpecTensors) -> Tensor:
        """Shape (rows of the specs, trials): the loss of every trial under every row of specs."""
        measured = ~torch.isnan(self._values)
        loss = specs.loss(torch.nan_to_num(self._values).unsqueeze(1), measured.float().unsqueeze(1))
        return loss.T

    def standing(self, specs: SpecTensors) -> Standing:
        """Where the search stands under every row of specs."""
        merits = specs.merit(torch.nan_to_num(self._values).unsqueeze(1)).T
        return Standing.of(self.losses(specs), merits)

    def states(self, rows: Sequence[int], specs: Sequence[Specs]) -> State:
        """Situations.

        Args:
            rows: positions of trials; -1 where there is no design yet.
            specs: one for each, or one for all.
        """
        index = torch.tensor(list(rows), dtype=torch.long)
        present = (index >= 0).float().unsqueeze(1)
        padded = torch.cat([self._designs, torch.full((1, self._designs.shape[1]), 0.5)])
        seen = torch.cat([self._observed(), torch.zeros(1, self._graph.size, len(self.observations))])
        values = torch.cat([self._values, torch.full((1, len(self.metrics)), math.nan)])[index]
        return State(padded[index], present, seen[index], self._fields(values, present, specs))

    def _fields(self, values: Tensor, present: Tensor, specs: Sequence[Specs]) -> Tensor:
        """The specs of each situation, as SPEC_FIELDS says."""
        tensors = SpecTensors(specs)
        rows = len(values)
        bounds = []
        for bound in (tensors.minimum, tensors.maximum):
            given = torch.isfinite(bound)
            numbers = bound.double().numpy()
            columns = [self._scales.apply(f"metric {name}", numbers[:, i]) for i, name in enumerate(self.metrics)]
            scaled = torch.where(given, torch.stack(columns, dim=1), 0.0)
            bounds += [scaled.expand(rows, -1), given.float().expand(rows, -1)]
        measured = (~torch.isnan(values)).float() * present
        short = tensors.shortfall(torch.nan_to_num(values))
        squashed = short / (1 + short.abs()) * measured
        return torch.stack([*bounds, tensors.goal.expand(rows, -1), squashed, measured], dim=-1)

    def _observed(self) -> Tensor:
        """Shape (trials, nodes, observations): scaled; extended by the trials that came since the last call."""
        done = 0 if self._seen is None else len(self._seen)
        fresh = self._trials[done:]
        raw = np.full((len(fresh), self._graph.size, len(self.observations)), np.nan)
        for row, trial in enumerate(fresh):
            for node, values in trial.observations.items():
                at = self._graph.positions.get(node)
                for column, name in enumerate(self.observations):
                    if at is not None and name in values:
                        raw[row, at, column] = values[name]
        columns = [self._scales.apply(f"observation {n}", raw[:, :, i]) for i, n in enumerate(self.observations)]
        scaled = torch.stack(columns, dim=-1) if columns else torch.zeros(len(fresh), self._graph.size, 0)
        self._seen = scaled if self._seen is None else torch.cat([self._seen, scaled])
        return self._seen


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan
