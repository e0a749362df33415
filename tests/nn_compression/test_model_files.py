import copy
import json
import pickle
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save, save_file
from safetensors.torch import save_model as others_save
from torch import nn

from automl_core.errors import InputError
from nn_compression.channels import best_channels, channel_groups, importance, prune
from nn_compression.files.model_files import ModelSpec, load_saved, load_weights, read_spec, save_model
from nn_compression.files.references import load_model
from nn_compression.files.tensor_files import digest
from nn_compression.quantization.bits import Bits
from nn_compression.quantization.linear import quantize

NUMBERS = count()
IMAGE = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
PLAIN = ModelSpec("digits_net", (1, 1, 8, 8), classes=10)


def a_net(seed: int = 0) -> nn.Module:
    """The network for digits, with statistics of its own."""
    model = load_model("digits_net", seed=seed)
    model.train()(IMAGE)
    return model.eval()


def test_a_network_comes_back_as_it_was(tmp_path: Path) -> None:
    model = a_net()
    save_model(tmp_path / "new" / "folder", model, PLAIN)
    again = load_saved(tmp_path / "new" / "folder")
    assert again(IMAGE).equal(model(IMAGE)) and not again.training
    assert sorted(file.name for file in (tmp_path / "new" / "folder").iterdir()) == ["model.json", "model.safetensors"]
    assert load_file(tmp_path / "new" / "folder" / "model.safetensors").keys() == model.state_dict().keys()


def test_what_was_pruned_and_quantized_is_done_again(tmp_path: Path) -> None:
    base = a_net()
    groups = channel_groups(base, IMAGE[:1])
    kept = {
        group.name: best_channels(importance(base, group), group, max(group.channels // 3, 1)) for group in groups[1:]
    }
    pruned = prune(base, groups, kept)
    bits = {name: Bits(4, 4) for name, layer in pruned.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    model = quantize(pruned, bits, IMAGE).eval()
    spec = ModelSpec("digits_net", (1, 1, 8, 8), "float32", 10, groups, kept, bits, {"accuracy": 98.5})
    save_model(tmp_path, model, spec)
    again = load_saved(tmp_path)
    assert again(IMAGE).equal(model(IMAGE)) and not again(IMAGE).allclose(pruned(IMAGE))
    sizes = [[tuple(p.shape) for p in each.parameters()] for each in (again, model, base)]
    assert sizes[0] == sizes[1] != sizes[2]
    read = read_spec(tmp_path)
    assert read.bits == bits and read.facts == {"accuracy": 98.5}
    assert {name: channels.tolist() for name, channels in read.kept.items()} == {
        name: channels.tolist() for name, channels in kept.items()
    }


def test_a_pruned_language_model_comes_back(tmp_path: Path) -> None:
    base = load_model("lstm_language_model", classes=7).eval()
    tokens = torch.randint(7, (1, 6))
    groups = channel_groups(base, tokens)
    kept = {group.name: best_channels(importance(base, group), group, group.counts()[1]) for group in groups}
    model = prune(base, groups, kept).eval()
    save_model(tmp_path, model, ModelSpec("lstm_language_model", (1, 6), "int64", 7, groups, kept))
    assert load_saved(tmp_path)(tokens).equal(model(tokens))


def test_a_network_that_has_changed_since_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"saved_model_of_a_user_{next(NUMBERS)}"
    path = tmp_path / f"{name}.py"
    path.write_text("from torch import nn\nsize = 3\ndef net():\n    return nn.Linear(2, size)\n")
    save_model(tmp_path / "saved", load_model(f"{name}:net"), ModelSpec(f"{name}:net", (1, 2)))
    assert load_saved(tmp_path / "saved").weight.shape == (3, 2)
    sys.modules[name].size = 4  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"'weight' is 3x2 in the file, 4x2 in the network") as caught:
        load_saved(tmp_path / "saved")
    assert "has changed" in str(caught.value.remedy)


def change(path: Path, **changes: Any) -> None:
    """Another spec."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def exchange(folder: Path) -> None:
    """Put the weights of another network of the same kind there."""
    save_model(folder / "b", a_net(1), PLAIN)
    (folder / "b" / "model.safetensors").replace(folder / "model.safetensors")


def truncate(folder: Path) -> None:
    """Lose the end of the weights."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda folder: (folder / "model.json").unlink(), "no saved model"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be read"),
        (lambda folder: (folder / "model.json").write_text("{"), "damaged"),
        (lambda folder: (folder / "model.json").write_text("[]"), "no model of this version"),
        (lambda folder: change(folder / "model.json", format=0), "no model of this version"),
        (lambda folder: change(folder / "model.json", kept=[1]), "damaged"),
        (lambda folder: change(folder / "model.json", bits={"conv1": {"weights": 99}}), "99 bits"),
        (lambda folder: change(folder / "model.json", input_type="float33"), "does not belong"),
        (lambda folder: change(folder / "model.json", bits={"conv1": {"weights": 4}}), "was changed"),
        (lambda folder: change(folder / "model.json", facts={"accuracy": 100}), "was changed"),
        (lambda folder: change(folder / "model.json", checksum=""), "does not belong"),
        (lambda folder: change(folder / "model.json", reference="resnet20"), "does not|another network"),
        (exchange, "does not belong"),
        (truncate, "damaged"),
    ],
)
def test_a_damaged_model_is_told(damage: Any, problem: str, tmp_path: Path) -> None:
    save_model(tmp_path, a_net(), PLAIN)
    damage(tmp_path)
    with pytest.raises(InputError, match=problem) as caught:
        load_saved(tmp_path)
    assert caught.value.remedy


def test_a_type_that_torch_does_not_have_is_told() -> None:
    with pytest.raises(InputError, match="no type 'float33'"):
        ModelSpec("digits_net", (1, 1, 8, 8), "float33").build()


def test_a_model_whose_checksum_was_of_its_weights_alone_is_read(tmp_path: Path) -> None:
    model = a_net()
    save_model(tmp_path, model, PLAIN)
    change(tmp_path / "model.json", format=1, checksum=digest(model.state_dict()))
    assert load_saved(tmp_path)(IMAGE).equal(model(IMAGE))


def test_weights_are_put_into_a_network(tmp_path: Path) -> None:
    source, target = a_net(0), a_net(1)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    load_weights(target, tmp_path / "w.safetensors")
    assert target(IMAGE).equal(source(IMAGE))


class Tied(nn.Module):
    """A network with one matrix in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.linear = nn.Linear(3, 5, bias=False)
        self.linear.weight = self.embedding.weight


def test_tied_weights_may_be_written_once(tmp_path: Path) -> None:
    source, target = Tied(), Tied()
    others_save(source, str(tmp_path / "w"))  # leaves the second name out
    assert len(load_file(tmp_path / "w")) == 1
    load_weights(target, tmp_path / "w")
    assert target.linear.weight.equal(source.embedding.weight)


def state(**changes: Any) -> dict[str, torch.Tensor]:
    """The state dict of the network for digits, changed; ``None`` removes."""
    new = a_net().state_dict() | changes
    return {name: tensor for name, tensor in new.items() if tensor is not None}


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        (
            state(**{"conv1.weight": torch.zeros(20, 1, 5, 5)}),
            r"'conv1.weight' is 20x1x5x5 in the file, 16x1x3x3 in the",
        ),
        (state(**{"norm2.running_mean": None}), r"'norm2.running_mean', 32, is not in the file"),
        (state(**{"conv4.weight": torch.zeros(2, 2)}), r"it has no 'conv4.weight', 2x2 in the file"),
        (
            state(**{"linear.bias": torch.tensor([float("nan")] * 10)}),
            r"'linear.bias' holds values that are no numbers",
        ),
    ],
)
def test_weights_of_another_network_are_refused_whole(
    tensors: dict[str, torch.Tensor], problem: str, tmp_path: Path
) -> None:
    save_file(tensors, tmp_path / "w.safetensors")
    model = a_net(1)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(InputError, match=problem) as caught:
        load_weights(model, tmp_path / "w.safetensors")
    assert caught.value.place == str(tmp_path / "w.safetensors") and caught.value.remedy
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())


class Masked(nn.Linear):
    """A network with a causal mask, as transformers have one."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))


def test_infinity_stands_where_the_network_has_it_itself(tmp_path: Path) -> None:
    source, target = Masked(), Masked()
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    load_weights(target, tmp_path / "w.safetensors")
    assert target.weight.equal(source.weight)
    for wrong in (torch.inf, torch.nan):
        mask = source.mask.clone()
        mask[0, 1] = wrong
        save_file(source.state_dict() | {"mask": mask}, tmp_path / "w.safetensors")
        with pytest.raises(InputError, match="'mask' holds values that are no numbers"):
            load_weights(target, tmp_path / "w.safetensors")


def test_weights_without_counts_of_batches_are_taken_as_torch_takes_them(tmp_path: Path) -> None:
    source, target = a_net(0), a_net(1)
    file = {name: tensor for name, tensor in source.state_dict().items() if "num_batches" not in name}
    assert len(file) < len(source.state_dict())
    a_net(1).load_state_dict(dict(file))  # strict
    save_file(file, tmp_path / "w.safetensors")
    load_weights(target, tmp_path / "w.safetensors")
    assert target(IMAGE).equal(source(IMAGE))


def test_a_pickle_is_refused_unread(tmp_path: Path) -> None:
    torch.save(a_net().state_dict(), tmp_path / "w.pt")
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"a": 1}, protocol=2))
    for name in ("w.pt", "w.pkl"):
        with pytest.raises(InputError, match="it is a pickle") as caught:
            load_weights(a_net(), tmp_path / name)
        assert "safetensors.torch.save_model" in str(caught.value.remedy)


@pytest.mark.parametrize("content", [b"", b"no weights", bytes(100)])
def test_what_is_no_safetensors_file_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(InputError, match="no safetensors file"):
        load_weights(a_net(), tmp_path / "w")
    with pytest.raises(InputError, match="No such file"):
        load_weights(a_net(), tmp_path / "x")


def test_a_header_whose_length_begins_as_a_pickle_does_is_none(tmp_path: Path) -> None:
    """A header of 0x0280 bytes: its length is written as the two bytes that pickles of protocol 2 begin with."""
    model, read = nn.Linear(2, 2), nn.Linear(2, 2)
    content = save(model.state_dict())
    end = 8 + int.from_bytes(content[:8], "little")
    padded = (0x0280).to_bytes(8, "little") + content[8:end].ljust(0x0280) + content[end:]  # spaces may follow a header
    assert padded.startswith(b"\x80\x02")
    (tmp_path / "w.safetensors").write_bytes(padded)
    load_weights(read, tmp_path / "w.safetensors")
    assert read.weight.equal(model.weight) and read.bias.equal(model.bias)
