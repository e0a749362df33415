import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from automl_core.agent.model import MetricModel, Warp


@given(st.lists(st.floats(1e-3, 1e3), min_size=8, max_size=30), st.booleans())
def test_a_warp_undoes_itself_where_it_does_not_clip(values: list[float], negative: bool) -> None:
    numbers = np.array(values) * (-1 if negative else 1)
    warp = Warp.of(numbers)
    inside = np.abs((np.log(numbers) if warp.log else numbers) - warp.centre) < 3 * warp.spread
    back = warp.inverse(torch.as_tensor(warp.forward(numbers))).numpy()
    assert back[inside] == pytest.approx(numbers[inside], rel=1e-6, abs=1e-9)


def made(seed: int = 0) -> MetricModel:
    return MetricModel(["a", "b"], ["sum", "power"], seed)


def tensor(x: np.ndarray) -> torch.Tensor:  # type: ignore[type-arg]
    return torch.as_tensor(x, dtype=torch.float32)


def figures(x: np.ndarray) -> list[dict[str, float]]:  # type: ignore[type-arg]
    return [{"sum": a + b, "power": math.nan if a > 0.9 else 10 ** (3 * a - 6 * b)} for a, b in x]


def test_it_predicts_metrics_of_very_different_scales_and_what_cannot_be_measured() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.random((300, 2)), generator.random((100, 2))
    model = made()
    model.add(tensor(x), figures(x))
    model.fit(600)
    with torch.no_grad():
        found = model.predict(tensor(y))
    truth = figures(y)
    sums = found.metrics[..., 0].mean(0).numpy()
    assert np.corrcoef(sums, [row["sum"] for row in truth])[0, 1] > 0.99
    known = [i for i, row in enumerate(truth) if not math.isnan(row["power"])]
    decades = torch.log10(found.metrics[..., 1]).mean(0).numpy()[known]
    error = np.abs(decades - [math.log10(truth[i]["power"]) for i in known])
    assert np.median(error) < 0.1, "a tenth of a decade over nine"
    chance = found.measured[..., 1].mean(0).numpy()
    missing = y[:, 0] > 0.9
    assert chance[missing].mean() < 0.5 < chance[~missing].mean()


def test_its_networks_disagree_more_where_there_are_no_data() -> None:
    generator = np.random.default_rng(0)
    near = generator.random((200, 2)) * 0.4
    model = made()
    model.add(tensor(near), figures(near))
    model.fit(400)
    with torch.no_grad():
        inside = model.predict(torch.full((20, 2), 0.2)).metrics[..., 0].std(0).mean()
        outside = model.predict(torch.full((20, 2), 0.95)).metrics[..., 0].std(0).mean()
    assert outside > 3 * inside


def test_an_earlier_model_is_taken_over_by_the_names_of_its_inputs_and_metrics() -> None:
    generator = np.random.default_rng(0)
    x = generator.random((300, 2))
    earlier = made()
    earlier.add(tensor(x), figures(x))
    earlier.fit(400)
    later = MetricModel(["b", "a"], ["power", "sum"], 5)
    few = x[:20]
    later.add(tensor(few[:, ::-1].copy()), [{"power": row["power"], "sum": row["sum"]} for row in figures(few)])
    warps = dict(zip(earlier.metrics, earlier.warps, strict=True))
    later.begin_from(earlier.network.state_dict(), earlier.inputs, warps)
    with torch.no_grad():
        plain = earlier.predict(tensor(x[:50])).metrics
        swapped = later.predict(tensor(x[:50, ::-1].copy())).metrics
    assert torch.allclose(plain[..., 0], swapped[..., 1], rtol=1e-4, atol=1e-5)
    assert torch.allclose(plain[..., 1], swapped[..., 0], rtol=1e-3)


def many(additive: bool, names: list[str] | None = None) -> MetricModel:
    return MetricModel(names or [f"v{number}" for number in range(60)], ["sum"], 0, additive=additive)


def noise(x: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """What rounding each of many layers adds to the error of a network."""
    return np.asarray(0.01 + (np.geomspace(0.001, 0.1, 60) * 16.0 ** (0.5 - x)).sum(1))


def test_of_many_variables_a_sum_tells_more_by_few_trials_than_networks() -> None:
    generator = np.random.default_rng(0)
    x, y = 0.5 + 0.15 * generator.standard_normal((2, 120, 60))
    error = {}
    for additive in (False, True):
        model = many(additive)
        model.add(tensor(x), [{"sum": value} for value in noise(x)])
        model.fit(600)
        with torch.no_grad():
            found = model.predict(tensor(y)).metrics[..., 0].mean(0).numpy()
        error[additive] = float(np.std(np.log(found / noise(y))) / np.std(np.log(noise(y))))
    assert error[True] < 0.9 * error[False], error


def test_an_earlier_sum_is_taken_over_by_name_and_networks_are_not() -> None:
    x = np.random.default_rng(0).random((100, 60))
    earlier = many(additive=True)
    earlier.add(tensor(x), [{"sum": value} for value in noise(x)])
    earlier.fit(300)
    warps = dict(zip(earlier.metrics, earlier.warps, strict=True))
    turned = many(additive=True, names=list(earlier.inputs[::-1]))
    turned.begin_from(earlier.network.state_dict(), earlier.inputs, warps)
    other = many(additive=False)
    before = {key: value.clone() for key, value in other.network.state_dict().items()}
    other.begin_from(earlier.network.state_dict(), earlier.inputs, warps)
    assert all(torch.equal(before[key], value) for key, value in other.network.state_dict().items())
    with torch.no_grad():
        plain = earlier.predict(tensor(x[:20])).metrics
        again = turned.predict(tensor(x[:20, ::-1].copy())).metrics
    assert torch.allclose(plain, again, rtol=1e-4)
