"""Units of recurrent modules against the whole module with the units' weights zeroed."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from automl_core.errors import InputError
from nn_compression.channels import ChannelGroup, Member, best_channels, channel_groups, importance, prune
from nn_compression.zoo.lstm import lstm_language_model
from tests.nn_compression.channel_nets import GREY, TOKENS, Recurrent, net_of

HIDDEN = 7


def silence(recurrent: Any, units: Tensor) -> None:
    """Zeroes whatever reads the units that are not named: the recurrence, the layer above. units: (copies, count)."""
    ways = 2 if getattr(recurrent, "bidirectional", False) else 1
    hidden = recurrent.hidden_size
    with torch.no_grad():
        for row, kept in enumerate(units.reshape(-1, units.shape[-1])):
            lost = [unit for unit in range(hidden) if unit not in kept.tolist()]
            layer, way = divmod(row, ways)
            suffix = "" if isinstance(recurrent, nn.RNNCellBase) else f"_l{layer}" + "_reverse" * way
            getattr(recurrent, f"weight_hh{suffix}")[:, lost] = 0
            for above in range(ways):
                reader = getattr(recurrent, f"weight_ih_l{layer + 1}" + "_reverse" * above, None)
                if reader is not None:
                    reader[:, [way * hidden + unit for unit in lost]] = 0


def silence_linear(linear: nn.Linear, units: Tensor) -> None:
    """Zeroes what a linear layer reads of lost units. units: (directions, count), side by side in its inputs."""
    kept = {row * HIDDEN + unit for row, own in enumerate(units.tolist()) for unit in own}
    with torch.no_grad():
        linear.weight[:, [entry for entry in range(linear.in_features) if entry not in kept]] = 0


def units_of(group: ChannelGroup, count: int, seed: int) -> Tensor:
    scores = torch.rand(group.copies, group.channels, generator=torch.Generator().manual_seed(seed))
    return best_channels(scores, group, count)


MODULES: dict[str, Any] = {
    "lstm": lambda: nn.LSTM(5, HIDDEN),
    "stacked_lstm": lambda: nn.LSTM(5, HIDDEN, 3, batch_first=True),
    "bidirectional_lstm": lambda: nn.LSTM(5, HIDDEN, 2, batch_first=True, bidirectional=True),
    "gru": lambda: nn.GRU(5, HIDDEN, 2, batch_first=True, bidirectional=True),
    "rnn": lambda: nn.RNN(5, HIDDEN, 2, batch_first=True, bias=False),
}


@given(st.sampled_from(sorted(MODULES)), st.integers(1, HIDDEN), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_a_pruned_module_is_the_whole_one_with_the_units_silenced(name: str, count: int, seed: int) -> None:
    torch.manual_seed(seed % 1000)
    module = MODULES[name]()
    ways = 2 if module.bidirectional else 1
    net = Recurrent(module, ways * HIDDEN).eval()
    groups = channel_groups(net, TOKENS)
    assert [group.name for group in groups] == ["embedding", "recurrent"]
    group = groups[1]
    assert (group.channels, group.copies) == (HIDDEN, module.num_layers * ways)
    units = units_of(group, count, seed)
    smaller = prune(net, groups, {"recurrent": units if group.copies > 1 else units[0]})
    whole = copy.deepcopy(net)
    silence(whole.recurrent, units)
    silence_linear(whole.out, units[-ways:])
    with torch.no_grad():
        torch.testing.assert_close(smaller(TOKENS), whole(TOKENS), rtol=1e-5, atol=1e-6)
        _, told = smaller.recurrent(smaller.embedding(TOKENS))
        _, expected = whole.recurrent(whole.embedding(TOKENS))
    for small, large in zip(
        *(state if isinstance(state, tuple) else (state,) for state in (told, expected)), strict=True
    ):
        kept = torch.stack([row[:, own] for row, own in zip(large, units, strict=True)])
        torch.testing.assert_close(small, kept, rtol=1e-5, atol=1e-6)
    assert smaller.recurrent.hidden_size == count
    assert smaller.out.in_features == ways * count


def test_one_row_of_units_serves_all_copies() -> None:
    net, tokens = net_of("stacked_lstm")
    groups = channel_groups(net, tokens)
    row = torch.tensor([0, 3, 4])
    one, each = (prune(net, groups, {"recurrent": units}) for units in (row, row.expand(3, 3)))
    with torch.no_grad():
        assert torch.equal(one(tokens), each(tokens))


def test_a_convolution_before_an_lstm_and_its_final_states_behind_it() -> None:
    net, images = net_of("conv_lstm")
    groups = channel_groups(net, images)
    assert [group.name for group in groups] == ["conv", "lstm"]
    conv, lstm = groups
    assert {(m.layer, m.axis, m.offset) for m in conv.members} == {("conv", "out", 0), ("norm", "out", 0)} | {
        ("lstm", "in", 6 * row) for row in range(8)
    }
    assert [(m.layer, m.axis, m.offset, m.copy) for m in lstm.members if m.layer == "out"] == [
        ("out", "in", 0, 2),
        ("out", "in", HIDDEN, 3),
    ]
    units, maps = units_of(lstm, 3, 1), torch.tensor([1, 2, 5])
    smaller = prune(net, groups, {"lstm": units, "conv": maps})
    whole = copy.deepcopy(net)
    silence(whole.lstm, units)
    silence_linear(whole.out, units[-2:])
    whole.lstm.register_forward_pre_hook(
        lambda _, read: (read[0].unflatten(-1, (8, 6)).index_fill(-1, torch.tensor([0, 3, 4]), 0).flatten(-2),)
    )
    with torch.no_grad():
        torch.testing.assert_close(smaller(GREY), whole(GREY), rtol=1e-5, atol=1e-6)


def test_a_residual_around_a_recurrent_module_ties_only_its_last_layer_to_the_outside() -> None:
    net, tokens = net_of("residual_rnn")
    (group,) = channel_groups(net, tokens)
    assert (group.name, group.copies) == ("embedding", 2)
    assert {(m.layer, m.axis, m.offset, m.copy) for m in group.members} == {
        ("embedding", "out", 0, 0), ("recurrent", "in", 0, 0), ("recurrent", "out", HIDDEN, 0), ("out", "in", 0, 0),
        ("recurrent", "out", 0, 1),
    }  # fmt: skip
    units = units_of(group, 4, 5)
    smaller = prune(net, [group], {group.name: units})
    whole = copy.deepcopy(net)
    silence(whole.recurrent, units.flip(0))
    silence_linear(whole.out, units[:1])
    lost = [unit for unit in range(HIDDEN) if unit not in units[0].tolist()]
    with torch.no_grad():
        whole.recurrent.weight_ih_l0[:, lost] = 0
        torch.testing.assert_close(smaller(tokens), whole(tokens), rtol=1e-5, atol=1e-6)


def test_cells_stepped_by_hand_and_states_handed_on() -> None:
    net, tokens = net_of("cells")
    groups = channel_groups(net, tokens)
    units = torch.tensor([[0, 2, 3, 7]])
    smaller = prune(net, groups, {"cell": units[0]})
    whole = copy.deepcopy(net)
    silence(whole.cell, units)
    with torch.no_grad():
        whole.out.weight[:, [1, 4, 5, 6]] = 0
        torch.testing.assert_close(smaller(tokens), whole(tokens), rtol=1e-5, atol=1e-6)
    net, tokens = net_of("translator")
    group = {group.name: group for group in channel_groups(net, tokens)}["encoder"]
    assert {(m.layer, m.offset, m.copy) for m in group.members} == {
        ("encoder", 0, 0), ("decoder", 0, 0), ("encoder", HIDDEN, 1), ("decoder", HIDDEN, 1), ("out", 0, 1),
    }  # fmt: skip
    units = units_of(group, 3, 2)
    smaller = prune(net, [group], {"encoder": units})
    whole = copy.deepcopy(net)
    silence(whole.encoder, units)
    silence(whole.decoder, units)
    silence_linear(whole.out, units[1:])
    with torch.no_grad():
        torch.testing.assert_close(smaller(tokens), whole(tokens), rtol=1e-5, atol=1e-6)


class Named(nn.Module):
    """Layers that are called by the names of their arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(3, 6, 3), nn.BatchNorm1d(6)
        self.first, self.gru = nn.Linear(3, HIDDEN), nn.GRU(6, HIDDEN, batch_first=True)
        self.out = nn.Linear(HIDDEN, 4)

    def forward(self, features: Tensor) -> Tensor:
        steps = self.norm(input=self.conv(input=features)).transpose(1, 2)
        state = self.first(input=features.mean(2)).unsqueeze(0)
        return self.out(input=self.gru(hx=state, input=steps)[0])


def test_arguments_may_be_named() -> None:
    groups = {group.name: group for group in channel_groups(Named().eval(), torch.zeros(2, 3, 9))}
    assert {(member.layer, member.axis) for member in groups["conv"].members} == {
        ("conv", "out"), ("norm", "out"), ("gru", "in"),
    }  # fmt: skip
    assert {(member.layer, member.axis) for member in groups["first"].members} == {
        ("first", "out"), ("gru", "out"), ("out", "in"),
    }  # fmt: skip


class Packed(nn.Module):
    """Sequences of two lengths, packed."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 5)
        self.lstm = nn.LSTM(5, HIDDEN, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * HIDDEN, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embedding(tokens), [6, 4], batch_first=True)
        hidden, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.out(hidden)


def test_packed_sequences() -> None:
    net = Packed().eval()
    groups = channel_groups(net, TOKENS)
    assert [group.name for group in groups] == ["embedding", "lstm"]
    units = units_of(groups[1], 3, 0)
    smaller = prune(net, groups, {"lstm": units})
    whole = copy.deepcopy(net)
    silence(whole.lstm, units)
    silence_linear(whole.out, units)
    with torch.no_grad():
        torch.testing.assert_close(smaller(TOKENS), whole(TOKENS), rtol=1e-5, atol=1e-6)


class Projected(nn.Module):
    """An LSTM with projections."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 5)
        self.lstm = nn.LSTM(5, HIDDEN, batch_first=True, proj_size=4)
        self.out = nn.Linear(4, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.lstm(self.embedding(tokens))[0])


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")  # of torch 2.13 (2026-11)
def test_projections_are_refused_unless_the_layer_is_kept() -> None:
    net = Projected().eval()
    with pytest.raises(InputError, match="'lstm' projects its 7 units to 4 outputs") as told:
        channel_groups(net, TOKENS)
    assert "keep this layer" in str(told.value.remedy)
    assert channel_groups(net, TOKENS, keep=["lstm"]) == ()  # what it reads keeps its width, too
    forged = ChannelGroup("lstm", HIDDEN, (Member("lstm", "out"),))
    with pytest.raises(InputError, match="projects"):
        prune(net, [forged], {"lstm": torch.tensor([0])})


def test_copies_of_unequal_width_are_refused() -> None:
    net, _ = net_of("stacked_lstm")
    groups = [ChannelGroup(str(copy), HIDDEN, (Member("recurrent", "out", offset=copy * HIDDEN),)) for copy in range(3)]
    with pytest.raises(InputError, match=r"keep \[2, 1, 7\] units"):
        prune(net, groups, {"0": torch.tensor([0, 1]), "1": torch.tensor([4])})


def test_importance_of_a_unit_is_that_of_its_gates_and_of_what_reads_it() -> None:
    net, tokens = net_of("bidirectional_gru")
    embedding, units = channel_groups(net, tokens)
    gru, scores = net.recurrent, importance(net, units)
    assert scores.shape == (4, HIDDEN)
    for row, (layer, way) in enumerate(((0, ""), (0, "_reverse"), (1, ""), (1, "_reverse"))):
        for unit in range(HIDDEN):
            gates = [unit, unit + HIDDEN, unit + 2 * HIDDEN]
            expected = getattr(gru, f"weight_ih_l{layer}{way}")[gates].abs().sum()
            recurrence = getattr(gru, f"weight_hh_l{layer}{way}")
            expected = expected + recurrence[gates].abs().sum() + recurrence[:, unit].abs().sum()
            column = unit + HIDDEN * bool(way)
            readers = [gru.weight_ih_l1, gru.weight_ih_l1_reverse] if layer == 0 else [net.out.weight]
            expected = expected + sum(reader[:, column].abs().sum() for reader in readers)
            assert float(scores[row, unit]) == pytest.approx(float(expected.detach()), rel=1e-5)
    read = gru.weight_ih_l0.abs().sum(0) + gru.weight_ih_l0_reverse.abs().sum(0)
    expected = net.embedding.weight.abs().sum(0) + read
    torch.testing.assert_close(importance(net, embedding).float(), expected.detach())


def test_the_language_model_of_the_zoo() -> None:
    torch.manual_seed(0)
    net = lstm_language_model(classes=11, units=16, embedding=8).eval()
    tokens = torch.randint(0, 11, (2, 5))
    groups = channel_groups(net, tokens)
    assert [(group.name, group.channels, group.copies) for group in groups] == [
        ("embedding", 8, 1), ("layers.0", 16, 1), ("layers.1", 16, 1),
    ]  # fmt: skip
    smaller = prune(net, groups, {"layers.0": torch.arange(0, 16, 2), "layers.1": torch.arange(5)})
    assert [layer.hidden_size for layer in smaller.layers] == [8, 5]
    assert smaller(tokens).shape == (2, 5, 11)
