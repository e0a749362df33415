"""The sum of a latency table against networks measured whole: ResNet-20 with random channels, both engines.

Every network has channels of its own, drawn at random for each group. The table's times are of blocks (ONNX Runtime) or
operators (eager torch) measured alone; one scale an engine is fitted on five networks, the others are predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from scipy.stats import spearmanr

from automl_core.one_thread import one_thread
from figures import Args, Figures, parse, run
from nn_compression.channels import ChannelGroup, best_channels, channel_groups, importance, prune
from nn_compression.latency.building import fitted_scale, random_designs
from nn_compression.latency.network_latency import NetworkLatency
from nn_compression.latency.table import ENGINES, Engine, LatencyTable
from nn_compression.latency.whole import measure
from nn_compression.zoo import ZOO

NAMES = {"onnxruntime": "ONNX Runtime", "eager": "eager torch"}


@dataclass(frozen=True)
class TableArgs(Args):
    """The options of this benchmark."""

    network: Annotated[str, "a network of the zoo, for images of 3 x 32 x 32"] = "resnet20"
    networks: Annotated[int, "random networks that are predicted"] = 20
    fitted: Annotated[int, "random networks that the scale is fitted on"] = 5


def pruned(model: torch.nn.Module, groups: tuple[ChannelGroup, ...], design: dict[str, int]) -> torch.nn.Module:
    """The network with these channels."""
    kept = {group.name: best_channels(importance(model, group), group, design[group.name]) for group in groups}
    return prune(model, groups, kept)


def main() -> int:
    """Measures both sides of every network in turn."""
    args = parse(TableArgs, __doc__)
    networks, fitted = (5, 3) if args.quick else (args.networks, args.fitted)
    table = Figures(args)
    torch.manual_seed(args.seed)
    model, example = ZOO[args.network].build().eval(), torch.zeros(1, 3, 32, 32)
    groups = channel_groups(model, example)
    times = LatencyTable()
    latencies = {engine: NetworkLatency(model, example, groups, times, engine) for engine in ENGINES}
    found = {engine: np.zeros((fitted + networks, 2)) for engine in ENGINES}
    with one_thread():
        for number, design in enumerate(random_designs(groups, fitted + networks, args.seed)):
            smaller = pruned(model, groups, design)
            for engine, latency in latencies.items():
                whole = measure(smaller, example, engine).seconds
                found[engine][number] = latency.raw_seconds(design), whole
    bars_of: dict[Engine, tuple[str, str | None]] = {"onnxruntime": (">= 0.95", "<= 10"), "eager": (">= 0.8", None)}
    for engine, bars in bars_of.items():
        raw, whole = found[engine][fitted:].T
        scale = fitted_scale(*found[engine][:fitted].T)
        name = NAMES[engine]
        table.add(f"{name}: Spearman of the sum and the whole", float(spearmanr(raw, whole).statistic), bars[0])
        table.add(f"{name}: RMSE of the scaled sum, %", 100 * rms(scale * raw / whole - 1), bars[1])
        table.add(f"{name}: RMSE of the raw sum, %", 100 * rms(raw / whole - 1))
        table.add(f"{name}: scale", scale)
        table.add(f"{name}: slowest over fastest network", whole.max() / whole.min(), ">= 1.5")
        table.show(
            f"{name}: networks, in µs",
            ("table, raw", "table, scaled", "measured whole"),
            [(f"{r * 1e6:.1f}", f"{scale * r * 1e6:.1f}", f"{w * 1e6:.1f}") for r, w in zip(raw, whole, strict=True)],
        )
    table.add("distinct shapes measured", len(times))
    return table.finish()


def rms(errors: np.ndarray) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.square(errors).mean()))


if __name__ == "__main__":
    run(main)
