"""The edges between layers: data flow through whatever Python code lies between them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from nn_compression.graph.tracing import trace
from nn_compression.zoo.resnet import resnet20
from tests.nn_compression.channel_nets import net_of

Edges = set[tuple[str, str, str]]


def edges_of(model: nn.Module, *inputs: Tensor) -> Edges:
    return {(edge.source, edge.target, edge.role) for edge in trace(model, inputs).edges}


class Layers(nn.Module):
    """Three linear layers, and a forward that is given."""

    def __init__(self, run: Callable[[Layers, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(4, 4) for _ in range(3))
        self.run = run

    def forward(self, features: Tensor) -> Tensor:
        return self.run(self, features)


def written_in_place(net: Layers, features: Tensor) -> Tensor:
    buffer = torch.zeros(1, 8)
    buffer[:, :4] = net.a(features)
    buffer[:, 4:] += net.b(features)
    return net.c(buffer.view(2, 4).sum(0, keepdim=True))


def without_gradients(net: Layers, features: Tensor) -> Tensor:
    with torch.no_grad():
        hidden = net.a(features).detach()
    return net.c(net.b(hidden).relu_())


def with_control_flow(net: Layers, features: Tensor) -> Tensor:
    hidden = net.a(features)
    hidden = net.b(hidden) if float(hidden.sum()) > 1e9 else net.c(hidden)
    return hidden


@pytest.mark.parametrize(
    ("run", "edges"),
    [
        (lambda net, x: net.c(net.b(net.a(x)).relu() + net.a(x)), {("a", "b"), ("b", "c"), ("a", "c", "residual")}),
        (lambda net, x: net.c(net.a(x) - net.b(x)), {("a", "c"), ("b", "c", "residual")}),
        (
            lambda net, x: net.c(torch.cat([net.a(x), net.b(x)])),
            {("a", "c", "concatenated"), ("b", "c", "concatenated")},
        ),
        (lambda net, x: net.c(net.a(x) * net.b(x).sigmoid().mean()), {("a", "c"), ("b", "c", "scale")}),
        (lambda net, x: net.c(torch.where(net.a(x) > 0, net.b(x), x)), {("a", "c"), ("b", "c")}),
        (lambda net, x: net.c(F.layer_norm(net.a(x), (4,)).chunk(2, -1)[0].repeat(1, 2)), {("a", "c")}),
        (lambda net, x: net.b(net.a(x)) + net.c(x), {("a", "b")}),
        (written_in_place, {("a", "c"), ("b", "c", "residual")}),
        (without_gradients, {("a", "b"), ("b", "c")}),
        (with_control_flow, {("a", "c")}),
    ],
)
def test_edges_follow_the_data(run: Callable[[Layers, Tensor], Tensor], edges: set[tuple[str, ...]]) -> None:
    expected = {(*edge, "forward")[:3] for edge in edges}
    assert edges_of(Layers(run), torch.randn(1, 4)) == expected


def test_a_layer_that_runs_again_is_led_to_recurrently() -> None:
    assert edges_of(Layers(lambda net, x: net.c(net.a(net.b(net.a(x))))), torch.randn(1, 4)) == {
        ("a", "b", "forward"),
        ("b", "a", "recurrent"),
        ("a", "c", "forward"),
    }


def test_depth_decides_what_the_residual_is_not_the_order_of_calls() -> None:
    model, image = net_of("residual")
    edges = edges_of(model, image[:1])
    assert ("conv2", "depthwise", "forward") in edges and ("shortcut", "depthwise", "residual") in edges


def test_squeeze_and_excite_scales() -> None:
    model, image = net_of("squeeze_excite")
    assert edges_of(model, image[:1]) == {
        ("a", "squeeze", "forward"),
        ("squeeze", "excite", "forward"),
        ("a", "b", "forward"),
        ("excite", "b", "scale"),
    }


def test_a_first_state_is_a_state() -> None:
    model, tokens = net_of("translator")
    assert ("encoder", "decoder", "state") in edges_of(model, tokens[:1])


def test_cells_lead_to_themselves() -> None:
    model, tokens = net_of("cells")
    assert edges_of(model, tokens[:1]) == {
        ("embedding", "cell", "forward"),
        ("cell", "cell", "recurrent"),
        ("cell", "out", "concatenated"),
    }


def test_packed_sequences_are_followed() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.lstm, self.b = nn.Linear(3, 4), nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, features: Tensor) -> Tensor:
            packed = pack_padded_sequence(self.a(features), torch.tensor([4]), batch_first=True)
            return self.b(self.lstm(packed)[1][0][-1])

    graph = trace(Packed(), torch.randn(1, 6, 3))
    assert [(edge.source, edge.target) for edge in graph.edges] == [("a", "lstm"), ("lstm", "b")]
    assert graph.by_name["lstm"].macs == 4 * 4 * 5 * (4 + 5)


def test_a_decoder_reads_the_encoder_as_memory() -> None:
    model = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    graph = trace(model, (torch.randn(1, 5, 8), torch.randn(1, 3, 8)))
    roles = {(edge.source, edge.target): edge.role for edge in graph.edges}
    assert roles["decoder.layers.0.self_attn", "decoder.layers.0.multihead_attn"] == "forward"
    assert roles["encoder.layers.0.linear2", "decoder.layers.0.multihead_attn"] == "memory"
    assert graph.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_several_inputs_meet() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.image, self.text, self.out = nn.Conv2d(1, 4, 3), nn.Embedding(9, 4), nn.Linear(4, 2)

        def forward(self, image: Tensor, tokens: Tensor) -> Tensor:
            return self.out(self.image(image).mean((2, 3)) + self.text(tokens).mean(1))

    edges = edges_of(Two(), torch.randn(1, 1, 5, 5), torch.zeros(1, 3, dtype=torch.long))
    assert {edge[:2] for edge in edges} == {("image", "out"), ("text", "out")}


def test_products_are_nodes_between_layers() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.queries, self.keys, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, features: Tensor) -> Tensor:
            mixed = F.scaled_dot_product_attention(self.queries(features), self.keys(features), features)
            return self.out(mixed)

    assert edges_of(nn.Sequential(Attention()), torch.randn(1, 3, 4)) == {
        ("0.queries", "0", "forward"),
        ("0.keys", "0", "forward"),
        ("0", "0.out", "forward"),
    }


def test_residual_blocks_of_the_zoo() -> None:
    graph = trace(resnet20(), torch.zeros(1, 3, 32, 32))
    order = {layer.name: position for position, layer in enumerate(graph.layers)}
    assert all(order[edge.source] < order[edge.target] for edge in graph.edges)
    assert {edge.role for edge in graph.edges} == {"forward", "residual"}
    reached = {edge.target for edge in graph.edges}
    assert reached == set(order) - {graph.layers[0].name}
