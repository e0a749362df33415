"""A problem of compression in words: ``digits_net:channels:macs=0.5``, or a YAML file for a network of one's own.

The file::

    network: my_model:network       # as `sizewise compress` takes it
    data: my_data:data
    weights: my_model.safetensors   # beside this file, as a text (data: my.txt) is
    method: channels                # or bits, sparsity, joint
    budget: macs=0.5
    round_to: 8                     # of channels and joint; keep: [layer, ...] and hardware: edge as for `compress`

In tables and folders it is called by its file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from automl_core.validation import read_document
from nn_compression.files.references import zoo_model
from nn_compression.files.user_code import is_user_reference
from nn_compression.problems.bits_problem import BitsProblem
from nn_compression.problems.budget import CostLimit
from nn_compression.problems.channel_problem import ChannelProblem
from nn_compression.problems.joint_problem import JointProblem
from nn_compression.problems.network import NetworkReference
from nn_compression.problems.network_problem import NetworkProblem
from nn_compression.problems.sparsity_problem import SparsityProblem

__all__ = ["SEARCHES", "ProblemSpec", "parse_problem", "read_problem"]

Search: TypeAlias = Literal["channels", "bits", "sparsity", "joint"]

_Make: TypeAlias = "Callable[[NetworkReference, CostLimit, ProblemSpec], NetworkProblem]"


@dataclass(frozen=True)
class ProblemSpec:
    """What is to be searched.

    Args:
        network: as :func:`nn_compression.files.references.load_model` takes it.
        data: as :func:`nn_compression.files.references.load_data` takes it.
        method: a name of :data:`SEARCHES`.
        budget: what a design may cost.
        weights: a safetensors file; ``None``: the zoo's network, trained as usual.
        keep: layers that make all their channels, and keep all their weights and 8 bits.
        round_to: channels that are kept are multiples of this.
        hardware: whose latency or energy is modelled.
        seed: of the validation split and of the training.
        file: that it was read from, if it was.
    """

    network: str
    data: str
    method: Search
    budget: CostLimit
    weights: Path | None = None
    keep: tuple[str, ...] = ()
    round_to: int = 1
    hardware: str = "edge"
    seed: int = 0
    file: Path | None = None

    @property
    def name(self) -> str:
        """For tables and folders: two files may differ in what no few words say."""
        if self.file is not None:
            return self.file.stem
        words = (self.network.replace(":", "."), self.method, str(self.budget).partition(" ")[0])
        return "-".join(words).replace("=", "")

    def problem(self, weights: Path) -> NetworkProblem:
        """The problem.

        Args:
            weights: of the network.

        Raises:
            InputError: the network cannot be loaded, or the budget cannot be reached.
        """
        reference = NetworkReference(self.data, self.network, weights, seed=self.seed)
        return SEARCHES[self.method](reference, self.budget, self)


SEARCHES: Mapping[Search, _Make] = {
    "channels": lambda network, limit, spec: ChannelProblem(network, limit, keep=spec.keep, round_to=spec.round_to),
    "bits": lambda network, limit, spec: BitsProblem(network, limit, keep=spec.keep, hardware=spec.hardware),
    "sparsity": lambda network, limit, spec: SparsityProblem(network, limit, keep=spec.keep),
    "joint": lambda network, limit, spec: JointProblem(network, limit, keep=spec.keep, round_to=spec.round_to),
}
"""What can be searched, by name."""


def parse_problem(text: str) -> ProblemSpec:
    """Read ``NETWORK:METHOD:BUDGET``, of a network of the zoo.

    Raises:
        InputError: it cannot be read, or there is no such network or method.
    """
    network, _, rest = text.partition(":")
    method, _, budget = rest.partition(":")
    if not budget:
        remedy = (
            "write NETWORK:METHOD:BUDGET, as in digits_net:channels:macs=0.5; a network of your own takes a YAML file"
        )
        raise InputError(f"this is no problem: {text!r}", place=text, remedy=remedy)
    entry, _ = zoo_model(network)
    return ProblemSpec(network, entry.data, _method(method, text), CostLimit.parse(budget))


def _method(name: str, place: str) -> Search:
    for known in SEARCHES:
        if known == name:
            return known
    raise InputError(
        f"nothing is searched by {name!r}", place=place, remedy=did_you_mean(name, SEARCHES, "the methods")
    )


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    network: str
    data: str | None = None
    weights: str | None = None
    method: str = "channels"
    budget: str = "macs=0.5"
    keep: tuple[str, ...] = ()
    round_to: int = 1
    hardware: str = "edge"
    seed: int = 0


def read_problem(path: Path) -> ProblemSpec:
    """Read a problem from its file.

    Raises:
        InputError: with file, line and value: whatever is wrong with it.
    """
    source, document = read_document(path, _Document)
    own = is_user_reference(document.network)
    for key, given in (("data", document.data), ("weights", document.weights)):
        if own and given is None:
            raise InputError(f"a network of your own needs its {key}", place=str(path), remedy=f"add `{key}:`")
    method = _method(document.method, source.place(("method",)))
    limit = _limit(document.budget, source.place(("budget",)))
    for key, used in _USED.items():
        if key in document.model_fields_set and not used(method, limit):
            purpose = f"it has no part in {method} with a budget of {limit.metric}"
            raise InputError(f"{purpose}: {key}", place=source.place((key,)), remedy="leave it out")
    return replace(
        ProblemSpec(document.network, _data(document, path), method, limit),
        weights=None if document.weights is None else Path(_beside(document.weights, path)),
        keep=document.keep,
        round_to=document.round_to,
        hardware=_beside(document.hardware, path) if Path(document.hardware).suffix else document.hardware,
        seed=document.seed,
        file=path,
    )


_USED: Mapping[str, Callable[[Search, CostLimit], bool]] = {
    "round_to": lambda method, _: method in ("channels", "joint"),
    "hardware": lambda method, limit: method == "bits" and limit.metric in ("latency", "energy"),
}
"""Where a key has a use."""


def _data(document: _Document, path: Path) -> str:
    """A text lies beside the file, as weights do."""
    named = document.data or zoo_model(document.network)[0].data
    return _beside(named, path) if named.endswith(".txt") else named


def _beside(name: str, path: Path) -> str:
    """What the file calls another one by, as seen from here."""
    return str(path.parent / name)


def _limit(text: str, place: str) -> CostLimit:
    try:
        return CostLimit.parse(text)
    except InputError as error:
        raise InputError(error.problem, place=place, remedy=error.remedy) from None
