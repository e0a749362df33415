"""Channels last where a network computes so, and not where it looks at its strides."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nn_compression.data import Data, Split, settled
from nn_compression.tasks import CLASSIFICATION
from nn_compression.training.devices import layout_of
from nn_compression.training.evaluation import evaluate
from nn_compression.training.loop import train
from nn_compression.training.schedule import Schedule


class Flattened(nn.Module):
    """A network that flattens as most on the web do."""

    def __init__(self, *, view: bool) -> None:
        super().__init__()
        self.conv, self.dropout, self.linear = nn.Conv2d(3, 5, 3), nn.Dropout(), nn.Linear(80, 2)
        self.view, self.seen = view, list[bool]()

    def forward(self, images: Tensor) -> Tensor:
        maps = nn.functional.dropout(self.conv(images))  # always random
        self.seen.append(maps.is_contiguous(memory_format=torch.channels_last))
        return self.linear(self.dropout(maps.view(maps.size(0), -1) if self.view else maps.flatten(1)))


def examples(count: int) -> Split:
    torch.manual_seed(0)
    return Split(torch.randn(count, 3, 6, 6), torch.arange(count) % 2)


@pytest.mark.parametrize(("view", "layout"), [(True, torch.contiguous_format), (False, torch.channels_last)])
def test_a_network_computes_with_the_channels_last_where_it_can(view: bool, layout: torch.memory_format) -> None:
    data = settled(Data(examples(12), examples(6), examples(6), torch.randn(1, 3, 6, 6), "classification"), 0)
    model = Flattened(view=view)
    assert layout_of([model], data.train.inputs, CLASSIFICATION.forward, torch.device("cpu")) == layout
    train(model, data, Schedule(epochs=1, batch=4, learning_rate=0.1), seed=0, teacher=Flattened(view=False))
    assert 0 <= evaluate(model, data.test, data.task) <= 100
    assert model.seen[-1] == (layout == torch.channels_last)
    assert (
        layout_of([Flattened(view=False), model], data.train.inputs, CLASSIFICATION.forward, torch.device("cpu"))
        == layout
    )


def test_trying_a_layout_leaves_no_trace() -> None:
    model = Flattened(view=False)
    model.linear.eval()
    model.register_buffer("image", torch.ones(1, 2, 3, 4))
    before = {key: (tensor.data_ptr(), tensor.stride()) for key, tensor in model.state_dict().items()}
    generator = torch.get_rng_state()
    layout_of(
        [model], torch.randn(9, 3, 6, 6, generator=torch.Generator()), CLASSIFICATION.forward, torch.device("cpu")
    )
    assert torch.equal(torch.get_rng_state(), generator)
    assert {key: (tensor.data_ptr(), tensor.stride()) for key, tensor in model.state_dict().items()} == before
    assert model.training and model.conv.training and not model.linear.training


def test_images_stay_contiguous_on_a_card() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    images = torch.zeros(2, 3, 6, 6)
    assert layout_of([model], images, CLASSIFICATION.forward, torch.device("cpu")) == torch.channels_last
    assert layout_of([model], images, CLASSIFICATION.forward, torch.device("cuda")) == torch.contiguous_format
