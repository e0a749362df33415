"""The smaller model against the larger one whose layers do not read the channels removed."""

import copy
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from automl_core.errors import InputError
from nn_compression.channels import ChannelGroup, best_channels, channel_groups, importance, prune
from nn_compression.zoo.mobilenet_v1 import mobilenet_v1
from nn_compression.zoo.mobilenet_v2 import mobilenet_v2
from nn_compression.zoo.resnet import resnet20, resnet29_bottleneck
from tests.nn_compression.channel_nets import IMAGE, NETS, net_of

FOUND: dict[str, tuple[nn.Module, Tensor, tuple[ChannelGroup, ...]]] = {}


def found(name: str) -> tuple[nn.Module, Tensor, tuple[ChannelGroup, ...]]:
    if name not in FOUND:
        net, inputs = net_of(name)
        FOUND[name] = (net, inputs, channel_groups(net, inputs))
    return FOUND[name]


def some_kept(groups: tuple[ChannelGroup, ...], seed: int) -> dict[str, Tensor]:
    """Any channels that may be kept, of some groups."""
    generator = torch.Generator().manual_seed(seed)

    def below(bound: int) -> int:
        return int(torch.randint(bound, (), generator=generator))

    kept = {}
    for group in groups:
        count = group.counts()[below(len(group.counts()))]
        rows = best_channels(torch.rand(group.copies, group.channels, generator=generator), group, count)
        if below(5):
            kept[group.name] = rows if group.copies > 1 else rows[0]
    return kept


def masked_outputs(
    net: nn.Module, groups: tuple[ChannelGroup, ...], kept: Mapping[str, Tensor], inputs: Tensor
) -> Tensor:
    """The outputs of the whole net when convolutions and linear layers read zeros in the place of lost channels.

    Done by hooks on what layers read, so that nothing is shared with the code under test, which looks at weights.
    """
    net = copy.deepcopy(net)
    for group in groups:
        for member in group.members if group.name in kept else ():
            module = dict(net.named_modules()).get(member.layer)
            if member.axis != "in" or not isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                continue
            dimension = -1 if isinstance(module, nn.Linear) else 1
            lost = sorted(set(range(group.channels)) - set(kept[group.name].tolist()))
            entries = [member.offset + channel * member.block + k for channel in lost for k in range(member.block)]
            module.register_forward_pre_hook(
                lambda _, read, entries=entries, dimension=dimension: (
                    read[0].index_fill(dimension, torch.tensor(entries, dtype=torch.int64), 0),
                )
            )
    with torch.no_grad():
        outputs: Tensor = net(inputs)
    return outputs


@given(st.sampled_from(["residual", "dense", "grouped", "squeeze_excite", "gated", "stubborn", "tied"]), st.integers(0))
@settings(max_examples=80, deadline=None)
def test_outputs_are_those_of_the_whole_net_with_the_channels_masked(name: str, seed: int) -> None:
    net, inputs, groups = found(name)
    kept = some_kept(groups, seed % 2**31)
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    smaller = prune(net, groups, kept)
    with torch.no_grad():
        torch.testing.assert_close(smaller(inputs), masked_outputs(net, groups, kept, inputs), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(before[key], tensor) for key, tensor in net.state_dict().items())
    assert not any(
        one.data_ptr() == other.data_ptr() for one in smaller.parameters() for other in net.parameters()
    )  # nothing is shared


@pytest.mark.parametrize("make", [resnet20, resnet29_bottleneck, mobilenet_v1, mobilenet_v2])
def test_nets_of_the_zoo_are_pruned_exactly(make: Any) -> None:
    torch.manual_seed(0)
    net = make().eval()
    images = torch.randn(2, 3, 32, 32)
    groups = channel_groups(net, images[:1])
    kept = {group.name: best_channels(importance(net, group), group, group.channels // 2) for group in groups}
    smaller = prune(net, groups, kept)
    with torch.no_grad():
        torch.testing.assert_close(smaller(images), masked_outputs(net, groups, kept, images), rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in smaller.parameters()) < 0.35 * sum(p.numel() for p in net.parameters())


def test_attributes_say_what_the_tensors_are() -> None:
    net, _, groups = found("residual")
    smaller = prune(net, groups, {"stem": torch.tensor([0, 2]), "conv2": torch.tensor([1, 2, 7])})
    assert (smaller.stem.out_channels, smaller.norm.num_features, smaller.conv1.in_channels) == (2, 2, 2)
    assert (smaller.depthwise.in_channels, smaller.depthwise.out_channels, smaller.depthwise.groups) == (3, 6, 3)
    assert (smaller.activation.num_parameters, smaller.head.in_features) == (6, 6)
    assert smaller.conv1.out_channels == net.conv1.out_channels  # a group that is not named keeps all
    assert torch.equal(smaller.norm.running_var, net.norm.running_var[[0, 2]])
    tied, _, groups = found("tied")
    smaller = prune(tied, groups, {groups[0].name: torch.tensor([1, 4])})
    assert smaller.out.weight is smaller.embedding.weight
    assert (smaller.embedding.embedding_dim, smaller.out.in_features) == (2, 2)


@pytest.mark.parametrize("name", NETS)
def test_a_pruned_model_trains_saves_and_is_pruned_again(name: str) -> None:
    net, inputs, groups = found(name)
    smaller = prune(net, groups, some_kept(groups, 1))
    again = channel_groups(smaller, inputs)
    assert {g.name for g in again} <= {g.name for g in groups}
    smallest = prune(smaller, again, {g.name: best_channels(importance(smaller, g), g, g.counts()[0]) for g in again})
    for model in (smaller, smallest):
        model.train()
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        loss = model(inputs).square().mean()
        loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimizer.step()
        assert model(inputs).square().mean() < loss
        model.eval()
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        twin = prune(net, groups, some_kept(groups, 1)) if model is smaller else copy.deepcopy(model)
        twin.load_state_dict(torch.load(file, weights_only=True))
        with torch.no_grad():
            torch.testing.assert_close(twin.eval()(inputs), model(inputs), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # torch.onnx of torch 2.13 (2026-11)
@pytest.mark.parametrize("name", ["conv_lstm", "encoder"])
def test_a_pruned_model_is_exported(name: str) -> None:
    net, inputs, groups = found(name)
    smaller = prune(net, groups, some_kept(groups, 3))
    program = torch.onnx.export(smaller, (inputs,), dynamo=True, verbose=False, external_data=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    (told,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(told, smaller(inputs).numpy(), atol=1e-4)


def test_what_cannot_be_kept_is_refused() -> None:
    net, _, groups = found("residual")
    cases = {
        "no channel group 'stemm'": {"stemm": torch.tensor([0])},
        "do not fit 1 copies": {"stem": torch.tensor([], dtype=torch.int64)},
        "distinct, sorted and from 0 to 5": {"stem": torch.tensor([3, 1])},
        r"but are \[\[1, 1\]\]": {"stem": torch.tensor([1, 1])},
        r"but are \[\[1, 6\]\]": {"stem": torch.tensor([1, 6])},
        r"but are \[\[-1, 2\]\]": {"stem": torch.tensor([-1, 2])},
    }
    for problem, kept in cases.items():
        with pytest.raises(InputError, match=problem):
            prune(net, groups, kept)
    grouped, _, groups = found("grouped")
    with pytest.raises(InputError, match="each of 4 parts"):
        prune(grouped, groups, {"a": torch.tensor([0, 1, 2, 3])})
    smaller = prune(net, found("residual")[2], {"stem": torch.tensor([0, 2])})
    with pytest.raises(InputError, match="has 2 channels where the group 'stem' needs 6"):
        prune(smaller, found("residual")[2], {"stem": torch.tensor([0, 2])})
    with pytest.raises(InputError, match="no layer 'stem'"):
        prune(grouped, found("residual")[2], {"stem": torch.tensor([0, 2])})


def test_a_weight_that_is_computed_from_others_is_refused() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    groups = channel_groups(net, IMAGE)
    nn.utils.parametrizations.weight_norm(net[2])
    with pytest.raises(InputError, match="computed from other parameters"):
        prune(net, groups, {"0": torch.tensor([0, 1])})


def test_frozen_parameters_stay_frozen_and_modes_stay() -> None:
    net, _, groups = found("residual")
    net = copy.deepcopy(net).train()
    net.norm.eval()
    net.stem.requires_grad_(False)
    smaller = prune(net, groups, {"stem": torch.tensor([0, 2])})
    assert not smaller.stem.weight.requires_grad and smaller.conv1.weight.requires_grad
    assert smaller.training and not smaller.norm.training
