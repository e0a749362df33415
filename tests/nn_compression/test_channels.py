import copy
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import prod

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from automl_core.errors import InputError
from nn_compression import channels as channels_module
from nn_compression.channels import ChannelGroup, Member, best_channels, channel_groups, importance, prune
from nn_compression.channels.groups import group_from_json, group_to_json
from nn_compression.graph.execution import evaluation_copy, execution_order
from nn_compression.zoo.mobilenet_v2 import mobilenet_v2
from nn_compression.zoo.resnet import resnet20
from tests.nn_compression.channel_nets import CONVOLUTIONAL, IMAGE, NETS, Split, SqueezeExcite, net_of

out, into = "out", "in"


def members(group: ChannelGroup) -> set[tuple[object, ...]]:
    return {(m.layer, m.axis, m.block, m.offset) for m in group.members}


def by_name(net: nn.Module, inputs: Tensor, **options: object) -> dict[str, ChannelGroup]:
    return {group.name: group for group in channel_groups(net, inputs, **options)}


def test_residual_sums_and_depthwise_filters_are_coupled() -> None:
    groups = by_name(*net_of("residual"))
    assert list(groups) == ["stem", "conv1", "conv2"]  # in data-flow order; the head's outputs are no group
    assert members(groups["stem"]) == {
        ("stem", out, 1, 0), ("norm", out, 1, 0), ("conv1", into, 1, 0), ("shortcut", into, 1, 0),
    }  # fmt: skip
    assert members(groups["conv2"]) == {
        ("conv2", out, 1, 0), ("shortcut", out, 1, 0), ("depthwise", into, 1, 0), ("depthwise", out, 2, 0),
        ("activation", out, 2, 0), ("head", into, 2, 0),
    }  # fmt: skip
    assert [groups[name].channels for name in groups] == [6, 5, 8]


def test_concatenations_lie_behind_one_another_and_flattened_maps_in_blocks() -> None:
    groups = by_name(*net_of("dense"))
    assert members(groups["b"]) == {("b", out, 1, 0), ("c", into, 1, 4), ("norm", out, 1, 4), ("d", into, 16, 64)}
    assert members(groups["c"]) == {("c", out, 1, 0), ("norm", out, 1, 10), ("d", into, 16, 160)}


def test_grouped_convolutions_keep_equally_many_of_each_part() -> None:
    groups = by_name(*net_of("grouped"), round_to=3)
    assert (groups["a"].parts, groups["a"].multiple, groups["a"].counts()) == (4, 12, [12])
    assert (groups["grouped"].parts, groups["up"].parts, groups["parted"].parts) == (4, 2, 2)
    assert groups["b"].counts() == [3, 6]


def test_a_gate_stays_with_what_it_scales_and_a_parameter_with_its_channels() -> None:
    gated = by_name(*net_of("gated"))
    assert members(gated["gated"]) == {("gated", out, 1, 0), ("gated", out, 1, 8), ("out", into, 1, 0)}
    scaled = by_name(*net_of("squeeze_excite"))
    assert members(scaled["a"]) == {
        ("a", out, 1, 0), ("excite", out, 1, 0), ("scale", out, 1, 0), ("squeeze", into, 1, 0), ("b", into, 1, 0),
    }  # fmt: skip


def test_halves_of_a_layer_keep_equally_many_each_its_own() -> None:
    net, images = net_of("halves")
    groups = by_name(net, images)
    assert list(groups) == ["a", "middle", "b"]
    assert (groups["a"].channels, groups["a"].copies) == (8, 2)
    for count in groups["a"].counts()[:-1]:
        past, on = torch.arange(count), torch.arange(8 - count, 8)
        smaller = prune(net, tuple(groups.values()), {"a": torch.stack([past, on])})
        masked = copy.deepcopy(net)
        with torch.no_grad():
            masked.b.weight[:, count:8] = 0
            masked.b.weight[:, 8 : 16 - count] = 0
            masked.middle.weight[:, : 8 - count] = 0
            torch.testing.assert_close(smaller(images), masked(images), rtol=1e-4, atol=1e-5)


def test_parts_of_a_layer_that_are_not_halves_keep_what_they_like() -> None:
    net, images = Split().eval(), IMAGE
    groups = by_name(net, images)
    assert list(groups) == ["a[0:8]", "a[8:16]", "middle", "b"]
    kept = {"a[0:8]": torch.tensor([1, 3, 4]), "a[8:16]": torch.tensor([0, 1, 5, 6, 7])}
    smaller = prune(net, tuple(groups.values()), kept)
    with torch.no_grad():
        net.b.weight[:, [0, 2, 5, 6, 7, 10, 11, 12]] = 0
        net.middle.weight[:, [2, 3, 4]] = 0
        torch.testing.assert_close(smaller(images), net(images), rtol=1e-4, atol=1e-5)


class Parted(nn.Module):
    """Channels that are told apart by where they lie: their number may not change."""

    def __init__(self, width: int, parts: Callable[[Tensor], Tensor], norm: nn.Module) -> None:
        super().__init__()
        self.a, self.norm, self.b, self.out = nn.Linear(6, width), norm, nn.Linear(width, 8), nn.Linear(8, 4)
        self.parts = parts

    def forward(self, features: Tensor) -> Tensor:
        return self.out(F.relu(self.b(self.parts(self.norm(self.a(features))))))


def two_activations(features: Tensor) -> Tensor:
    one, other = features.chunk(2, -1)
    return torch.cat([F.relu(one), torch.tanh(other)], -1)


def four_scales(features: Tensor) -> Tensor:
    return (features.unflatten(-1, (4, -1)) * torch.tensor([1.0, 2, 3, 4])[:, None]).flatten(-2)


@pytest.mark.parametrize("parts", [two_activations, four_scales])
@pytest.mark.parametrize("width", [8, 12, 20, 24, 64])
def test_channels_whose_place_matters_are_no_group(width: int, parts: Callable[[Tensor], Tensor]) -> None:
    for seed in range(3):
        torch.manual_seed(seed)
        for norm in (nn.Identity(), nn.LayerNorm(width), nn.GroupNorm(1, width), nn.RMSNorm(width)):
            assert list(by_name(Parted(width, parts, norm), torch.zeros(2, 6))) == ["b"]


def test_a_norm_over_the_channels_goes_along_with_them() -> None:
    for norm in (nn.LayerNorm(12), nn.GroupNorm(3, 12), nn.RMSNorm(12)):
        groups = by_name(Parted(12, torch.tanh, norm), torch.zeros(2, 6))
        assert ("norm", out, 1, 0) in members(groups["a"]) and list(groups) == ["a", "b"]


class Pixels(nn.Module):
    """A front that does not take any numbers, and channels that are mixed outside a layer."""

    def __init__(self, front: Callable[[Tensor], Tensor], give: Callable[[Tensor, Tensor], object]) -> None:
        super().__init__()
        self.front, self.give = front, give
        self.a, self.b, self.out = nn.Conv2d(1, 16, 3), nn.Conv2d(16, 8, 3), nn.Linear(8, 4)

    def forward(self, images: Tensor) -> object:
        maps = F.relu(self.b(self.a(self.front(images)).softmax(1)))
        return self.give(self.out(maps.mean((2, 3))), maps)


def refusing(images: Tensor) -> Tensor:
    if bool((images < 0).any() | (images > 1).any()):
        raise ValueError("pixels are 0 to 1")
    return images


@dataclass
class Scores:
    """What some models give."""

    scores: Tensor
    maps: Tensor | None = None


def test_what_is_tried_fits_the_model() -> None:
    for front in (torch.log, torch.sqrt, refusing):
        assert list(by_name(Pixels(front, lambda scores, maps: scores), torch.rand(1, 1, 8, 8))) == ["b"]


def test_outputs_are_found_in_a_dataclass_and_groups_need_some() -> None:
    image = torch.rand(1, 1, 8, 8)
    assert list(by_name(Pixels(torch.sqrt, lambda scores, maps: Scores(scores)), image)) == ["b"]
    assert list(by_name(Pixels(torch.sqrt, Scores), image)) == []
    assert list(by_name(Pixels(torch.sqrt, lambda scores, maps: scores.argmax(1)), image)) == []
    assert list(by_name(Pixels(torch.log, lambda scores, maps: scores * torch.nan), image)) == []


def test_what_a_layer_reads_that_runs_in_training_alone_stays() -> None:
    class Auxiliary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.norm, self.aside = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 4)
            self.b, self.out = nn.Conv2d(8, 6, 3), nn.Linear(6, 4)

        def forward(self, images: Tensor) -> Tensor:
            maps = F.relu(self.norm(self.a(images)))
            scores = self.out(F.relu(self.b(maps)).mean((2, 3)))
            return scores + self.aside(maps.mean((2, 3))) if self.training else scores

    net = Auxiliary()
    groups = channel_groups(net, torch.zeros(1, 3, 5, 5))
    assert [group.name for group in groups] == ["b"]
    assert prune(net.train(), groups, {"b": torch.arange(2)})(torch.zeros(2, 3, 5, 5)).shape == (2, 4)


def test_a_gate_of_one_channel_does_not_hold_what_it_scales() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.score = nn.GRU(5, 10, batch_first=True), nn.Linear(10, 1)
            self.hidden, self.out = nn.Linear(10, 8), nn.Linear(8, 4)

        def forward(self, features: Tensor) -> Tensor:
            steps, _ = self.gru(features)
            return self.out(F.relu(self.hidden((self.score(steps).softmax(1) * steps).sum(1))))

    groups = by_name(Pooled(), torch.zeros(2, 7, 5))
    assert list(groups) == ["gru", "hidden"]
    assert members(groups["gru"]) == {("gru", out, 1, 0), ("score", into, 1, 0), ("hidden", into, 1, 0)}


def test_maps_that_are_flattened_twice_lie_in_blocks_one_behind_the_other() -> None:
    class Pyramid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.out = nn.Conv2d(3, 6, 1), nn.Linear(6 * (1 + 4 + 16), 7), nn.Linear(7, 4)

        def forward(self, images: Tensor) -> Tensor:
            maps = self.a(images)
            pooled = [F.adaptive_max_pool2d(maps, size).flatten(1) for size in (1, 2, 4)]
            return self.out(F.relu(self.b(torch.cat(pooled, 1))))

    groups = by_name(Pyramid(), torch.zeros(2, 3, 8, 8))
    assert members(groups["a"]) == {("a", out, 1, 0), ("b", into, 1, 0), ("b", into, 4, 6), ("b", into, 16, 30)}


def test_channels_that_a_reshape_fixes_are_no_group_and_a_permuted_flatten_is_followed() -> None:
    groups = by_name(*net_of("stubborn"))
    assert list(groups) == ["free", "a"]
    assert members(groups["free"]) == {("free", out, 1, 0)} | {("b", into, 1, 5 * place) for place in range(16)}


def test_layers_that_share_a_weight_share_its_channels() -> None:
    (group,) = channel_groups(*net_of("tied"))
    assert {("embedding", out, 1, 0), ("out", into, 1, 0)} <= members(group)


def test_layers_to_keep_are_in_no_group_and_neither_are_those_of_a_kept_block() -> None:
    net, images = net_of("residual")
    assert list(by_name(net, images, keep=["conv1"])) == ["stem", "conv2"]
    assert list(by_name(net, images, keep=["shortcut"])) == ["stem", "conv1"]
    assert list(by_name(resnet20(), torch.zeros(1, 3, 32, 32), keep=["stages"])) == []
    with pytest.raises(InputError, match="no layer 'conv_1'") as told:
        channel_groups(net, images, keep=["conv_1"])
    assert "'conv1'" in str(told.value.remedy)


def test_a_model_that_fails_is_told_with_the_module() -> None:
    net, _ = net_of("residual")
    with pytest.raises(InputError, match=r"'stem' \(Conv2d\).*\(2, 5, 4, 4\) float32"):
        channel_groups(net, torch.zeros(2, 5, 4, 4))
    net.head = nn.Linear(17, 4)
    with pytest.raises(InputError, match=r"'head' \(Linear\).*\(2, 3, 4, 4\) float32.*shapes"):
        channel_groups(net, torch.zeros(2, 3, 4, 4))
    with pytest.raises(InputError, match="multiples of 0"):
        channel_groups(net, torch.zeros(2, 3, 4, 4), round_to=0)


def test_a_model_through_which_marks_do_not_pass_is_told_with_the_module() -> None:
    class Looked(nn.Module):
        """Features become the rows of a table."""

        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(3, 4, batch_first=True)
            self.table = nn.Embedding(2, 5)

        def forward(self, features: Tensor) -> Tensor:
            hidden, _ = self.gru(features)
            if hidden.isnan().any():
                raise ValueError("NaN!")
            return self.table((hidden[:, -1] > 0).long())

    with pytest.raises(InputError, match=r"'Looked' \(Looked\).*fails where features are NaN.*NaN!"):
        channel_groups(Looked(), torch.randn(2, 5, 3))


@pytest.mark.parametrize("name", NETS)
def test_finding_groups_changes_nothing(name: str) -> None:
    net, inputs = net_of(name)
    net.train()
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    random = torch.random.get_rng_state()
    assert channel_groups(net, inputs) == channel_groups(net, inputs[:1])
    assert torch.equal(random, torch.random.get_rng_state())
    assert all(module.training for module in net.modules())
    assert all(torch.equal(before[key], tensor) for key, tensor in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_torch_pruning_and_the_probe_agree_on_convolutional_nets() -> None:
    """Two ways of finding couplings, one by autograd's graph, one by marked values."""
    image = torch.zeros(1, 3, 32, 32)
    nets = [(make(), image) for make in (resnet20, mobilenet_v2)]
    for net, inputs in nets + [net_of(name) for name in CONVOLUTIONAL]:
        order = execution_order(evaluation_copy(net), (inputs,))
        traced = channels_module._traced(net, (inputs,), order, frozenset(), 1)
        assert traced
        assert traced == channels_module._probed(net, (inputs,), order, frozenset(), 1)


def test_the_residual_stream_of_a_resnet_is_one_group() -> None:
    groups = by_name(resnet20(), torch.zeros(1, 3, 32, 32))
    assert len(groups) == 3 + 9
    made = {m.layer for m in groups["conv"].members if m.axis == out}
    assert made == {"conv", "norm"} | {f"stages.0.{n}.{part}" for n in range(3) for part in ("conv2", "norm2")}


def test_names_and_members_are_the_same_in_another_process() -> None:
    program = (
        "import json, torch; from dataclasses import asdict; from nn_compression.channels import channel_groups;"
        "from nn_compression.zoo.mobilenet_v2 import mobilenet_v2;"
        "print(json.dumps([asdict(g) for g in channel_groups(mobilenet_v2(), torch.zeros(1, 3, 32, 32))]))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100)
    here = [asdict(group) for group in channel_groups(mobilenet_v2(), torch.zeros(1, 3, 32, 32))]
    assert json.loads(told.stdout) == json.loads(json.dumps(here))


@pytest.mark.parametrize("name", NETS)
def test_groups_survive_json(name: str) -> None:
    for group in channel_groups(*net_of(name)):
        assert group_from_json(json.loads(json.dumps(group_to_json(group)))) == group


def test_what_is_no_group_is_refused() -> None:
    for data in ({}, {"name": "a", "channels": 3, "members": [{"layer": "a", "side": "out"}]}, {"members": 3}):
        with pytest.raises(InputError, match="not a channel group"):
            group_from_json(data)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_the_best_channels_are_the_best_that_may_be_kept(
    parts: int, span: int, runs: int, copies: int, seed: int
) -> None:
    channels = parts * span * runs
    group = ChannelGroup("g", channels, (Member("g", "out"),), parts * span, parts=parts, span=span, copies=copies)
    scores = torch.rand(copies, channels, generator=torch.Generator().manual_seed(seed))
    for count in group.counts():
        kept = best_channels(scores, group, count)
        assert kept.shape == (copies, count)
        for row, indices in zip(scores.double(), kept, strict=True):
            assert indices.tolist() == sorted(set(indices.tolist()))
            whole = row.reshape(parts, runs, span).sum(-1)
            best = whole.sort(1, descending=True).values[:, : count // (parts * span)].sum()
            assert row[indices].sum() == pytest.approx(float(best))
            assert (indices // (span * runs)).bincount(minlength=parts).tolist() == [count // parts] * parts


def test_of_equal_channels_the_first_are_kept_and_counts_are_checked() -> None:
    group = ChannelGroup("g", 6, (Member("g", "out"),), 2, 3)
    assert group.counts() == [4, 6]
    assert best_channels(torch.ones(6), group, 4).tolist() == [0, 1, 2, 3]
    for count in (2, 5, 8):
        with pytest.raises(InputError, match=f"{count} channels cannot be kept of 'g'"):
            best_channels(torch.ones(6), group, count)


def test_importance_is_the_sum_of_the_magnitudes_of_all_weights_of_a_channel() -> None:
    net, images = net_of("dense")
    groups = by_name(net, images)
    a, b, c, d = (getattr(net, name).weight.double().abs() for name in "abcd")
    linear = d.reshape(9, 17, 16)
    torch.testing.assert_close(
        importance(net, groups["b"]), b.sum((1, 2, 3)) + c[:, 4:].sum((0, 2, 3)) + linear[:, 4:10].sum((0, 2))
    )
    squares = a.square().sum((1, 2, 3)) + b.square().sum((0, 2, 3)) + c[:, :4].square().sum((0, 2, 3))
    torch.testing.assert_close(
        importance(net, groups["a"], "l2"), (squares + linear[:, :4].square().sum((0, 2))).sqrt()
    )


@pytest.mark.parametrize("name", NETS)
def test_every_weight_of_a_channel_counts_once(name: str) -> None:
    """A weight of one is worth one to the channel that makes it and one to the channel that reads it."""
    net, inputs = net_of(name)
    groups = channel_groups(net, inputs)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1)
    for group in groups:
        scores = importance(net, group)
        assert scores.shape == ((group.copies, group.channels) if group.copies > 1 else (group.channels,))
        assert bool((scores.reshape(group.copies, -1).diff(dim=1) == 0).all())
    if name == "residual":
        conv2 = next(group for group in groups if group.name == "conv2")
        counted = prod((5, 3, 3)) + 6 + prod((2, 3, 3)) + 2 * 4  # conv2, shortcut, depthwise, head
        assert importance(net, conv2)[0] == counted


def test_a_parameter_of_the_model_does_not_count_as_a_layer() -> None:
    net = SqueezeExcite()
    group = by_name(net, torch.zeros(1, 3, 4, 4))["a"]
    before = importance(net, group)
    net.scale.data.mul_(7)
    assert torch.equal(before, importance(net, group))
