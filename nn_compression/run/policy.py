"""The policy that a compression begins from: found where the user points to, and read before any work is done."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from automl_core.agent.policy_files import kind_of, read_policy
from automl_core.errors import InputError

__all__ = ["check_policy", "found_policy", "kind_of"]

_OWN = "policy.json"
"""What every policy holds."""
_MAKES = "`sizewise compress --optimizer seq2seq` or gcn leaves one: RUN/METHOD/policy"


def found_policy(folder: Path, methods: Collection[str]) -> Path:
    """The folder of a policy: the one that is named, or the only one in a run's folder that is of these methods.

    Args:
        folder: of a policy or of a compression.
        methods: of the stages that are to begin from it.

    Raises:
        InputError: there is none, or it must be said which; those that the folder holds are named.
    """
    if (folder / _OWN).is_file():
        return folder
    held = sorted(path.parent for pattern in ("policy", "*/policy") for path in folder.glob(f"{pattern}/{_OWN}"))
    fitting = [policy for policy in held if policy.parent.name in methods]
    if len(fitting) == 1:
        return fitting[0]
    if not held:
        problem = "there is no policy in this folder" if folder.is_dir() else "there is no such folder"
        raise InputError(problem, place=f"--policy {folder}", remedy=_MAKES)
    several = f"several policies of {', '.join(methods)}" if fitting else f"no policy of {' or '.join(methods)}"
    remedy = f"name one of its policies: {', '.join(map(str, held))}"
    raise InputError(f"this folder holds {several}", place=f"--policy {folder}", remedy=remedy)


def check_policy(folder: Path, optimizer: str) -> None:
    """Refuse a policy that cannot be read, or that this optimizer cannot begin from.

    Raises:
        InputError: with the optimizer that can.
    """
    kind = kind_of(folder)
    if optimizer.removesuffix("-no-model") != kind:
        remedy = f"leave --optimizer out, or ask for {kind}"
        raise InputError(
            f"{optimizer} does not begin from a policy of {kind}", place=f"--policy {folder}", remedy=remedy
        )
    read_policy(folder, kind)
