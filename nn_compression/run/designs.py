"""What the designs of each method are made into: the network as the search judges it, and as it is once trained."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from automl_core.space import Point
from nn_compression.channels.recalibration import recalibrate
from nn_compression.files.model_files import ModelSpec, read_spec
from nn_compression.problems.bits_problem import BitsProblem
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.channel_problem import ChannelProblem
from nn_compression.problems.network import NetworkReference
from nn_compression.problems.network_problem import NetworkProblem
from nn_compression.problems.sparsity_problem import SparsityProblem
from nn_compression.quantization.linear import quantize
from nn_compression.run.finishing import Finishing, shared, sparse, zeros_of
from nn_compression.run.plan import Method
from nn_compression.run.settings import Settings
from nn_compression.sparsity.masks import Masks, prunable
from nn_compression.training.schedule import Schedule

__all__ = ["Designs", "Made", "designs_of"]

_CONVOLUTION, _OTHERS, _LEAST_BITS = 256, 32, 3


@dataclass(frozen=True, eq=False)
class Made:
    """A network that was made of a design.

    Args:
        model: as it is trained and runs; of a quantized network, it rounds as it runs.
        spec: how it is built.
        point: the design.
    """

    model: nn.Module
    spec: ModelSpec
    point: Point


P = TypeVar("P", bound=NetworkProblem)


class Designs(ABC, Generic[P]):
    """The designs of one method, from one network.

    Args:
        reference: the network before the stage, saved in a folder, and its data.
        settings: what the user asked for.
    """

    def __init__(self, reference: NetworkReference, settings: Settings) -> None:
        self.reference, self.settings = reference, settings
        self.before = reference.load()

    @abstractmethod
    def problem(self, limit: CostLimit) -> P:
        """What is searched under a limit.

        Raises:
            InputError: the limit cannot be reached; the least that can is named.
        """

    @abstractmethod
    def make(self, problem: P, point: Point) -> Made:
        """The network of a design, untrained."""

    @abstractmethod
    def tune(self, problem: P, point: Point, finishing: Finishing, name: str) -> Made:
        """The network of a design, trained again.

        Args:
            problem: that the design is of.
            point: the design.
            finishing: how it is trained.
            name: of this attempt, for its checkpoints.

        Raises:
            InputError: the training fails.
        """

    @property
    def spec(self) -> ModelSpec:
        """How the network before the stage is built."""
        saved = self.reference.saved
        return ModelSpec(self.reference.model or "", ()) if saved is None else read_spec(saved)

    def copied(self) -> nn.Module:
        """The network before the stage, free to be changed and trained."""
        return copy.deepcopy(self.before.model).requires_grad_(True)

    def drawn(self, problem: P) -> Tensor:
        """The training inputs that the search's own candidates are recalibrated and calibrated on."""
        return problem.examiner.training_inputs.cpu()

    def recalibrated(self, model: nn.Module, problem: P) -> nn.Module:
        """A network whose batch norms fit what became of it, in evaluation mode: as the search judges it."""
        recalibrate(model, self.drawn(problem), forward=self.before.data.task.forward)
        return model.eval()


class ChannelDesigns(Designs[ChannelProblem]):
    """Fewer channels."""

    def problem(self, limit: CostLimit) -> ChannelProblem:
        """AMC's problem."""
        settings = self.settings
        table = None if settings.table is None else Path(settings.table)
        return ChannelProblem(self.reference, limit, keep=settings.keep, round_to=settings.round_to or 1, table=table)

    def make(self, problem: ChannelProblem, point: Point) -> Made:
        """The pruned network, its batch norms recalibrated."""
        model = self.recalibrated(problem.build(point).requires_grad_(True), problem)
        return Made(model, replace(self.spec, groups=problem.groups, kept=problem.kept(point)), point)

    def tune(self, problem: ChannelProblem, point: Point, finishing: Finishing, name: str) -> Made:
        """All of its weights."""
        made = self.make(problem, point)
        finishing.tune(made.model, name)
        return made


class SparseDesigns(Designs[SparsityProblem]):
    """Fewer weights, layer by layer."""

    def problem(self, limit: CostLimit) -> SparsityProblem:
        """The shares of the weights that stay."""
        return SparsityProblem(self.reference, limit, keep=self.settings.keep)

    def make(self, problem: SparsityProblem, point: Point) -> Made:
        """All weights removed at once."""
        model = self.copied()
        Masks.magnitude(model, problem.kept(point)).apply()
        return Made(self.recalibrated(model, problem), self.spec, point)

    def tune(self, problem: SparsityProblem, point: Point, finishing: Finishing, name: str) -> Made:
        """Removed in rounds, with training between."""
        model = self.copied()
        sparse(model, problem.kept(point), finishing, name)
        return self._finished(model, problem, point, finishing)

    def _finished(self, model: nn.Module, problem: SparsityProblem, point: Point, finishing: Finishing) -> Made:
        """Training has brought the batch norms up to date; where there was none, they are recalibrated."""
        model = model.eval() if finishing.schedule.epochs else self.recalibrated(model, problem)
        return Made(model, self.spec, point)


class SharedDesigns(SparseDesigns):
    """Deep Compression: fewer weights that share a few values."""

    def make(self, problem: SparsityProblem, point: Point) -> Made:
        """Removed and shared at once."""
        nothing = Schedule(0)
        return self.tune(problem, point, Finishing(self.before.data, nothing, self.settings.seed, None), "")

    def tune(self, problem: SparsityProblem, point: Point, finishing: Finishing, name: str) -> Made:
        """Removed in rounds, then shared, then the centroids trained."""
        model, keep = self.copied(), problem.kept(point)
        shared(model, keep, self._clusters(model, keep), finishing, name)
        return self._finished(model, problem, point, finishing)

    def _clusters(self, model: nn.Module, keep: Mapping[str, float]) -> dict[str, int]:
        """Centroids of each layer, a power of two.

        AlexNet's 8 bits for convolutions and 5 for the rest at most (Han et al. 2016, table 4); of a layer of few
        weights about the root of their number, or its codebook would be larger than what it saves.
        """
        found, layers = {}, prunable(model)
        whole = {key for name in self.settings.keep for key in layers.get(name, ())}
        for name, keys in layers.items():
            if not whole.intersection(keys):
                weights = keep.get(name, 1.0) * sum(model.get_parameter(key).numel() for key in keys) / len(keys)
                most = _CONVOLUTION if isinstance(model.get_submodule(name), _ConvNd) else _OTHERS
                found[name] = min(2 ** max(round(math.log2(max(weights, 1.0)) / 2), _LEAST_BITS), most)
        return found


class BitsDesigns(Designs[BitsProblem]):
    """Fewer bits."""

    def problem(self, limit: CostLimit) -> BitsProblem:
        """HAQ's problem."""
        return BitsProblem(self.reference, limit, keep=self.settings.keep, hardware=self.settings.hardware or "edge")

    def make(self, problem: BitsProblem, point: Point) -> Made:
        """Rounded, its ranges calibrated."""
        bits = problem.bits(point)
        model = quantize(self.copied(), bits, self.drawn(problem), forward=self.before.data.task.forward)
        return Made(self.recalibrated(model, problem), replace(self.spec, bits=bits), point)

    def tune(self, problem: BitsProblem, point: Point, finishing: Finishing, name: str) -> Made:
        """Trained through the rounding; weights that are zero stay zero."""
        made = self.make(problem, point)
        finishing.tune(made.model, name, zeros_of(self.before.model, made.model))
        return made


def designs_of(method: Method, reference: NetworkReference, settings: Settings) -> Designs[Any]:
    """The designs of a method; ``all`` has none of its own."""
    kinds: dict[Method, type[Designs[Any]]] = {
        "channels": ChannelDesigns,
        "sparsity": SparseDesigns,
        "deep": SharedDesigns,
        "bits": BitsDesigns,
    }
    return kinds[method](reference, settings)
