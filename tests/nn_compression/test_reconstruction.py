import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl_core.errors import EvaluationError, InputError
from nn_compression.channels import ChannelGroup, Member, best_channels, channel_groups, importance, prune
from nn_compression.channels.reconstruction import Reconstruction
from tests.nn_compression.channel_nets import LARGER, net_of

IMAGES = torch.randn(40, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def correlated(seed: int = 0, examples: int = 64, channels: int = 6, size: int = 8) -> Tensor:
    """Maps whose channels are mixtures of half as many, and a little noise: what is lost can be had from the rest."""
    generator = torch.Generator().manual_seed(seed)
    sources = torch.randn(examples, channels // 2, size, size, generator=generator)
    mixture = torch.randn(channels, channels // 2, generator=generator)
    noise = 0.1 * torch.randn(examples, channels, size, size, generator=generator)
    return torch.einsum("cs,bshw->bchw", mixture, sources) + noise + 0.5


def reader(layer: nn.Module, channels: int, block: int = 1) -> tuple[nn.Module, list[ChannelGroup]]:
    """A layer by itself, and the group of its inputs."""
    return nn.Sequential(layer), [ChannelGroup("x", channels, (Member("0", "in", block),))]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 1},
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "stride": 2, "padding": 2, "dilation": 2},
        {"kernel_size": (3, 2), "padding": "valid"},
        {"kernel_size": 3, "padding": "same", "padding_mode": "reflect"},
    ],
)
def test_a_convolution_is_refitted_as_numpy_does(options: dict[str, object], bias: bool) -> None:
    torch.manual_seed(1)
    maps, kept = correlated(), torch.tensor([0, 2, 5])
    conv = nn.Conv2d(6, 4, bias=bias, **options)
    net, groups = reader(conv, 6)
    smaller = prune(net, groups, {"x": kept})
    every = Reconstruction(net, groups, maps, batch=16, points=10**6, ridge=1e-12)  # all positions
    every.apply(smaller, {"x": kept})
    # rows by torch's own unfold, which knows zero padding only: other padding is done beforehand
    bare = nn.Conv2d(6, 4, conv.kernel_size, conv.stride, 0, conv.dilation)
    mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    padded = nn.functional.pad(maps, conv._reversed_padding_repeated_twice, mode)
    rows = nn.functional.unfold(padded[:, kept], bare.kernel_size, bare.dilation, 0, bare.stride).mT.flatten(0, 1)
    with torch.no_grad():
        targets = conv(maps).flatten(2).mT.flatten(0, 1)
    x = np.hstack([rows.double().numpy(), np.ones((len(rows), 1))][: 1 + bias])
    solution = np.linalg.lstsq(x, targets.double().numpy(), rcond=None)[0].T
    weight = solution[:, : rows.shape[1]].reshape(smaller[0].weight.shape)
    np.testing.assert_allclose(smaller[0].weight.detach().numpy(), weight, rtol=1e-3, atol=1e-4)
    if bias:
        np.testing.assert_allclose(smaller[0].bias.detach().numpy(), solution[:, -1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(64, 12), (16, 9, 12)])
def test_a_linear_layer_is_refitted_as_numpy_does(shape: tuple[int, ...]) -> None:
    torch.manual_seed(2)
    features = torch.randn(*shape) @ torch.randn(12, 12) * 0.3
    linear = nn.Linear(12, 5)
    net, groups = reader(linear, 4, block=3)
    kept = torch.tensor([1, 3])
    smaller = prune(net, groups, {"x": kept})
    Reconstruction(net, groups, features, points=100, ridge=1e-12).apply(smaller, {"x": kept})
    with torch.no_grad():
        targets = linear(features).reshape(-1, 5)
    columns = features.reshape(-1, 12)[:, [3, 4, 5, 9, 10, 11]]
    x = np.hstack([columns.double().numpy(), np.ones((len(columns), 1))])
    solution = np.linalg.lstsq(x, targets.double().numpy(), rcond=None)[0].T
    np.testing.assert_allclose(smaller[0].weight.detach().numpy(), solution[:, :-1], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(smaller[0].bias.detach().numpy(), solution[:, -1], rtol=1e-3, atol=1e-4)


def test_a_layer_that_loses_outputs_too_keeps_those_that_stay() -> None:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 5, 1), nn.Conv2d(5, 2, 1))
    groups = channel_groups(net, IMAGES[:1])
    kept = {"0": torch.tensor([0, 1, 3, 4]), "1": torch.tensor([1, 2, 4])}
    smaller = prune(net, groups, kept)
    Reconstruction(net, groups, IMAGES, ridge=1e-12, points=36).apply(smaller, kept)
    # three independent inputs: four of six channels span them, so that the first layers are refitted without error
    with torch.no_grad():
        torch.testing.assert_close(
            smaller[1](smaller[0](IMAGES)), net[1](net[0](IMAGES))[:, kept["1"]], rtol=1e-3, atol=1e-3
        )


def test_it_lowers_the_error_of_the_outputs_on_other_examples() -> None:
    torch.manual_seed(4)
    net = nn.Sequential(
        nn.Conv2d(6, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 12, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10),
    ).eval()  # fmt: skip
    images, others = correlated(0, 400), correlated(0, 464)[400:]
    groups = channel_groups(net, images[:1])
    kept = {group.name: best_channels(importance(net, group), group, group.channels // 2) for group in groups}
    plain, refitted = prune(net, groups, kept), prune(net, groups, kept)
    Reconstruction(net, groups, images).apply(refitted, kept)
    with torch.no_grad():
        expected = net(others)
        before, after = (float((model(others) - expected).square().mean()) for model in (plain, refitted))
    assert after < 0.5 * before


def test_the_same_seed_gives_the_same_weights_and_the_original_stays() -> None:
    net, _ = net_of("residual")
    net.train()
    groups = channel_groups(net, LARGER)
    kept = {"stem": torch.tensor([0, 3, 4]), "conv1": torch.tensor([1, 4])}
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}

    def weights(seed: int) -> Tensor:
        smaller = prune(net, groups, kept)
        Reconstruction(net, groups, IMAGES, points=4, seed=seed).apply(smaller, kept)
        return smaller.conv1.weight

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))
    assert all(torch.equal(before[key], tensor) for key, tensor in net.state_dict().items())
    assert net.training and not any(module._forward_hooks for module in net.modules())


def test_what_is_refitted_and_what_is_not() -> None:
    net, _ = net_of("residual")
    groups = channel_groups(net, LARGER)
    made = Reconstruction(net, groups, IMAGES)
    assert set(made.layers) == {"conv1", "conv2", "shortcut", "head"}  # no depthwise filter, no norm
    assert set(Reconstruction(net, groups, IMAGES, largest=20).layers) == {"shortcut", "head"}
    whole = prune(net, groups, {})
    made.apply(whole, {})
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), net.parameters(), strict=True))
    smaller = prune(net, groups, {"conv1": torch.tensor([0, 1])})
    untouched = copy.deepcopy(smaller)
    made.apply(smaller, {"conv1": torch.tensor([0, 1])})
    changed = {
        name
        for (name, one), other in zip(smaller.named_parameters(), untouched.parameters(), strict=True)
        if not torch.equal(one, other)
    }
    assert changed == {"conv2.weight", "conv2.bias"}


def test_a_weight_that_another_layer_holds_too_stays() -> None:
    net, _ = net_of("tied")
    tokens = torch.randint(0, 9, (100, 6), generator=torch.Generator().manual_seed(0))
    groups = channel_groups(net, tokens[:1])
    kept = {group.name: torch.arange(4) for group in groups}
    smaller = prune(net, groups, kept)
    made = Reconstruction(net, groups, tokens)
    made.apply(smaller, kept)
    assert made.layers == ("hidden",)
    assert smaller.out.weight is smaller.embedding.weight
    assert torch.equal(smaller.embedding.weight, net.embedding.weight[:, :4])


class Same(nn.Conv2d):
    """Pads to what its stride needs, as TensorFlow does."""

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(F.pad(input, (1, 0, 1, 0)), self.weight, self.bias, self.stride)


class Scaled(nn.Linear):
    """Its weights are scaled (an equalised learning rate)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight * 0.25, self.bias)


class Named(nn.Module):
    """Layers that are called by the names of their arguments."""

    def __init__(self, conv: type[nn.Conv2d] = nn.Conv2d, linear: type[nn.Linear] = nn.Linear) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), conv(8, 6, 3, stride=2)
        self.c, self.out = linear(6, 5), nn.Linear(5, 4)

    def forward(self, images: Tensor) -> Tensor:
        maps = F.relu(self.b(input=F.relu(self.norm(input=self.a(input=images)))))
        return self.out(input=F.relu(self.c(input=maps.mean((2, 3)))))


@pytest.mark.parametrize(
    ("net", "size", "refitted"),
    [
        (Named(), 7, {"b", "c", "out"}),
        (Named(conv=Same), 7, {"c", "out"}),  # as many places as torch's own has
        (Named(conv=Same), 8, {"c", "out"}),
        (Named(linear=Scaled), 7, {"b", "out"}),
    ],
)
def test_only_layers_that_compute_what_torch_does_are_refitted(net: nn.Module, size: int, refitted: set[str]) -> None:
    images = torch.randn(300, 3, size, size, generator=torch.Generator().manual_seed(0))
    groups = channel_groups(net.eval(), images[:1])
    kept = {group.name: torch.arange(group.channels - 1) for group in groups}
    smaller, made = prune(net, groups, kept), Reconstruction(net, groups, images)
    before = copy.deepcopy(smaller)
    made.apply(smaller, kept)
    changed = {
        name
        for name in made.layers
        if not torch.equal(before.get_submodule(name).weight, smaller.get_submodule(name).weight)
    }
    assert set(made.layers) == changed == refitted


def test_channels_that_are_always_zero_do_no_harm() -> None:
    maps = correlated()
    maps[:, 2] = 0
    net, groups = reader(nn.Conv2d(6, 4, 1), 6)
    kept = {"x": torch.tensor([0, 2, 3])}
    smaller = prune(net, groups, kept)
    Reconstruction(net, groups, maps).apply(smaller, kept)
    assert smaller[0].weight.isfinite().all()
    torch.testing.assert_close(smaller[0].weight[:, 1], net[0].weight[:, 2])


def test_few_samples_change_nothing() -> None:
    """Three features need twelve samples."""
    maps = correlated(size=1)
    net, groups = reader(nn.Conv2d(6, 4, 1, bias=False), 6)
    kept = {"x": torch.tensor([0, 2, 3])}
    for examples, changes in ((11, False), (12, True)):
        smaller = prune(net, groups, kept)
        Reconstruction(net, groups, maps[:examples]).apply(smaller, kept)
        assert torch.equal(smaller[0].weight, net[0].weight[:, kept["x"]]) != changes


def test_faults_are_told() -> None:
    net, groups = reader(nn.Conv2d(6, 4, 1), 6)
    for inputs, options in ((correlated()[:0], {}), (correlated(), {"batch": 0}), (correlated(), {"points": 0})):
        with pytest.raises(InputError, match="cannot be sampled"):
            Reconstruction(net, groups, inputs, **options)
    made = Reconstruction(net, groups, correlated())
    with pytest.raises(InputError, match="not what stays"):
        made.apply(prune(net, groups, {"x": torch.tensor([0, 1])}), {"x": torch.tensor([0])})
    broken = Reconstruction(net, groups, correlated() * torch.nan)
    with pytest.raises(EvaluationError, match="not finite"):
        broken.apply(prune(net, groups, {"x": torch.tensor([0])}), {"x": torch.tensor([0])})
