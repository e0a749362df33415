"""Gaussian processes of the metrics that specs name, and functions drawn from them.

The metrics are modelled, not the margins: the margin of a spec with two bounds has a kink in the middle, and the
metric has none. Each is warped first (a logarithm or asinh, monotone) and standardised, so that a few designs that are
far off do not flatten all others: what SCBO does with its bilog and copula transforms.

Sources: Eriksson and Poloczek, "Scalable Constrained Bayesian Optimization" (2021), section 3.3, for the transforms;
Hvarfner, Hellsten and Nardi, "Vanilla Bayesian Optimization Performs Great in High Dimensions" (2024), for the prior of
the length scales; Wilson et al., "Efficiently Sampling Functions from Gaussian Process Posteriors" (2020), equations
7 and 8, for the draws: a draw of the prior from random Fourier features, corrected by what was seen. A draw of 2,000
candidates that way costs a fraction of one by their covariance.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from automl_core.agent.model import Warp
from automl_core.agent.scoring import SpecTensors
from automl_core.one_thread import one_thread
from automl_core.space import Array
from automl_core.specs import Spec, Specs

with warnings.catch_warnings():
    # linear_operator 0.6 compiles a function as it is imported, by means that torch 2.13 calls deprecated.
    warnings.filterwarnings("ignore", message="`torch.jit.script", category=DeprecationWarning)
    import botorch
    from botorch.exceptions.warnings import OptimizationWarning
    from botorch.models import SingleTaskGP
    from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
    from botorch.optim.fit import fit_gpytorch_mll_scipy
    from gpytorch.constraints import GreaterThan
    from gpytorch.likelihoods import GaussianLikelihood
    from gpytorch.mlls import ExactMarginalLogLikelihood
    from gpytorch.priors import LogNormalPrior
    from linear_operator.utils.warnings import NumericalWarning

__all__ = ["Hyperparameters", "Surrogate"]

_FITTED = 128
"""Most points that hyperparameters are fitted to, the first ones given: a step of the fit costs their cube."""
_COLD, _WARM = 30, 8
"""Steps of a fit from the prior's mode, and of one from the last hyperparameters."""
_LEAST_NOISE = 1e-6
"""Variance, of standardised metrics: simulations repeat exactly, but a metric may jump."""
_FREQUENCIES = 512
"""Of the random Fourier features: the error of the prior's covariance is about 1 / sqrt(frequencies)."""
_BEYOND = 3.0
"""Standard deviations beyond all that was seen that a metric may be drawn."""


@dataclass(frozen=True)
class Hyperparameters:
    """Of the process of each metric, on standardised warped values.

    Args:
        lengths: length scales, shape (metrics, dim).
        noises: variances, shape (metrics,).
        means: shape (metrics,).
    """

    lengths: Array
    noises: Array
    means: Array


class Surrogate:
    """One Gaussian process a metric, of Matern 5/2 kernel with a length scale a coordinate.

    Args:
        specs: the metrics they name are modelled.
    """

    def __init__(self, specs: Specs) -> None:
        self.specs = specs.specs
        self.hyperparameters: Hyperparameters | None = None
        self._score = SpecTensors(specs)
        self._targets: list[_Target] = []
        self._processes: list[_Process] = []

    def fit(self, points: Array, metrics: Array) -> None:
        """Learn from designs, the most important first.

        Args:
            points: shape (n, dim), in the unit cube.
            metrics: shape (n, specs), NaN where one is missing: it is taken to be worse than all that was seen.
        """
        self._targets = [_Target(spec, column) for spec, column in zip(self.specs, metrics.T, strict=True)]
        values = np.stack([target.values for target in self._targets], axis=1)
        with one_thread():
            self.hyperparameters = fitted(points[:_FITTED], values[:_FITTED], self.hyperparameters)
            columns, lengths = torch.from_numpy(values.T), torch.from_numpy(self.hyperparameters.lengths)
            levels = zip(self.hyperparameters.noises.tolist(), self.hyperparameters.means.tolist(), strict=True)
            self._processes = [
                _Process(torch.from_numpy(points), column, length, noise, mean)
                for column, length, (noise, mean) in zip(columns, lengths, levels, strict=True)
            ]

    def draw_losses(self, candidates: Array, n: int, generator: np.random.Generator) -> Array:
        """The loss (``Score.loss``) of candidates under ``n`` draws of all metrics, shape (n, candidates).

        Args:
            candidates: shape (candidates, dim).
            n: how many draws.
            generator: draws them.
        """
        with one_thread():
            frequencies, points = _frequencies(candidates.shape[1], generator), torch.from_numpy(candidates)
            metrics = [
                target.metric(process.draw(points, n, frequencies, generator))
                for target, process in zip(self._targets, self._processes, strict=True)
            ]
            losses: Array = self._score.loss(torch.stack(metrics, dim=-1).unsqueeze(-2)).squeeze(-1).numpy()
        return losses


class _Target:
    """What the process of one metric is given: the metric warped and standardised, and put where it is missing."""

    def __init__(self, spec: Spec, metric: Array) -> None:
        known = np.isfinite(metric)
        seen = metric[known]
        # A metric that is the same everywhere has no deviation of its own.
        same = float(seen[0]) if len(seen) else 0.0
        self._warp = Warp.of(seen) if np.any(seen != same) else Warp(False, same, spec.normaliser)
        warped = np.where(known, self._warp.forward(metric), self._missing(spec, seen))
        self._centre, self._spread = float(warped.mean()), max(float(warped.std()), 1e-9)
        self.values = (warped - self._centre) / self._spread
        """Shape (n,), finite."""
        self._range = float(self.values.min()) - _BEYOND, float(self.values.max()) + _BEYOND

    def _missing(self, spec: Spec, seen: Array) -> float:
        """Warped: a little worse than the worst that was seen, or as much worse as it takes to break the spec.

        One robust deviation is little enough not to flatten what was seen.
        """
        ends = [float(seen.min()), float(seen.max())] if len(seen) else []
        below = [] if spec.minimum is None else [spec.minimum - spec.normaliser]
        above = [] if spec.maximum is None else [spec.maximum + spec.normaliser]
        far = self._warp.forward(np.array([spec.worst([*ends, *below, *above] or [0.0]), *ends]))
        near = np.clip(far[0], far[1:].min() - 1.0, far[1:].max() + 1.0) if ends else far[0]
        broken = spec.violation(float(self._warp.inverse(torch.tensor(near, dtype=torch.double)))) > 0
        return float(near if broken or not spec.bounds else far[0])

    def metric(self, values: Tensor) -> Tensor:
        """Back to the metric, in its own unit."""
        return self._warp.inverse(values.clamp(*self._range) * self._spread + self._centre)


def fitted(points: Array, values: Array, before: Hyperparameters | None) -> Hyperparameters:
    """Hyperparameters of greatest posterior density, in a bounded number of steps; each column is fitted by itself.

    Args:
        points: shape (n, dim).
        values: shape (n, metrics), about standardised.
        before: where to start.
    """
    metrics, dim = values.shape[1], points.shape[1]
    batch = torch.Size([metrics]) if metrics > 1 else torch.Size()
    kernel = get_covar_module_with_dim_scaled_prior(dim, batch, use_rbf_kernel=False)
    prior = LogNormalPrior(-4.0, 1.0)
    noise = GreaterThan(_LEAST_NOISE, transform=None, initial_value=prior.mode)
    likelihood = GaussianLikelihood(prior, noise, batch_shape=batch)
    with warnings.catch_warnings(), botorch.settings.validate_input_scaling(False):
        # Steps that are cut off, and a kernel matrix that needs jitter on the way, are no fault here.
        warnings.simplefilter("ignore", OptimizationWarning)
        warnings.simplefilter("ignore", NumericalWarning)
        model = SingleTaskGP(
            torch.from_numpy(points),
            torch.from_numpy(values),
            likelihood=likelihood,
            covar_module=kernel,
            outcome_transform=None,
        )
        initial = _read(model, metrics)
        if before is not None:
            model.covar_module.lengthscale = torch.from_numpy(before.lengths).reshape(kernel.lengthscale.shape)
            model.likelihood.noise = torch.from_numpy(before.noises).reshape(likelihood.noise.shape)
        likelihood_of_all = ExactMarginalLogLikelihood(model.likelihood, model).train()
        fit_gpytorch_mll_scipy(likelihood_of_all, options={"maxiter": _COLD if before is None else _WARM})
    found = _read(model, metrics)
    return found if all(np.isfinite(part).all() for part in vars(found).values()) else initial


def _read(model: SingleTaskGP, metrics: int) -> Hyperparameters:
    parts = (model.covar_module.lengthscale, model.likelihood.noise, model.mean_module.constant)
    lengths, noises, means = (part.detach().numpy().reshape(metrics, -1).copy() for part in parts)
    return Hyperparameters(lengths, noises[:, 0], means[:, 0])


class _Process:
    """The posterior of one metric."""

    def __init__(self, points: Tensor, values: Tensor, lengths: Tensor, noise: float, mean: float) -> None:
        self._points = points / lengths
        self._values = values
        self._lengths = lengths
        self._noise = noise
        self._mean = mean
        covariance = _matern(self._points, self._points) + noise * torch.eye(len(points), dtype=torch.double)
        self._factor = torch.linalg.cholesky(covariance)

    def draw(self, candidates: Tensor, n: int, frequencies: Tensor, generator: np.random.Generator) -> Tensor:
        """``n`` functions of the posterior at the candidates, shape (n, candidates)."""
        scaled = candidates / self._lengths
        weights = _normal((2 * len(frequencies), n), generator) / math.sqrt(len(frequencies))
        prior = _features(scaled, frequencies) @ weights
        at_points = self._mean + _features(self._points, frequencies) @ weights
        noise = math.sqrt(self._noise) * _normal((len(self._points), n), generator)
        residual = self._values.unsqueeze(-1) - at_points - noise
        update = _matern(scaled, self._points) @ torch.cholesky_solve(residual, self._factor)
        return (self._mean + prior + update).T


def _normal(shape: tuple[int, int], generator: np.random.Generator) -> Tensor:
    return torch.from_numpy(generator.standard_normal(shape))


def _matern(one: Tensor, other: Tensor) -> Tensor:
    """The Matern 5/2 kernel of points in units of the length scales, shape (n, m)."""
    squared = (one**2).sum(dim=1).unsqueeze(-1) + (other**2).sum(dim=1) - 2.0 * one @ other.T
    scaled = torch.sqrt(5.0 * squared.clamp(min=0.0))
    return (1.0 + scaled + scaled**2 / 3.0) * torch.exp(-scaled)


def _frequencies(dim: int, generator: np.random.Generator) -> Tensor:
    """Of the Matern 5/2 kernel's spectrum, a t distribution of 5 degrees of freedom: shape (frequencies, dim)."""
    spread = np.sqrt(5.0 / generator.chisquare(5.0, (_FREQUENCIES, 1)))
    return _normal((_FREQUENCIES, dim), generator) * torch.from_numpy(spread)


def _features(points: Tensor, frequencies: Tensor) -> Tensor:
    phases = points @ frequencies.T
    return torch.cat([torch.cos(phases), torch.sin(phases)], dim=1)
