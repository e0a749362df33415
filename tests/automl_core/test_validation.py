from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from automl_core.errors import InputError
from automl_core.located_yaml import read_yaml
from automl_core.validation import explained


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    depth: int

    @field_validator("depth")
    @classmethod
    def _positive(cls, depth: int) -> int:
        if depth <= 0:
            raise ValueError(f"'{depth}; not more' is no depth; give a positive one")
        return depth


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inner: Inner


def told(folder: Path, text: str) -> InputError:
    path = folder / "document.yaml"
    path.write_text(text)
    source = read_yaml(path)
    with pytest.raises(ValidationError) as caught:
        Document.model_validate(source.tree)
    return explained(source, caught.value, lambda location: Inner.model_fields if len(location) > 1 else ["inner"])


@pytest.mark.parametrize(
    ("text", "line", "problem", "remedy"),
    [
        ("inner: {depth: 1}\niner: 2\n", 2, "unknown key 'iner'", "did you mean 'inner'?"),
        ("inner:\n  depth: 1\n  depht: 2\n", 3, "unknown key 'depht'", "did you mean 'depth'?"),
        ("inner: {}\n", 1, "the key 'depth' of 'inner' is missing", "add `depth:`"),
        ("inner:\n  depth: 0\n", 2, "inner.depth: '0; not more' is no depth", "give a positive one"),
        ("inner:\n  depth: deep\n", 2, "inner.depth: Input should be a valid integer", "correct this value"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_what_to_do(
    tmp_path: Path, text: str, line: int, problem: str, remedy: str
) -> None:
    error = told(tmp_path, text)
    assert error.place == f"{tmp_path / 'document.yaml'}:{line}"
    assert error.problem.startswith(problem) and error.remedy == remedy
