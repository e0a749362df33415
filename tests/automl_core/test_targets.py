import numpy as np
import pytest

from automl_core.errors import InputError
from automl_core.specs import Spec, Specs
from automl_core.targets import Range, Targets

SPECS = Specs([Spec("gain", minimum=60.0, weight=2.0), Spec("power", maximum=1e-3, goal="minimize")])


def test_targets_are_drawn_from_their_ranges_and_keep_what_has_none() -> None:
    targets = Targets(SPECS, {}, {"power": Range(1e-5, 1e-1, "log")})
    drawn = targets.draw(400, np.random.default_rng(0))
    bounds = [specs.by_metric["power"].maximum or 0.0 for specs in drawn]
    assert all(1e-5 <= bound <= 1e-1 for bound in bounds) and len(set(bounds)) == 400
    assert 0.4 < np.mean([bound < 1e-3 for bound in bounds]) < 0.6, "log-uniform: half lie below the middle decade"
    assert all(specs.by_metric["gain"] == SPECS.by_metric["gain"] for specs in drawn)
    assert all(specs.by_metric["power"].goal == "minimize" for specs in drawn)
    assert targets.middle.by_metric["power"].maximum == pytest.approx(1e-3)


def test_the_same_generator_draws_the_same_targets() -> None:
    targets = Targets(SPECS, {"gain": Range(40.0, 80.0)}, {})
    one, two = (targets.draw(5, np.random.default_rng(3)) for _ in range(2))
    assert [specs.by_metric["gain"].minimum for specs in one] == [specs.by_metric["gain"].minimum for specs in two]


@pytest.mark.parametrize(
    ("spec", "minima", "maxima", "ends"),
    [
        (
            Spec("m", minimum=1.0, maximum=8.0),
            {"m": Range(1.0, 5.0)},
            {"m": Range(3.0, 8.0)},
            "up to 5, and max down to 3",
        ),
        (Spec("m", minimum=1.0, maximum=8.0), {"m": Range(1.0, 9.0)}, {}, "up to 9, and max down to 8"),
        (Spec("m", minimum=2.0, maximum=8.0), {}, {"m": Range(1.0, 9.0)}, "up to 2, and max down to 1"),
    ],
)
def test_ranges_of_which_a_draw_may_exclude_itself_are_refused_before_any_is_drawn(
    spec: Spec, minima: dict[str, Range], maxima: dict[str, Range], ends: str
) -> None:
    with pytest.raises(InputError, match=f"targets of 'm' may exclude each other: min goes {ends}"):
        Targets(Specs([spec]), minima, maxima)
    Targets(Specs([spec]), {"m": Range(1.0, 3.0)}, {"m": Range(3.0, 8.0)}).draw(20, np.random.default_rng(0))


def test_a_range_of_an_unknown_metric_is_refused() -> None:
    with pytest.raises(InputError, match="no spec names the metric 'gian'"):
        Targets(SPECS, {"gian": Range(1.0, 2.0)}, {})
