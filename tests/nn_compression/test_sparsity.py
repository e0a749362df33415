"""Masks: which weights they keep, and that training does not bring the others back."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from automl_core.errors import InputError
from nn_compression.sparsity.masks import Masks, prunable


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 5))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(7, 6)
        self.lstm = nn.LSTM(6, 8, batch_first=True)
        self.linear = nn.Linear(8, 7)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.linear(self.lstm(self.embedding(tokens))[0])  # type: ignore[no-any-return]


def test_matrices_and_kernels_can_be_pruned_and_nothing_else() -> None:
    assert prunable(network()) == {"0": ("0.weight",), "3": ("3.weight",)}
    assert prunable(Recurrent()) == {
        "embedding": ("embedding.weight",),
        "lstm": ("lstm.weight_ih_l0", "lstm.weight_hh_l0"),
        "linear": ("linear.weight",),
    }


def test_norms_over_several_axes_are_left_alone() -> None:
    norms = [nn.LayerNorm((4, 8)), nn.RMSNorm((4, 8))]
    assert prunable(nn.Sequential(*norms, nn.Linear(8, 2))) == {"2": ("2.weight",)}


@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=40), st.floats(0.01, 1))
def test_the_largest_remain_and_exactly_so_many(values: list[float], share: float) -> None:
    layer = nn.Linear(len(values), 1)
    layer.weight.data = torch.tensor([values])
    model = nn.Sequential(layer)
    kept = Masks.magnitude(model, {"0": share}).kept["0.weight"][0]
    assert int(kept.sum()) == max(1, round(share * len(values)))
    sizes = torch.tensor(values).abs()
    assert not (~kept).any() or sizes[kept].min() >= sizes[~kept].max()


def test_shares_are_given_by_layer_or_by_parameter() -> None:
    masks = Masks.magnitude(Recurrent(), {"lstm": 0.5, "lstm.weight_hh_l0": 0.25})
    assert {key: float(kept.float().mean()) for key, kept in masks.kept.items()} == {
        "lstm.weight_ih_l0": 0.5,
        "lstm.weight_hh_l0": 0.25,
    }
    assert masks.density() == {"embedding": 1, "lstm": (0.5 * 32 * 6 + 0.25 * 32 * 8) / (32 * 14), "linear": 1}


def test_a_tied_weight_has_one_mask_the_smallest_that_is_asked_for() -> None:
    model = Recurrent()
    model.head = nn.Linear(6, 7)
    model.head.weight = model.embedding.weight
    for shares in ({"head": 0.5, "embedding": 0.25}, {"embedding": 0.25, "head.weight": 0.25}, {"head": 0.25}):
        masks = Masks.magnitude(copy.deepcopy(model), shares)
        masks.apply()
        left = int(masks.model.get_parameter("head.weight").count_nonzero()) / 42
        assert left == pytest.approx(0.25, abs=0.02) and list(masks.kept) == ["embedding.weight"]
        assert masks.density() == {"embedding": left, "lstm": 1, "linear": 1, "head": left}


def test_falling_shares_are_nested() -> None:
    model = network()
    before = Masks.magnitude(model, {"0": 0.5})
    before.apply()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter) * (parameter != 0)
    after = Masks.magnitude(model, {"0": 0.2})
    assert not (after.kept["0.weight"] & ~before.kept["0.weight"]).any()


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("recurrent", [False, True])
def test_removed_weights_stay_plus_zero_in_training(optimizer: str, recurrent: bool) -> None:
    model: nn.Module = Recurrent() if recurrent else network()
    kind = torch.optim.SGD if optimizer == "momentum" else torch.optim.AdamW
    options = {"momentum": 0.9} if optimizer == "momentum" else {}
    trainer = kind(model.parameters(), lr=0.05, weight_decay=0.1, **options)  # type: ignore[arg-type]
    inputs = torch.randint(7, (16, 5)) if recurrent else torch.randn(16, 12)
    targets = torch.randint(5, (16, 5) if recurrent else (16,))

    def step() -> None:
        trainer.zero_grad()
        functional.cross_entropy(model(inputs).flatten(0, -2), targets.flatten()).backward()
        trainer.step()

    for _ in range(3):
        step()  # the momentum of weights that are still there
    masks = Masks.magnitude(model, dict.fromkeys(prunable(model), 0.3))
    masks.apply()
    left = {key: model.get_parameter(key).detach().clone() for key in masks.kept}
    with masks.held():
        for _ in range(5):
            step()
            masks.apply()
    for key, kept in masks.kept.items():
        weight = model.get_parameter(key).detach()
        assert not weight[~kept].view(torch.int32).any()  # plus zero, to the bit
        assert (weight[kept] != left[key][kept]).float().mean() > 0.9
    step()
    assert any(bool(model.get_parameter(key).detach()[~kept].any()) for key, kept in masks.kept.items())  # let go


def test_removed_weights_count_for_nothing_in_the_gradients_norm() -> None:
    model, inputs, targets = network(), torch.randn(16, 12), torch.randint(5, (16,))
    masks = Masks.magnitude(model, {"0": 0.1, "3": 0.1})
    masks.apply()
    functional.cross_entropy(model(inputs), targets).backward()
    whole = {key: model.get_parameter(key).grad for key in masks.kept}
    model.zero_grad()
    with masks.held():
        functional.cross_entropy(model(inputs), targets).backward()
    for key, kept in masks.kept.items():
        gradient, before = model.get_parameter(key).grad, whole[key]
        assert gradient is not None and before is not None
        torch.testing.assert_close(gradient, before * kept)


def test_masks_of_a_pruned_model_are_found_again() -> None:
    model = network()
    masks = Masks.magnitude(model, {"0": 0.4, "3": 0.7})
    masks.apply()
    found = Masks.of_zeros(model)
    assert all(torch.equal(found.kept[key], kept) for key, kept in masks.kept.items())


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="'0'"):
        Masks.magnitude(network(), {"0": share})


def test_an_unknown_layer_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"'linaer'(.|\n)*'linear'"):
        Masks.magnitude(Recurrent(), {"linaer": 0.5})
