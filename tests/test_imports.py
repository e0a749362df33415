"""The rules of the house, read off the syntax trees: who imports whom, and what a package may not do.

``violations`` takes sources and returns sentences, so that the checker itself is tested on small trees that break
one rule each.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE, DOMAINS, COMMAND_LINE = "automl_core", ("circuits", "nn_compression"), "sizewise"
PACKAGES = (CORE, *DOMAINS, COMMAND_LINE)

ONE_DOOR_ONLY = {
    "PySpice": "circuits/ngspice.py",
    "gymnasium": "automl_core/environment/",
    "stable_baselines3": "automl_core/environment/",
}
"""Libraries behind one door each: a file, or a room of files that ends in a slash."""

NEVER_AT_TOP_LEVEL = {"torchvision", "timm"}
"""Optional libraries: a file that imports them when it is imported does not work without them."""

HEAVY = {
    *ONE_DOOR_ONLY,
    *NEVER_AT_TOP_LEVEL,
    *("torch", "matplotlib", "scipy", "pymoo", "sklearn", "optuna", "botorch", "onnx", "onnxruntime", "distributed"),
}
"""What ``sizewise --help`` must not wait for."""

ASSERTIONS_ARE_ITS_PURPOSE = {"automl_core/testing.py"}
EMPTY_NAMES = {"utils.py", "util.py", "helpers.py", "manager.py", "common.py", "misc.py"}

Sources = Mapping[str, str]
"""File text by path from the root, with forward slashes."""


class Imports(ast.NodeVisitor):
    """Collects the modules a file imports: all of them, and those it imports as soon as it is imported itself."""

    def __init__(self, path: str) -> None:
        self.anywhere: list[tuple[int, str]] = []
        self.at_import: list[tuple[int, str]] = []
        self._package = package_of(path)
        self._deferred = 0

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(node.lineno, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self._package.split(".")[: len(self._package.split(".")) - node.level + 1] if node.level else []
        origin = ".".join([*base, *([node.module] if node.module else [])])
        self._add(node.lineno, origin)
        for alias in node.names:  # each name may be a module
            self._add(node.lineno, f"{origin}.{alias.name}")

    def visit_Call(self, node: ast.Call) -> None:
        """``importlib.import_module("circuits")`` and ``__import__("circuits")`` are imports too."""
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first = node.args[0] if node.args else None
        if name in {"import_module", "__import__"} and isinstance(first, ast.Constant) and isinstance(first.value, str):
            self._add(node.lineno, first.value)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_deferred(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_deferred(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_deferred(node)

    def visit_If(self, node: ast.If) -> None:
        """A body under ``TYPE_CHECKING`` never runs."""
        if ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            self._deferred += 1
            for statement in node.body:
                self.visit(statement)
            self._deferred -= 1
            for statement in node.orelse:
                self.visit(statement)
        else:
            self.generic_visit(node)

    def _visit_deferred(self, node: ast.AST) -> None:
        self._deferred += 1
        self.generic_visit(node)
        self._deferred -= 1

    def _add(self, line: int, module: str) -> None:
        self.anywhere.append((line, module))
        if not self._deferred:
            self.at_import.append((line, module))


def package_of(path: str) -> str:
    """The package whose names a file's relative imports start from."""
    return ".".join(PurePosixPath(path).parent.parts)


def module_of(path: str) -> str:
    """The dotted name of a file."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def is_command_line(path: str) -> bool:
    """Whether a file may print: the command line, and the commands of a domain."""
    return path.startswith(f"{COMMAND_LINE}/") or PurePosixPath(path).name == "commands.py"


def forbidden_packages(path: str) -> set[str]:
    """The packages of ours that a file may not import."""
    home = path.split("/")[0]
    if home == CORE:
        return {*DOMAINS, COMMAND_LINE}
    if home in DOMAINS:
        return {*DOMAINS, COMMAND_LINE} - {home}
    return set()


def is_behind(door: str, path: str) -> bool:
    """Whether a file is the door's, or in the room behind it."""
    return path.startswith(door) if door.endswith("/") else path == door


def import_violations(path: str, imports: Imports) -> Iterator[str]:
    """Imports that cross a line between packages, or reach a library past its one door."""
    for line, module in imports.anywhere:
        top = module.split(".")[0]
        if top in forbidden_packages(path):
            yield f"{path}:{line}: {path.split('/')[0]} imports {top}"
        if top in ONE_DOOR_ONLY and not is_behind(ONE_DOOR_ONLY[top], path):
            yield f"{path}:{line}: only {ONE_DOOR_ONLY[top]} imports {top}"
    for line, module in imports.at_import:
        if module.split(".")[0] in NEVER_AT_TOP_LEVEL:
            yield f"{path}:{line}: {module.split('.')[0]} is optional: import it inside the function that needs it"


def body_violations(path: str, tree: ast.Module) -> Iterator[str]:
    """A missing docstring, ``assert``, ``print``, work done at import, or a name that says nothing."""
    if not ast.get_docstring(tree):
        yield f"{path}:1: no module docstring"
    if PurePosixPath(path).name in EMPTY_NAMES:
        yield f"{path}:1: a file is named after the noun it holds"
    for statement in tree.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            yield f"{path}:{statement.lineno}: something happens at import: {ast.unparse(statement.value)}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and path not in ASSERTIONS_ARE_ITS_PURPOSE:
            yield f"{path}:{node.lineno}: assert disappears under -O: raise an error that says what to do"
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print" and not is_command_line(path):
            yield f"{path}:{node.lineno}: print outside the command line"


def start_up_violations(graph: Mapping[str, Imports], paths: Mapping[str, str]) -> Iterator[str]:
    """Heavy libraries that importing the command line imports with it, however long the chain."""
    waiting = [module for module in graph if module.split(".")[0] == COMMAND_LINE]
    reached = {module: module for module in waiting}
    while waiting:
        module = waiting.pop()
        for line, imported in graph[module].at_import:
            if imported.split(".")[0] in HEAVY:
                yield f"{paths[module]}:{line}: the command line waits for {imported}: {reached[module]} -> {imported}"
            for name in with_parents(imported):  # importing a.b.c runs a and a.b first
                if name in graph and name not in reached:
                    reached[name] = f"{reached[module]} -> {name}"
                    waiting.append(name)


def with_parents(module: str) -> Iterator[str]:
    """``a``, ``a.b`` and ``a.b.c`` of ``a.b.c``."""
    parts = module.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def violations(sources: Sources) -> list[str]:
    """Every broken rule in these files, a sentence each."""
    found: list[str] = []
    graph: dict[str, Imports] = {}
    for path, text in sources.items():
        tree = ast.parse(text, path)
        graph[module_of(path)] = imports = Imports(path)
        imports.visit(tree)
        found += import_violations(path, imports)
        found += body_violations(path, tree)
        if f"{PurePosixPath(path).parent}/__init__.py" not in sources:
            found.append(f"{path}:1: its folder has no __init__.py, so that it would not be installed")
    found += start_up_violations(graph, {module_of(path): path for path in sources})
    return list(dict.fromkeys(found))


def read_packages() -> Sources:
    """The project's own packages, those that exist so far."""
    files = (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py")))
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


def test_the_packages_keep_the_rules() -> None:
    sources = read_packages()
    assert {"automl_core/errors.py", "circuits/__init__.py", "sizewise/__init__.py"} <= set(sources)
    assert violations(sources) == []


SOUND: Sources = {f"{package}/__init__.py": '"""A package."""\n' for package in PACKAGES}


def with_file(path: str, text: str) -> Sources:
    """The sound tree with one more file, which has a docstring."""
    return {**SOUND, path: f'"""A file."""\n{text}\n'}


def test_a_sound_tree_has_no_violation() -> None:
    assert violations(SOUND) == []


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("automl_core/study.py", "import circuits", "automl_core imports circuits"),
        (
            "automl_core/study.py",
            "from nn_compression.graph.tracing import Layer",
            "automl_core imports nn_compression",
        ),
        ("automl_core/study.py", "def f():\n    import circuits.netlist as n", "automl_core imports circuits"),
        (
            "automl_core/study.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import circuits",
            "imports circuits",
        ),
        (
            "automl_core/study.py",
            "import importlib\nx = importlib.import_module('circuits.problem')",
            "imports circuits",
        ),
        ("automl_core/study.py", "x = __import__('circuits')", "automl_core imports circuits"),
        ("automl_core/study.py", "from sizewise import __main__", "automl_core imports sizewise"),
        ("circuits/problem.py", "from nn_compression import graph", "circuits imports nn_compression"),
        ("circuits/problem.py", "import sizewise", "circuits imports sizewise"),
        ("nn_compression/cost.py", "import circuits.numbers", "nn_compression imports circuits"),
        ("circuits/simulator.py", "from PySpice.Spice import NgSpice", "only circuits/ngspice.py imports PySpice"),
        ("sizewise/doctor.py", "def f():\n    import PySpice", "only circuits/ngspice.py imports PySpice"),
        ("automl_core/study.py", "import gymnasium as gym", "only automl_core/environment/ imports gymnasium"),
        ("automl_core/environments.py", "import gymnasium", "only automl_core/environment/ imports gymnasium"),
        ("circuits/agent.py", "import stable_baselines3", "only automl_core/environment/ imports stable_baselines3"),
        (
            "automl_core/sb3.py",
            "def f():\n    from stable_baselines3 import SAC",
            "only automl_core/environment/ imports stable_baselines3",
        ),
        ("nn_compression/zoo.py", "import torchvision.models", "torchvision is optional"),
        ("sizewise/size.py", "import torch", "sizewise.size -> torch"),
        ("sizewise/size.py", "if True:\n    from torch import nn", "sizewise.size -> torch"),
        ("sizewise/size.py", "try:\n    import torch\nexcept ImportError:\n    torch = None", "sizewise.size -> torch"),
        ("sizewise/size.py", "class A:\n    import torch", "sizewise.size -> torch"),
        ("circuits/problem.py", "def f(x):\n    assert x > 0", "assert disappears"),
        ("circuits/problem.py", "def f(x):\n    print(x)", "print outside the command line"),
        (
            "circuits/problem.py",
            "import numpy\nnumpy.random.seed(0)",
            "something happens at import: numpy.random.seed(0)",
        ),
        ("circuits/utils.py", "", "named after the noun"),
        ("circuits/models/bsim.py", "", "no __init__.py"),
    ],
)
def test_each_broken_rule_is_found(path: str, text: str, said: str) -> None:
    found = violations(with_file(path, text))
    assert found and all(sentence.startswith(f"{path}:") and said in sentence for sentence in found)


def test_a_missing_docstring_is_found() -> None:
    assert violations({**SOUND, "circuits/problem.py": "x = 1\n"}) == ["circuits/problem.py:1: no module docstring"]


def test_a_heavy_library_is_found_at_the_end_of_a_chain() -> None:
    sources = {
        **with_file("sizewise/__main__.py", "from circuits import commands"),
        "circuits/commands.py": '"""Commands."""\nfrom .deep.model import Model\n',
        "circuits/deep/__init__.py": '"""A package."""\nimport torch.nn\n',  # run by importing circuits.deep.model
        "circuits/deep/model.py": '"""A model."""\n',
    }
    assert violations(sources) == [
        "circuits/deep/__init__.py:2: the command line waits for torch.nn: "
        "sizewise.__main__ -> circuits.commands -> circuits.deep -> torch.nn"
    ]


def test_a_relative_import_is_resolved_against_its_package() -> None:
    assert imported("automl_core/agent/policy.py", "from ..space import Node") == {
        "automl_core.space",
        "automl_core.space.Node",
    }
    assert imported("automl_core/agent/__init__.py", "from . import policy") == {
        "automl_core.agent",
        "automl_core.agent.policy",
    }


def imported(path: str, text: str) -> set[str]:
    """The modules that one file imports."""
    imports = Imports(path)
    imports.visit(ast.parse(text))
    return {module for _, module in imports.anywhere}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("circuits/ngspice.py", "from PySpice.Spice.NgSpice.Shared import NgSpiceShared"),
        ("automl_core/environment/__init__.py", "import gymnasium\nimport stable_baselines3"),
        ("sizewise/size.py", "def size():\n    import torch"),
        ("sizewise/size.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("sizewise/size.py", "def size():\n    from circuits.problem import CircuitProblem\n    print(CircuitProblem)"),
        ("circuits/commands.py", "def show(x):\n    print(x)"),
        ("circuits/problem.py", "from automl_core.space import DesignSpace"),
        ("nn_compression/cost.py", "import torch"),
        ("automl_core/testing.py", "def check(x):\n    assert x"),
        ("circuits/child.py", "def main(): ...\nif __name__ == '__main__':\n    main()"),
        ("circuits/problem.py", "text = 'import nn_compression; print(1)'"),
    ],
)
def test_what_is_allowed_is_left_alone(path: str, text: str) -> None:
    assert violations(with_file(path, text)) == []
