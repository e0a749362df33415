"""Fewer heads, and narrower feed-forward layers, against torch's own attention."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from automl_core.errors import InputError
from nn_compression.channels import ChannelGroup, Member, best_channels, channel_groups, importance, prune
from nn_compression.channels.attention import HeadAttention, narrowed_attention
from tests.nn_compression.channel_nets import net_of


def without_heads(attention: nn.MultiheadAttention, heads: list[int]) -> nn.MultiheadAttention:
    """The attention with the output weights zeroed of all heads but these."""
    masked, size = copy.deepcopy(attention), attention.head_dim
    lost = [head * size + k for head in range(attention.num_heads) if head not in heads for k in range(size)]
    with torch.no_grad():
        masked.out_proj.weight[:, lost] = 0
    return masked


def channels_of(heads: list[int], size: int) -> Tensor:
    return torch.tensor([head * size + k for head in heads for k in range(size)])


@given(
    st.sets(st.integers(0, 3), min_size=1),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["none", "causal", "float", "by_head"]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_outputs_are_those_of_torch_with_the_other_heads_silenced(
    heads: set[int], batch_first: bool, bias: bool, mask: str, padded: bool, need_weights: bool
) -> None:
    torch.manual_seed(len(heads))
    attention = nn.MultiheadAttention(16, 4, bias=bias, batch_first=batch_first).eval()
    kept = sorted(heads)
    smaller = narrowed_attention(attention, channels_of(kept, 4)).replaced
    assert isinstance(smaller, HeadAttention) and smaller.num_heads == len(kept) and not smaller.training
    query, key = torch.randn(2, 5, 16), torch.randn(2, 6, 16)
    if not batch_first:
        query, key = query.transpose(0, 1), key.transpose(0, 1)
    masks = {"causal": torch.ones(5, 6, dtype=torch.bool).triu(2), "float": torch.randn(5, 6)}
    by_head = torch.randn(2, 4, 5, 6)
    padding = torch.tensor([[False] * 6, [False] * 4 + [True] * 2]) if padded else None
    if padded and mask in ("float", "by_head"):
        padding = torch.zeros(2, 6).masked_fill(padding, -torch.inf)  # torch wants one kind
    options = {"need_weights": need_weights, "key_padding_mask": padding, "average_attn_weights": False}
    larger_mask = by_head.flatten(0, 1) if mask == "by_head" else masks.get(mask)
    smaller_mask = by_head[:, kept].flatten(0, 1) if mask == "by_head" else masks.get(mask)
    with torch.no_grad():
        expected, scores = without_heads(attention, kept)(query, key, key, attn_mask=larger_mask, **options)
        told, weights = smaller(query, key, key, attn_mask=smaller_mask, **options)
    torch.testing.assert_close(told, expected, rtol=1e-4, atol=1e-5)
    if need_weights:
        torch.testing.assert_close(weights, scores[:, kept], rtol=1e-4, atol=1e-5)
    else:
        assert weights is None


def test_weights_are_dropped_in_training_only() -> None:
    torch.manual_seed(0)
    attention = narrowed_attention(nn.MultiheadAttention(8, 2, dropout=0.5), torch.arange(4)).replaced
    assert attention is not None
    sequence = torch.randn(3, 6, 8)
    for need_weights in (True, False):
        one, other = (attention.train()(*[sequence] * 3, need_weights=need_weights)[0] for _ in range(2))
        assert not torch.equal(one, other)
        one, other = (attention.eval()(*[sequence] * 3, need_weights=need_weights)[0] for _ in range(2))
        assert torch.equal(one, other)


def test_unbatched_inputs_and_averaged_weights() -> None:
    attention = nn.MultiheadAttention(8, 2).eval()
    whole = narrowed_attention(attention, None).replaced
    assert whole is not None
    sequence = torch.randn(5, 8)
    with torch.no_grad():
        for told, expected in zip(whole(*[sequence] * 3), attention(*[sequence] * 3), strict=True):
            torch.testing.assert_close(told, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["encoder", "pre_norm_encoder"])
def test_an_encoder_loses_heads_and_hidden_features_and_keeps_its_width(name: str) -> None:
    net, tokens = net_of(name)
    groups = channel_groups(net, tokens)
    parts = [f"encoder.layers.{n}.{part}" for n in range(2) for part in ("self_attn", "linear1")]
    assert [group.name for group in groups] == parts  # no embedding, and no output
    heads, hidden = groups[:2]
    assert (heads.channels, heads.multiple, heads.span, heads.counts()) == (16, 4, 4, [4, 8, 12, 16])
    assert {(m.layer, m.axis) for m in hidden.members} == {
        ("encoder.layers.0.linear1", "out"),
        ("encoder.layers.0.linear2", "in"),
    }
    features = torch.tensor([0, 1, 5, 20])
    kept = {heads.name: channels_of([0, 3], 4), hidden.name: features, groups[2].name: channels_of([2], 4)}
    smaller = prune(net, groups, kept)
    whole = copy.deepcopy(net)
    with torch.no_grad():
        first, second = whole.encoder.layers
        first.self_attn = without_heads(first.self_attn, [0, 3])
        second.self_attn = without_heads(second.self_attn, [2])
        first.linear2.weight[:, [k for k in range(24) if k not in features.tolist()]] = 0
        torch.testing.assert_close(smaller(tokens), whole(tokens), rtol=1e-4, atol=1e-5)
    again = channel_groups(smaller, tokens)
    assert [group.channels for group in again] == [8, 4, 24]  # one head of the second layer is left, and must stay
    smallest = prune(smaller, again, {again[0].name: channels_of([1], 4)})
    with torch.no_grad():
        first.self_attn = without_heads(first.self_attn, [3])
        torch.testing.assert_close(smallest(tokens), whole(tokens), rtol=1e-4, atol=1e-5)
    smallest.train()(tokens).sum().backward()
    assert smallest.encoder.layers[0].self_attn.in_proj_weight.grad.shape == (3 * 4, 16)


def test_half_a_head_is_refused_and_heads_are_ranked_whole() -> None:
    net, tokens = net_of("encoder")
    heads = channel_groups(net, tokens)[0]
    with pytest.raises(InputError, match="whole runs of 4"):
        prune(net, [heads], {heads.name: torch.arange(6)})
    attention = net.encoder.layers[0].self_attn
    with torch.no_grad():
        attention.out_proj.weight[:, 9] += 50  # of head 2
    scores = importance(net, heads)
    query, key, value = attention.in_proj_weight.abs().chunk(3)
    expected = query.sum(1) + key.sum(1) + value.sum(1) + attention.out_proj.weight.abs().sum(0)
    torch.testing.assert_close(scores.float(), expected.detach())
    assert best_channels(scores, heads, 4).tolist() == [8, 9, 10, 11]


@pytest.mark.parametrize("options", [{"kdim": 8, "vdim": 8}, {"add_bias_kv": True}, {"add_zero_attn": True}])
def test_attention_of_other_kinds_is_left_whole(options: dict[str, object]) -> None:
    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 4, batch_first=True, **options)
            self.out = nn.Linear(16, 2)
            self.width = 8 if "kdim" in options else 16

        def forward(self, features: Tensor) -> Tensor:
            seen = features[..., : self.width]
            return self.out(self.attention(features, seen, seen)[0])

    net = Crossed().eval()
    assert channel_groups(net, torch.randn(1, 5, 16)) == ()
    forged = ChannelGroup("attention", 16, (Member("attention", "out"),), 4, span=4)
    with pytest.raises(InputError, match="are not pruned"):
        prune(net, [forged], {"attention": torch.arange(4)})


class Written(nn.Module):
    """An attention written out: its queries, keys and values are reshaped to a number of heads."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.norm = nn.LayerNorm(16)
        self.queries_keys_values = nn.Linear(16, 48)
        self.mix = nn.Linear(16, 16)
        self.hidden = nn.Linear(16, 32)
        self.back = nn.Linear(32, 16)
        self.out = nn.Linear(16, 3)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        shape = (len(tokens), tokens.shape[1], 3, 4, 4)
        query, key, value = self.queries_keys_values(self.norm(tokens)).reshape(shape).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.mix(mixed)
        tokens = tokens + self.back(F.gelu(self.hidden(tokens)))
        return self.out(tokens.mean(1))


def test_of_an_attention_written_out_only_what_is_safe_is_pruned() -> None:
    """Its heads are reshaped to constants; the hidden features are not, and the width may go where the norm allows."""
    torch.manual_seed(0)
    net = Written().eval()
    images = torch.randn(2, 3, 8, 8)
    groups = {group.name: group for group in channel_groups(net, images)}
    assert "hidden" in groups and "queries_keys_values" not in groups
    smaller = prune(net, tuple(groups.values()), {"hidden": torch.arange(9)})
    with torch.no_grad():
        net.back.weight[:, 9:] = 0
        torch.testing.assert_close(smaller(images), net(images), rtol=1e-4, atol=1e-5)
