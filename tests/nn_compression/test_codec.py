"""The coded file: what comes back is what went in, to the bit; what is no such file is refused; and it is small."""

from __future__ import annotations

import copy
import math
import resource
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from automl_core.errors import InputError
from nn_compression.coding.byte_fields import deflated, number
from nn_compression.coding.codec import decode, encode, load_coded, save_coded
from nn_compression.quantization.bits import Bits
from nn_compression.quantization.linear import plain, quantize

TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.int16, torch.int32, torch.int64)


def bits_of(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape, name
        assert bits_of(found[name]) == bits_of(tensor), name


def framed(header: bytes, stream: bytes = b"") -> bytes:
    """A file with a right checksum around a header of one's own."""
    packed = deflated(header)
    body = number(len(packed)) + packed + stream
    return b"SWNN\x01" + zlib.crc32(body).to_bytes(4, "little") + body


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Any bits of any type, many of them zeros or few different ones."""
    kind = draw(st.sampled_from([*TYPES, torch.uint8, torch.bool]))
    shape = draw(st.lists(st.integers(0, 9), max_size=4))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    if 0 in shape:
        return torch.empty(shape, dtype=kind)
    count, width = math.prod(shape), torch.empty(0, dtype=kind).element_size()
    raw = random.integers(0, 2 if kind == torch.bool else 256, (count, width), np.uint8)
    if draw(st.booleans()):
        raw = raw[random.integers(0, min(count, draw(st.integers(1, 6))), count)]
    raw[random.random(count) < draw(st.sampled_from([0.0, 0.5, 0.95]))] = 0
    return torch.from_numpy(raw.reshape(-1).copy()).view(kind).reshape(shape)


@given(st.dictionaries(st.text(max_size=12), tensors(), max_size=5))
@settings(max_examples=60, deadline=None)
def test_every_tensor_comes_back_to_the_bit(state: dict[str, Tensor]) -> None:
    assert_same(decode(encode(state)), state)


def test_zeros_of_either_sign_and_what_is_no_number_come_back() -> None:
    special = torch.tensor([0.0, -0.0, math.nan, math.inf, -math.inf, 1e-45, 3.4e38, 65504.0, 65520.0])
    state = {"few": special, "many": special.repeat(500), "halves": torch.tensor([0.5, -0.0, 6e-8, 1.0]).repeat(99)}
    state["payload"] = torch.tensor([0x7FC00001, 0x7F800001, -1], dtype=torch.int32).view(torch.float32)
    assert_same(decode(encode(state)), state)


def sparse(rows: int, columns: int, density: float, values: int | None, seed: int = 0) -> Tensor:
    random = np.random.default_rng(seed)
    weights = random.normal(size=(rows, columns)).astype(np.float32)
    if values is not None:
        weights = random.normal(size=values).astype(np.float32)[random.integers(0, values, (rows, columns))]
    return torch.from_numpy(np.where(random.random((rows, columns)) < density, weights, 0).astype(np.float32))


@pytest.mark.parametrize(("density", "values"), [(0.02, 16), (0.1, 32), (0.5, 4), (1.0, 256)])
def test_shared_weights_at_random_places_take_up_their_entropy(density: float, values: int) -> None:
    weight = sparse(300, 400, density, values)
    held = int((weight != 0).sum())
    places = 0.0 if density == 1 else held * -math.log2(density) - (weight.numel() - held) * math.log2(1 - density)
    entropy = (places + held * math.log2(values)) / 8
    size = len(encode({"weight": weight})) - 5 * values  # a centroid and its frequency
    assert entropy * 0.97 < size < entropy * 1.03 + 60


def test_places_that_crowd_in_some_inputs_and_units_take_up_much_less() -> None:
    random = np.random.default_rng(0)
    chances = 0.4 * random.random(300)[:, None] ** 3 * random.random(784) ** 3
    weight = torch.from_numpy((random.random((300, 784)) < chances).astype(np.float32))
    density = float(weight.mean())
    even = weight.numel() * -(density * math.log2(density) + (1 - density) * math.log2(1 - density)) / 8
    known = float(-np.log2(np.where(weight > 0, chances, 1 - chances)).sum()) / 8  # with every chance known
    assert known < len(encode({"weight": weight})) < known + 0.6 * (even - known)


def test_dense_weights_take_up_less_than_their_floats() -> None:
    weight = torch.randn(300, 300, generator=torch.Generator().manual_seed(0))
    assert len(encode({"weight": weight})) < 0.9 * 4 * weight.numel()  # exponents of normal deviates: 2.6 bits of 8
    assert len(encode({"weight": weight.half().float()})) < 0.9 * 2 * weight.numel()


def test_many_small_tensors_cost_little_beside_their_content() -> None:
    state = {f"layers.{index}.norm.num_batches_tracked": torch.tensor(1000 + index) for index in range(50)}
    assert len(encode(state)) < 50 * 12


def test_equal_tensors_are_written_once() -> None:
    tied = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    once, twice = len(encode({"embedding": tied})), len(encode({"embedding": tied, "output": tied.clone()}))
    assert twice < once + 20
    assert_same(decode(encode({"embedding": tied, "output": tied})), {"embedding": tied, "output": tied})


def test_equal_tensors_come_back_in_memory_of_their_own(tmp_path: Path) -> None:
    """Two fresh batch normalisations are equal, and not tied."""
    state = decode(encode(nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4))))
    save_file(state, tmp_path / "w")  # which refuses tensors that share memory
    model = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4))
    model.load_state_dict(state, assign=True)
    model(torch.randn(8, 4))
    assert [int(norm.num_batches_tracked) for norm in model] == [1, 1]


def test_a_short_file_does_not_fill_the_memory_by_repeating_a_tensor() -> None:
    data = encode({str(number): torch.zeros(1 << 20) for number in range(9)})
    with pytest.raises(InputError, match="1,048,576 elements"):
        decode(data)
    assert len(decode(data, most=9 << 20)) == 9


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10)]
    return nn.Sequential(*layers).eval()


def test_a_model_runs_as_before() -> None:
    model, inputs = network(), torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    back = copy.deepcopy(model)
    for parameter in back.parameters():
        nn.init.zeros_(parameter)
    back.load_state_dict(decode(encode(model)))
    assert torch.equal(back(inputs), model(inputs))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_quantized_layers_take_up_their_bits_and_run_as_before(bits: int) -> None:
    inputs = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    widths = Bits(bits, 8)
    model = quantize(network(), {"0": widths, "4": widths}, inputs)
    data = encode(model)
    weights = 8 * 9 + 10 * 8 * 36
    assert len(data) < weights * bits / 8 + 850  # 18 scales, biases and statistics of 50 floats, tables, names
    state = decode(data)
    back = quantize(network(), {"0": widths, "4": widths}, None)
    back.load_state_dict(state)
    assert torch.equal(back.eval()(inputs), model.eval()(inputs))
    as_floats = plain(model)
    assert torch.equal(state["4.weight"], as_floats.get_parameter("4.weight"))


def test_pruned_and_quantized_weights_take_up_their_places_and_bits() -> None:
    model = nn.Sequential(nn.Linear(200, 100, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(sparse(100, 200, 0.05, None))
    quantized = quantize(model, {"0": Bits(4, 32)}, None)
    size = len(encode(quantized))
    assert size < 20000 * 0.2864 / 8 + 1000 * 4 / 8 + 100 * 4 + 120  # places, integers, scales, names
    assert_same(
        decode(encode(quantized)), dict(plain(quantized).state_dict()) | {"0.weight_scale": quantized[0].weight_scale}
    )


def test_a_file_is_written_whole_and_read_back(tmp_path: Path) -> None:
    path, model = tmp_path / "model.swnn", network()
    assert save_coded(path, model) == path.stat().st_size
    assert_same(load_coded(path), dict(model.state_dict()))
    assert list(tmp_path.iterdir()) == [path]


CODED = encode({"weight": sparse(40, 50, 0.1, 8), "bias": torch.linspace(-1, 1, 40), "n": torch.tensor(7)})


@given(st.integers(0, len(CODED) - 1))
@settings(max_examples=50, deadline=None)
def test_a_truncated_file_is_refused(length: int) -> None:
    with pytest.raises(InputError):
        decode(CODED[:length])


@given(st.integers(0, len(CODED) - 1), st.integers(1, 255))
@settings(max_examples=80, deadline=None)
def test_a_file_with_a_changed_byte_is_refused(place: int, change: int) -> None:
    damaged = bytearray(CODED)
    damaged[place] ^= change
    with pytest.raises(InputError):
        decode(bytes(damaged))


def test_a_longer_file_is_refused() -> None:
    with pytest.raises(InputError, match="checksum"):
        decode(CODED + b"\0\0\0\0")


@given(st.integers(9, len(CODED) - 1), st.integers(1, 255))
@settings(max_examples=80, deadline=None)
def test_a_changed_byte_under_a_right_checksum_is_an_error_or_another_model(place: int, change: int) -> None:
    """Whoever forges the checksum gets no traceback and no large memory either."""
    damaged = bytearray(CODED)
    damaged[place] ^= change
    damaged[5:9] = zlib.crc32(damaged[9:]).to_bytes(4, "little")
    try:
        state = decode(bytes(damaged))
    except InputError:
        return
    assert sum(tensor.numel() for tensor in state.values()) < 1 << 22


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(100), b"\x89HDF", CODED[:4], b"SWN"])
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_coded(path)
    assert caught.value.place == str(path)


def test_a_missing_file_and_a_later_version_say_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_coded(tmp_path / "absent")
    with pytest.raises(InputError, match="version 2"):
        decode(CODED[:4] + b"\x02" + CODED[5:])


def test_a_forged_size_is_refused_before_memory_is_taken() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for sizes in ([1 << 40], [1 << 20, 1 << 20], [0, 1 << 40], [1 << 16] * 8):
        shape = number(len(sizes)) + b"".join(map(number, sizes))
        header = number(1) + number(1) + b"w" + number(0) + number(0) + shape + bytes([1]) + number(5) + bytes(20)
        with pytest.raises(InputError):
            decode(framed(header))
    header = number(1 << 30) + b"\0" * (1 << 27)  # inflates to more than any header
    with pytest.raises(InputError):
        decode(framed(header))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # KiB, the test's own 128 MiB included


def test_a_large_model_of_a_short_file_is_read_when_that_is_said() -> None:
    state = {"zeros": torch.zeros(3000, 2000)}
    data = encode(state)
    with pytest.raises(InputError, match="6,000,000 elements") as caught:
        decode(data)
    assert "most=6000000" in str(caught.value)
    assert_same(decode(data, most=6_000_000), state)


def test_what_cannot_be_coded_is_named() -> None:
    with pytest.raises(InputError, match=r"weight: tensors of torch.complex64"):
        encode({"weight": torch.zeros(2, dtype=torch.complex64)})
    with pytest.raises(InputError, match=r"_extra_state: a dict cannot be coded"):
        encode({"_extra_state": {"version": 1}})  # type: ignore[dict-item]
    for tensor, problem in [
        (torch.zeros([1] * 9), "9 axes"),
        (torch.eye(4).to_sparse(), "sparse_coo"),
        (torch.empty(3, device="meta"), "without values"),
        (nn.LazyLinear(3).weight, "no shape"),
    ]:
        with pytest.raises(InputError, match=rf"weight: a tensor .*{problem}") as caught:
            encode({"weight": tensor})
        assert caught.value.remedy
    assert decode(encode({"weight": torch.ones([1] * 8)}))["weight"].shape == (1,) * 8
