"""Designs improved on the model instead of the simulator, between real evaluations.

From designs that the policy proposes, and from pseudo-samples around the best ones known, every network of the ensemble
follows its own gradient towards the specs, inside a trust region; those that a network likes best are worth a real
evaluation (Thompson sampling, one posterior sample a network). Sources: pseudo-samples, Budak et al., "DNN-Opt"
(2021); imagined rollouts of a learnt ensemble, Janner et al., "MBPO" (2019); the trust region, Eriksson et al.,
"TuRBO" (2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from automl_core.agent.graph import DesignGraph
from automl_core.agent.model import MetricModel, Prediction
from automl_core.agent.scoring import SpecTensors

__all__ = ["Imagination", "Standing", "hopes"]

_STEPS = 16
_RATE = 0.1
"""Length of a gradient step, in trust radii."""
_ALONG = 0.4
"""Share of pseudo-samples that move along the difference of two good designs, hence along the valleys they lie in
(differential evolution); the others move a few coordinates at random."""
_SHARPNESS = 80.0
_MARGIN, _PROVEN_MARGIN = 0.02, 0.002
"""A bound is aimed at with this much to spare, relative to its scale, because the model errs: less once a design that
meets all specs is known, for where there are goals the best design lies on a bound."""
_MERIT = 0.02
"""Weight of the merit; it fades with the violation, so that no goal pays for a broken spec."""
_LEADERS = 24


@dataclass(frozen=True)
class Standing:
    """Where a search stands, under each row of specs.

    Args:
        merit: shape (rows,): of the best design that meets the specs; 0 where none does.
        spread: shape (rows,): of the merits of the leading ones, which is what progress is measured in.
        margin: shape (rows, 1): what a bound is to be met with to spare.
    """

    merit: Tensor
    spread: Tensor
    margin: Tensor

    @classmethod
    def of(cls, losses: Tensor, merits: Tensor) -> Standing:
        """From the losses and merits of all trials, both of shape (rows, trials)."""
        met = losses <= 0
        proven = met.any(1)
        leaders = torch.topk(-losses, min(_LEADERS, losses.shape[1]), dim=1).indices
        of_leaders, counted = merits.gather(1, leaders), met.gather(1, leaders).float()
        mean = (of_leaders * counted).sum(1) / counted.sum(1).clamp(min=1.0)
        variance = ((of_leaders - mean.unsqueeze(1)) ** 2 * counted).sum(1) / counted.sum(1).clamp(min=1.0)
        best = torch.where(met, merits, -torch.inf).max(1).values
        best = torch.where(proven, best, torch.zeros(()))
        spread = torch.where(counted.sum(1) > 1, variance.sqrt(), torch.ones(()))
        spread = torch.maximum(spread, 1e-3 * best.abs() + 1e-6)
        margin = torch.where(proven, _PROVEN_MARGIN, _MARGIN).unsqueeze(1)
        return cls(best, spread, margin)


def hopes(prediction: Prediction, specs: SpecTensors, standing: Standing) -> Tensor:
    """A smooth loss for designs that were only imagined; the order is that of the specs, with a margin.

    Args:
        prediction: of (members, rows, metrics), or (members, candidates, rows, metrics) where rows differ in specs.
        specs: one row, or one a row.
        standing: with as many rows.

    Returns:
        Shape of the prediction without its last axis.
    """
    short = specs.shortfall(prediction.metrics)
    soft = torch.nn.functional.softplus((short + standing.margin) * _SHARPNESS) / _SHARPNESS
    violation = prediction.measured * torch.log1p(soft) + (1.0 - prediction.measured)
    total = (specs.weight * violation).sum(-1)
    progress = torch.asinh((specs.merit(prediction.metrics) - standing.merit) / standing.spread)
    return total - _MERIT * progress * torch.exp(-total.detach() / _MERIT)


class Imagination:
    """Improves designs on a model.

    Args:
        graph: of the problem.
        model: of its metrics.
        generator: draws the pseudo-samples.
    """

    def __init__(self, graph: DesignGraph, model: MetricModel, generator: torch.Generator) -> None:
        self._model = model
        self._generator = generator
        described = graph.space.variables
        self._choices = [at for variable, at in graph.columns.items() if described[variable].choices is not None]

    def pseudo_samples(self, parents: Tensor, radius: float) -> Tensor:
        """Disturbed copies: some coordinates of each, by lengths from tiny to the radius; choices drawn anew at times.

        Args:
            parents: shape (n, coordinates).
            radius: of the trust region, in units of the cube's edge.
        """
        n, draw = len(parents), self._generator
        length = torch.rand(n, 1, generator=draw)
        length = radius * torch.where(torch.rand(n, 1, generator=draw) < 0.5, length, length**3)
        share = torch.rand(n, 1, generator=draw).clamp(min=0.15)
        moved = (torch.rand(parents.shape, generator=draw) < share).float()
        moved.scatter_(1, torch.randint(parents.shape[1], (n, 1), generator=draw), 1.0)  # a copy would be known already
        noise = parents + torch.randn(parents.shape, generator=draw) * length * moved
        one, two = (parents[torch.randperm(n, generator=draw)] for _ in range(2))
        along = parents + torch.rand(n, 1, generator=draw) * (one - two)
        samples = _reflected(torch.where(torch.rand(n, 1, generator=draw) < _ALONG, along, noise))
        for columns in self._choices:
            fresh = torch.randint(len(columns), (n,), generator=draw)
            one_hot = torch.nn.functional.one_hot(fresh, len(columns)).float()
            redrawn = torch.rand(n, 1, generator=draw) < share * 0.5
            samples[:, columns] = torch.where(redrawn, one_hot, parents[:, columns])
        return samples

    def improve(self, bases: Tensor, specs: SpecTensors, standing: Standing, radius: float) -> Tensor:
        """Follow the gradient of each network from every base.

        Args:
            bases: shape (rows, candidates, coordinates); ``rows`` as the specs have, or 1.
            specs: what to aim at.
            standing: where the search stands under them.
            radius: how far a coordinate may move, half of it, in units of the cube's edge.

        Returns:
            Shape (members, rows, candidates, coordinates), choices one-hot.
        """
        low, high = (bases - 2 * radius).clamp(0, 1), (bases + 2 * radius).clamp(0, 1)
        designs = bases.expand(self._model.members, *bases.shape).clone().requires_grad_(True)
        mover = torch.optim.Adam([designs], lr=max(_RATE * radius, 2e-3))
        with self._model.frozen():
            for _ in range(_STEPS):
                loss = self._hopes(designs, specs, standing).sum()
                (designs.grad,) = torch.autograd.grad(loss, designs)
                mover.step()
                with torch.no_grad():
                    designs.copy_(torch.minimum(torch.maximum(designs, low), high))
        return self._hardened(designs.detach())

    def pick(self, designs: Tensor, specs: SpecTensors, standing: Standing, count: int, radius: float) -> Tensor:
        """The designs worth a real evaluation.

        Every fourth has the best expectation over all networks, the others are the best of one network each.

        Args:
            designs: shape (members, rows, candidates, coordinates), as :meth:`improve` gives.
            specs: what to aim at.
            standing: where the search stands under them.
            count: how many for each row.
            radius: of the trust region; picks keep a tenth of it apart.

        Returns:
            Shape (rows, ranks, coordinates) with ``ranks >= count`` where there are enough: the first ``count`` are
            the picks, the others stand by.
        """
        members, rows, candidates, dim = designs.shape
        pooled = designs.permute(1, 0, 2, 3).reshape(rows, members * candidates, dim)
        with torch.no_grad():
            each = self._hopes(pooled.expand(members, *pooled.shape), specs, standing)
        return torch.stack([self._diverse(pooled[row], each[:, row], count, radius) for row in range(rows)])

    def _diverse(self, pool: Tensor, hopes_of: Tensor, count: int, radius: float) -> Tensor:
        mean = torch.argsort(hopes_of.mean(0)).tolist()
        single = [torch.argsort(hope).tolist() for hope in hopes_of]
        apart = 0.1 * radius * pool.shape[1] ** 0.5
        chosen: list[int] = []
        for position in range(min(2 * count, len(pool))):
            member = int(torch.randint(len(single), (1,), generator=self._generator))
            order = mean if position % 4 == 0 else single[member]
            chosen.append(self._next(order, chosen, pool, apart))
        return pool[chosen]

    @staticmethod
    def _next(order: list[int], chosen: list[int], pool: Tensor, apart: float) -> int:
        """The first of an order that keeps apart from those chosen, else the first that is not chosen."""
        if not chosen:
            return order[0]
        taken = set(chosen)
        lead = order[:64]
        distance = torch.cdist(pool[lead], pool[chosen]).min(1).values
        for candidate, far in zip(lead, distance.tolist(), strict=True):
            if far > apart and candidate not in taken:
                return candidate
        return next(candidate for candidate in order if candidate not in taken)

    def _hopes(self, designs: Tensor, specs: SpecTensors, standing: Standing) -> Tensor:
        """Shape (members, rows, candidates, coordinates) to (members, rows, candidates)."""
        members, rows, candidates, dim = designs.shape
        flat = self._model.predict(designs.reshape(members, rows * candidates, dim))
        shape = (members, rows, candidates, -1)
        # Specs differ along the rows: candidates come first for the score, and go back behind.
        metrics = flat.metrics.reshape(shape).transpose(1, 2)
        measured = flat.measured.reshape(shape).transpose(1, 2)
        return hopes(Prediction(metrics, measured), specs, standing).transpose(1, 2)

    def _hardened(self, designs: Tensor) -> Tensor:
        for columns in self._choices:
            best = designs[..., columns].argmax(-1)
            designs[..., columns] = torch.nn.functional.one_hot(best, len(columns)).float()
        return designs


def _reflected(designs: Tensor) -> Tensor:
    """Back into the cube as from a mirror: clipping would pile designs up on its walls."""
    inside = designs.abs()
    return torch.where(inside > 1.0, 2.0 - inside, inside).clamp(0.0, 1.0)
