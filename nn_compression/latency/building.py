"""Building a latency table: the blocks of a network at the channels that a search may try, and one scale an engine.

The sum of blocks measured alone is a little off the whole: weights and activations lie nearer to the processor there.
One factor an engine makes up for it, fitted on a few whole networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from nn_compression.channels import ChannelGroup, best_channels, importance, prune
from nn_compression.channels.groups import LEAST_SHARE, searched_counts
from nn_compression.latency.network_latency import MOST_COUNTS, NetworkLatency
from nn_compression.latency.table import ENGINES, Engine, LatencyTable
from nn_compression.latency.whole import measure

__all__ = ["Progress", "build_table", "fit_scale", "fitted_scale", "random_designs"]

Progress = Callable[[str, int, int], None]
"""(what is done, how many of it are done, how many there are)."""

_MOST = 1024
"""Designs of one block to measure beforehand; what else a search asks for is measured when it does."""


def build_table(
    model: nn.Module,
    example_input: Tensor | Sequence[Tensor],
    output: Path | None,
    *,
    groups: Sequence[ChannelGroup] = (),
    engines: Sequence[Engine] = ENGINES,
    counts: int = MOST_COUNTS,
    fitted_on: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> LatencyTable:
    """Measure the blocks of a network; go on with a table that is there.

    Args:
        model: unchanged.
        example_input: what its forward takes, with a batch axis: latencies are of this batch.
        output: the table's file; saved now and then. ``None``: kept in memory.
        groups: of its channels; without, only the network as it is.
        engines: of "eager" and "onnxruntime".
        counts: numbers of channels to measure of each group: those that a search under a latency chooses from.
        fitted_on: whole networks of random channels that each engine's scale is fitted on; 0: no scale.
        seed: of these channels.
        progress: told how far it is.

    Raises:
        InputError: the model cannot be measured; the file is no table, or of another machine.
    """
    table = LatencyTable(output)
    with table.saved():
        for engine in engines:
            latency = NetworkLatency(model, example_input, groups, table, engine)
            _measure_blocks(latency, groups, counts, seed, progress or _silent)
            if fitted_on and engine not in table.scales:
                designs = random_designs(groups, fitted_on, seed)
                fit_scale(latency, model, example_input, groups, designs, progress or _silent)
    table.save()
    return table


def _silent(what: str, done: int, of: int) -> None:
    """Nobody listens."""


def _measure_blocks(
    latency: NetworkLatency,
    groups: Sequence[ChannelGroup],
    counts: int,
    seed: int,
    progress: Progress,
) -> None:
    by_name = {group.name: searched_counts(group, LEAST_SHARE, counts) for group in groups}
    generator = np.random.default_rng(seed)
    work = [(term, design) for term in latency.terms for design in _designs([*term.groups], by_name, generator)]
    for done, (term, design) in enumerate(work):
        progress(f"{latency.engine} blocks", done, len(work))
        term.seconds(design)
    progress(f"{latency.engine} blocks", len(work), len(work))


def _designs(
    names: Sequence[str], counts: Mapping[str, Sequence[int]], generator: np.random.Generator
) -> Iterator[dict[str, int]]:
    """The network's own sizes first, then all combinations, or some at random where there are too many."""
    yield {}
    if prod(len(counts[name]) for name in names) <= _MOST:
        for chosen in product(*(counts[name] for name in names)):
            yield dict(zip(names, chosen, strict=True))
        return
    for _ in range(_MOST):
        yield {name: int(generator.choice(counts[name])) for name in names}


def random_designs(groups: Sequence[ChannelGroup], number: int, seed: int) -> list[dict[str, int]]:
    """Channels drawn at random: each design has its own least share, so that some are large and some are small.

    Args:
        groups: of the network.
        number: how many designs.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    return [
        {
            group.name: int(generator.choice([n for n in group.counts() if n >= share * group.channels]))
            for group in groups
        }
        for share in generator.permutation(np.linspace(0.05, 0.95, number))
    ]


def fit_scale(
    latency: NetworkLatency,
    model: nn.Module,
    example_input: Tensor | Sequence[Tensor],
    groups: Sequence[ChannelGroup],
    designs: Sequence[Mapping[str, int]],
    progress: Progress = _silent,
) -> float:
    """Measure whole networks, and set the scale with which the table's sums are nearest to them.

    Args:
        latency: of the network; its scale is set, and kept in the table.
        model: the network.
        example_input: what its forward takes.
        groups: of its channels.
        designs: channels kept by group.
        progress: told how far it is.

    Raises:
        InputError: a network cannot be exported.
    """
    scores = {group.name: importance(model, group) for group in groups}
    predicted, found = [], []
    for done, design in enumerate(designs):
        progress(f"{latency.engine} whole networks", done, len(designs))
        kept = {group.name: best_channels(scores[group.name], group, design[group.name]) for group in groups}
        smaller = prune(model, groups, kept)
        found.append(measure(smaller, example_input, latency.engine).seconds)
        predicted.append(latency.raw_seconds(design))
    progress(f"{latency.engine} whole networks", len(designs), len(designs))
    scale = fitted_scale(predicted, found)
    latency.set_scale(scale)
    return scale


def fitted_scale(predicted: Sequence[float], found: Sequence[float]) -> float:
    """The factor of the least squared relative error: the sum of the ratios over that of their squares."""
    ratios = np.asarray(predicted) / np.asarray(found)
    return float(ratios.sum() / np.square(ratios).sum())
