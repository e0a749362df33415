import copy

import pytest
import torch
from torch import Tensor, nn

from automl_core.errors import InputError
from nn_compression.channels.recalibration import recalibrate
from tests.nn_compression.channel_nets import IMAGE

IMAGES = torch.randn(50, 3, 4, 4, generator=torch.Generator().manual_seed(5)) * 3 + 1


def a_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5)
    )


def test_statistics_are_torchs_own_cumulative_mean() -> None:
    net, twin = a_net(), a_net()
    net[1].running_mean.fill_(9)
    net[1].num_batches_tracked.fill_(7)  # of training: they must not count
    recalibrate(net.eval(), IMAGES, batch=20)
    for norm in (twin[1], twin[5]):
        norm.momentum = None
    twin.train()
    twin[3].eval()  # dropout is off while statistics are taken
    with torch.no_grad():
        for images in IMAGES.split(20):
            twin(images)
    for index in (1, 5):
        assert torch.equal(net[index].running_mean, twin[index].running_mean)
        assert torch.equal(net[index].running_var, twin[index].running_var)
        assert (net[index].momentum, int(net[index].num_batches_tracked)) == (0.1, 3)


def test_the_first_norm_has_the_statistics_of_what_it_reads() -> None:
    net = a_net().eval()
    recalibrate(net, IMAGES, batch=10)
    with torch.no_grad():
        maps = net[0](IMAGES).reshape(5, 10, 4, -1).transpose(1, 2).flatten(2)
    torch.testing.assert_close(net[1].running_mean, maps.mean((0, 2)))
    torch.testing.assert_close(net[1].running_var, maps.var(2).mean(0))


class Auxiliary(nn.Module):
    """A second head that runs in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.main, self.aside = a_net(), nn.BatchNorm2d(3, momentum=0.3)

    def forward(self, images: Tensor) -> Tensor:
        return self.main(self.aside(images) if self.training else images)


def test_a_batch_norm_that_does_not_run_keeps_its_statistics() -> None:
    net = Auxiliary().train()
    net(IMAGES)
    before = {key: value.clone() for key, value in net.aside.state_dict().items()}
    recalibrate(net.eval(), IMAGES)
    assert all(torch.equal(value, before[key]) for key, value in net.aside.state_dict().items())
    assert net.aside.momentum == 0.3 and net.aside.running_mean.abs().min() > 0.1
    twin = a_net().eval()
    recalibrate(twin, IMAGES)
    assert torch.equal(net.main[5].running_var, twin[5].running_var)


def test_weights_and_modes_stay() -> None:
    net = a_net().train()
    net[1].eval()
    before = copy.deepcopy(net)
    recalibrate(net, IMAGES)
    assert [module.training for module in net.modules()] == [module.training for module in before.modules()]
    for one, other in zip(net.parameters(), before.parameters(), strict=True):
        assert torch.equal(one, other) and one.grad is None


def test_an_example_left_over_joins_the_batch_before() -> None:
    """A batch norm cannot measure the spread of one value, and torch refuses it."""
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    features = torch.randn(9, 3)
    recalibrate(net, features, batch=4)
    with torch.no_grad():
        means = [net[0](part).mean(0) for part in (features[:4], features[4:])]
    torch.testing.assert_close(net[1].running_mean, torch.stack(means).mean(0))


def test_nets_without_statistics_and_missing_inputs() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    plain.register_forward_hook(lambda *_: pytest.fail("there is nothing to measure"))
    recalibrate(plain, IMAGE)
    for inputs, batch in ((IMAGE[:0], 4), (IMAGE, 0)):
        with pytest.raises(InputError, match="cannot be measured"):
            recalibrate(a_net(), inputs, batch)


def test_models_that_are_called_otherwise() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, *, images: Tensor) -> Tensor:
            return self.norm(images)

    net = Named()
    recalibrate(net, IMAGES, 50, forward=lambda model, images: model(images=images))
    torch.testing.assert_close(net.norm.running_mean, IMAGES.mean((0, 2, 3)))
