"""The models of the metrics: held to botorch's own posterior, and to what missing metrics must mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from automl_core.optimizers.surrogate import _FREQUENCIES, Surrogate, _features, _frequencies, _matern, _Process
from automl_core.space import Array
from automl_core.specs import Spec, Specs

LENGTHS = np.array([0.3, 0.5, 2.0])


def kernel_of(one: Array, other: Array) -> Array:
    from gpytorch.kernels import MaternKernel  # here: it warns unless the surrogate imported it first

    kernel = MaternKernel(nu=2.5, ard_num_dims=3).double()
    kernel.lengthscale = torch.from_numpy(LENGTHS)
    return np.asarray(kernel(torch.from_numpy(one), torch.from_numpy(other)).to_dense().detach().numpy())


def test_the_kernel_and_its_features_are_those_of_gpytorch() -> None:
    generator = np.random.default_rng(0)
    one, other = generator.random((20, 3)), generator.random((30, 3))
    expected = kernel_of(one, other)
    here, there = torch.from_numpy(one / LENGTHS), torch.from_numpy(other / LENGTHS)
    assert np.allclose(_matern(here, there), expected, atol=1e-12)
    frequencies = _frequencies(3, generator)
    by_features = _features(here, frequencies) @ _features(there, frequencies).T / _FREQUENCIES
    assert np.abs(by_features.numpy() - expected).max() < 5 / np.sqrt(_FREQUENCIES)


def test_draws_have_the_mean_and_the_covariance_of_the_posterior() -> None:
    import botorch
    from botorch.models import SingleTaskGP
    from gpytorch.kernels import MaternKernel

    generator = np.random.default_rng(1)
    points, candidates = generator.random((25, 3)), generator.random((6, 3))
    values = np.sin(4 * points[:, 0]) + points[:, 1] ** 2
    with botorch.settings.validate_input_scaling(False):
        exact = SingleTaskGP(
            torch.from_numpy(points),
            torch.from_numpy(values[:, np.newaxis]),
            covar_module=MaternKernel(nu=2.5, ard_num_dims=3),
            outcome_transform=None,
        )
    exact.covar_module.lengthscale = torch.from_numpy(LENGTHS)
    exact.likelihood.noise = torch.tensor(1e-3, dtype=torch.double)
    exact.mean_module.constant = torch.tensor(0.2, dtype=torch.double)
    posterior = exact.posterior(torch.from_numpy(candidates))
    process = _Process(torch.from_numpy(points), torch.from_numpy(values), torch.from_numpy(LENGTHS), 1e-3, 0.2)
    where = torch.from_numpy(candidates)
    draws = np.concatenate([process.draw(where, 200, _frequencies(3, generator), generator) for _ in range(20)])
    covariance = posterior.distribution.covariance_matrix.detach().numpy()
    spread = np.sqrt(np.diag(covariance))
    assert np.abs(draws.mean(axis=0) - posterior.mean.detach().numpy()[:, 0]).max() < 0.1 * spread.max()
    assert np.abs(np.cov(draws.T) - covariance).max() < 0.1 * covariance.max()


def bowl(points: Array) -> Array:
    return np.sum((points - 0.3) ** 2, axis=1)


def test_draws_are_scored_as_the_specs_score_trials() -> None:
    specs = Specs([Spec("bowl", maximum=0.05), Spec("slope", minimum=0.2, goal="maximize")])
    generator = np.random.default_rng(2)
    points, candidates = generator.random((60, 2)), generator.random((40, 2))
    surrogate = Surrogate(specs)
    surrogate.fit(points, np.stack([bowl(points), points[:, 0]], axis=1))
    losses = surrogate.draw_losses(candidates, 8, generator)
    true = [specs.score({"bowl": b, "slope": s}).loss for b, s in zip(bowl(candidates), candidates[:, 0], strict=True)]
    assert losses.shape == (8, 40)
    apart = np.abs(losses - true)  # sixty points leave little to guess of two smooth metrics
    assert np.median(apart) < 0.05 and np.quantile(apart, 0.8) < 0.1, "but on the edge of what is feasible, a step"
    found = surrogate.hyperparameters
    assert found is not None and found.lengths.shape == (2, 2)
    assert found.lengths[1, 0] < found.lengths[1, 1], "the slope answers to the first coordinate alone"


@pytest.mark.parametrize("told", ["some fail", "every good one fails", "all fail", "all the same"])
def test_where_metrics_are_missing_nothing_good_is_expected(told: str) -> None:
    specs = Specs([Spec("bowl", maximum=0.5)])
    generator = np.random.default_rng(3)
    points = generator.random((50, 2))
    metric = bowl(points) if told != "all the same" else np.full(50, 0.1)
    fails = points[:, 0] < {"some fail": 0.4, "every good one fails": 0.6, "all fail": 2.0, "all the same": 0.4}[told]
    surrogate = Surrogate(specs)
    surrogate.fit(points, np.where(fails, np.nan, metric)[:, np.newaxis])
    losses = surrogate.draw_losses(np.array([[0.15, 0.3], [0.95, 0.3]]), 50, generator).mean(axis=0)
    assert np.isfinite(losses).all()
    assert losses[0] > 0, "designs that fail break the spec"
    if told != "all fail":
        assert losses[1] < losses[0]
    if told == "all the same":
        assert losses[1] < 0


def test_a_second_fit_begins_at_the_first_and_many_points_are_conditioned_on() -> None:
    generator = np.random.default_rng(4)
    points = generator.random((300, 2))
    surrogate = Surrogate(Specs([Spec("bowl", maximum=0.5)]))
    surrogate.fit(points[:100], bowl(points[:100])[:, np.newaxis])
    first = surrogate.hyperparameters
    surrogate.fit(points, bowl(points)[:, np.newaxis])
    assert first is not None and surrogate.hyperparameters is not None
    assert np.all(np.abs(np.log(surrogate.hyperparameters.lengths / first.lengths)) < 1.5)
    losses = surrogate.draw_losses(points[-1:], 20, generator)
    true = Specs([Spec("bowl", maximum=0.5)]).score({"bowl": float(bowl(points[-1:])[0])}).loss
    assert losses.mean() == pytest.approx(true, abs=0.01), "the last point, which no hyperparameter was fitted to"
