"""Tracing: what is found of a model's layers and parameters, that the model stays as it was, and what is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from automl_core.errors import InputError
from nn_compression.graph.tracing import trace
from nn_compression.quantization.bits import Bits
from nn_compression.quantization.linear import quantize
from nn_compression.zoo.lenet import lenet5, lenet_300_100
from nn_compression.zoo.resnet import resnet20
from tests.nn_compression.channel_nets import NETS, net_of


def parameters_of(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


class OwnProducts(nn.Module):
    """Attention written out, positions that are added, and a matrix that belongs to no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(8, 8) for _ in range(3))
        self.positions = nn.Parameter(torch.zeros(1, 6, 8))
        self.mix = nn.Parameter(torch.randn(8, 5))
        self.unused = nn.Linear(3, 2)

    def forward(self, features: Tensor) -> Tensor:
        features = features + self.positions
        scores = self.query(features) @ self.key(features).transpose(1, 2)
        return scores.softmax(-1) @ self.value(features) @ self.mix


@pytest.mark.parametrize("name", NETS)
def test_every_parameter_is_counted_once(name: str) -> None:
    model, inputs = net_of(name)
    graph = trace(model, inputs[:1])
    assert graph.parameters == parameters_of(model)
    assert graph.buffers == sum(tensor.numel() for tensor in model.buffers() if tensor.is_floating_point())
    assert len(graph.by_name) == len(graph.layers)


@pytest.mark.parametrize(
    ("make", "weights", "macs", "outputs"),
    [(lenet5, 430_500, 2_293_000, [20, 50, 500, 10]), (lenet_300_100, 266_200, 266_200, [300, 100, 10])],
)
def test_lenets_have_the_figures_of_their_papers(
    make: Callable[[], nn.Module], weights: int, macs: int, outputs: list[int]
) -> None:
    graph = trace(make(), torch.zeros(1, 1, 28, 28))
    assert (graph.weights, graph.macs) == (weights, macs)
    assert [layer.outputs for layer in graph.layers] == outputs


def test_resnet20_has_the_macs_of_its_paper() -> None:
    graph = trace(resnet20(), torch.zeros(1, 3, 32, 32))
    assert graph.macs == pytest.approx(40.8e6, rel=5e-3)
    assert graph.parameters == pytest.approx(0.27e6, rel=0.02)


def test_a_convolution_is_described_in_full() -> None:
    graph = trace(nn.Sequential(nn.Conv2d(4, 6, (3, 1), (2, 1), groups=2)), torch.zeros(1, 4, 9, 5))
    (layer,) = graph.layers
    assert (layer.name, layer.kind, layer.inputs, layer.outputs) == ("0", "grouped", 4, 6)
    assert (layer.kernel, layer.stride, layer.groups) == ((3, 1), (2, 1), 2)
    assert (layer.input_shape, layer.output_shape) == ((4, 9, 5), (6, 4, 5))
    assert (layer.weights, layer.biases, layer.macs) == (36, 6, 6 * 4 * 5 * 2 * 3)


def test_products_and_parameters_outside_layers_are_represented() -> None:
    model = OwnProducts()
    graph = trace(model, torch.randn(1, 6, 8))
    assert graph.parameters == parameters_of(model)
    own = graph.by_name[""]
    assert (own.kind, own.weights) == ("other", 40)
    assert own.macs == 6 * 6 * 8 + 6 * 6 * 8 + 6 * 8 * 5
    rest = {other.name: (other.kind, other.parameters) for other in graph.rest}
    assert rest == {"positions": ("parameter", 48), "unused.weight": ("unused", 6), "unused.bias": ("unused", 2)}


def test_products_count_at_the_module_that_computes_them() -> None:
    class Convolution(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.filters = nn.Parameter(torch.randn(4, 3, 3, 3))

        def forward(self, images: Tensor) -> Tensor:
            return F.conv2d(images, self.filters)

    graph = trace(nn.Sequential(Convolution(), nn.ReLU(), nn.Conv2d(4, 2, 1)), torch.zeros(1, 3, 5, 5))
    assert [(layer.name, layer.kind, layer.weights, layer.macs) for layer in graph.layers] == [
        ("0", "other", 108, 108 * 9),
        ("2", "conv", 8, 8 * 9),
    ]


def test_a_layer_with_added_parameters_is_counted_product_by_product() -> None:
    class LowRank(nn.Linear):
        def __init__(self) -> None:
            super().__init__(6, 4)
            self.down, self.up = nn.Parameter(torch.randn(2, 6)), nn.Parameter(torch.randn(4, 2))

        def forward(self, features: Tensor) -> Tensor:
            return F.linear(features, self.weight, self.bias) + features @ self.down.T @ self.up.T

    model = nn.Sequential(LowRank())
    graph = trace(model, torch.randn(1, 6))
    assert graph.parameters == parameters_of(model)
    assert graph.macs == 6 * 4 + 6 * 2 + 2 * 4


def test_a_module_that_runs_twice_is_one_layer() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, features: Tensor) -> Tensor:
            return self.linear(self.linear(features).relu())

    (layer,) = trace(Twice(), torch.zeros(1, 4)).layers
    assert (layer.calls, layer.macs, layer.weights) == (2, 32, 16)


def test_tied_weights_count_once_in_all_and_in_full_in_each_layer() -> None:
    model, tokens = net_of("tied")
    graph = trace(model, tokens[:1])
    assert [layer.weights for layer in graph.layers] == [54, 36, 54]
    assert [layer.shared for layer in graph.layers] == [0, 0, 54]
    assert graph.weights == 90


def test_tied_by_function_the_weight_stays_with_its_owner() -> None:
    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(9, 6)

        def forward(self, tokens: Tensor) -> Tensor:
            return F.linear(self.embedding(tokens), self.embedding.weight)

    graph = trace(Decoder(), torch.zeros(1, 2, dtype=torch.long))
    assert [(layer.name, layer.weights, layer.macs) for layer in graph.layers] == [("embedding", 54, 0), ("", 0, 108)]


def weight_normed() -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 4, 3)))


def masked() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    return model


def quantized() -> nn.Module:
    return quantize(nn.Sequential(nn.Conv2d(3, 4, 3)), {"0": Bits(4, 4)}, torch.randn(2, 3, 5, 5))


@pytest.mark.parametrize("make", [weight_normed, masked, quantized])
def test_computed_weights_leave_the_layer_what_it_is(make: Callable[[], nn.Module]) -> None:
    model = make()
    graph = trace(model, torch.zeros(1, 3, 5, 5))
    assert [(layer.kind, layer.macs) for layer in graph.layers] == [("conv", 108 * 9)]
    assert graph.parameters == parameters_of(model)


class Stateful(nn.Module):
    """Changes its own buffer and counter, draws random numbers, and has a hook, in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("seen", torch.zeros(1))
        self.calls = 0
        self.conv.bias.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        self.seen += 1
        self.calls += 1
        return self.dropout(self.norm(self.conv(images + torch.rand(1))))


def test_the_model_stays_as_it_was() -> None:
    model = Stateful().train()
    model.norm.eval()
    heard: list[int] = []
    hook = model.conv.register_forward_hook(lambda *_: heard.append(1))
    before, state = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    gradients = torch.is_grad_enabled()
    trace(model, torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert [module.training for module in (model, model.conv, model.norm, model.dropout)] == [True, True, False, True]
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True]
    assert torch.equal(state, torch.random.get_rng_state()) and torch.is_grad_enabled() == gradients
    assert model.calls == 0 and heard == [] and list(model.conv._forward_hooks) == [hook.id]


def test_a_model_is_traced_alike_in_both_modes() -> None:
    model, inputs = net_of("encoder")
    assert trace(model.train(), inputs[:1]) == trace(model.eval(), inputs[:1])


def test_the_input_is_not_written_to() -> None:
    image = torch.full((1, 3, 4, 4), -1.0)
    trace(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 2, 1)), image)
    assert bool((image == -1).all())


# Refusals.


def test_several_examples_are_refused() -> None:
    with pytest.raises(InputError, match=r"8 examples.*\n.*example\[:1\]"):
        trace(nn.Conv2d(3, 4, 3), torch.zeros(8, 3, 5, 5))


def test_sequences_may_come_length_first() -> None:
    model = nn.LSTM(4, 3)
    assert trace(model, torch.zeros(7, 1, 4)).macs == 7 * 4 * 3 * (4 + 3)


def test_a_module_that_fails_is_named() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Flatten(), nn.Linear(5, 2)))
    with pytest.raises(InputError, match=r"(?s)module '1\.1' \(Linear\).*example input"):
        trace(model, torch.zeros(1, 3, 5, 5))


def test_an_embedding_too_small_for_a_token_says_how_many_are_wanted() -> None:
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2))
    with pytest.raises(InputError, match=r"'0' \(Embedding\): it has 5 embeddings.* the token 7\n.*each token"):
        trace(model, torch.tensor([[1, 7]]))


def compiled() -> nn.Module:
    """As ``model[0].compile()`` leaves it, which would import the compiler for seconds."""
    model = nn.Sequential(nn.Linear(4, 4))
    model[0]._compiled_call_impl = model[0]._call_impl
    return model


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nn.Sequential(nn.LazyLinear(3)), r"module '0' \(LazyLinear\): a lazy module.*\n.*run the model once"),
        (lambda: nn.Sequential(torch.jit.ScriptModule()), r"'0'.*scripted.*\n.*the module"),
        (compiled, r"'0'.*compiled.*\n.*before torch\.compile"),
        (lambda: nn.Sequential(nn.ReLU()), r"no layer that multiplies"),
    ],
)
def test_what_cannot_be_followed_is_refused(make: Callable[[], nn.Module], said: str) -> None:
    with pytest.raises(InputError, match=said):
        trace(make(), torch.zeros(1, 4))


def test_a_model_that_cannot_be_copied_is_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    model.stream = (number for number in range(3))
    with pytest.raises(InputError, match=r"cannot be copied.*generator.*\n.*attributes"):
        trace(model, torch.zeros(1, 4))


# Features.


def test_features_are_those_of_amc_and_finite() -> None:
    model, image = net_of("residual")
    graph = trace(model, image[:1])
    features = graph.features()
    assert list(features) == [layer.name for layer in graph.layers]
    assert (features["stem"]["index"], features["head"]["index"]) == (0.0, 1.0)
    assert features["depthwise"]["depthwise"] == 1.0 and features["conv1"]["depthwise"] == 0.0
    assert features["depthwise"]["inputs"] == 3.0 and features["depthwise"]["outputs"] == 4.0
    assert sum(own["share_of_macs"] for own in features.values()) == pytest.approx(1.0)
    assert sum(own["share_of_weights"] for own in features.values()) == pytest.approx(1.0)
    assert features["conv1"]["kernel"] == 3.0 and features["shortcut"]["kernel"] == 1.0
