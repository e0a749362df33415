"""Shared weights: the clusters are those of k-means, and training moves centroids by the sum of their gradients."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from automl_core.errors import InputError
from nn_compression.sparsity.codebooks import Codebook, Codebooks


@given(st.lists(st.floats(-3, 3, width=16), min_size=1, max_size=30), st.integers(1, 8))
@settings(deadline=None)
def test_every_weight_is_its_nearest_centroid_and_each_centroid_the_mean_of_its_weights(
    values: list[float], clusters: int
) -> None:
    weight = torch.tensor(values)
    book, centroids = Codebook.of(weight, clusters)
    assert len(centroids) <= clusters and torch.equal(centroids, centroids.sort().values)
    assert torch.equal(book.codes == 0, weight == 0)
    shared = book.spread(centroids)
    for number, centroid in enumerate(centroids, 1):
        members = weight[book.codes == number]
        assert len(members) and centroid == pytest.approx(float(members.double().mean()), abs=1e-5)
        distances = (members[:, None] - centroids).abs()
        assert (distances.min(1).values >= (members - centroid).abs() - 1e-5).all()
        assert (shared[book.codes == number] == centroid).all()


def test_few_weights_in_one_dimension_are_clustered_as_well_as_they_can_be() -> None:
    weight = torch.tensor([-2.0, -1.9, -1.7, 0.4, 0.5, 0.6, 2.9, 3.0])
    book, centroids = Codebook.of(weight, 3)
    best = min(
        sum(float(((part - part.mean()) ** 2).sum()) for part in (weight[:i], weight[i:j], weight[j:]))
        for i, j in itertools.combinations(range(1, 8), 2)
    )
    assert float(((book.spread(centroids) - weight) ** 2).sum()) == pytest.approx(best)


def test_the_first_centroids_lie_evenly_so_that_large_weights_keep_their_own() -> None:
    """Deep Compression, section 3.2: with random ones the two large weights among many small would be lost."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.cat([torch.randn(5000, generator=generator) * 0.01, torch.tensor([1.0, -1.0])])
    book, centroids = Codebook.of(weight, 5)
    assert book.spread(centroids)[-2:].tolist() == pytest.approx([1, -1], abs=1e-6)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(10, 30), nn.ReLU(), nn.Linear(30, 5))


def test_a_step_moves_each_centroid_by_the_sum_over_its_weights() -> None:
    """Against the same step with the centroids as the parameter (torch's own chain rule)."""
    model, inputs, targets = network(), torch.randn(20, 10), torch.randint(5, (20,))
    with torch.no_grad():
        model[0].weight[model[0].weight.abs() < 0.1] = 0
    books = Codebooks.share(model, {"0": 6})
    book, centroids = books.books["0.weight"], books.centroids("0.weight").clone().requires_grad_(True)
    weight = torch.cat([torch.zeros(1), centroids])[book.codes]
    hidden = functional.linear(inputs, weight, model[0].bias.detach()).relu()
    loss = functional.cross_entropy(
        functional.linear(hidden, model[2].weight.detach(), model[2].bias.detach()), targets
    )
    (wanted,) = torch.autograd.grad(loss, centroids)
    trainer = torch.optim.SGD([model[0].weight], lr=0.1)
    with books.held():
        functional.cross_entropy(model(inputs), targets).backward()
    trainer.step()
    books.apply()
    torch.testing.assert_close(books.centroids("0.weight"), (centroids - 0.1 * wanted).detach())


def test_the_gradient_of_a_tied_weight_is_summed_once() -> None:
    torch.manual_seed(0)
    first, last = nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False)
    last.weight = first.weight
    model, inputs = nn.Sequential(first, nn.Tanh(), last), torch.randn(20, 10)
    books = Codebooks.share(model, {"0": 6, "2": 6})
    (plain,) = torch.autograd.grad(model(inputs).square().sum(), first.weight)
    with books.held():
        model(inputs).square().sum().backward()
    for value in first.weight.unique():
        members = first.weight == value
        torch.testing.assert_close(first.weight.grad[members], plain[members].sum().expand(int(members.sum())))  # type: ignore[index]


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_training_leaves_the_weights_shared_and_the_pruned_ones_zero(kind: type[torch.optim.Optimizer]) -> None:
    model, inputs, targets = network(), torch.randn(20, 10), torch.randint(5, (20,))
    with torch.no_grad():
        model[0].weight[model[0].weight.abs() < 0.1] = 0
    zeros = model[0].weight == 0
    books = Codebooks.share(model, {"0": 6, "2": 4, "0.bias": 3})
    before = {key: books.centroids(key).clone() for key in books.books}
    trainer = kind(model.parameters(), lr=0.01, **({"momentum": 0.9} if kind is torch.optim.SGD else {}))  # type: ignore[call-arg]
    with books.held():
        for _ in range(20):
            trainer.zero_grad()
            functional.cross_entropy(model(inputs), targets).backward()
            trainer.step()
            books.apply()
    assert not model[0].weight[zeros].detach().view(torch.int32).any()
    for key, count in {"0.weight": 6, "2.weight": 4, "0.bias": 3}.items():
        tensor = model.get_parameter(key).detach()
        assert len(tensor[tensor != 0].unique()) <= count
        assert (books.centroids(key) != before[key]).all()


def test_an_lstm_has_a_codebook_for_each_of_its_weights() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.LSTM(6, 8))
    Codebooks.share(model, {"0": 5})
    assert len(model[0].weight_ih_l0.unique()) == len(model[0].weight_hh_l0.unique()) == 5
    assert len(model[0].bias_ih_l0.unique()) == 32


def test_what_is_all_zero_stays_so() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    nn.init.zeros_(model[0].weight)
    books = Codebooks.share(model, {"0": 4})
    books.apply()
    assert not model[0].weight.any() and len(books.centroids("0.weight")) == 0


def test_the_labels_do_not_depend_on_the_order_of_a_run() -> None:
    weight = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 60)).astype(np.float32))
    (first, centroids), (second, again) = Codebook.of(weight, 16), Codebook.of(weight, 16)
    assert torch.equal(first.codes, second.codes) and torch.equal(centroids, again)


def test_no_centroid_and_no_such_layer_are_refused() -> None:
    with pytest.raises(InputError, match="0 centroids for '2'"):
        Codebooks.share(network(), {"2": 0})
    with pytest.raises(InputError, match="'7'"):
        Codebooks.share(network(), {"7": 4})
