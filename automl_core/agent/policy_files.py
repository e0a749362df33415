"""A policy on disk: weights (safetensors), the names they go by and the scales they were trained on (JSON)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from automl_core.agent.graph import DesignGraph
from automl_core.agent.model import Warp
from automl_core.agent.scales import Scales
from automl_core.errors import InputError
from automl_core.runs import RECORD, write_whole

__all__ = ["Parts", "Policy", "read_policy", "write_policy"]

_FORMAT = 1
_WEIGHTS, _NAMES = "policy.safetensors", "policy.json"


@dataclass(frozen=True)
class Parts:
    """What an agent learnt.

    Args:
        tensors: parameters by path: "actor.heads.rows".
        names: path of a named parameter -> what its rows are called.
        warps: metric -> the map that the model was trained on.
        inputs: names of the model's inputs.
    """

    tensors: Mapping[str, Tensor]
    names: Mapping[str, Sequence[str]]
    warps: Mapping[str, Warp]
    inputs: Sequence[str]


@dataclass(frozen=True)
class Policy:
    """What was read.

    Args:
        path: the folder.
        kind: "seq2seq" or "gcn".
        parts: what was learnt.
        scales: of features, observations and metrics.
    """

    path: Path
    kind: str
    parts: Parts
    scales: Scales

    def under(self, prefix: str) -> tuple[dict[str, Tensor], dict[str, Sequence[str]]]:
        """Parameters and names below a path, relative to it."""
        start = prefix + "."
        tensors = {path.removeprefix(start): t for path, t in self.parts.tensors.items() if path.startswith(start)}
        names = {path.removeprefix(start): n for path, n in self.parts.names.items() if path.startswith(start)}
        return tensors, names

    def summary(self, graph: DesignGraph, metrics: Sequence[str]) -> str:
        """A sentence: what this problem has that the policy has never seen."""
        _, names = self.under("actor")
        known = {name for rows in names.values() for name in rows}
        fresh = [*dict.fromkeys(graph.kinds), *graph.heads, *metrics]
        unknown = [name for name in fresh if name not in known]
        if not unknown:
            return f"policy {self.path} ({self.kind}) knows every kind, variable and metric of this problem"
        return f"policy {self.path} ({self.kind}) has never seen, and begins afresh with: {', '.join(unknown)}"


def write_policy(folder: Path, kind: str, parts: Parts, scales: Scales) -> None:
    """Write the two files of a policy, each whole or not at all.

    Raises:
        InputError: the folder cannot be written.
    """
    content = {
        "format": _FORMAT,
        "policy": kind,
        "names": {path: list(names) for path, names in parts.names.items()},
        "inputs": list(parts.inputs),
        "warps": {metric: asdict(warp) for metric, warp in parts.warps.items()},
        "scales": scales.as_json(),
        "versions": {package: version(package) for package in ("sizewise", "torch")},
    }
    write_whole(folder / _WEIGHTS, save(dict(parts.tensors)))
    write_whole(folder / _NAMES, orjson.dumps(content, option=orjson.OPT_INDENT_2))


def kind_of(folder: Path) -> str:
    """Which agent a policy belongs to.

    Raises:
        InputError: it is no policy.
    """
    return str(_described(folder)["policy"])


def read_policy(folder: Path, kind: str) -> Policy:
    """Read a policy.

    Raises:
        InputError: it is none, is damaged, or belongs to another kind of agent.
    """
    described = _described(folder)
    if described["policy"] != kind:
        raise InputError(
            f"this policy is one of {described['policy']!r}, not of {kind!r}",
            place=str(folder),
            remedy=f"use --optimizer {described['policy']}",
        )
    try:
        tensors = load((folder / _WEIGHTS).read_bytes())
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"its weights cannot be read: {error}", place=str(folder / _WEIGHTS), remedy="train it anew"
        ) from error
    warps = {metric: Warp(**fields) for metric, fields in described["warps"].items()}
    parts = Parts(tensors, described["names"], warps, described["inputs"])
    return Policy(folder, kind, parts, Scales.from_json(described["scales"]))


def _described(folder: Path) -> dict[str, Any]:
    path = folder / _NAMES
    try:
        content = orjson.loads(path.read_bytes())
    except OSError as error:
        remedy = "`sizewise train` makes one, and `sizewise compress` with an agent: RUN/METHOD/policy"
        if (folder / RECORD).is_file():
            remedy = f"`sizewise resume {folder}` ends a training that was stopped; a sizing run is for --from"
        raise InputError("there is no policy in this folder", place=str(folder), remedy=remedy) from error
    except orjson.JSONDecodeError as error:
        raise InputError(f"it is damaged: {error}", place=str(path), remedy="train it anew") from error
    wanted = {"policy", "names", "inputs", "warps", "scales"}
    if not isinstance(content, dict) or content.get("format") != _FORMAT or not wanted <= content.keys():
        raise InputError("it is no policy of this version", place=str(path), remedy="train it anew")
    return content
