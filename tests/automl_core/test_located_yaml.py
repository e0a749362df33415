"""YAML whose scalars stay text and whose values know their lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl_core.errors import InputError
from automl_core.located_yaml import LocatedYaml, read_yaml


def _read(folder: Path, text: str) -> LocatedYaml:
    path = folder / "a.yaml"
    path.write_text(text, encoding="utf-8")
    return read_yaml(path)


def _refused(folder: Path, text: str | bytes) -> InputError:
    path = folder / "a.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError) as caught:
        read_yaml(path)
    return caught.value


@pytest.mark.parametrize(
    "scalar", ["1e-6", "on", "yes", "null", "~", "1_000", "0x10", "017", "1:30", "2026-01-01", ".inf", "10u", "3.0"]
)
def test_no_scalar_is_guessed_at(tmp_path: Path, scalar: str) -> None:
    """YAML 1.1 would make a truth value, a date, a time or a number of most of them."""
    document = _read(tmp_path, f"key: {scalar}\n{scalar}: key\nlist: [{scalar}]\n")
    assert document.tree == {"key": scalar, scalar: "key", "list": [scalar]}


def test_an_empty_value_is_an_empty_text(tmp_path: Path) -> None:
    assert _read(tmp_path, "key:\nother: ''\n").tree == {"key": "", "other": ""}


def test_quotes_blocks_and_braces_are_read_as_yaml_says(tmp_path: Path) -> None:
    text = "a: {b: 'x: y', c: [\"1\", two]}\nd: >-\n  folded\n  text\n"
    assert _read(tmp_path, text).tree == {"a": {"b": "x: y", "c": ["1", "two"]}, "d": "folded text"}


LAID_OUT = """# a comment

first: 1
nested:
  deep:
    - one
    - {inner: 2}
last:
  # another
  key: value
"""


@pytest.mark.parametrize(
    ("location", "line"),
    [
        (("first",), 3),
        (("nested",), 4),
        (("nested", "deep"), 5),
        (("nested", "deep", 0), 6),
        (("nested", "deep", 1), 7),
        (("nested", "deep", 1, "inner"), 7),
        (("last", "key"), 10),
        (("last", "absent"), 8),
        (("nested", "deep", 1, "absent", "further"), 7),
        (("absent",), 3),
    ],
)
def test_every_value_knows_its_line(tmp_path: Path, location: tuple[str | int, ...], line: int) -> None:
    document = _read(tmp_path, LAID_OUT)
    assert document.place(location) == f"{document.path}:{line}"


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "x:\n  a: 1\n  a: 2\n", "\n\nb: {a: 1,\n a: 2}\n"])
def test_a_key_given_twice_is_refused_at_the_second(tmp_path: Path, text: str) -> None:
    error = _refused(tmp_path, text)
    assert "'a' is given twice" in error.problem
    lines = text.splitlines()
    second = max(number for number, line in enumerate(lines, 1) if "a: " in line)
    assert error.place == f"{tmp_path / 'a.yaml'}:{second}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_yaml(tmp_path / "none.yaml")
    assert caught.value.place == str(tmp_path / "none.yaml")
    assert "No such file" in caught.value.problem


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01", b"key: \xe9\n"])
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, content: bytes) -> None:
    assert "not text" in _refused(tmp_path, content).problem


def test_control_characters_are_refused(tmp_path: Path) -> None:
    assert "not YAML" in _refused(tmp_path, "key: a\x00b\n").problem


@pytest.mark.parametrize("text", ["", "# nothing\n", "just words\n", "- a\n- b\n"])
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    assert "no keys" in _refused(tmp_path, text).problem


def test_two_documents_are_refused(tmp_path: Path) -> None:
    assert _refused(tmp_path, "a: 1\n---\nb: 2\n").place.endswith(":2")


def test_tabs_are_named_as_the_cause(tmp_path: Path) -> None:
    error = _refused(tmp_path, "a:\n\tb: 1\n")
    assert error.place.endswith(":2")
    assert "tabs" in error.remedy


def test_an_open_brace_is_refused_with_a_line(tmp_path: Path) -> None:
    error = _refused(tmp_path, "a: {b: 1\nc: 2\n")
    assert "not YAML" in error.problem
    assert error.place.rpartition(":")[2].isdigit()


def test_a_list_as_a_key_is_refused(tmp_path: Path) -> None:
    assert _refused(tmp_path, "a: 1\n? [x, y]\n: 2\n").place.endswith(":2")


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    assert "2000009 bytes" in _refused(tmp_path, b"key: " + b"x" * 2_000_004).problem


def test_an_anchor_may_be_repeated(tmp_path: Path) -> None:
    assert _read(tmp_path, "a: &wide {min: 1, max: 9}\nb: *wide\n").tree["b"] == {"min": "1", "max": "9"}


def test_an_anchor_that_holds_itself_is_refused(tmp_path: Path) -> None:
    error = _refused(tmp_path, "x: 1\na: &loop\n  b: *loop\n")
    assert "itself" in error.problem
    assert error.place.endswith(":2")


def test_a_few_bytes_that_stand_for_billions_are_refused(tmp_path: Path) -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    assert "too many values" in _refused(tmp_path, text).problem


def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    assert "nested" in _refused(tmp_path, "a: " + "[" * 1500 + "]" * 1500).problem
