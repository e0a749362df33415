import pytest
import torch
from torch import nn

from nn_compression.zoo import (
    ZOO,
    digits_net,
    lenet5,
    lenet_300_100,
    lstm_language_model,
    mobilenet_v1,
    mobilenet_v2,
    resnet20,
    resnet29_bottleneck,
    resnet56,
)


def weights(model: nn.Module) -> int:
    """Weights and biases."""
    return sum(parameter.numel() for parameter in model.parameters())


def macs(model: nn.Module, *shape: int) -> int:
    """Multiplications of one example: each output of a layer is a sum over one row of its weights."""
    counts: list[int] = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda layer, _, made: counts.append(made.numel() * layer.weight[0].numel()))
    with torch.no_grad():
        model.eval()(torch.zeros(1, *shape))
    return sum(counts)


def test_lenets_have_the_weights_that_papers_count() -> None:
    by_hand = (20 * 25 + 20) + (50 * 20 * 25 + 50) + (800 * 500 + 500) + (500 * 10 + 10)
    assert weights(lenet5()) == by_hand == 431_080
    assert weights(lenet_300_100()) == 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10 == 266_610


@pytest.mark.parametrize(("build", "depth"), [(resnet20, 20), (resnet56, 56), (resnet29_bottleneck, 29)])
def test_a_resnet_is_as_deep_as_its_name(build: type[nn.Module], depth: int) -> None:
    model = build()
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len([name for name in layers if "shortcut" not in name]) == depth


def test_resnets_cost_what_they_are_known_to() -> None:
    # He et al. give 0.27 M and 0.85 M parameters, 41 M and 126 M multiplications
    assert weights(resnet20()) == pytest.approx(0.27e6, rel=0.02) and weights(resnet56()) == pytest.approx(
        0.85e6, rel=0.02
    )
    assert macs(resnet20(), 3, 32, 32) == pytest.approx(40.8e6, rel=0.01)
    assert macs(resnet56(), 3, 32, 32) == pytest.approx(126e6, rel=0.01)


def test_mobilenet_v1_has_the_weights_of_the_paper() -> None:
    assert weights(mobilenet_v1(classes=1000)) == 4_231_976  # Keras' trainable ones; "4.2 million" in the paper
    quarter = macs(mobilenet_v1(0.5), 3, 32, 32) / macs(mobilenet_v1(), 3, 32, 32)
    assert 0.25 < quarter < 0.28  # a little more than the square: depthwise layers fall with the width alone


def test_mobilenet_v2_takes_less_than_6_million_macs() -> None:
    model = mobilenet_v2()
    assert 5e6 < macs(model, 3, 32, 32) <= 6e6
    depthwise = [module for module in model.modules() if isinstance(module, nn.Conv2d) and module.groups > 1]
    assert len(depthwise) == 11 and all(module.groups == module.out_channels for module in depthwise)


def test_the_language_model_has_two_layers_of_512_and_sees_no_future() -> None:
    model = lstm_language_model().eval()
    layers = [module for module in model.modules() if isinstance(module, nn.LSTM)]
    assert [layer.hidden_size for layer in layers] == [512, 512]
    lstm = sum(4 * 512 * (inputs + 512) + 8 * 512 for inputs in (128, 512))
    assert weights(model) == 65 * 128 + lstm + 512 * 65 + 65
    tokens = torch.randint(65, (2, 9))
    changed = tokens.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 65
    with torch.no_grad():
        first, second = model(tokens), model(changed)
    assert first[:, :5].equal(second[:, :5]) and not first[:, 5:].isclose(second[:, 5:]).all()


def test_the_language_model_begins_each_window_with_no_memory() -> None:
    model = lstm_language_model(units=16).eval()
    tokens = torch.randint(65, (3, 8))
    with torch.no_grad():
        alone = torch.cat([model(window[None]) for window in tokens])
        assert alone.allclose(model(tokens), atol=1e-6)


def test_dropout_acts_in_training_only() -> None:
    model = lstm_language_model(units=16, dropout=0.5)
    tokens = torch.randint(65, (1, 4))
    assert not model(tokens).equal(model(tokens))
    model.eval()
    assert model(tokens).equal(model(tokens))


def test_the_net_for_digits_is_small() -> None:
    assert weights(digits_net()) < 20_000 and digits_net()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_names_in_the_zoo_are_those_of_the_functions() -> None:
    assert all(name == entry.build.__name__ for name, entry in ZOO.items())
