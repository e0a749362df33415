"""YAML in which every scalar is text and every value knows its line.

YAML 1.1 reads ``1e-6`` as text, a net called ``on`` as true and ``1_000`` as a number: nothing is guessed here; whoever
validates a value reads it by its own rules, and says where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from automl_core.errors import InputError

__all__ = ["LocatedYaml", "Location", "Tree", "read_yaml"]

Tree: TypeAlias = "str | list[Tree] | dict[str, Tree]"
Location: TypeAlias = tuple[str | int, ...]

_LARGEST = 2_000_000
"""Bytes; a spec is a few kilobytes."""
_MOST = 100_000
"""Values; anchors that repeat one another can make billions of a few bytes."""
_DEEPEST = 50
"""Values within values; a spec has four."""


@dataclass(frozen=True)
class LocatedYaml:
    """A document.

    Args:
        path: its file.
        tree: mappings, lists and text.
        lines: location of every key and item -> its line, from 1.
    """

    path: Path
    tree: dict[str, Tree]
    lines: dict[Location, int]

    def place(self, location: Location) -> str:
        """``file:line`` of a location, or of the nearest one above it that exists."""
        while location and location not in self.lines:
            location = location[:-1]
        return f"{self.path}:{self.lines[location]}" if location in self.lines else str(self.path)


def read_yaml(path: Path) -> LocatedYaml:
    """Read a mapping from a YAML file.

    Raises:
        InputError: the file is missing, too large or nested too deeply, not text, not YAML, not a mapping, or gives a
            key twice.
    """
    text = _text(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InputError(
            f"this is not YAML: {error.problem or error.context}", place=place, remedy=_remedy(text, error)
        ) from error
    except yaml.YAMLError as error:
        raise InputError(f"this is not YAML: {error}", place=str(path)) from error
    except RecursionError:
        raise InputError("values are nested without end", place=str(path), remedy="is it the right file?") from None
    if not isinstance(root, MappingNode):
        remedy = "write `key: value` lines; where this is a deck, `sizewise init` writes a spec for it"
        raise InputError("the file holds no keys", place=str(path), remedy=remedy)
    lines: dict[Location, int] = {}
    tree = _tree(root, (), lines, path)
    return LocatedYaml(path, tree if isinstance(tree, dict) else {}, lines)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(
                f"the file has {path.stat().st_size} bytes", place=str(path), remedy="is it the right one?"
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError("the file is not text in UTF-8", place=str(path), remedy="is it the right file?") from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", place=str(path), remedy="check the path") from error


def _remedy(text: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    lines = text.splitlines()
    if mark and mark.line < len(lines) and "\t" in lines[mark.line]:
        return "indent with spaces: YAML takes no tabs"
    return "check the indentation, and put text with a colon or braces in quotes"


def _tree(node: Node, location: Location, lines: dict[Location, int], path: Path) -> Tree:
    line = node.start_mark.line + 1
    lines.setdefault(location, line)
    if len(location) > _DEEPEST:
        raise InputError(
            f"values are nested more than {_DEEPEST} deep, or an anchor holds itself",
            place=f"{path}:{line}",
            remedy="take out the alias (*name) that stands inside its own anchor (&name)",
        )
    if len(lines) > _MOST:
        raise InputError(
            f"there are too many values, above {_MOST}", place=f"{path}:{line}", remedy="take out repeated aliases"
        )
    if isinstance(node, MappingNode):
        return dict(_pairs(node, location, lines, path))
    if isinstance(node, SequenceNode):
        return [_tree(item, (*location, position), lines, path) for position, item in enumerate(node.value)]
    return str(node.value) if isinstance(node, ScalarNode) else ""


def _pairs(node: MappingNode, location: Location, lines: dict[Location, int], path: Path) -> Iterator[tuple[str, Tree]]:
    seen: set[str] = set()
    for key_node, value in node.value:
        place = f"{path}:{key_node.start_mark.line + 1}"
        if not isinstance(key_node, ScalarNode):
            raise InputError("a key must be a word", place=place, remedy="write `name: value`")
        key = str(key_node.value)
        if key in seen:
            raise InputError(f"the key {key!r} is given twice", place=place, remedy="keep one of them")
        seen.add(key)
        lines[(*location, key)] = key_node.start_mark.line + 1
        yield key, _tree(value, (*location, key), lines, path)
