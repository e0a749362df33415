"""What the machine has and what it lacks."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer

from automl_core.errors import MissingError, SizewiseError

__all__ = ["examine"]

_PACKAGES = (
    *("numpy", "scipy", "torch", "PySpice", "networkx", "pydantic", "PyYAML", "matplotlib", "rich"),
    *("cmaes", "pymoo", "optuna", "botorch", "gymnasium", "stable-baselines3"),
    *("torch-pruning", "onnx", "onnxscript", "onnxruntime", "constriction", "scikit-learn", "safetensors"),
)
_INSTALL = "apt install ngspice libngspice0   |   dnf install ngspice libngspice   |   brew install ngspice libngspice"

_Finding = tuple[bool, str, str]
"""Whether it is there, what it is, and what was found or what to do."""


def examine() -> int:
    """Show a line a part; 0 where nothing is lacking, 3 otherwise."""
    lacking = 0
    for present, what, words in _findings():
        lacking += not present
        typer.echo(f"{'ok     ' if present else 'lacking'}  {what:<22} {words}")
    typer.echo("nothing is lacking" if not lacking else f"{lacking} lacking")
    return 3 if lacking else 0


def _findings() -> Iterator[_Finding]:
    yield sys.version_info >= (3, 11), "Python 3.11 or newer", platform.python_version()
    for package in _PACKAGES:
        try:
            yield True, package, version(package)
        except PackageNotFoundError:
            yield False, package, "pip install -c constraints.txt -e ."
    yield _ngspice_program()
    yield _explained("libngspice", _library)
    yield True, "cores", str(os.cpu_count())
    root = os.environ.get("PDK_ROOT")
    if root is None:
        yield True, "PDK_ROOT", "not set (needed only for decks that read an installed kit)"
    else:
        yield Path(root).is_dir(), "PDK_ROOT", root if Path(root).is_dir() else f"{root} is no folder: correct it"


def _ngspice_program() -> _Finding:
    program = shutil.which("ngspice")
    if program is None:
        return False, "ngspice", f"the sign-off needs it: {_INSTALL}"
    run = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=False)
    words = next((line.strip("* ") for line in run.stdout.splitlines() if "ngspice-" in line), program)
    return True, "ngspice", words


def _explained(what: str, look: Callable[[], str]) -> _Finding:
    try:
        return True, what, look()
    except SizewiseError as error:
        return False, what, f"{error.problem}: {error.remedy or _INSTALL}"


def _library() -> str:
    """Load the library and run a divider in it: what is asked for is a simulator that works, not a file."""
    from circuits.bench import Analysis, Bench, Measure
    from circuits.simulator import Simulator

    lines = ("divider", "v1 in 0 dc 1", "r1 in out 1k", "r2 out 0 3k", ".end")
    bench = Bench(lines, (Analysis("op", "op"),), (Measure("out", "op", kind="offset", arguments={"node": "out"}),))
    with Simulator(bench, limit_seconds=60.0) as simulator:
        reading = simulator.evaluate({})
        voltage = reading.metrics["out"]
        if abs(voltage - 0.75) > 1e-9:
            raise MissingError(
                f"ngspice {simulator.version}: a divider of 1 V by 1k and 3k gives {voltage} V, not 0.75 V"
            )
        return f"ngspice {simulator.version}, simulates"
