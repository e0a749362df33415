"""Constrained Bayesian optimisation in a trust region (SCBO), on botorch.

Source: Eriksson and Poloczek, "Scalable Constrained Bayesian Optimization" (2021), on top of the trust region of
Eriksson et al. (2019). Of each draw from the models of the metrics, the candidate is proposed that the specs would rank
first: feasible ones by merit, or else the one of least violation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.stats import qmc

from automl_core.budget import Budget
from automl_core.optimizers.region import Region
from automl_core.optimizers.surrogate import Hyperparameters, Surrogate
from automl_core.problem import Trial
from automl_core.space import Array, DesignSpace, Relaxation
from automl_core.specs import Score, Specs

__all__ = ["TrustRegion"]

_MOST_INITIAL = 64
"""Designs that are spread over the space at a start: two a variable, 10 at least, this many at most."""
_FEWEST, _MOST = 64, 300
"""Points a model is made of: those within twice the region; at least and at most this many, the nearest."""
_GAIN = 1e-3
"""Of the violation or the merit: less does not count as an improvement."""
_NAMED = 3
"""Variables named in the log for each metric, those of the shortest length scales."""


class TrustRegion:
    """Local models of every metric that has a spec; begins anew elsewhere when its region has become too small.

    Args:
        space: choices are one-hot in the models.
        specs: order what is drawn from the models, as they order the trials.
        seed: of all that is drawn.
        budget: a quarter of it at most is spread over the space at a start.

    Attributes:
        log: a sentence for each model that was made: of what points, in what region, and which variables each metric
            answers most to.
    """

    def __init__(self, space: DesignSpace, specs: Specs, seed: int, budget: Budget) -> None:
        self.log: list[str] = []
        self._space = space
        self._specs = specs
        self._seed = seed
        self._relaxation = Relaxation(space)
        planned = min(max(2 * space.dim, 10), _MOST_INITIAL, budget.expected_evaluations / 4)
        self._initial = max(int(planned), 4)
        self._surrogate = Surrogate(specs)
        self._known = _Known(specs)
        self._state = _State()

    def ask(self, n: int) -> Array:
        """``n`` designs, shape (n, dim); fewer at the end of a start, and where few designs of the region are new."""
        self._settle()
        state = self._state
        generator = np.random.default_rng((self._seed, state.asks))
        state.asks += 1
        if state.starting:
            state.starting = False
            state.queue = self._spread(self._initial - (len(self._known) - state.begun), generator).tolist()
        state.from_model = not state.queue
        if state.queue:
            asked, state.queue = np.array(state.queue[:n]), state.queue[n:]
        else:
            asked = self._propose(n, generator)
        leader = self._known.best(state.begun)
        state.before = None if leader is None else self._known.scores[leader]
        state.waiting = [row.tobytes().hex() for row in asked]
        state.asked = len(asked)
        return asked

    def tell(self, trials: Sequence[Trial]) -> None:
        """Take in trials; the region learns once the last of its batch was told."""
        waiting = set(self._state.waiting)
        for trial in trials:
            self._known.add(trial)
            waiting.discard(trial.asked.tobytes().hex())
        self._state.waiting = [key for key in self._state.waiting if key in waiting]
        if not self._state.waiting:
            self._settle()

    def checkpoint(self) -> bytes:
        """Where the region is in its course, and the last hyperparameters."""
        found = self._surrogate.hyperparameters
        fitted = None if found is None else {name: part.tolist() for name, part in vars(found).items()}
        return json.dumps({"state": asdict(self._state), "hyperparameters": fitted, "log": self.log}).encode()

    def restore(self, state: bytes, trials: Sequence[Trial]) -> None:
        """Go on from there."""
        content = json.loads(state)
        self._state = _State.of(content["state"])
        fitted = content["hyperparameters"]
        if fitted is not None:
            self._surrogate.hyperparameters = Hyperparameters(**{name: np.array(part) for name, part in fitted.items()})
        self.log = content["log"]
        for trial in trials:
            self._known.add(trial)

    def _settle(self) -> None:
        """End the batch: the region learns from what was told of it, and begins anew where it has become too small."""
        state = self._state
        told = state.asked - len(state.waiting)
        if state.from_model and told:
            leader = self._known.best(state.begun)
            improved = leader is not None and _improves(self._known.scores[leader], state.before)
            state.region.update(improved=improved, dim=self._space.dim, batch=told)
            if state.region.converged:
                state.region, state.begun, state.starting = Region(), len(self._known), True
                self._surrogate.hyperparameters = None
        state.waiting, state.asked = [], 0

    def _spread(self, count: int, generator: np.random.Generator) -> Array:
        """``count`` designs anywhere, none where it is negative."""
        sequence = qmc.Sobol(self._space.dim, rng=generator).random_base2(max(count - 1, 1).bit_length())
        spread: Array = sequence[: max(count, 0)]
        return spread

    def _propose(self, n: int, generator: np.random.Generator) -> Array:
        """For each of ``n`` draws from the models the best candidate that is not taken or known."""
        centre = self._known.best(self._state.begun)
        if centre is None:
            return self._spread(n, generator)
        units = np.array(self._known.units)
        self._model(units, centre)
        drawn = self._state.region.candidates(units[centre], self._space, generator)
        candidates = drawn[[row.tobytes() not in self._known for row in drawn]]
        if not len(candidates):
            return self._spread(1, generator)
        losses = self._surrogate.draw_losses(self._relaxation.expand(candidates), min(n, len(candidates)), generator)
        taken: list[int] = []
        for row in losses:
            row[taken] = np.inf
            taken.append(int(np.argmin(row)))
        return candidates[taken]

    def _model(self, units: Array, centre: int) -> None:
        """Fit the models to the points around the centre."""
        points, length, number = self._relaxation.expand(units), self._state.region.length, self._known.numbers[centre]
        nearest = np.argsort(np.linalg.norm(points - points[centre], axis=1), kind="stable")
        within = int((np.abs(units - units[centre]).max(axis=1) <= length).sum())
        used = nearest[: min(max(within, _FEWEST), _MOST)]
        self._surrogate.fit(points[used], np.array(self._known.metrics)[used])
        self.log.append(
            f"{len(units)} trials known: {len(used)} points modelled, the nearest to trial {number}; "
            f"region of length {length:.3g}; length scales: {self._length_scales()}"
        )

    def _length_scales(self) -> str:
        """The shortest of each metric, by variable."""
        found = self._surrogate.hyperparameters
        if found is None:
            return "none yet"
        names = [
            label
            for variable in self._space.variables
            for label in (
                [f"{variable.name}={choice}" for choice in variable.choices] if variable.choices else [variable.name]
            )
        ]
        return "; ".join(
            f"{spec.metric}: " + ", ".join(f"{names[i]} {lengths[i]:.2g}" for i in np.argsort(lengths)[:_NAMED])
            for spec, lengths in zip(self._specs.specs, found.lengths, strict=True)
        )


@dataclass
class _State:
    """What the trials do not say.

    Args:
        region: edge and counters.
        asks: how often it was asked: the seed of each ask.
        begun: trials known at the last start; the region's centre is the best since.
        starting: designs are to be spread over the space.
        queue: those of them that are left.
        waiting: keys of the designs asked last that were not told yet.
        asked: how many were asked last.
        from_model: they came from the models.
        before: score of the centre when they were asked.
    """

    region: Region = field(default_factory=Region)
    asks: int = 0
    begun: int = 0
    starting: bool = True
    queue: list[list[float]] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    asked: int = 0
    from_model: bool = False
    before: Score | None = None

    @classmethod
    def of(cls, content: dict[str, Any]) -> _State:
        """From what ``asdict`` made of it."""
        before = content["before"]
        parts = {"region": Region(**content["region"]), "before": None if before is None else Score(**before)}
        return cls(**{**content, **parts})


class _Known:
    """The different trials it was told, in the order it first heard of them."""

    def __init__(self, specs: Specs) -> None:
        self._specs = specs
        self._keys: set[bytes] = set()
        self.units: list[Array] = []
        self.metrics: list[Array] = []
        self.scores: list[Score] = []
        self.numbers: list[int] = []

    def __len__(self) -> int:
        return len(self.units)

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def add(self, trial: Trial) -> None:
        """One more trial; a failed one has no metric, whatever it carries."""
        if trial.unit.tobytes() in self._keys:
            return
        self._keys.add(trial.unit.tobytes())
        metrics = {} if trial.status in ("failed", "timeout") else trial.metrics
        self.units.append(trial.unit)
        self.metrics.append(np.array([metrics.get(spec.metric, np.nan) for spec in self._specs.specs]))
        self.scores.append(self._specs.judge(trial))
        self.numbers.append(trial.number)

    def best(self, begun: int) -> int | None:
        """Position of the best trial since the ``begun``-th; ``None`` where there is none."""
        return min(range(begun, len(self.units)), key=lambda position: self.scores[position].loss, default=None)


def _improves(score: Score, before: Score | None) -> bool:
    """Whether a score is better by more than a thousandth."""
    if before is None or not score.better_than(before):
        return before is None
    if before.feasible:
        return score.merit > before.merit + _GAIN * abs(before.merit)
    return score.feasible or score.violation < (1.0 - _GAIN) * before.violation
