"""What a run leaves for use: the coded file and the spec beside it belong together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from automl_core.errors import InputError
from nn_compression.coding.codec import save_coded
from nn_compression.files.model_files import ModelSpec, load_saved, save_model
from nn_compression.files.references import load_model
from nn_compression.quantization.bits import Bits
from nn_compression.quantization.linear import frozen, quantize
from nn_compression.run.deliverables import CODED, as_it_runs, in_floats, load_compressed

IMAGES = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
BITS = {"conv2": Bits(4, 8), "linear": Bits(4, 8)}


def written(folder: Path) -> nn.Module:
    """A quantized network in a folder."""
    model = frozen(quantize(load_model("digits_net"), BITS, IMAGES))
    save_model(folder, model, ModelSpec("digits_net", (1, 1, 8, 8), classes=10, bits=BITS))
    save_coded(folder / CODED, model)
    return model


def test_the_coded_network_computes_what_was_written(tmp_path: Path) -> None:
    model = written(tmp_path)
    assert load_compressed(tmp_path)(IMAGES).equal(model(IMAGES))


def test_a_network_in_floats_is_of_torchs_own_layers_though_only_inputs_were_rounded() -> None:
    model = load_model("digits_net").eval()
    rounded = quantize(model, {"conv2": Bits(32, 4)}, IMAGES).eval()
    assert not rounded(IMAGES).allclose(model(IMAGES))
    assert type(in_floats(rounded).get_submodule("conv2")) is nn.Conv2d
    assert in_floats(rounded)(IMAGES).equal(model(IMAGES))
    assert as_it_runs(rounded)(IMAGES).equal(rounded(IMAGES))


def test_a_spec_that_was_changed_is_no_spec_of_the_coded_network(tmp_path: Path) -> None:
    written(tmp_path)
    spec = tmp_path / "model.json"
    content = json.loads(spec.read_text())
    content["bits"]["conv2"]["activations"] = 4
    spec.write_text(json.dumps(content))
    for load, name in ((load_compressed, CODED), (load_saved, "model.safetensors")):
        with pytest.raises(InputError, match=r"does not belong to the model\.json") as caught:
            load(tmp_path)
        assert caught.value.place == str(tmp_path / name) and caught.value.remedy


def test_the_coded_file_of_another_network_is_told(tmp_path: Path) -> None:
    written(tmp_path)
    other = frozen(quantize(load_model("digits_net", seed=1), BITS, IMAGES))
    save_coded(tmp_path / CODED, other)
    with pytest.raises(InputError, match="does not belong"):
        load_compressed(tmp_path)
