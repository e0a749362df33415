"""Multiply-accumulates of layers: against torch's own counter, closed forms by hand, and step-by-step recomputation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from nn_compression.graph.execution import without_fused_attention
from nn_compression.graph.tracing import trace
from nn_compression.zoo.mobilenet_v1 import mobilenet_v1
from nn_compression.zoo.mobilenet_v2 import mobilenet_v2
from nn_compression.zoo.resnet import resnet29_bottleneck
from tests.nn_compression.channel_nets import CONVOLUTIONAL, net_of


def counted(run: Callable[[], object]) -> int:
    """Multiply-accumulates by torch's counter, of products and convolutions: it counts two operations for each."""
    # The counter knows attention on a CPU only where it is written out.
    with torch.no_grad(), without_fused_attention(), sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as counter:
            run()
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", [*CONVOLUTIONAL, "squeeze_excite", "gated", "stubborn", "tied", "encoder"])
def test_macs_agree_with_torchs_counter(name: str) -> None:
    model, inputs = net_of(name)
    assert trace(model, inputs[:1]).macs == counted(lambda: model(inputs[:1])) > 0


@pytest.mark.parametrize("make", [mobilenet_v1, mobilenet_v2, resnet29_bottleneck])
def test_macs_of_the_zoo_agree_with_torchs_counter(make: Callable[[], nn.Module]) -> None:
    model, image = make().eval(), torch.zeros(1, 3, 32, 32)
    assert trace(model, image).macs == counted(lambda: model(image))


@settings(max_examples=25, deadline=None)
@given(
    dimensions=st.integers(1, 3),
    groups=st.sampled_from([1, 2, 4]),
    out=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    transposed=st.booleans(),
    bias=st.booleans(),
)
def test_any_convolution_agrees_with_torchs_counter(
    dimensions: int, groups: int, out: int, kernel: int, stride: int, transposed: bool, bias: bool
) -> None:
    kind = getattr(nn, f"Conv{'Transpose' if transposed else ''}{dimensions}d")
    layer = kind(4, out * groups, kernel, stride, groups=groups, bias=bias)
    example = torch.zeros(1, 4, *[5, 4, 3][:dimensions])
    (traced,) = trace(layer, example).layers
    assert traced.macs == counted(lambda: layer(example))
    assert traced.weights + traced.biases == sum(parameter.numel() for parameter in layer.parameters())


def by_hand(module: nn.RNNBase, steps: int) -> int:
    """What an LSTM, GRU or RNN multiplies, counted while its gates are computed one step after another."""

    def run() -> None:
        ways = 2 if module.bidirectional else 1
        for layer in range(module.num_layers):
            for way in range(ways):
                suffix = f"_l{layer}{'_reverse' if way else ''}"
                inputs, own = (getattr(module, f"weight_{kind}{suffix}") for kind in ("ih", "hh"))
                for _ in range(steps):
                    F.linear(torch.zeros(1, inputs.shape[1]), inputs)
                    F.linear(torch.zeros(1, own.shape[1]), own)
                    if getattr(module, "proj_size", 0):
                        F.linear(torch.zeros(1, module.hidden_size), getattr(module, f"weight_hr{suffix}"))

    return counted(run)


@pytest.mark.parametrize(
    "module",
    [
        nn.LSTM(5, 7, batch_first=True),
        nn.LSTM(5, 7, 3, batch_first=True, bidirectional=True),
        nn.LSTM(5, 7, 2, batch_first=True, proj_size=3),
        nn.GRU(5, 7, 2, batch_first=True),
        nn.RNN(5, 7, batch_first=True, bias=False),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
def test_recurrent_macs_are_those_of_their_steps(module: nn.RNNBase) -> None:
    graph = trace(module, torch.zeros(1, 6, 5))
    assert graph.macs == by_hand(module, 6)
    assert graph.parameters == sum(parameter.numel() for parameter in module.parameters())


class Scaled(nn.LSTM):
    """An LSTM with a parameter of the user's own, which is no known layer any more."""

    def __init__(self, *sizes: int, **options: bool) -> None:
        super().__init__(*sizes, **options)
        self.scale = nn.Parameter(torch.ones(()))


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"bias": False}])
def test_an_lstm_of_the_users_own_multiplies_as_torchs_does(options: dict[str, bool]) -> None:
    module = Scaled(5, 7, 2, batch_first=True, **options)
    (layer,) = trace(module, torch.zeros(1, 6, 5)).layers
    assert (layer.kind, layer.macs) == ("other", by_hand(module, 6))


def test_lstm_and_gru_in_closed_form() -> None:
    assert trace(nn.LSTM(5, 7, batch_first=True), torch.zeros(1, 6, 5)).macs == 6 * 4 * 7 * (5 + 7)
    assert trace(nn.GRU(5, 7, batch_first=True), torch.zeros(1, 6, 5)).macs == 6 * 3 * 7 * (5 + 7)
    assert trace(nn.LSTM(5, 7, 2, batch_first=True), torch.zeros(1, 6, 5)).layers[0].square == 4 * 7 * (7 + 7 + 7)


@pytest.mark.parametrize("cell", [nn.LSTMCell(5, 7), nn.GRUCell(5, 7), nn.RNNCell(5, 7)], ids=str)
def test_a_cell_is_one_step(cell: nn.RNNCellBase) -> None:
    (layer,) = trace(cell, torch.zeros(1, 5)).layers
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[layer.kind]
    assert layer.macs == gates * 7 * (5 + 7)


class Attending(nn.Module):
    """Queries of one length attend to keys of another."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return self.attention(queries, keys, values)[0]


@pytest.mark.parametrize(
    ("options", "added"),
    [
        ({}, 0),
        ({"bias": False}, 0),
        ({"kdim": 6, "vdim": 10}, 0),
        ({"add_bias_kv": True}, 1),
        ({"add_zero_attn": True}, 1),
    ],
)
@pytest.mark.parametrize("batch_first", [True, False])
def test_attention_in_closed_form_and_by_torchs_counter(
    options: dict[str, bool | int], added: int, batch_first: bool
) -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=batch_first, **options).eval()
    model = Attending(attention)
    inputs = tuple(
        torch.zeros((1, length, width) if batch_first else (length, 1, width))
        for length, width in [(3, 8), (5, attention.kdim), (5, attention.vdim)]
    )
    projections = 3 * 8 * 8 + 5 * attention.kdim * 8 + 5 * attention.vdim * 8 + 3 * 8 * 8
    graph = trace(model, inputs)
    assert graph.macs == projections + 2 * 3 * (5 + added) * 8 == counted(lambda: model(*inputs))
    assert graph.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert graph.layers[0].input_shape == (3, 8)


def test_an_embedding_multiplies_nothing() -> None:
    (layer,) = trace(nn.Embedding(9, 4), torch.zeros(1, 5, dtype=torch.long)).layers
    assert (layer.kind, layer.macs, layer.weights, layer.inputs, layer.outputs) == ("embedding", 0, 36, 9, 4)


class Own(nn.Module):
    """A product that is no layer's, of the inputs given."""

    def __init__(self, product: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.product = product
        self.weight = nn.Parameter(torch.randn(4, 5))

    def forward(self, features: Tensor) -> Tensor:
        return self.product(features, self.weight)


@pytest.mark.parametrize(
    ("product", "macs"),
    [
        (lambda x, w: x @ w, 3 * 4 * 5),
        (lambda x, w: torch.einsum("bij,jk->bik", x, w), 3 * 4 * 5),
        (lambda x, w: x[0] @ w[:, 0], 3 * 4),
        (lambda x, w: torch.dot(x[0, 0], w[:, 0]), 4),
        (lambda x, w: torch.addbmm(torch.zeros(3, 3), x, x.transpose(1, 2)) + w.sum(), 3 * 4 * 3),
        (lambda x, w: F.scaled_dot_product_attention(x, x, x) + w.sum(), 2 * 3 * 3 * 4),
        (lambda x, w: F.bilinear(x[0], x[0], w.T.unsqueeze(-1).repeat(1, 1, 4)), 3 * 4 * 4 * 5),
        (lambda x, w: F.conv1d(x, w.flatten()[:18].reshape(2, 3, 3)), 2 * 3 * 3 * 2),
    ],
)
def test_products_outside_layers_in_closed_form(product: Callable[[Tensor, Tensor], Tensor], macs: int) -> None:
    graph = trace(nn.Sequential(nn.Linear(4, 4), Own(product)), torch.randn(1, 3, 4))
    assert graph.by_name["1"].macs == macs
    assert graph.parameters == 20 + 20


@pytest.mark.parametrize("shape", [(1, 5), (1, 2, 5)])
def test_a_bias_of_the_users_own_is_no_weight(shape: tuple[int, ...]) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.shift = nn.Parameter(torch.randn(5, 5)), nn.Parameter(torch.randn(5))
            self.second, self.offset = nn.Parameter(torch.randn(5, 5)), nn.Parameter(torch.randn(5))

        def forward(self, features: Tensor) -> Tensor:
            return F.linear(F.linear(features, self.first, self.shift).relu(), self.second, self.offset)

    graph = trace(Twice(), torch.randn(*shape))
    assert (graph.weights, graph.parameters) == (50, 60)


def test_products_of_parameters_alone_are_no_work_of_an_example() -> None:
    graph = trace(nn.Sequential(Own(lambda x, w: x @ (w @ w.T))), torch.randn(1, 3, 4))
    assert (graph.macs, graph.weights) == (3 * 4 * 4, 20)
