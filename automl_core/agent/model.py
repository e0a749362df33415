"""The model: an ensemble of networks that predicts the metrics of a design, and how sure it is.

It predicts metrics rather than the reward, so that all that was ever simulated serves every target. Sources: deep
ensembles, Lakshminarayanan et al. (2017); a network as surrogate for sizing, Budak et al., "DNN-Opt" (2021); short
imagined rollouts of a learnt ensemble, Janner et al., "MBPO" (2019).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from automl_core.space import Array

__all__ = ["MANY", "Additive", "Ensemble", "MetricModel", "Prediction", "Warp"]

MANY = 32
"""Variables; with more of them an agent has fewer trials than a few for each, for most of its search."""

_RATIO = 5.0
"""A positive metric whose 95th percentile is more than this times its 5th is predicted on a log scale."""
_WIDEST = 4.0
"""Warped values beyond these many robust deviations are clipped: an outlier tells that it is far, not how far."""


@dataclass(frozen=True)
class Warp:
    """A monotone map of one metric onto numbers a network predicts well: a logarithm or asinh, then standardised.

    Args:
        log: the logarithm comes first.
        centre: median of what the network saw, after the logarithm.
        spread: robust deviation of it.
    """

    log: bool
    centre: float
    spread: float

    @classmethod
    def of(cls, values: Array) -> Warp:
        """The warp for a metric.

        Args:
            values: shape (n,), finite.
        """
        if not len(values):
            return cls(log=False, centre=0.0, spread=1.0)
        low, high = np.quantile(values, [0.05, 0.95])
        log = bool(values.min() > 0 and high > _RATIO * low)
        numbers = np.log(values) if log else values
        centre = float(np.median(numbers))
        spread = float(np.quantile(numbers, 0.84) - np.quantile(numbers, 0.16)) / 2
        return cls(log, centre, max(spread, 1e-9 * max(abs(centre), 1e-300), 1e-30))

    def forward(self, values: Array) -> Array:
        """Metric to network; NaN stays NaN, and what no logarithm takes lies at the low end of the range."""
        with np.errstate(all="ignore"):
            numbers = np.log(np.maximum(values, 0.0)) if self.log else values
            scaled = (numbers - self.centre) / self.spread
        if self.log:
            return np.where(np.isnan(values), np.nan, np.clip(scaled, -2 * _WIDEST, 2 * _WIDEST))
        return np.clip(np.arcsinh(scaled), -_WIDEST, _WIDEST)

    def inverse(self, warped: Tensor) -> Tensor:
        """Network to metric."""
        if self.log:
            return torch.exp(warped * self.spread + self.centre)
        return torch.sinh(warped) * self.spread + self.centre


_Pairs: TypeAlias = Sequence[tuple[int, int]]
"""Places here and there that mean the same."""


class Ensemble(nn.Module):
    """``members`` perceptrons side by side, each with its own weights.

    Args:
        inputs: numbers in.
        outputs: numbers out.
        members: how many networks.
        width: of the two hidden layers.
        generator: draws the weights.
    """

    def __init__(self, inputs: int, outputs: int, members: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        sizes = (inputs, width, width, outputs)
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for fan_in, fan_out in pairwise(sizes):
            bound = 1 / math.sqrt(fan_in)
            weight = (torch.rand(members, fan_in, fan_out, generator=generator) * 2 - 1) * bound * math.sqrt(3)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter((torch.rand(members, 1, fan_out, generator=generator) * 2 - 1) * bound))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (members, n, inputs) or (n, inputs) to (members, n, outputs)."""
        if x.dim() == 2:
            x = x.expand(self.weights[0].shape[0], *x.shape)
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if layer < last:
                x = nn.functional.silu(x)
        return x

    @torch.no_grad()
    def take_over(self, tensors: Mapping[str, Tensor], rows: _Pairs, columns: _Pairs) -> bool:
        """Take over the weights of another one of its kind, the layers between as they are.

        Args:
            tensors: its state.
            rows: inputs here and there.
            columns: outputs here and there.

        Returns:
            whether it is of this kind and width.
        """
        if "weights.1" not in tensors or tensors["weights.1"].shape != self.weights[1].shape:
            return False
        for to, of in rows:
            self.weights[0][:, to] = tensors["weights.0"][:, of]
        for to, of in columns:
            self.weights[2][:, :, to] = tensors["weights.2"][:, :, of]
            self.biases[2][:, :, to] = tensors["biases.2"][:, :, of]
        self.weights[1].copy_(tensors["weights.1"])
        for layer in (0, 1):
            self.biases[layer].copy_(tensors[f"biases.{layer}"])
        return True


class Additive(nn.Module):
    """``members`` sums side by side of a parabola in each input: what few trials tell of many variables.

    Args:
        inputs: numbers in, from 0 to 1.
        outputs: numbers out.
        members: how many sums.
        generator: draws the weights.
    """

    penalty = 1e-3
    """Of the squares of the weights, in the loss: with fewer trials than weights it is what decides between them."""

    def __init__(self, inputs: int, outputs: int, members: int, generator: torch.Generator) -> None:
        super().__init__()
        first = 0.02 * torch.randn(members, 2 * inputs, outputs, generator=generator)
        self.weights = nn.ParameterList([nn.Parameter(first)])
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(members, 1, outputs))])

    def forward(self, x: Tensor) -> Tensor:
        """Shape (members, n, inputs) or (n, inputs) to (members, n, outputs)."""
        if x.dim() == 2:
            x = x.expand(self.weights[0].shape[0], *x.shape)
        centred = 2 * x - 1
        return torch.baddbmm(self.biases[0], torch.cat([centred, centred.square()], -1), self.weights[0])

    @torch.no_grad()
    def take_over(self, tensors: Mapping[str, Tensor], rows: _Pairs, columns: _Pairs) -> bool:
        """As :meth:`Ensemble.take_over`."""
        theirs, own = tensors["weights.0"], self.weights[0]
        if "weights.1" in tensors or theirs.shape[0] != own.shape[0]:
            return False
        powers = [(own.shape[1] // 2 * power, theirs.shape[1] // 2 * power) for power in (0, 1)]
        for (to, of), (here, there), (to_column, of_column) in product(rows, powers, columns):
            own[:, here + to, to_column] = theirs[:, there + of, of_column]
        for to, of in columns:
            self.biases[0][:, :, to] = tensors["biases.0"][:, :, of]
        return True


@dataclass(frozen=True)
class Prediction:
    """What the model expects of designs.

    Args:
        metrics: shape (members, n, metrics), in the metrics' own units.
        measured: shape (members, n, metrics): the chance that the metric can be measured at all.
    """

    metrics: Tensor
    measured: Tensor


class MetricModel:
    """Learns metrics from trials, a little at every call.

    Args:
        inputs: names of the coordinates of a design (choices one-hot).
        metrics: names of the metrics to predict.
        seed: of the weights and the batches.
        members: networks in the ensemble.
        width: of the hidden layers.
        rate: of Adam.
        additive: whether each input counts by itself: a network needs more trials than a few for each input.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        metrics: Sequence[str],
        seed: int,
        *,
        members: int = 5,
        width: int = 96,
        rate: float = 2e-3,
        additive: bool = False,
    ) -> None:
        self.inputs, self.metrics = tuple(inputs), tuple(metrics)
        self.generator = torch.Generator().manual_seed(seed)
        sizes = (len(self.inputs), 2 * len(self.metrics), members)
        self.network = Additive(*sizes, self.generator) if additive else Ensemble(*sizes, width, self.generator)
        self.warps: tuple[Warp, ...] = tuple(Warp(log=False, centre=0.0, spread=1.0) for _ in self.metrics)
        self._adam = torch.optim.Adam(self.network.parameters(), lr=rate, weight_decay=0.0)
        self._x = torch.zeros(0, len(self.inputs))
        self._y = torch.zeros(0, len(self.metrics))
        self._raw = np.zeros((0, len(self.metrics)))
        self._weights = torch.zeros(members, 0)
        self._fitted = 0
        self.members = members

    def __len__(self) -> int:
        return len(self._x)

    def add(self, designs: Tensor, metrics: Sequence[Mapping[str, float]]) -> None:
        """Take in designs.

        Args:
            designs: shape (n, inputs).
            metrics: of each; one that is absent or NaN could not be measured.
        """
        raw = np.array([[row.get(name, math.nan) for name in self.metrics] for row in metrics], dtype=float)
        raw[~np.isfinite(raw)] = np.nan
        self._raw = np.concatenate([self._raw, raw.reshape(-1, len(self.metrics))])
        self._x = torch.cat([self._x, designs])
        fresh = torch.rand(self.members, len(metrics), generator=self.generator)
        self._weights = torch.cat([self._weights, 0.5 + fresh], dim=1)

    def fit(self, steps: int, batch: int = 64, *, focus: Tensor | None = None) -> None:
        """Train on what there is; the warps follow the data while it grows.

        Args:
            steps: of gradient descent.
            batch: designs in each.
            focus: shape (n,): how much each design matters; ``None``: all the same.
        """
        if not len(self._x):
            return
        self._refresh_warps()
        known = ~torch.isnan(self._y)
        y = torch.nan_to_num(self._y)
        for _ in range(steps):
            if focus is None:
                rows = torch.randint(len(self._x), (batch,), generator=self.generator)
            else:
                rows = torch.multinomial(focus, batch, replacement=True, generator=self.generator)
            out = self.network(self._x[rows])
            mean, chance = out.chunk(2, dim=-1)
            weight = self._weights[:, rows, None]
            error = nn.functional.smooth_l1_loss(mean, y[rows].expand_as(mean), reduction="none", beta=0.5)
            missing = nn.functional.binary_cross_entropy_with_logits(
                chance, known[rows].float().expand_as(chance), reduction="none"
            )
            loss = (weight * (error * known[rows] + 0.2 * missing)).mean()
            if isinstance(self.network, Additive):
                loss = loss + self.network.penalty * self.network.weights[0].square().sum((1, 2)).mean()
            self._adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._adam.step()

    def _refresh_warps(self) -> None:
        """New warps when the data have doubled: often enough, and rarely enough for the weights to follow."""
        if len(self._raw) >= 2 * self._fitted or self._fitted == 0:
            self._fitted = len(self._raw)
            columns = (column[np.isfinite(column)] for column in self._raw.T)
            self.warps = tuple(Warp.of(column) for column in columns)
        if len(self._y) != len(self._raw) or self._fitted == len(self._raw):
            self._y = self._warped()

    def begin_from(self, tensors: Mapping[str, Tensor], inputs: Sequence[str], warps: Mapping[str, Warp]) -> None:
        """Take over an earlier model: its inputs and metrics by name, the layers between as they are.

        The maps of its metrics are taken over too where they explain the trials at hand better than maps made from
        these: after a change of technology the numbers differ, and what remains is how they depend on the design.

        Args:
            tensors: its weights, as the network's.
            inputs: names of its inputs.
            warps: metric -> map.
        """
        rows = [(at, list(inputs).index(name)) for at, name in enumerate(self.inputs) if name in inputs]
        metrics = list(warps)
        outputs = [(at, metrics.index(name)) for at, name in enumerate(self.metrics) if name in warps]
        count, earlier = len(self.metrics), len(metrics)
        columns = [*outputs, *((count + to, earlier + of) for to, of in outputs)]
        if not rows or not outputs or not self.network.take_over(tensors, rows, columns):
            return
        self._refresh_warps()
        own, own_error = self.warps, self._error()
        self.warps = tuple(warps.get(name, warp) for name, warp in zip(self.metrics, own, strict=True))
        self._y = self._warped()
        if self._error() > own_error:
            self.warps = own
            self._y = self._warped()

    def _error(self) -> float:
        """Mean distance of the ensemble's mean from the trials, in robust deviations."""
        if not len(self._x):
            return 0.0
        with torch.no_grad():
            mean = self.network(self._x)[..., : len(self.metrics)].mean(0)
        return float((mean - self._y).abs().nanmean())

    def state_dict(self) -> dict[str, Any]:
        """All but the trials."""
        return {
            "network": self.network.state_dict(),
            "adam": self._adam.state_dict(),
            "warps": [asdict(warp) for warp in self.warps],
            "fitted": self._fitted,
            "weights": self._weights,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave; the same trials have been added already."""
        self.network.load_state_dict(state["network"])
        self._adam.load_state_dict(state["adam"])
        self.warps = tuple(Warp(**fields) for fields in state["warps"])
        self._fitted = int(state["fitted"])
        self._weights = state["weights"]
        self._y = self._warped()
        self.generator.set_state(state["generator"])

    def _warped(self) -> Tensor:
        columns = [warp.forward(column) for warp, column in zip(self.warps, self._raw.T, strict=True)]
        return torch.as_tensor(np.stack(columns, axis=1), dtype=torch.float32)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """While gradients of designs are wanted, those of the weights are not."""
        self.network.requires_grad_(False)
        try:
            yield
        finally:
            self.network.requires_grad_(True)

    def predict(self, designs: Tensor) -> Prediction:
        """What is expected of designs, shape (n, inputs) or (members, n, inputs); differentiable."""
        mean, chance = self.network(designs).chunk(2, dim=-1)
        columns = [warp.inverse(mean[..., i]) for i, warp in enumerate(self.warps)]
        return Prediction(torch.stack(columns, dim=-1), torch.sigmoid(chance))
