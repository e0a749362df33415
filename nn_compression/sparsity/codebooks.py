"""Weights that share a few values: k-means codebooks, and centroids that are trained (Han et al. 2016, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor, nn

from automl_core.errors import InputError
from nn_compression.sparsity.masks import by_parameter, gradients_altered
from nn_compression.training.devices import Carried

__all__ = ["Codebook", "Codebooks"]


@dataclass(frozen=True, eq=False)
class Codebook:
    """Which weights of a tensor share a value.

    Args:
        codes: int64, the shape of the tensor: 0 for a weight that was pruned and stays zero, others the number of its
            centroid, from 1.
        first: shape (centroids,): the flat index of one weight of each.
    """

    codes: Tensor
    first: Tensor

    @staticmethod
    def of(weight: Tensor, clusters: int) -> tuple[Codebook, Tensor]:
        """Cluster the weights that are not zero.

        The first centroids lie evenly between the least and the largest weight: the few large weights, which matter
        most, then keep centroids of their own (section 3.2).

        Args:
            weight: any shape.
            clusters: centroids, at most.

        Returns:
            the codebook, and the centroids, shape (centroids,), ascending.
        """
        flat = weight.detach().cpu().reshape(-1).double().numpy()
        places = np.flatnonzero(flat)
        if not len(places):
            nothing = torch.zeros(0, dtype=torch.int64)
            return Codebook(torch.zeros(weight.shape, dtype=torch.int64), nothing), torch.zeros(0)
        labels = _clustered(flat[places], clusters)
        _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
        means = np.bincount(labels, flat[places]) / np.bincount(labels)
        codes = np.zeros(len(flat), np.int64)
        codes[places] = labels + 1
        book = Codebook(torch.from_numpy(codes).reshape(weight.shape), torch.from_numpy(places[first]))
        return book, torch.from_numpy(means).float()

    def spread(self, centroids: Tensor) -> Tensor:
        """The weights: each its centroid, pruned ones plus zero. Centroids of shape (centroids,)."""
        return torch.cat([centroids.new_zeros(1), centroids])[self.codes]

    def summed(self, gradient: Tensor) -> Tensor:
        """The gradient of each centroid, which is the sum over its weights (equation 3); shape (centroids,)."""
        sums = torch.zeros(len(self.first) + 1, dtype=gradient.dtype, device=gradient.device)
        return sums.index_add_(0, self.codes.reshape(-1), gradient.reshape(-1))[1:]

    def to(self, device: torch.device) -> Codebook:
        """The same on a device."""
        return self if self.codes.device == device else Codebook(self.codes.to(device), self.first.to(device))


def _clustered(values: NDArray[np.float64], clusters: int) -> NDArray[np.int64]:
    """The cluster of each value, numbered from the least centroid up."""
    distinct = np.unique(values)
    if len(distinct) <= clusters:
        return np.asarray(np.searchsorted(distinct, values), np.int64)
    start = np.linspace(distinct[0], distinct[-1], clusters)[:, None]
    means = KMeans(clusters, init=start, n_init=1, max_iter=100).fit(values[:, None])
    order = np.argsort(means.cluster_centers_[:, 0], kind="stable")
    return np.asarray(np.argsort(order, kind="stable")[means.labels_], np.int64)


@dataclass(frozen=True, eq=False)
class Codebooks:
    """The codebooks of a model.

    Training moves the centroids, and weights stay with theirs::

        books = Codebooks.share(model, {"fc1": 16, "fc2": 32})
        with books.held():
            train(model, data, schedule, seed=0, after_step=books.apply)

    Args:
        model: the model.
        books: by the tensor's key in the state dict.
    """

    model: nn.Module
    books: Mapping[str, Codebook]

    @staticmethod
    @torch.no_grad()
    def share(model: nn.Module, clusters: Mapping[str, int]) -> Codebooks:
        """Give a model shared weights, in place.

        Args:
            model: pruned or not; its zeros stay zero.
            clusters: centroids, by layer (a codebook for each of its weights) or by parameter (biases, too).

        Raises:
            InputError: there is no such layer, or no centroid.
        """
        for name, count in clusters.items():
            if count < 1:
                raise InputError(f"{count} centroids for {name!r}", place="clusters", remedy="give one or more")
        books = {}
        for key, largest in by_parameter(model, clusters, "clusters").items():
            weight = model.get_parameter(key)
            books[key], centroids = Codebook.of(weight, int(largest))
            weight.copy_(books[key].spread(centroids))
        return Codebooks(model, books)

    @cached_property
    def _carried(self) -> Mapping[str, Carried[Codebook]]:
        return {key: Carried(book) for key, book in self.books.items()}

    def centroids(self, key: str) -> Tensor:
        """The values that the weights of a tensor share, shape (centroids,)."""
        weight = self.model.get_parameter(key).detach()
        return weight.reshape(-1)[self._carried[key].on(weight.device).first]

    @torch.no_grad()
    def apply(self) -> None:
        """Set every weight to its centroid, and pruned ones to zero.

        The weights of a centroid have one gradient and so one value after a step, but for the last bit of a vectorised
        sum; this makes them equal to the bit.
        """
        for key, book in self._carried.items():
            weight = self.model.get_parameter(key)
            weight.copy_(book.on(weight.device).spread(self.centroids(key)))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within this the gradient of a weight is that of its centroid; pruned weights have none."""
        with gradients_altered(self.model, {key: _tying(book) for key, book in self._carried.items()}):
            yield


def _tying(book: Carried[Codebook]) -> Callable[[Tensor], Tensor]:
    def tied(gradient: Tensor) -> Tensor:
        here = book.on(gradient.device)
        return here.spread(here.summed(gradient))

    return tied
