from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from automl_core.errors import InputError
from nn_compression.files.tensor_files import digest, read_tensors, write_tensors


def some_tensors() -> dict[str, torch.Tensor]:
    """Tensors of several types, one of them transposed, two of one memory."""
    base = torch.arange(12.0).view(3, 4)
    return {
        "a": base,
        "a's": base,
        "b": base.t(),
        "c": torch.tensor(3),
        "d": torch.zeros(0, 2),
        "e": torch.tensor([True]),
    }


def test_tensors_come_back_with_their_facts_and_others_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "a.safetensors"
    write_tensors(path, some_tensors(), {"epoch": 3})
    for read in (read_tensors(path, "")[0], load_file(path)):
        assert read.keys() == some_tensors().keys()
        assert all(
            read[name].equal(tensor) and read[name].dtype == tensor.dtype for name, tensor in some_tensors().items()
        )
    assert read_tensors(path, "")[1] == {"epoch": 3}
    assert [file.name for file in path.parent.iterdir()] == ["a.safetensors"]


def test_files_of_others_have_no_facts(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "a")
    assert read_tensors(tmp_path / "a", "")[1] is None


def test_a_damaged_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_tensors(path, some_tensors(), {"epoch": 3})
    content = path.read_bytes()
    for place in range(0, len(content), 5):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            tensors, facts = read_tensors(path, "write it again")
        except InputError as error:
            assert error.place == str(path) and error.remedy == "write it again"
            continue
        assert digest(tensors, facts) == digest(some_tensors(), {"epoch": 3}), f"byte {place} of {len(content)}"


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_tensors(tmp_path / "a", "")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be"):
        write_tensors(tmp_path / "file" / "a", {})


def test_what_is_no_tensor_is_told(tmp_path: Path) -> None:
    state: dict[str, Any] = {"a": torch.ones(1), "layer._extra_state": {"version": 1}}
    for use in (digest, lambda tensors: write_tensors(tmp_path / "a", tensors)):
        with pytest.raises(InputError, match="a dict cannot be coded") as caught:
            use(state)
        assert caught.value.place == "state dict, layer._extra_state"


def test_the_digest_tells_names_shapes_types_and_values_apart() -> None:
    tensor = torch.arange(4, dtype=torch.int32)
    others = [{"b": tensor}, {"a": tensor.view(2, 2)}, {"a": tensor.view(torch.float32)}, {"a": tensor + 1}, {}]
    assert len({digest(each) for each in [{"a": tensor}, *others]}) == 6
    assert digest({"a": tensor}) != digest({"a": tensor}, 1)
    assert digest({"a": tensor, "b": tensor}) == digest({"b": tensor, "a": tensor.clone()})
