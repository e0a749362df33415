import math
from typing import Any

import pytest

from automl_core.errors import InputError
from nn_compression.training.schedule import Schedule


def test_cosine_falls_from_the_whole_rate_to_none() -> None:
    schedule = Schedule(10, 0.2)
    assert schedule.rate(0) == pytest.approx(0.2)
    assert schedule.rate(2.5) == pytest.approx(0.1 * (1 + math.sqrt(0.5)))
    assert schedule.rate(5) == pytest.approx(0.1)
    assert schedule.rate(10) == pytest.approx(0.0)


def test_step_divides_by_ten_at_a_half_and_at_three_quarters() -> None:
    schedule = Schedule(8, 1.0, decay="step")
    assert [schedule.rate(time) for time in (0, 3.99, 4, 5.99, 6, 8)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_the_rate_rises_evenly_and_then_falls_over_what_is_left() -> None:
    schedule = Schedule(12, 0.4, warmup=2)
    assert [schedule.rate(time) for time in (0.5, 1, 2, 7, 12)] == pytest.approx([0.1, 0.2, 0.4, 0.2, 0.0])
    assert Schedule(3, 0.4, decay="constant").rate(2.9) == 0.4


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": -1},
        {"epochs": 1.5},
        {"batch": 2.5},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"batch": 0},
        {"optimizer": "sdg"},
        {"decay": "linear"},
        {"momentum": 1.0},
        {"weight_decay": -1e-4},
        {"warmup": -1.0},
        {"clip_norm": 0.0},
        {"precision": "float16"},
        {"temperature": 0.0},
        {"teacher_share": 1.5},
    ],
)
def test_a_field_out_of_range_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Schedule(**{"epochs": 1} | wrong)
