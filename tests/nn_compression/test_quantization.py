"""Linear quantization: against torch's own fake quantization, brute force and closed forms."""

from __future__ import annotations

import copy
import io
import pickle
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from automl_core.errors import InputError
from automl_core.one_thread import one_thread
from nn_compression.coding.codec import decode, encode
from nn_compression.graph.execution import evaluation_copy
from nn_compression.quantization.activation_range import Histogram
from nn_compression.quantization.levels import activation_levels, best_weight_scale, integers_of, rounded, weight_levels
from nn_compression.quantization.linear import (
    Bits,
    Calibration,
    frozen,
    plain,
    quantizable,
    quantize,
    quantized_weights,
)
from nn_compression.sparsity.masks import Masks


@pytest.fixture(autouse=True)
def one_torch_thread() -> Iterator[None]:
    with one_thread():
        yield


def small_net() -> nn.Sequential:
    """A convolution, a depthwise one and a linear layer, with batch norms in use."""
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)),
    )
    net(torch.randn(32, 3, 8, 8))
    return net.eval()


IMAGES = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def squared_error(weight: Tensor, scale: float, bits: int) -> float:
    largest = max(2 ** (bits - 1) - 1, 1)
    return float((weight - torch.clamp(torch.round(weight / scale), -largest, largest) * scale).square().sum())


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_weights_scale_is_the_best_of_a_fine_grid(bits: int) -> None:
    weight = torch.randn(3, 200, generator=torch.Generator().manual_seed(bits)) * torch.tensor([[0.01], [1.0], [30.0]])
    for row, scale in zip(weight, best_weight_scale(weight, bits).tolist(), strict=True):
        ends = np.linspace(0.05, 1.1, 2000) * float(row.abs().max())
        best = min(squared_error(row, end / max(2 ** (bits - 1) - 1, 1), bits) for end in ends)
        assert squared_error(row, scale, bits) <= (1.02 if bits < 8 else 1.1) * best


def test_one_bit_is_the_sign_times_the_mean_magnitude() -> None:
    weight = torch.tensor([[1.0, -3.0, 0.5, -0.5], [0.0, 0.0, 0.0, 0.0]])
    scale = best_weight_scale(weight, 1)
    assert scale.tolist() == [1.25, 0.0]
    assert integers_of(weight, scale[:, None], weight_levels(1))[0].tolist() == [1.0, -1.0, 1.0, -1.0]


def test_a_channel_of_zeros_stays_zero_at_one_bit_in_its_file_too() -> None:
    model = nn.Sequential(nn.Linear(8, 4, bias=False))
    model[0].weight.data[1] = 0
    quantized = quantize(model, {"0": Bits(1)}, None)
    outputs = quantized(torch.randn(6, 8))
    assert not outputs[:, 1].any() and outputs[:, [0, 2, 3]].all()
    torch.testing.assert_close(decode(encode(quantized))["0.weight"], frozen(quantized)[0].weight.detach())  # type: ignore[index]


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("kind", ["rectified", "both signs", "lopsided"])
def test_the_clipping_is_the_best_of_a_fine_grid(bits: int, kind: str) -> None:
    values = torch.randn(20_000, generator=torch.Generator().manual_seed(bits))
    values = {"rectified": values.relu(), "both signs": values, "lopsided": torch.where(values < 0, 0.1, 1.0) * values}[
        kind
    ]
    histogram = Histogram()
    histogram.add(values)
    found = histogram.range(bits)
    levels = activation_levels(bits, found.low)
    if kind == "rectified":
        assert found.low == 0
    ours = float((rounded(values, torch.tensor(found.scale), levels) - values).square().mean())
    steps, best = 2**bits - 1, np.inf
    for scale in np.geomspace(0.02, 8.0, 150) / steps:
        for low in {0, *(round(-steps * share) for share in np.linspace(0, 1, 9))}:
            theirs = torch.fake_quantize_per_tensor_affine(values, float(scale), -low, 0, steps)
            best = min(best, float((theirs - values).square().mean()))
    assert ours <= 1.05 * best + 1e-7


@pytest.mark.parametrize("share", [0.1, 0.6, 1.0])
def test_one_bit_of_an_input_with_zeros_is_the_better_of_its_signs_and_zero_or_one(share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(20_000, generator=generator) * (torch.rand(20_000, generator=generator) < share)
    histogram = Histogram()
    histogram.add(values)
    found = histogram.range(1)
    ours = rounded(values, torch.tensor(found.scale), activation_levels(1, found.low))
    scales = torch.linspace(0.01, 3, 300)[:, None]
    signs = torch.where(values >= 0, scales, -scales)
    ones = torch.where(values >= scales / 2, scales, 0.0)
    best = min(float((theirs - values).square().mean(1).min()) for theirs in (signs, ones))
    assert float((ours - values).square().mean()) <= 1.01 * best


def test_a_rounded_convolution_is_torchs_fake_quantization() -> None:
    layer = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1, padding_mode="reflect"))
    quantized = quantize(layer, {"0": Bits(4, 5)}, IMAGES)
    low, scale = int(quantized[0].activation_low), float(quantized[0].activation_scale)  # type: ignore[index]
    weight_scale = quantized[0].weight_scale  # type: ignore[index]
    inputs = torch.fake_quantize_per_tensor_affine(IMAGES, scale, -low, 0, 31)
    weight = torch.fake_quantize_per_channel_affine(
        layer[0].weight.detach(), weight_scale, torch.zeros(4, dtype=torch.int32), 0, -7, 7
    )
    reference = copy.deepcopy(layer)
    reference[0].weight.data = weight
    torch.testing.assert_close(quantized(IMAGES), reference(inputs))
    assert torch.equal(layer[0].weight, quantized[0].weight)  # type: ignore[index]


@pytest.mark.parametrize("bits", range(1, 9))
def test_the_integers_times_the_scales_are_the_weights_bit_for_bit(bits: int) -> None:
    quantized = quantize(small_net(), {name: Bits(bits, 8) for name in ("0", "3", "7")}, IMAGES)
    stored = quantized_weights(quantized)
    assert set(stored) == {"0.weight", "3.weight", "7.weight"}
    for key, weight in stored.items():
        layer = quantized.get_submodule(key.split(".")[0])
        used = layer.rounded_weight("weight")  # type: ignore[operator]
        scale = weight.scale.view(-1, *(1 for _ in range(used.ndim - 1)))
        assert torch.equal(weight.integers.float() * scale, used)
        assert weight.integers.dtype == torch.int8 and weight.scale.shape == (len(used),)
        assert weight.integers.abs().max() <= max(2 ** (bits - 1) - 1, 1)
        assert bits > 1 or bool((weight.integers != 0).all())


def test_more_bits_are_nearer_to_the_model() -> None:
    net = small_net().requires_grad_(False)
    errors = [
        float(
            (quantize(net, {name: Bits(bits, bits) for name in quantizable(net)}, IMAGES)(IMAGES) - net(IMAGES)).norm()
        )
        for bits in (2, 4, 6, 8)
    ]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.02 * float(net(IMAGES).norm())


def test_gradients_pass_straight_through_but_not_through_clipping() -> None:
    values = torch.tensor([-1.0, 0.2, 0.9, 2.2], requires_grad=True)
    out = rounded(values, torch.tensor(0.5), activation_levels(2, 0))
    (out * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert out.tolist() == [0.0, 0.0, 1.0, 1.5]
    assert values.grad is not None and values.grad.tolist() == [0.0, 2.0, 3.0, 0.0]


def test_the_weights_gradient_is_that_of_the_rounded_layer() -> None:
    layer = nn.Sequential(nn.Linear(6, 3))
    inputs = torch.randn(10, 6, generator=torch.Generator().manual_seed(2))
    quantized = quantize(layer, {"0": Bits(2)}, None)
    quantized(inputs).square().sum().backward()
    reference = plain(quantized)
    reference.zero_grad()
    reference(inputs).square().sum().backward()
    torch.testing.assert_close(quantized[0].weight.grad, reference[0].weight.grad)  # type: ignore[index]


def test_training_makes_up_for_two_bits() -> None:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(128, 10, generator=generator)
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
    targets = teacher(inputs).detach()
    student = quantize(teacher, {"0": Bits(2, 3), "2": Bits(2, 3)}, inputs)
    optimizer = torch.optim.Adam(student.parameters(), 0.003)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200)
    losses = []
    for _ in range(200):
        loss = (student(inputs) - targets).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        decay.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-10:]) < 0.75 * losses[0]


def test_the_state_dict_restores_the_ranges_without_data() -> None:
    net = small_net()
    bits = {"0": Bits(3, 4), "3": Bits(8, 1), "7": Bits(1, 32)}
    quantized = quantize(net, bits, IMAGES)
    again = quantize(copy.deepcopy(net), bits, None)
    assert bool(torch.isnan(again(IMAGES)).all())
    again.load_state_dict(quantized.state_dict())
    assert torch.equal(again(IMAGES), quantized(IMAGES))
    assert {"0.weight", "0.weight_scale", "0.activation_scale", "0.activation_low"} <= set(quantized.state_dict())
    assert torch.equal(pickle.loads(pickle.dumps(quantized))(IMAGES), quantized(IMAGES))


def test_frozen_and_plain_compute_what_they_say() -> None:
    quantized = quantize(small_net(), {"0": Bits(3, 32), "7": Bits(1, 32)}, IMAGES)
    for copied in (frozen(quantized), plain(quantized)):
        torch.testing.assert_close(copied(IMAGES), quantized(IMAGES))
    assert {type(layer) for layer in plain(quantized).modules()} == {type(layer) for layer in small_net().modules()}
    assert set(plain(quantized).state_dict()) == set(small_net().state_dict())
    rounded_inputs = quantize(small_net(), {"0": Bits(3, 3)}, IMAGES)
    torch.testing.assert_close(frozen(rounded_inputs)(IMAGES), rounded_inputs(IMAGES))
    assert not torch.allclose(plain(rounded_inputs)(IMAGES), rounded_inputs(IMAGES))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_a_recurrent_layer_computes_with_rounded_weights_and_trains(kind: type[nn.LSTM] | type[nn.GRU]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(kind(4, 6, num_layers=2, batch_first=True))
    inputs = torch.randn(2, 5, 4)
    quantized = quantize(model, {"0": Bits(3)}, None)
    outputs, _ = quantized(inputs)
    reference = copy.deepcopy(model)
    for name, weight in reference[0].named_parameters():
        if name.startswith("weight"):
            scale = best_weight_scale(weight, 3)
            weight.data = torch.fake_quantize_per_channel_affine(
                weight.detach(), scale, torch.zeros(len(scale), dtype=torch.int32), 0, -3, 3
            )
    torch.testing.assert_close(outputs, reference(inputs)[0])
    outputs.sum().backward()
    reference(inputs)[0].sum().backward()
    torch.testing.assert_close(quantized[0].weight_hh_l1.grad, reference[0].weight_hh_l1.grad)  # type: ignore[index]
    assert {"0.weight_ih_l0", "0.weight_hh_l0", "0.weight_ih_l1", "0.weight_hh_l1"} == set(quantized_weights(quantized))


def test_the_fast_path_of_a_transformer_does_not_leave_the_rounding_out() -> None:
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    inputs = torch.randn(2, 5, 8)
    quantized = quantize(encoder, {"linear1": Bits(2, 2)}, inputs)
    reference = copy.deepcopy(quantized).train()
    for module in reference.modules():
        if isinstance(module, nn.Dropout | nn.MultiheadAttention):
            module.eval()
            module.dropout = 0.0  # type: ignore[assignment]
    with torch.no_grad():
        torch.testing.assert_close(quantized(inputs), reference(inputs))
        assert not torch.allclose(quantized(inputs), encoder(inputs))


def test_a_candidate_is_what_quantize_gives_whatever_came_before_it() -> None:
    net = small_net()
    calibration = Calibration(net, IMAGES)
    first, second = {"0": Bits(2, 2), "3": Bits(1, 1)}, {"3": Bits(4, 32), "7": Bits(32, 3)}
    for bits in (first, second, first, {}):
        candidate = calibration.candidate(bits)
        torch.testing.assert_close(candidate(IMAGES), quantize(net, bits, IMAGES)(IMAGES))
        candidate.get_submodule("1").running_mean.add_(1.0)  # type: ignore[union-attr]


def test_the_file_of_a_candidate_is_that_of_the_quantized_model() -> None:
    net, bits = small_net(), {"0": Bits(3, 8), "7": Bits(1, 4)}
    candidate, quantized = Calibration(net, IMAGES).candidate(bits), quantize(net, bits, IMAGES)
    assert encode(candidate) == encode(quantized)


def test_layers_that_are_called_by_name_are_calibrated() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, values: Tensor) -> Tensor:
            return self.linear(input=values)  # type: ignore[no-any-return]

    model, inputs = Named(), torch.randn(50, 4)
    quantized = quantize(model, {"linear": Bits(8, 8)}, inputs)
    torch.testing.assert_close(quantized(inputs), model(inputs), atol=0.03, rtol=0.0)


@pytest.mark.parametrize("broken", [float("inf"), float("nan")])
def test_an_input_that_is_no_number_is_told_with_its_layer(broken: float) -> None:
    inputs = torch.ones(2, 4)
    inputs[1, 2] = broken
    with pytest.raises(InputError, match="NaN or infinity reaches the layer '0'"):
        quantize(nn.Sequential(nn.Linear(4, 3)), {"0": Bits(4, 4)}, inputs)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_type_are_rounded_as_well_as_floats(kind: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(64, 8)).to(kind)
    with torch.no_grad():
        layer[0].weight.copy_(torch.randn(8, 64) * 1e-3)
    for bits, most in ((8, 0.02), (1, 0.7)):
        quantized = quantize(layer, {"0": Bits(bits)}, None)
        computed = frozen(quantized)[0].weight.detach()  # type: ignore[index]
        weight = layer[0].weight.detach().double()
        assert float((computed.double() - weight).norm()) < most * float(weight.norm())
        assert quantized(torch.ones(2, 64, dtype=kind)).dtype == kind


def test_a_candidate_costs_little() -> None:
    net = nn.Sequential(*(nn.Conv2d(128, 128, 3, bias=False) for _ in range(10)))  # 1.5 M weights
    calibration = Calibration(net, torch.randn(1, 128, 24, 24))
    candidates = [{str(n): Bits(2 + (n + turn) % 2, 4) for n in range(10)} for turn in range(2)]
    for bits in candidates:
        calibration.candidate(bits)
    seconds = []
    for bits in candidates:
        began = time.thread_time()
        calibration.candidate(bits)
        seconds.append(time.thread_time() - began)
    assert min(seconds) < 0.02


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=20))
def test_rounding_is_idempotent_and_moves_no_weight_by_more_than_clipping_and_half_a_step(
    bits: int, values: list[float]
) -> None:
    weight = torch.tensor([values])
    scale = best_weight_scale(weight, bits)[:, None]
    once = rounded(weight, scale, weight_levels(bits))
    torch.testing.assert_close(rounded(once, scale, weight_levels(bits)), once)
    inside = weight.abs() <= scale * weight_levels(bits).high
    assert bool(((once - weight).abs()[inside] <= scale * (0.5 if bits > 1 else 1.0) * 1.0001).all())


def test_what_cannot_be_quantized_is_refused() -> None:
    net = small_net()
    with pytest.raises(InputError, match="no layer '8'"):
        quantize(net, {"8": Bits(4, 4)}, IMAGES)
    with pytest.raises(InputError, match="BatchNorm2d, which cannot be quantized"):
        quantize(net, {"1": Bits(4)}, IMAGES)
    with pytest.raises(InputError, match="of which only weights"):
        quantize(nn.Sequential(nn.LSTM(2, 2)), {"0": Bits(4, 4)}, None)
    with pytest.raises(InputError, match="9 bits"):
        Bits(9)
    with pytest.raises(InputError, match="was not calibrated"):
        Calibration(net, IMAGES, layers=["0"]).quantized({"7": Bits(4, 4)})
    unused = nn.ModuleDict({"used": nn.Linear(2, 2), "unused": nn.Linear(2, 2)})
    with pytest.raises(InputError, match="no calibration input reaches"):
        quantize(unused, {"unused": Bits(4, 4)}, torch.ones(1, 2), forward=lambda model, x: model["used"](x))


def pruned(layer: nn.Module) -> None:
    torch.nn.utils.prune.l1_unstructured(layer, "weight", amount=0.5)  # type: ignore[no-untyped-call]


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("hooked", "removed"),
    [
        (pruned, "torch.nn.utils.prune.remove"),
        (torch.nn.utils.weight_norm, "torch.nn.utils.remove_weight_norm"),
        (torch.nn.utils.spectral_norm, "torch.nn.utils.remove_spectral_norm"),
    ],
)
def test_a_weight_that_a_hook_computes_is_refused_until_it_is_removed(
    hooked: Callable[[nn.Module], object], removed: str
) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    hooked(model[1])
    for refused in (
        lambda: quantize(model, {"0": Bits(4)}, torch.ones(2, 4)),
        lambda: Masks.magnitude(model, {"0": 0.5}),
        lambda: evaluation_copy(model),
    ):
        with pytest.raises(InputError, match="the weight of the layer '1' is computed") as caught:
            refused()
        assert removed in (caught.value.remedy or "")
    remove = torch.nn.utils
    for part in removed.split(".")[3:]:
        remove = getattr(remove, part)
    remove(model[1], "weight")  # type: ignore[operator]
    assert quantize(model, {"1": Bits(4)}, None)(torch.ones(2, 4)).shape == (2, 2)


def test_parameters_of_a_users_own_are_not_rounded() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    model[0].weight_extra = nn.Parameter(torch.ones(3))
    assert set(quantized_weights(quantize(model, {"0": Bits(4)}, None))) == {"0.weight"}


def test_a_tied_weight_is_not_rounded_for_one_layer_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 5))
    model[2].weight = model[0].weight
    assert quantizable(model) == ("1",)
    with pytest.raises(InputError, match="'2' shares its weight with '0'"):
        quantize(model, {"2": Bits(4)}, None)
    tokens = torch.tensor([[0, 3, 1]])
    quantized = quantize(model, {"1": Bits(2), "2": Bits(32, 4)}, tokens)
    torch.testing.assert_close(frozen(quantized)(tokens), quantized(tokens))
    twice = nn.Linear(4, 4)
    assert quantizable(nn.Sequential(twice, nn.ReLU(), twice)) == ("0",), "one layer that runs twice is not tied"


def test_calibration_leaves_the_model_as_it_was() -> None:
    net = small_net().train()
    net[4].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    Calibration(net, IMAGES)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training and net[0].training and not net[4].training
    assert not any(module._forward_pre_hooks for module in net.modules())
    buffer = io.BytesIO()
    torch.save(net.state_dict(), buffer)
